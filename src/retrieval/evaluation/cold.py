"""Test users without a history in train: a model knows only their features, and what is popular.

Models that read nothing but the history (ItemKNN, EASE) have no scores for them, and are left out.
"""

from collections.abc import Mapping
from pathlib import Path

from retrieval.evaluation.assessment import Exam, binary, rows_of
from retrieval.evaluation.external import External
from retrieval.evaluation.lists import judge
from retrieval.evaluation.metrics import METRICS, means, values
from retrieval.evaluation.options import Evaluation
from retrieval.matrices import Model
from retrieval.newcomers import NOTHING, newcomer
from retrieval.ranking import rank
from retrieval.stage import read_table
from retrieval.torchrun import Processes
from retrieval.vocabulary import encode_users

import numpy as np


def cold_users(prepared: Path) -> np.ndarray:
    """The ids, ascending, of the test users who are not in train."""
    return np.unique(read_table(prepared / "cold.parquet", columns=["user_id"])["user_id"].to_numpy())


def assess_cold(
    prepared: Path,
    folder: Path,
    models: Mapping[str, Model],
    external: Mapping[str, External],
    exam: Exam,
    params: Evaluation,
    processes: Processes | None = None,
) -> dict[str, dict[str, float]]:
    """METRICS of each of `models`, which `folder` holds, and of `external` systems, that serve users without a history.

    Empty without such users. processes: see `rank`.
    """
    path, data = prepared / "cold.parquet", exam.data
    test = read_table(path, columns=["user_id", "item_id"])
    if not len(test):
        return {}
    ids, user = np.unique(test["user_id"].to_numpy(), return_inverse=True)
    item = rows_of(test["item_id"], data.item_ids, path, "items")
    truth = binary(user, item, (len(ids), len(data.item_ids)))
    features = _user_features(prepared / "users.parquet", ids, exam)
    lists = dict[str, np.ndarray]()
    for name, model in models.items():
        if model.kind != "history" and (row_of := newcomer(folder / name, model)) is not None:
            rows = {each: row_of(NOTHING, each) for each in sorted(set(features))}
            left = np.concatenate([rows[each] for each in features])
            users, title = np.arange(len(ids)), f"{name}, cold users"
            lists[name] = rank(left, model.right, users, params.k, title=title, processes=processes).items
    for name, system in external.items():
        if ((found := system.lists(ids)[:, : params.k]) >= 0).any():
            lists[name] = found
    return {name: means(values(judge(each, truth, exam.train_items), METRICS)) for name, each in lists.items()}


def _user_features(path: Path, ids: np.ndarray, exam: Exam) -> list[tuple[tuple[str, str], ...]]:
    """The features of each user as (column, value) pairs, without values that are not in train."""
    spec = exam.data.spec
    table = read_table(path, columns=["user_id", *spec["user_columns"]])
    matrix = encode_users(ids, table, spec)
    pairs = [(column, value) for column, values in spec["user_columns"].items() for value in values]
    return [tuple(pairs[i] for i in row) for row in np.split(matrix.indices, matrix.indptr[1:-1])]
