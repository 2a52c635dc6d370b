"""Users who are not in the data: a row of left from what they watched and who they are, one class per kind of model.

A model of vectors names its class in its card, `newcomer`; for other models the kind says it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from retrieval import cooccurrence
from retrieval.errors import Problem
from retrieval.histories import Demographics, Watched
from retrieval.matrices import Matrix, Model, snap

import numpy as np
import scipy.sparse as sp

FILE = "newcomer.npy"
IALS_BITS = 14  # of numbers on the grid, see `matrices`; as in training
NOTHING: Watched = np.zeros(0, np.int64), np.zeros(0, np.int64)


class Newcomer(Protocol):
    """(watched, demographics) -> a row of left [1, d]. What it does not read makes no difference."""

    reads_history: bool
    reads_demographics: bool

    def __call__(self, watched: Watched, demographics: Demographics) -> Matrix:
        """The row of left [1, d]."""
        ...


class Constant:
    """A model with the same row of left for every user (popularity)."""

    reads_history = reads_demographics = False

    def __init__(self, path: Path, model: Model) -> None:
        self._row = np.array(model.left[:1])

    def __call__(self, watched: Watched, demographics: Demographics) -> np.ndarray:
        return self._row


class History:
    """A model whose left is the history itself (ItemKNN, EASE): ones at the items watched."""

    reads_history, reads_demographics = True, False

    def __init__(self, path: Path, model: Model) -> None:
        self._items = len(model.items)

    def __call__(self, watched: Watched, demographics: Demographics) -> sp.csr_matrix:
        items = np.unique(watched[0])
        return sp.csr_matrix((np.ones(len(items), np.float32), items, [0, len(items)]), shape=(1, self._items))


class LeastSquares:
    """iALS: the factors that training would solve for, the item factors as they are.

    (Y'Y + (alpha - 1) sum y y' + lambda I) x = alpha sum y, with the sums over the items watched. Without any, x would
    be 0 and all scores equal: then it is the mean user.
    """

    reads_history, reads_demographics = True, False

    def __init__(self, path: Path, model: Model) -> None:
        options = model.card["params"]["baselines"]["ials"]
        self._alpha, self._right = float(options["alpha"]), model.right
        items = np.asarray(model.right, np.float64)
        self._gram = items.T @ items + float(options["regularization"]) * np.eye(items.shape[1])
        self._mean = snap(np.mean(model.left, axis=0, dtype=np.float64, keepdims=True), IALS_BITS)

    def __call__(self, watched: Watched, demographics: Demographics) -> np.ndarray:
        if not len(watched[0]):
            return self._mean
        items = np.asarray(self._right[np.unique(watched[0])], np.float64)
        weights = self._gram + (self._alpha - 1) * (items.T @ items)
        return snap(np.linalg.solve(weights, self._alpha * items.sum(0))[None], IALS_BITS)


class FeatureSum:
    """LightFM: the sum of the vectors of the user's features, biases included.

    FILE holds [1 + columns, d]: the row of a user without features, and what each feature adds to it.
    """

    reads_history = False

    def __init__(self, path: Path, model: Model) -> None:
        self._rows = np.load(path / FILE, allow_pickle=False).astype(np.float64)
        self.reads_demographics = bool(self._rows[1:].any())
        columns = model.card["user_columns"]
        pairs = ((column, value) for column in columns for value in columns[column])
        self._place = {pair: place for place, pair in enumerate(pairs, 1)}

    def __call__(self, watched: Watched, demographics: Demographics) -> np.ndarray:
        places = sorted({self._place[pair] for pair in demographics})
        return snap(self._rows[[0, *places]].sum(0)[None])


class WithCooccurrence:
    """The row of another newcomer, and the columns that the history adds to it."""

    reads_history = True

    def __init__(self, path: Path, model: Model, alone: Newcomer) -> None:
        weight, step = model.card["params"]["cooccurrence"]["weight"], model.card["cooccurrence"]["step"]
        read = np.load(path / cooccurrence.FILE, allow_pickle=False)
        self._alone, self._history = alone, History(path, model)
        self._blend = cooccurrence.Blend(model.right, read, weight, step)
        self.reads_demographics = alone.reads_demographics

    def __call__(self, watched: Watched, demographics: Demographics) -> np.ndarray:
        row = self._alone(watched, demographics)
        return self._blend.left(np.asarray(row), self._history(watched, demographics))


def _towers(path: Path, model: Model) -> Newcomer:
    from retrieval.dssm.newcomer import Tower  # loads torch, which takes a second

    tower = Tower(path, model)
    return WithCooccurrence(path, model, tower) if "cooccurrence" in model.card else tower


# By the kind of the matrices, or what the card of a model of vectors names.
NEWCOMERS: dict[str, Callable[[Path, Model], Newcomer]] = {
    "constant": Constant,
    "history": History,
    "towers": _towers,
    "least_squares": LeastSquares,
    "feature_sum": FeatureSum,
}


def newcomer(path: Path, model: Model) -> Newcomer | None:
    """What computes the row of left of a new user; None if the model cannot.

    Raises `Problem` if what it needs of the model folder `path` does not load.
    """
    kind = model.card.get("newcomer", "") if model.kind == "vectors" else model.kind
    try:
        return NEWCOMERS[kind](path, model) if kind in NEWCOMERS else None
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        raise Problem(f"{path}: what folds in new users does not load: {error}") from None
