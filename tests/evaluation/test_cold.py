"""Test users without a history get what the towers make of their features, or the most popular items."""

from dataclasses import replace
from pathlib import Path

from retrieval import histories, matrices
from retrieval.evaluation.assessment import Exam
from retrieval.evaluation.cold import assess_cold
from retrieval.evaluation.lists import TrainItems
from retrieval.evaluation.options import Evaluation
from retrieval.newcomers import NOTHING, newcomer

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from worlds import odd_ids, section, write_world

OPTIONS = Evaluation(
    **section("evaluate", ks=[3], head=0.2, resamples=10, negatives=2, points=2, map="tsne", candidates="train")
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_world(tmp_path_factory.mktemp("cold"))
    who = {"user_id": [7, 8], "age": ["young", " old "], "sex": ["M", "X"], "city": ["a", "b"]}  # X is not in train
    pd.DataFrame(who).to_parquet(root / "prepared" / "users.parquet")
    return root


def assess(root: Path, watched: dict) -> tuple[dict, dict]:
    data = histories.load(root / "features")
    rows = [(user, data.item_ids[item]) for user, items in watched.items() for item in items]
    table = pd.DataFrame(rows, columns=["user_id", "item_id"])
    table = table if rows else table.astype(np.int64)
    table.to_parquet(root / "prepared" / "cold.parquet")
    models = {name: matrices.load(root / "models" / name) for name in ("dssm", "popular", "ials", "itemknn")}
    none = sp.csr_matrix(data.seen.shape, dtype=np.float32)
    exam = Exam(data, none, none, np.array([0]), np.array([0]), TrainItems(data.seen, data.items, 0.2))
    return assess_cold(root / "prepared", root / "models", models, {}, exam, OPTIONS), models


def test_popularity_by_hand(root):
    """The list is the three most popular items a, b, c. User 7 watched b: average precision 1/2, recall 1. User 99
    watched c and an item not in the list: average precision 1/3 / 2, recall 1/2."""
    seen = histories.load(root / "features").seen
    best = np.argsort(-np.asarray(seen.sum(0)).ravel(), kind="stable")
    results, _ = assess(root, {7: [best[1]], 99: [best[2], best[-1]]})
    assert results["popular"]["map@3"] == pytest.approx((1 / 2 + 1 / 6) / 2, rel=1e-5)
    assert results["popular"]["recall@3"] == pytest.approx(0.75)
    assert set(results) == {"dssm", "ials", "popular"}, "ItemKNN needs a history"


def test_all_users_together_get_the_recommendations_of_each_alone(root):
    watched = {7: [1, 5, 9], 8: [2], 99: [30, 31]}
    results, models = assess(root, watched)
    tower = newcomer(root / "models" / "dssm", models["dssm"])
    recall = []
    for user, who in {7: {"age": "young", "sex": "M"}, 8: {"age": "old"}, 99: {}}.items():
        scores = (tower(NOTHING, who.items()) @ models["dssm"].right.T).ravel()
        found = set(np.argsort(-scores, kind="stable")[:3]) & set(watched[user])
        recall.append(len(found) / len(watched[user]))
    assert results["dssm"]["recall@3"] == pytest.approx(np.mean(recall))


def test_text_ids_change_nothing(root, monkeypatch):
    watched = {7: [1, 5, 9], 8: [2], 99: [30, 31]}
    expected, _ = assess(root, watched)
    load = histories.load
    monkeypatch.setattr(
        histories, "load", lambda path: replace(data := load(path), item_ids=odd_ids(len(data.item_ids)))
    )
    users = pq.read_table(root / "prepared" / "users.parquet")
    try:
        pq.write_table(users.set_column(0, "user_id", pa.array(["7/é", "8/é"])), root / "prepared" / "users.parquet")
        results, _ = assess(root, {f"{user}/é": items for user, items in watched.items()})
    finally:
        pq.write_table(users, root / "prepared" / "users.parquet")
    assert results == expected


def test_without_cold_users_there_are_no_results(root):
    assert assess(root, {})[0] == {}
