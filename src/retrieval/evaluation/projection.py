"""A map of vectors in two dimensions, of what a model has learned of taste."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from retrieval.matrices import Model

import numpy as np

LEAST = 4  # points that have a map


def missing(kind: str) -> bool:
    """Whether the package that this kind of map needs is not installed."""
    return kind == "umap" and find_spec("umap") is None


def taste(model: Model) -> np.ndarray:
    """[d] bool, the columns in which both sides vary; where either is constant, the other is a bias and no taste."""
    return np.logical_and(*(np.ptp(side, axis=0) > 0 for side in (model.left, model.right)))


def tsne(vectors: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE: van der Maaten and Hinton 2008, "Visualizing data using t-SNE"."""
    from sklearn.manifold import TSNE

    perplexity = min(30, (len(vectors) - 1) / 3)
    maker = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=seed, n_jobs=1)
    return maker.fit_transform(vectors)


def umap(vectors: np.ndarray, seed: int) -> np.ndarray:
    """UMAP: McInnes, Healy and Melville 2018. The package umap-learn is needed by this alone."""
    from umap import UMAP

    neighbours = min(15, len(vectors) - 1)
    maker = UMAP(n_neighbors=neighbours, metric="cosine", init="random", random_state=seed, n_jobs=1)
    return maker.fit_transform(vectors)


class Projection(NamedTuple):
    """What a kind of map is called, and the function (vectors, seed) -> places that makes it."""

    title: str
    function: Callable[[np.ndarray, int], np.ndarray]


PROJECTIONS = {"tsne": Projection("t-SNE", tsne), "umap": Projection("UMAP", umap)}


def project(vectors: np.ndarray, seed: int, kind: str) -> np.ndarray:
    """[n, 2] places on the map of `vectors` [n, d]; near ones have a small angle between them."""
    if len(vectors) < LEAST:
        return np.zeros((len(vectors), 2), dtype=np.float32)
    return PROJECTIONS[kind].function(np.asarray(vectors, dtype=np.float32), seed)
