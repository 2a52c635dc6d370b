"""Approximate nearest neighbours: two indexes of FAISS over the space of a model's items.

One interface, that of `retrieval.search.milvus` too: search(queries [n, e], count) -> rows of items [n, count], the
nearest first, -1 where fewer were found. Scores are worked out from the model's own matrices afterwards.
Malkov and Yashunin 2016, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small
world graphs"; Jegou et al. 2011, "Product quantization for nearest neighbor search" (the inverted file).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from retrieval.matrices import Model
from retrieval.params import NotNegative, Positive, Section

import numpy as np


class HNSW(Section):
    """A graph: `links` of a node; `build` and `search`, nodes that are kept in sight while it is built and searched."""

    links: Positive
    build: Positive
    search: Positive


class IVF(Section):
    """An inverted file: `lists` of items that lie together, 0 for the square root of their number; `probes` of them
    are searched."""

    lists: NotNegative
    probes: Positive


class Indexes(Section):
    """The section `index` of params.yaml. `users`: on so many of them recall is measured, at most."""

    users: Positive
    hnsw: HNSW
    ivf: IVF


class Index(Protocol):
    """What finds the nearest items of a query."""

    def search(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Rows of items [n, count] for queries [n, e]."""
        ...


def has_index(model: Model) -> bool:
    """Whether an index of nearest neighbours can serve the model."""
    return model.kind == "vectors"


class Faiss:
    """A FAISS index from its file. Files are memory-mapped, so that workers share them."""

    def __init__(self, path: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)

    def search(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Rows of items [n, count] for queries [n, e]; -1 where fewer were found."""
        return self._index.search(queries, min(count, self._index.ntotal))[1]


def hnsw(points: np.ndarray, options: Indexes, out: Path) -> None:
    """Write a graph of the points [items, e]."""
    import faiss

    index = faiss.IndexHNSWFlat(points.shape[1], options.hnsw.links, faiss.METRIC_L2)
    index.hnsw.efConstruction, index.hnsw.efSearch = options.hnsw.build, options.hnsw.search
    _write(index, points, out)


def ivf(points: np.ndarray, options: Indexes, out: Path) -> None:
    """Write an inverted file of the points [items, e]."""
    import faiss

    lists = min(options.ivf.lists or round(len(points) ** 0.5), len(points))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(points.shape[1]), points.shape[1], lists, faiss.METRIC_L2)
    index.cp.min_points_per_centroid = 1
    index.nprobe = min(options.ivf.probes, lists)
    index.train(points)
    _write(index, points, out)


def _write(index: Any, points: np.ndarray, out: Path) -> None:
    import faiss

    index.add(points)
    faiss.write_index(index, str(out))


# Each writes an index of the points [items, e] to a file.
INDEXES: dict[str, Callable[[np.ndarray, Indexes, Path], None]] = {"hnsw": hnsw, "ivf": ivf}
