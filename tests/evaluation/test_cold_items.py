"""Test rows of new items: ranked among the new and among all items, by hand on four users."""

from pathlib import Path
from typing import Any

from retrieval.evaluation.cold_items import ColdItems, assess_cold_items, baselines, prepare_cold_items
from retrieval.evaluation.joining import POPULAR, RANDOM, SETTINGS, summarize
from retrieval.evaluation.options import Evaluation
from retrieval.histories import Features, Histories
from retrieval.matrices import Model

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from worlds import section

OPTIONS = Evaluation(
    **section("evaluate", ks=[2, 3], head=0.25, resamples=10, negatives=2, points=2, map="tsne", candidates="train")
)
USERS, ITEMS = np.array([10, 20, 30, 40]), np.array([5, 6, 7, 1, 2, 3])  # three of train, three new ones
TRAIN = [[0], [0, 1], [0, 2], [0]]
KINDS = [[1, 0], [0, 1], [0, 1], [1, 0], [0, 1], [0, 0]]  # of the items: item 0 is of the kind that all watch


def catalogue() -> Features:
    size = [len(items) for items in TRAIN]
    item = np.concatenate(TRAIN).astype(np.int32)
    histories = Histories(
        np.append(0, np.cumsum(size)), item, np.zeros(len(item), np.int64), np.ones(len(item), np.float32)
    )
    spec = {"user_columns": {}, "item_columns": {"kind": ["a", "b"]}, "repeats": "drop"}
    users = sp.csr_matrix((4, 0), dtype=np.float32)
    return Features(histories, users, sp.csr_matrix(np.array(KINDS, np.float32)), USERS, ITEMS, spec)


def exam(folder: Path, pairs: list[tuple[int, int]]) -> ColdItems | None:
    table = pd.DataFrame(pairs, columns=["user_id", "item_id"]).astype(np.int64)
    table.to_parquet(folder / "cold_items.parquet")
    return prepare_cold_items(folder, catalogue(), 3)


def in_order(order: list[int]) -> Model:
    """Ranks the items in this order, for everybody."""
    right = np.empty((6, 1), np.float32)
    right[order, 0] = np.arange(6, 0, -1)
    return Model("model", "constant", np.ones((4, 1), np.float32), right, USERS, ITEMS, {})


def test_both_settings_by_hand(tmp_path: Path) -> None:
    """Users 20 and 30 watch new items: 2 is second of the new ones, 3 beyond k. Among all, user 20 gets 7 and 1 (5 and
    6 are seen), user 30 gets 6 and 1."""
    result = assess_cold_items(in_order([0, 1, 2, 3, 4, 5]), exam(tmp_path, [(20, 2), (30, 3)]), OPTIONS)
    assert result["among_new_items"]["map@2"].tolist() == [1 / 2, 0]
    assert result["among_new_items"]["recall@2"].tolist() == [1, 0]
    assert result["among_all_items"]["recall@2"].tolist() == [0, 0]
    result = assess_cold_items(in_order([0, 1, 4, 2, 3, 5]), exam(tmp_path, [(20, 2), (30, 3)]), OPTIONS)
    assert result["among_all_items"]["map@2"].tolist() == [1, 0]


def test_popularity_by_features_prefers_the_kind_that_all_watch(tmp_path: Path) -> None:
    found = exam(tmp_path, [(20, 1)])
    popular = baselines(found, seed=0)[POPULAR]
    assert popular.right[3] > popular.right[5] > popular.right[4], "kind a, none, kind b"
    np.testing.assert_allclose(popular.right[:3, 0], np.log1p([4, 1, 1]), rtol=1e-3)
    assert assess_cold_items(popular, found, OPTIONS)["among_new_items"]["map@2"].tolist() == [1]


def test_random_lists_have_each_item_equally_often(tmp_path: Path) -> None:
    """Each of 400 users watches one of 20 new items; a list of 2 has it with a chance of 2 / 20. The standard deviation
    of the number of hits is sqrt(400 * 0.1 * 0.9) = 6."""
    items = np.arange(20)
    histories = Histories(np.arange(401), np.zeros(400, np.int32), np.zeros(400, np.int64), np.ones(400, np.float32))
    features = sp.csr_matrix((21, 0), dtype=np.float32)
    spec = {"user_columns": {}, "item_columns": {}, "repeats": "drop"}
    users = sp.csr_matrix((400, 0), dtype=np.float32)
    data = Features(histories, users, features, np.arange(400), np.append(0, 100 + items), spec)
    truth = sp.csr_matrix((np.ones(400, np.float32), (np.arange(400), 1 + np.arange(400) % 20)), shape=(400, 21))
    found = ColdItems(data, 1, truth, np.arange(400))
    random = baselines(found, seed=1)[RANDOM]
    hits = assess_cold_items(random, found, OPTIONS)["among_new_items"]["recall@2"].sum()
    assert abs(hits - 40) < 24
    assert baselines(found, seed=2)[RANDOM].right.tobytes() != random.right.tobytes()


def test_without_such_rows_there_is_nothing_to_assess(tmp_path: Path) -> None:
    assert exam(tmp_path, []) is None


@pytest.mark.parametrize(("names", "own"), [(["dssm", "lightfm"], "dssm"), (["lightfm"], POPULAR)])
def test_the_summary_has_intervals_and_differences(tmp_path: Path, names: list[str], own: str) -> None:
    found = exam(tmp_path, [(20, 2), (30, 3), (40, 1)])
    models = {name: in_order([3, 4, 5, 0, 1, 2]) for name in names} | baselines(found, 0)
    results = {name: assess_cold_items(model, found, OPTIONS) for name, model in models.items()}
    settings = {setting: {name: result[setting] for name, result in results.items()} for setting in SETTINGS}
    summary: dict[str, Any] = summarize(settings, "dssm", OPTIONS.resamples, seed=0)
    assert list(summary) == list(SETTINGS)
    for setting in SETTINGS:
        means = summary[setting]["means"]
        assert list(means) == [*names, POPULAR, RANDOM]
        assert set(means[RANDOM]) == {"map@2", "ndcg@2", "recall@2"}
        assert set(summary[setting]["differences"]) == {*names, POPULAR, RANDOM} - {own}
    assert summary["among_new_items"]["means"][names[0]]["map@2"]["mean"] == 0.5  # (1/2 + 0 + 1) / 3
