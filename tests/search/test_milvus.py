"""The vector database, embedded: the same answers as exact search, stored in a file, one collection per model."""

import fcntl

from retrieval import matrices
from retrieval.errors import Problem
from retrieval.search import milvus

import numpy as np
import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException
from worlds import reindex, resave

NOTHING = np.zeros(0, np.int64)


@pytest.mark.parametrize("name", ["dssm", "ials"])
def test_answers_are_those_of_exact_search(world, tmp_path, items_and_users, recommender, lists, name):
    near = recommender(world, name, "milvus", str(tmp_path / "vectors.db"))
    exact = recommender(world, name)
    shares = []
    for user, pair in enumerate(zip(lists(near, 10), lists(exact, 10), strict=True)):
        (items, scores), expected = pair
        assert not np.isin(items, items_and_users.history(user)[0]).any()
        shares.append(len(np.intersect1d(items, expected[0])) / 10)
        if shares[-1] == 1:
            np.testing.assert_allclose(scores, expected[1], rtol=1e-4, atol=1e-5)
    assert np.mean(shares) > 0.95


def test_each_version_of_a_model_has_a_collection_of_its_own(copy, tmp_path, recommender):
    url = str(tmp_path / "vectors.db")
    old = recommender(copy, "ials", "milvus", url)
    client = MilvusClient(url)
    (collection,) = client.list_collections()
    assert collection.startswith("ials_")
    recommender(copy, "ials", "milvus", url)
    assert client.list_collections() == [collection], "the same model reuses it"

    model = matrices.load(copy / "models" / "ials")
    resave(copy / "models" / "ials", model, right=model.right[::-1])
    reindex(copy)
    new = recommender(copy, "ials", "milvus", url)
    assert len(set(client.list_collections()) - {collection}) == 1
    reverse = len(model.items) - 1 - old.best(model.left[[0]], NOTHING, 10)[0]
    assert len(np.intersect1d(new.best(model.left[[0]], NOTHING, 10)[0], reverse)) >= 9


def test_exact_search_answers_while_the_database_does_not(world, tmp_path, recommender, monkeypatch, caplog):
    near, exact = recommender(world, "dssm", "milvus", str(tmp_path / "vectors.db")), recommender(world, "dssm")

    def fail(*arguments: object, **options: object) -> None:
        raise MilvusException(message="connection lost")

    monkeypatch.setattr(MilvusClient, "search", fail)
    left, seen = near.model.left[[3]], np.arange(5)
    for values, expected in zip(near.best(left, seen, 10), exact.best(left, seen, 10), strict=True):
        np.testing.assert_array_equal(values, expected)
    assert "vector database: connection lost" in caplog.text


def test_an_unreachable_database_is_reported_in_one_line(world, recommender):
    with pytest.raises(Problem, match=r"^vector database http://127.0.0.1:9: [^\n]+$"):
        recommender(world, "ials", "milvus", "http://127.0.0.1:9", 1.0)


def test_a_folder_that_another_process_has_open_is_reported_in_one_line(world, tmp_path, recommender, caplog):
    (tmp_path / "models.db").mkdir()
    with (tmp_path / "models.db" / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Problem, match=r"models.db: [^\n]+; expected a folder that no other process has open; "):
            recommender(world, "ials", "milvus", str(tmp_path / "models.db"), 1.0)
    assert caplog.records == []


def test_what_a_killed_process_left_incomplete_is_made_anew(world, tmp_path, recommender, lists, monkeypatch):
    monkeypatch.setattr(milvus, "FILL_SECONDS", 0)
    url = str(tmp_path / "vectors.db")
    recommender(world, "ials", "milvus", url)
    client = MilvusClient(url)
    (collection,) = client.list_collections()
    client.delete(collection, filter="id >= 7")
    client.flush(collection)
    assert client.get_collection_stats(collection)["row_count"] == 7
    near, exact = recommender(world, "ials", "milvus", url), recommender(world, "ials")
    assert client.get_collection_stats(collection)["row_count"] == len(near.model.items)
    found = [np.intersect1d(one[0], other[0]) for one, other in zip(lists(near, 10), lists(exact, 10), strict=True)]
    assert np.mean([len(each) for each in found]) > 9
