"""The evaluation of one model in the three settings: test users and items new to them, test users and all items, and
train users and all items against train itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from retrieval.errors import Problem
from retrieval.evaluation.metrics import BEYOND, DEBIASED, METRICS, Lists, TrainItems, judge, means, values
from retrieval.evaluation.projection import PROJECTIONS, missing
from retrieval.histories import Features
from retrieval.matrices import Model
from retrieval.params import Positive, Section, one_of
from retrieval.ranking import rank

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import scipy.sparse as sp
from pydantic import Field, field_validator

Length = Annotated[int, Field(ge=1, le=1000)]  # items a list; lists of all users are held in memory


class Evaluation(Section):
    """The section `evaluate` of params.yaml.

    k: items a list. longest: items a list where metrics are drawn by length. head: share of the items, the most watched
    ones, that are no long tail. resamples: bootstrap samples of the test users. negatives: sampled items a user, for
    the distributions of the score. points: users whose scores are drawn, and users and items on a map, at most. map:
    how the maps are made.
    """

    k: Length
    longest: Length
    head: Annotated[float, Field(gt=0, lt=1)]
    resamples: Positive
    negatives: Positive
    points: Positive
    map: Annotated[str, one_of(PROJECTIONS)]

    @field_validator("map")
    @classmethod
    def _is_installed(cls, kind: str) -> str:
        if missing(kind):
            raise ValueError(f"{kind} needs a package that is not installed: pip install {kind}-learn")
        return kind


@dataclass(frozen=True)
class Exam:
    """What every model is judged by. `truth` [users, items] CSR: who watched what in the test period; `debiased`: the
    same without most of the watches of the most popular items; `users`: the rows of `truth` that hold something."""

    data: Features
    truth: sp.csr_matrix
    debiased: sp.csr_matrix
    users: np.ndarray
    catalogue: TrainItems


@dataclass(frozen=True)
class Assessment:
    """How a model did. `lists`: the items new to the test users, `longest` a user; `values` and `beyond`: METRICS and
    BEYOND of the first k, a value a test user; `settings`: METRICS of the two other settings."""

    lists: Lists
    values: dict[str, np.ndarray]
    beyond: dict[str, np.ndarray]
    settings: dict[str, dict[str, float]]


def prepare_exam(prepared: Path, data: Features, params: Evaluation, seed: int) -> Exam:
    """Read the test interactions; raises `Problem` if they are not of the users and items of the features or stand in
    train as well."""
    path = prepared / "test.parquet"
    if not path.exists():
        raise Problem(f"{path}: no such file; run the stage prepare first")
    test = pq.read_table(path, columns=["user_id", "item_id"]).to_pandas()
    rows = rows_of(test["user_id"].to_numpy(), data.user_ids, path, "users")
    columns = rows_of(test["item_id"].to_numpy(), data.item_ids, path, "items")
    truth = binary(rows, columns, data.seen.shape)
    if truth.nnz == 0:
        raise Problem(f"{path}: holds no interactions")
    if both := truth.multiply(data.seen).nnz:
        raise Problem(f"{path}: {both} of its {truth.nnz} pairs of user and item stand in train as well")
    catalogue = TrainItems(data.seen, data.items, params.head)
    return Exam(data, truth, _debiased(truth, seed), np.flatnonzero(np.diff(truth.indptr)), catalogue)


def assess(model: Model, exam: Exam, params: Evaluation) -> Assessment:
    """Rank and judge. The lists of all items are made once, for all users; those of the test users are among them."""
    data, k = exam.data, params.k
    if not (np.array_equal(model.users, data.user_ids) and np.array_equal(model.items, data.item_ids)):
        raise Problem(f"model {model.name}: its users and items are not those of the features; train it again")
    left, right, constant, everyone = model.left, model.right, model.kind == "constant", np.arange(len(model.users))
    new = rank(left, right, exam.users, max(k, params.longest), data.seen, title=f"{model.name}, new items").items
    known = rank(left, right, everyone, k, constant=constant, title=f"{model.name}, all items").items
    lists = judge(new, exam.truth[exam.users], exam.catalogue)
    debiased = judge(new[:, :k], exam.debiased[exam.users], exam.catalogue)
    settings = {
        "test_all": judge(known[exam.users], exam.truth[exam.users], exam.catalogue),
        "train": judge(known, data.seen, exam.catalogue),
    }
    beyond = values(lists.first(k), BEYOND) | values(debiased, DEBIASED)
    return Assessment(
        lists,
        values(lists.first(k), METRICS),
        beyond,
        {name: means(values(setting, METRICS)) for name, setting in settings.items()},
    )


def _debiased(truth: sp.csr_matrix, seed: int) -> sp.csr_matrix:
    """Of each item that more users watched than the third quartile and 1.5 interquartile ranges, that many random ones
    stay: RecTools' `debias_interactions`."""
    from rectools.metrics import DebiasConfig, debias_interactions

    pairs = truth.tocoo()
    table = pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col})
    kept = debias_interactions(table, DebiasConfig(random_state=seed))
    return binary(kept["user_id"].to_numpy(), kept["item_id"].to_numpy(), truth.shape)


def rows_of(ids: np.ndarray, known: np.ndarray, path: Path, what: str) -> np.ndarray:
    """The rows of `ids` among the ascending ids `known`."""
    rows = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    if strange := np.count_nonzero(known[rows] != ids):
        raise Problem(f"{path}: {strange} rows are of {what} unknown to the features; run the stage features again")
    return rows


def binary(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """CSR float32 of ones at the given places, columns sorted."""
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
