"""Test rows of new items, which no user in train has: models know them by their features alone.

Each model that can score new items ranks them in two settings: among the new items, and among all items. Two baselines
say what this is worth: the popularity that an item's features suggest, and random lists.
"""

from dataclasses import dataclass
from pathlib import Path

from retrieval.evaluation.assessment import read_truth
from retrieval.evaluation.joining import POPULAR, RANDOM, SETTINGS
from retrieval.evaluation.lists import TrainItems, judge
from retrieval.evaluation.metrics import METRICS, values
from retrieval.evaluation.options import Evaluation
from retrieval.histories import Features
from retrieval.matrices import Model, snap
from retrieval.newitems import BITS, estimate
from retrieval.ranking import rank
from retrieval.torchrun import Processes

import numpy as np
import scipy.sparse as sp

NAMES = ("map", "ndcg", "recall")  # of METRICS: the others are about popularity in train, of which new items have none
WIDTH = 32  # of random vectors


@dataclass(frozen=True)
class ColdItems:
    """data: the catalogue, new items after the `trained` ones; truth [users, items] CSR: test rows of new items; users:
    its rows that have any."""

    data: Features
    trained: int
    truth: sp.csr_matrix
    users: np.ndarray


def prepare_cold_items(prepared: Path, catalogue: Features, trained: int) -> ColdItems | None:
    """Read the test rows of new items; None if there are none. Of the items of `catalogue`, `trained` are in train."""
    truth = read_truth(prepared / "cold_items.parquet", catalogue)
    users = np.flatnonzero(np.diff(truth.indptr))
    return ColdItems(catalogue, trained, truth, users) if len(users) else None


def assess_cold_items(
    model: Model, exam: ColdItems, params: Evaluation, processes: Processes | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Setting -> metric -> a value per user. `model` has a row of right for every item of the catalogue.

    processes: see `rank`.
    """
    data, trained, users, k = exam.data, exam.trained, exam.users, params.k
    constant, items = model.kind == "constant", TrainItems(data.seen, data.items, params.head)
    left, right, title = model.left, model.right, f"{model.name}, new items"
    new = rank(left, right[trained:], users, k, constant=constant, title=title, processes=processes).items
    title = f"{model.name}, with new items"
    every = rank(left, right, users, k, data.excluded, title=title, own=model.own, processes=processes).items
    lists = np.where(new < 0, -1, new + trained), every
    metrics = {name: METRICS[name] for name in NAMES}
    judged = [values(judge(each, exam.truth[users], items), metrics) for each in lists]
    return dict(zip(SETTINGS, judged, strict=True))


def baselines(exam: ColdItems, seed: int) -> dict[str, Model]:
    """Popularity by features: the logarithm of one more than an item's number of users, of new items as estimated from
    the features of the others; and random vectors, whose lists are random."""
    data, users = exam.data, len(exam.data.user_ids)
    counts = data.counts[: exam.trained]
    known = np.log1p(counts.astype(np.float64))[:, None]
    coefficients = estimate(data.described[: exam.trained], known, counts)
    new = coefficients[0] + data.described[exam.trained :] @ coefficients[1:]
    popularity = snap(np.vstack([known, new]), BITS)
    rng = np.random.default_rng(seed)
    left, right = (rng.uniform(-1, 1, (rows, WIDTH)) for rows in (users, len(data.item_ids)))
    right /= np.sqrt((right**2).sum(axis=1, keepdims=True))  # no item is in more lists than others
    ids = data.user_ids, data.item_ids
    return {
        POPULAR: Model(POPULAR, "constant", np.ones((users, 1), np.float32), popularity, *ids, {}),
        RANDOM: Model(RANDOM, "vectors", snap(left), snap(right), *ids, {}),
    }
