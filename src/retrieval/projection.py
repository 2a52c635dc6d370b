"""A map of vectors in two dimensions: t-SNE (van der Maaten, Hinton 2008) of what a model has learned of taste."""

from retrieval.matrices import Model

import numpy as np


def taste(model: Model) -> np.ndarray:
    """[d] bool, the columns in which both sides vary; where either is constant, the other is a bias and no taste."""
    return np.logical_and(*(np.ptp(side, axis=0) > 0 for side in (model.left, model.right)))


def project(vectors: np.ndarray, seed: int) -> np.ndarray:
    """[n, 2] places on the map of `vectors` [n, d]; near ones have a small angle between them."""
    from sklearn.manifold import TSNE

    if len(vectors) < 4:
        return np.zeros((len(vectors), 2), dtype=np.float32)
    tsne = TSNE(perplexity=min(30, (len(vectors) - 1) / 3), metric="cosine", init="random", random_state=seed, n_jobs=1)
    return tsne.fit_transform(np.asarray(vectors, dtype=np.float32))
