"""Items that are not in train: a row of right from their features alone, one class per kind of model.

A model names its class in its card, `new_items`; a model that names none cannot score them. `extend` and `score_new`
put the new items after those of train: the rows of train stay what they are.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from retrieval.dssm.newcomer import FeatureTower
from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.matrices import Model, grid_step
from retrieval.vocabulary import encode_items

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

FILE = "new_items.npy"
NewItems = Callable[[sp.csr_matrix], np.ndarray]  # features [n, columns] -> rows of right [n, d] float64


class FeatureVectors:
    """LightFM: the sum of the vectors of the item's features, biases included.

    FILE holds [1 + columns, d]: the row of an item without features, and what each feature adds to it.
    """

    def __init__(self, path: Path, model: Model) -> None:
        self._rows = np.load(path / FILE, allow_pickle=False).astype(np.float64)

    def __call__(self, features: sp.csr_matrix) -> np.ndarray:
        return self._rows[0] + features @ self._rows[1:]


CLASSES: dict[str, Callable[[Path, Model], NewItems]] = {"towers": FeatureTower, "feature_sum": FeatureVectors}


def new_items(path: Path, model: Model) -> NewItems | None:
    """What computes rows of right [n, d] float32 of new items from their features; None if the model cannot.

    The rows are on the grid of `right` (see `matrices`), whatever other items are asked for with them. Raises `Problem`
    if what it needs of the model folder `path` does not load.
    """
    kind = model.card.get("new_items", "")
    if kind not in CLASSES:
        return None
    try:
        rows_of = CLASSES[kind](path, model)
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        raise Problem(f"{path}: what scores new items does not load: {error}") from None
    step = grid_step(float(np.abs(model.right).max(initial=0.0)))

    def on_grid(features: sp.csr_matrix) -> np.ndarray:
        return (np.rint(rows_of(features) / step) * step).astype(np.float32)

    return on_grid


def extend(data: Features, table: pa.Table) -> Features:
    """The features of a catalogue: the items of train, then those of `table` (item_id and columns), by ascending id."""
    new = np.sort(table["item_id"].to_numpy())
    items = sp.csr_matrix(sp.vstack([data.items, encode_items(new, table, data.spec)]))
    disliked = data.disliked
    if disliked is not None:
        disliked = sp.csr_matrix(
            (disliked.data, disliked.indices, disliked.indptr), (disliked.shape[0], items.shape[0])
        )
    return replace(data, items=items, item_ids=np.concatenate([data.item_ids, new]), disliked=disliked)


def score_new(path: Path, model: Model, data: Features) -> Model:
    """The model with a row for each new item of the catalogue `data`; unchanged if it cannot score them."""
    trained = len(model.items)
    if trained == len(data.item_ids) or (rows_of := new_items(path, model)) is None:
        return model
    right = np.vstack([model.right, rows_of(data.items[trained:])])
    return replace(model, right=right, items=data.item_ids)
