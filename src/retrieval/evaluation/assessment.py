"""Judge a model in three settings: test users and items new to them, test users and all items, and train users and all
items, where train itself is the truth. In a split that keeps repeats, items need not be new in the first one either."""

from dataclasses import dataclass
from pathlib import Path

from retrieval import ids
from retrieval.errors import Problem
from retrieval.evaluation.lists import Lists, TrainItems, judge
from retrieval.evaluation.metrics import BEYOND, DEBIASED, METRICS, means, values
from retrieval.evaluation.options import Evaluation
from retrieval.histories import Features
from retrieval.matrices import Model
from retrieval.ranking import rank, rankings
from retrieval.stage import read_table
from retrieval.torchrun import Processes

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp


@dataclass(frozen=True)
class Exam:
    """The data that every model is judged on.

    data: the features that the models were trained on. truth [users, items] CSR: who watched what in the test period;
    debiased: the same without most watches of the most popular items; users: the test users, rows of `truth`.
    train_users: the users of the setting train, all or a sample.
    """

    data: Features
    truth: sp.csr_matrix
    debiased: sp.csr_matrix
    users: np.ndarray
    train_users: np.ndarray
    train_items: TrainItems


@dataclass(frozen=True)
class Assessment:
    """The results of one model.

    lists: ks[-1] items for each test user, without `Features.excluded`. values and beyond: METRICS, and BEYOND and
    DEBIASED, of the first k, one value per test user. settings: the means of METRICS in the other two settings,
    test_all and train; empty for lists from outside, which exist for new items only. If there are more than `users`
    train users, train is a sample of that many, and says so.
    """

    lists: Lists
    values: dict[str, np.ndarray]
    beyond: dict[str, np.ndarray]
    settings: dict[str, dict[str, float]]


def prepare_exam(prepared: Path, data: Features, params: Evaluation, seed: int) -> Exam:
    """Read the test interactions.

    data: with the new items (see `newitems`) if the candidates are all. Raises `Problem` if there are none, if their
    users or items are not those of `data`, or if a pair is also in train although the split drops repeats.
    """
    path = prepared / "test.parquet"
    truth = read_truth(path, data)
    if params.candidates == "all":
        truth = sp.csr_matrix(truth + read_truth(prepared / "cold_items.parquet", data))
    if truth.nnz == 0:
        raise Problem(f"{path}: no rows; expected at least one interaction")
    both = truth.multiply(data.seen).nnz
    if both and data.spec["repeats"] == "drop":
        raise Problem(f"{path}: {both} of its {truth.nnz} pairs of user and item are also in train; run dvc repro")
    train_items = TrainItems(data.seen, data.items[:, : sum(map(len, data.categories.values()))], params.head)
    users, count = np.flatnonzero(np.diff(truth.indptr)), len(data.user_ids)
    train_users = np.sort(np.random.default_rng(seed).permutation(count)[: params.users])
    return Exam(data, truth, _debiased(truth, seed), users, train_users, train_items)


def assess(model: Model, exam: Exam, params: Evaluation, processes: Processes | None = None) -> Assessment:
    """Rank the items for all users and judge the lists; raises `Problem` if the model is of other users or items.

    processes: see `rank`.
    """
    data, k = exam.data, params.k
    count = len(data.item_ids) if params.candidates == "train" else len(model.items)  # some models leave new items out
    if not (np.array_equal(model.users, data.user_ids) and np.array_equal(model.items, data.item_ids[:count])):
        raise Problem(f"model {model.name}: its users and items are not those of the features; train it again")
    left, right, own = model.left, model.right, model.own
    others = np.setdiff1d(exam.train_users, exam.users)
    asked = (k, None), (params.ks[-1], data.excluded)
    every, new = rankings(left, right, exam.users, asked, model.name, own, processes)
    constant, title = model.kind == "constant", f"{model.name}, train"
    rest = rank(left, right, others, k, None, constant, title, own, processes)
    lists = np.empty((len(model.users), k), np.int32)
    lists[exam.users], lists[others] = every.items, rest.items
    settings = {}
    for name, watched, part in (("test_all", exam.truth, exam.users), ("train", data.seen, exam.train_users)):
        settings[name] = means(values(judge(lists[part], watched[part], exam.train_items), METRICS))
    if len(exam.train_users) < len(model.users):
        settings["train"]["users"] = len(exam.train_users)
    return assess_lists(new.items, exam, k, settings)


def assess_lists(new: np.ndarray, exam: Exam, k: int, settings: dict[str, dict[str, float]]) -> Assessment:
    """Judge lists of items new to the test users, [test users, n], n of at least k, -1 after the end of a list."""
    lists = judge(new, exam.truth[exam.users], exam.train_items, exam.data.seen[exam.users])
    debiased = judge(new[:, :k], exam.debiased[exam.users], exam.train_items)
    first = lists.first(k)
    beyond = values(first, BEYOND) | values(debiased, DEBIASED)
    return Assessment(lists, values(first, METRICS), beyond, settings)


def _debiased(truth: sp.csr_matrix, seed: int) -> sp.csr_matrix:
    """`truth` without most watches of the most popular items: RecTools' `debias_interactions`.

    An item that more users watched than the third quartile plus 1.5 interquartile ranges keeps that many random ones.
    """
    from rectools.metrics import DebiasConfig, debias_interactions

    pairs = truth.tocoo()
    table = pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col})
    table = debias_interactions(table, DebiasConfig(random_state=seed))
    return binary(table["user_id"].to_numpy(), table["item_id"].to_numpy(), truth.shape)


def read_truth(path: Path, data: Features) -> sp.csr_matrix:
    """The pairs of user_id and item_id in a file of `prepare`: [users, items] CSR float32 of ones."""
    if not path.exists():
        raise Problem(f"{path}: no such file; run the stage prepare first")
    test = read_table(path, columns=["user_id", "item_id"])
    users = rows_of(test["user_id"], data.user_ids, path, "users")
    return binary(users, rows_of(test["item_id"], data.item_ids, path, "items"), data.seen.shape)


def rows_of(column: pa.ChunkedArray, all_ids: np.ndarray, path: Path, what: str) -> np.ndarray:
    """[n] int64, the row in `all_ids` of each id in a `column` [n] of the file `path`.

    Raises `Problem`, which says `what` the ids are of, if one is not there.
    """
    rows = ids.rows_of(column.to_numpy(), all_ids)
    if unknown := np.count_nonzero(rows < 0):
        raise Problem(f"{path}: {what} of {unknown} rows are not in the features; run the stage features again")
    return rows


def binary(users: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """CSR float32 [users, items] with a 1 for each pair; column indices sorted, repeated pairs once."""
    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
