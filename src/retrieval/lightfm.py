"""LightFM through RecTools, as in the notebook, as two matrices."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from retrieval import divergence
from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.matrices import snap
from retrieval.params import AUTO, Positive, Section, one_of
from retrieval.progress import Epochs, progress

import numpy as np
import pandas as pd
import scipy.sparse as sp
from pydantic import Field

if TYPE_CHECKING:
    from rectools.dataset import Dataset

LOSSES = ("warp", "bpr", "warp-kos")  # "logistic" needs negatives in the data; there are none
EPOCHS, FEWEST_EPOCHS = 20, 1  # for epochs=auto: on small data, and at least on large
EPOCHS_BY_DAYS = 2  # for epochs=auto where the last days are the test: more learn what the past liked
PAIRS = 10_000  # of a watched and another item, to tell whether the training diverged

FEATURES: dict[str, Callable[[sp.csr_matrix], sp.csr_matrix]] = {
    "none": lambda columns: columns[:, :0],
    "ones": lambda columns: columns,
    "ones_and_zeros": lambda columns: sp.hstack([columns, 1 - columns.toarray()], format="csr"),
}


class LightFM(Section):
    """The section `lightfm` of params.yaml.

    features: what users and items have beside a vector of their own. `ones` is the usual one-hot: a vector for each
    column that is set. `ones_and_zeros` is the notebook's, whose columns of 0 and 1 were declared categorical: a column
    that is not set has a vector, too, so that every user and item has one vector per column.
    weighted: the weight of an interaction (the bin of the share that was watched) multiplies its step, as in the
    notebook, so that nothing is learned from weight 0; otherwise all interactions count alike.
    epochs: auto is 20, or 2 where the last days are the test; fewer for large data, see `Features.passes`.
    The others are LightFM's own: `components` is its no_components.
    """

    components: Annotated[int, Field(ge=1, le=65_536)]
    loss: Annotated[str, one_of(LOSSES)]
    epochs: Annotated[Positive, AUTO]
    learning_rate: float = Field(gt=0)
    item_alpha: float = Field(ge=0)
    user_alpha: float = Field(ge=0)
    max_sampled: Annotated[int, Field(ge=1, le=10_000)]  # a step that finds no violation tries all of them
    features: Annotated[str, one_of(FEATURES)]
    weighted: bool

    def resolve(self, features: Features) -> "LightFM":
        """With a number of epochs."""
        most = EPOCHS_BY_DAYS if features.by_days else EPOCHS
        return self.model_copy(update={"epochs": features.passes(self.epochs, most, FEWEST_EPOCHS)})


def train(features: Features, params: LightFM, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LightFM's vectors with the features folded in: left [users, d + 2] and right [items, d + 2] float32.

    left is [user bias, 1, user vector], right [1, item bias, item vector], so that left . right is LightFM's score. The
    third, [1 + columns, d + 2] float32, is left of a user without an embedding of their own and without features, and
    what each column of the users adds to it.
    One thread: several threads of LightFM overwrite each other, and no two runs are equal.
    Source: Kula 2015, "Metadata embeddings for user and item cold-start recommendations".
    """
    from rectools.models import model_from_config

    config = {
        "cls": "LightFMWrapperModel",
        "epochs": params.epochs,
        "num_threads": 1,
        "model": {
            "cls": _with_signs_of_life(),
            "no_components": params.components,
            "loss": params.loss,
            "learning_rate": params.learning_rate,
            "item_alpha": params.item_alpha,
            "user_alpha": params.user_alpha,
            "max_sampled": params.max_sampled,
            "random_state": seed,
        },
    }
    data = dataset(features, params)
    try:
        model = model_from_config(config).fit(data)
    except ValueError as error:
        raise Problem(f"the training diverged; lower lightfm.learning_rate={params.learning_rate}: {error}") from None
    left, right = model.get_vectors(data)
    return snap(left), snap(right), snap(_by_column(model.model, features.users.shape, FEATURES[params.features]))


def _with_signs_of_life() -> type:
    """LightFM's class, one epoch at a time: it goes on from where it is, with the same draws."""
    from lightfm import LightFM as Original

    class TalkingLightFM(Original):
        def fit_partial(self, *args: Any, epochs: int = 1, **options: Any) -> "TalkingLightFM":
            tell = Epochs(epochs)
            with progress("lightfm", epochs, "epochs", hidden=not sys.stderr.isatty()) as advance:
                for epoch in range(epochs):
                    super().fit_partial(*args, epochs=1, **options)
                    advance(1)
                    tell([{}] * (epoch + 1))
            return self

    return TalkingLightFM


def suspicions(features: Features, params: LightFM, left: np.ndarray, right: np.ndarray, seed: int) -> list[str]:
    """`divergence.verdict` by LightFM's loss of what users watched against random items, which is 1 or log 2 untrained.

    A user's bias, which may be large, is the same for both items.
    """
    rng, watched = np.random.default_rng(seed), features.seen.tocoo()
    pairs, other = rng.integers(watched.nnz, size=PAIRS), rng.integers(len(right), size=PAIRS)
    user, item = watched.row[pairs], watched.col[pairs]
    above = (left[user].astype(np.float64) * (right[item].astype(np.float64) - right[other])).sum(1)
    loss = np.logaddexp(0, -above) if params.loss == "bpr" else np.maximum(0, 1 - above)
    untrained = np.log(2) if params.loss == "bpr" else 1.0
    largest = max(np.abs(left[:, 1:]).max(), np.abs(right).max())
    rate = f"lightfm.learning_rate={params.learning_rate}"
    if params.item_alpha or params.user_alpha:
        rate += f", item_alpha={params.item_alpha} or user_alpha={params.user_alpha}"
    return divergence.verdict(loss.mean(), untrained, watched.nnz, rate, largest)


def _by_column(model: Any, shape: tuple[int, int], columns_of: Callable[[sp.csr_matrix], sp.csr_matrix]) -> np.ndarray:
    """The third result of `train`, float64. The model's embeddings are those of the users [shape], then of columns."""
    users, columns = shape
    learned = np.c_[model.user_biases, np.zeros(len(model.user_biases)), model.user_embeddings][users:]
    one_each = sp.vstack([sp.csr_matrix((1, columns)), sp.identity(columns)], format="csr")
    rows = columns_of(one_each) @ learned.astype(np.float64)
    rows[1:] -= rows[0]
    rows[0, 1] = 1
    return rows


def dataset(features: Features, params: LightFM) -> "Dataset":
    """RecTools' Dataset, whose internal ids of users and items are the rows of `features`."""
    from rectools import Columns
    from rectools.dataset import Dataset, IdMap, Interactions, SparseFeatures

    h = features.histories
    rows = {
        Columns.User: h.user,
        Columns.Item: h.item,
        Columns.Weight: h.weight if params.weighted else np.float32(1),
        Columns.Datetime: h.time.astype("datetime64[s]"),
    }
    matrices = [FEATURES[params.features](columns) for columns in (features.users, features.items)]
    return Dataset(
        IdMap(features.user_ids),
        IdMap(features.item_ids),
        Interactions(pd.DataFrame(rows)),
        *(SparseFeatures.from_iterables(matrix, ((c, None) for c in range(matrix.shape[1]))) for matrix in matrices),
    )
