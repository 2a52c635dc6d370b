"""Maps of vectors in two dimensions, to see what taste a model has learned."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from retrieval.matrices import BITS, Model, snap

import numpy as np
from threadpoolctl import threadpool_limits

MIN_POINTS = 4  # for a map
STEPS = 500  # of t-SNE: twice as many lower its loss by 3 % on the default data and show the same picture


def missing(kind: str) -> bool:
    """Whether this kind of map needs a package that is not installed."""
    return kind == "umap" and find_spec("umap") is None


def taste(model: Model) -> np.ndarray:
    """Mask [d] bool of the dimensions in which both sides vary; if one side is constant, the other is a bias."""
    return np.logical_and(*(np.ptp(side, axis=0) > 0 for side in (model.left, model.right)))


def tsne(vectors: np.ndarray, seed: int) -> np.ndarray:
    """van der Maaten and Hinton 2008, "Visualizing data using t-SNE". Distances are exact, see `matrices`."""
    from sklearn.manifold import TSNE

    exact = snap(vectors).astype(np.float64)
    length = np.sqrt(np.square(exact).sum(axis=1, keepdims=True))
    unit = np.rint(exact / np.maximum(length, np.finfo(float).tiny) * 2.0**BITS) / 2.0**BITS
    distance = np.maximum(1 - unit @ unit.T, 0)
    np.fill_diagonal(distance, 0)
    perplexity = min(30, (len(vectors) - 1) / 3)
    maker = TSNE(
        perplexity=perplexity, max_iter=STEPS, metric="precomputed", init="random", random_state=seed, n_jobs=1
    )
    with threadpool_limits(1):
        return maker.fit_transform(distance)


def umap(vectors: np.ndarray, seed: int) -> np.ndarray:
    """McInnes, Healy and Melville 2018, "UMAP". Needs the package umap-learn."""
    from umap import UMAP

    neighbours = min(15, len(vectors) - 1)
    maker = UMAP(n_neighbors=neighbours, metric="cosine", init="random", random_state=seed, n_jobs=1)
    return maker.fit_transform(vectors)


class Projection(NamedTuple):
    """A kind of map: its title in pictures, and its function (vectors [n, d], seed) -> points [n, 2]."""

    title: str
    function: Callable[[np.ndarray, int], np.ndarray]


PROJECTIONS = {"tsne": Projection("t-SNE", tsne), "umap": Projection("UMAP", umap)}


def project(vectors: np.ndarray, seed: int, kind: str) -> np.ndarray:
    """Points [n, 2] of `vectors` [n, d]; vectors at a small angle are close together. Too few points are all 0."""
    if len(vectors) < MIN_POINTS:
        return np.zeros((len(vectors), 2), dtype=np.float32)
    return PROJECTIONS[kind].function(np.asarray(vectors, dtype=np.float32), seed)
