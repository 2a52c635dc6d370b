"""Test users whom train does not know: who they are and what is watched now is all that a model can go by."""

from collections.abc import Mapping
from pathlib import Path

from retrieval.dssm.newcomer import NOTHING, newcomer
from retrieval.encode import encode
from retrieval.evaluation.assessment import Evaluation, Exam, binary, rows_of
from retrieval.evaluation.metrics import METRICS, judge, means, values
from retrieval.matrices import Model
from retrieval.ranking import rank

import numpy as np
import pyarrow.parquet as pq


def assess_cold(
    prepared: Path, models: Path, loaded: Mapping[str, Model], exam: Exam, params: Evaluation
) -> dict[str, dict[str, float]]:
    """METRICS of the models that can serve a user without a history; none where every test user is known to train."""
    path, data = prepared / "cold.parquet", exam.data
    test = pq.read_table(path, columns=["user_id", "item_id"]).to_pandas()
    if test.empty:
        return {}
    ids, user = np.unique(test["user_id"], return_inverse=True)
    item = rows_of(test["item_id"].to_numpy(), data.item_ids, path, "items")
    truth, who = binary(user, item, (len(ids), len(data.item_ids))), _who(prepared / "users.parquet", ids, exam)
    results = {}
    for name, model in loaded.items():
        if (row_of := newcomer(models / name, model)) is not None:
            kinds = {kind: row_of(NOTHING, dict(kind)) for kind in sorted(set(who))}
            left = np.concatenate([kinds[kind] for kind in who])
            lists = rank(left, model.right, np.arange(len(ids)), params.k, title=f"{name}, cold users").items
            results[name] = means(values(judge(lists, truth, exam.catalogue), METRICS))
    return results


def _who(path: Path, ids: np.ndarray, exam: Exam) -> list[tuple[tuple[str, str], ...]]:
    """Of each user the columns and values that models know; nothing of a user without a row."""
    known = exam.data.spec["user_columns"]
    matrix, found = encode(ids, pq.read_table(path, columns=["user_id", *known]), "user_id", list(known), ())
    pairs = [(column, value) for column, values in found.items() for value in values]
    rows = np.split(matrix.indices, matrix.indptr[1:-1])
    return [tuple(pairs[i] for i in row if pairs[i][1] in known[pairs[i][0]]) for row in rows]
