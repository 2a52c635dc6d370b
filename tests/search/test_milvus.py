"""The vector database, embedded: the same answers as exact search, kept in a file, a collection a model."""

from pathlib import Path

from retrieval import matrices
from retrieval.errors import Problem
from retrieval.serving import store
from retrieval.serving.settings import Settings

import numpy as np
import pytest
from folders import USERS, build, reindex, resave
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def settings(world: Path) -> Settings:
    names = ["dssm", "ials", "popular"]
    return Settings(models=world / "models", serve=names, backend="milvus", database=str(world / "vectors.db"))


def test_answers_from_the_database_are_those_of_exact_search_and_a_new_model_has_its_own(world, settings):
    exact = store.load(settings.model_copy(update={"backend": "exact"}))
    near = store.load(settings)
    assert near.models["popular"].nearest is None
    for name in ("dssm", "ials"):
        shared = []
        for user in range(USERS):
            left, seen = near.models[name].model.left[[user]], near.catalogue.history(user)[0]
            items, scores = near.models[name].best(left, seen, 10)
            expected = exact.models[name].best(left, seen, 10)
            assert not np.isin(items, seen).any()
            shared.append(len(np.intersect1d(items, expected[0])) / 10)
            if shared[-1] == 1:
                np.testing.assert_allclose(scores, expected[1], rtol=1e-4, atol=1e-5)
        assert np.mean(shared) > 0.95

    client = MilvusClient(settings.database)
    kept = set(client.list_collections())
    assert {name.rsplit("_", 1)[0] for name in kept} == {"dssm", "ials"}
    store.load(settings)
    assert set(client.list_collections()) == kept

    model = matrices.load(world / "models" / "ials")
    resave(world / "models" / "ials", model, right=model.right[::-1])
    reindex(world)
    new = store.load(settings)
    assert len(set(client.list_collections()) - kept) == 1
    left = model.left[[0]]
    nothing = np.zeros(0, np.int64)
    turned = len(model.items) - 1 - near.models["ials"].best(left, nothing, 10)[0]
    assert len(np.intersect1d(new.models["ials"].best(left, nothing, 10)[0], turned)) >= 9


def test_exact_search_answers_while_the_database_is_away(settings, monkeypatch):
    exact = store.load(settings.model_copy(update={"backend": "exact"})).models["dssm"]
    near = store.load(settings).models["dssm"]

    def away(*given: object, **named: object) -> None:
        raise MilvusException(message="connection lost")

    monkeypatch.setattr(MilvusClient, "search", away)
    left, seen = near.model.left[[3]], np.arange(5)
    for got, expected in zip(near.best(left, seen, 10), exact.best(left, seen, 10), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_database_that_is_not_there_is_one_line(settings):
    away = settings.model_copy(update={"database": "http://127.0.0.1:9", "timeout": 1.0})
    with pytest.raises(Problem, match="the vector database"):
        store.load(away)
