"""Approximate nearest neighbours: two FAISS indexes of a model's items, as points of `retrieval.search.space`.

Indexes share one method, as does `retrieval.search.milvus`: search(queries [n, e], count) -> rows of items [n, count],
nearest first, -1 where fewer are found. An index only names candidates; the recommender computes their scores.
Malkov and Yashunin 2016, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small
world graphs"; Jegou et al. 2011, "Product quantization for nearest neighbor search" (the inverted file).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

from retrieval.matrices import Model
from retrieval.params import Positive, Section

import numpy as np
from pydantic import Field

MAX_CANDIDATES = 1000  # asked of an index; users who have seen more items get exact search
Candidates = Annotated[int, Field(ge=1, le=32_768)]


class HNSW(Section):
    """A graph with `links` per node; `build` and `search` are FAISS's efConstruction and efSearch.

    FAISS crashes with one link; with 256 the graph takes 2 kB per item. Milvus takes at most 32,768 candidates.
    """

    links: Annotated[int, Field(ge=2, le=256)]
    build: Candidates
    search: Candidates


class IVF(Section):
    """An inverted file: `lists` of nearby items (0: the square root of the number of items); a query reads `probes`."""

    lists: Annotated[int, Field(ge=0, le=65_536)]
    probes: Annotated[int, Field(ge=1, le=65_536)]


class Indexes(Section):
    """The section `index` of params.yaml. Recall is measured on at most `users` users."""

    users: Positive
    hnsw: HNSW
    ivf: IVF


class Index(Protocol):
    """Finds the items nearest to a query."""

    def search(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Rows of items [n, count] for queries [n, e], -1 where fewer are found."""
        ...


def has_index(model: Model) -> bool:
    """Whether the model can be indexed."""
    return model.kind == "vectors"


def candidates(index: Index, query: np.ndarray, seen: np.ndarray, k: int) -> np.ndarray | None:
    """The items near `query` [1, e] that are not in `seen`, as ascending rows.

    None if there are fewer than k, or `seen` is too long: then the search has to be exact.
    """
    if len(seen) + k > MAX_CANDIDATES:
        return None
    found = index.search(query, len(seen) + k)[0]
    found = np.setdiff1d(found[found >= 0], seen)
    return found if len(found) >= k else None


class Faiss:
    """A FAISS index, memory-mapped from its file so that workers share it."""

    def __init__(self, path: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)

    def search(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Rows of items [n, count] for queries [n, e], -1 where fewer are found."""
        return self._index.search(queries, min(count, self._index.ntotal))[1]


def make_deterministic() -> None:
    """Make FAISS build and search the same way on every machine: one thread, no vector instructions, no BLAS."""
    import faiss

    faiss.omp_set_num_threads(1)
    faiss.SIMDConfig.set_level(faiss.SIMDLevel_NONE)
    faiss.cvar.distance_compute_blas_threshold = 2**31 - 1


def hnsw(points: np.ndarray, options: Indexes, out: Path) -> None:
    """Write a graph of the points [items, e] to the file `out`."""
    import faiss

    index = faiss.IndexHNSWFlat(points.shape[1], options.hnsw.links, faiss.METRIC_L2)
    index.hnsw.efConstruction, index.hnsw.efSearch = options.hnsw.build, options.hnsw.search
    _write(index, points, out)


def ivf(points: np.ndarray, options: Indexes, out: Path) -> None:
    """Write an inverted file of the points [items, e] to the file `out`."""
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


# Each function writes an index of the points [items, e] to a file.
INDEXES: dict[str, Callable[[np.ndarray, Indexes, Path], None]] = {"hnsw": hnsw, "ivf": ivf}
