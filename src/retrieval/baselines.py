"""The classic baselines, each as two matrices: left[user] . right[item] is the score, as in the model's own library.

Every function takes (features, params, seed) and returns left [users, d] and right [items, d]. All of them read who
watched what as ones: neither the weights nor the features.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from pydantic import Field
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from retrieval.histories import Features
from retrieval.matrices import Matrix
from retrieval.params import Positive, Section

DAY = 24 * 60 * 60
BLOCK = 1 << 24  # numbers of a similarity matrix that are worked out at a time


class ItemKNN(Section):
    """K nearest items, cosine."""

    neighbours: Positive


class UserKNN(Section):
    """K nearest users, cosine, among the `pool` users who came last."""

    neighbours: Positive
    pool: Positive


class EASE(Section):
    """`regularization`: lambda of the paper, in interactions."""

    regularization: float = Field(gt=0)


class IALS(Section):
    """Implicit ALS: `alpha` is the weight of what was watched, 1 that of all else."""

    factors: Positive
    regularization: float = Field(ge=0)
    alpha: float = Field(gt=0)
    iterations: Positive


class Baselines(Section):
    """The section `baselines` of params.yaml."""

    itemknn: ItemKNN
    userknn: UserKNN
    ease: EASE
    ials: IALS


def popular(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """How many users watched the item: RecTools' PopularModel."""
    return _popular(features, np.ones(len(features.histories.item), dtype=bool))


def popular_7d(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """How many users watched the item in the 7 days before the last interaction: PopularModel(period=7 days)."""
    time = features.histories.time
    return _popular(features, time >= time.max() - 7 * DAY)


def itemknn(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """Sum of the similarities of the watched items to the item, each watched item having K neighbours.

    An item is not its own neighbour, so K here is K + 1 of implicit's CosineRecommender.
    Source: Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms".
    """
    items = sp.csr_matrix(features.seen.T)
    near = nearest(items, np.arange(items.shape[0]), params.itemknn.neighbours)
    return features.seen, sp.csr_matrix(near.T)


def userknn(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """Sum of the similarities to the user of those of his K neighbours who watched the item.

    Neighbours are looked for among the `pool` users whose last interaction is the latest, as comparing all users with
    all takes their number squared; up to `pool` users it is the exact UserKNN.
    """
    histories = features.histories
    last = histories.time[histories.indptr[1:] - 1]
    pool = np.sort(np.argsort(-last, kind="stable")[: params.userknn.pool])
    return nearest(features.seen, pool, params.userknn.neighbours), sp.csr_matrix(features.seen[pool].T)


def ease(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """B = I - P / diag(P), P = (X'X + lambda I)^-1; score X B. Steck 2019, "Embarrassingly shallow autoencoders".

    Takes one dense [items, items] float32: 1 GB for KION's 15,706 items.
    """
    seen, items = features.seen, features.seen.shape[1]
    gram = np.empty((items, items), dtype=np.float32, order="F")
    by_item = sp.csr_matrix(seen.T)
    for block in _blocks(items, items):
        gram[:, block] = (by_item[block] @ seen).toarray().T
    gram[np.diag_indices(items)] += np.float32(params.ease.regularization)
    factor, _ = lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    for block in _blocks(items, items):  # LAPACK fills the lower half
        inverse[block, block.start :] = inverse[block.start :, block].T
    ...


def ials(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """User and item factors of implicit's ALS. Hu, Koren and Volinsky 2008, "CF for implicit feedback datasets"."""
    from implicit.als import AlternatingLeastSquares
