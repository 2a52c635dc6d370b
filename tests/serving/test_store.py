"""What the service loads: models that fit the catalogue, or a reason why not."""

import json
import shutil
from pathlib import Path

from retrieval import matrices
from retrieval.baselines import BASELINES
from retrieval.errors import Problem
from retrieval.search.indexes import Faiss
from retrieval.serving import store
from retrieval.serving.settings import Settings

import pytest
from worlds import MODELS, resave


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.unlink()
    path.write_bytes(data)


def swap(one: Path, other: Path) -> None:
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)


def edit(card: Path) -> None:
    card.write_text(json.dumps(json.loads(card.read_text()) | {"files": {}}))


def test_all_models_are_loaded_unless_some_are_named(world):
    assert list(store.load(Settings(models=world / "models")).models) == MODELS
    some = store.load(Settings(models=world / "models", serve=["dssm", "popular"]))
    assert list(some.models) == ["dssm", "popular"]


def test_the_backend_searches_the_models_that_have_an_index(world):
    near = store.load(Settings(models=world / "models", backend="hnsw")).models
    vectors = {name for name, baseline in BASELINES.items() if baseline.kind == "vectors"}
    assert {name for name, each in near.items() if each.nearest is not None} == {"dssm", *vectors}
    assert isinstance(near["dssm"].nearest[1], Faiss)
    exact = store.load(Settings(models=world / "models")).models
    assert all(each.nearest is None for each in exact.values())


def test_the_version_changes_with_a_model(copy):
    before = store.load(Settings(models=copy / "models")).version
    assert store.load(Settings(models=copy / "models")).version == before
    path = copy / "models" / "ials"
    model = matrices.load(path)
    resave(path, model, right=model.right * 2)
    assert store.load(Settings(models=copy / "models")).version != before


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda models: flip_a_bit(models / "dssm" / "right.npy"), "dssm/right.npy"),
        (lambda models: flip_a_bit(models / "catalogue" / "time.npy"), "time.npy: does not match its hash"),
        (lambda models: (models / "dssm" / "left.npy").unlink(), "left.npy"),
        (lambda models: shutil.rmtree(models / "dssm"), "dssm: no such model"),
        (lambda models: shutil.rmtree(models / "catalogue"), "catalogue.json is missing"),
        (lambda models: (models / "ials" / "card.json").write_text("{"), "ials/card.json: does not read: "),
        (lambda models: swap(models / "dssm", models / "ials"), "dssm: card.json is of the model 'ials'"),
        (lambda models: edit(models / "dssm" / "card.json"), "dssm/card.json: does not match its own hash"),
    ],
)
def test_broken_folders_are_refused(copy, damage, reason):
    damage(copy / "models")
    with pytest.raises(Problem, match=reason):
        store.load(Settings(models=copy / "models"))


@pytest.mark.parametrize("side", ["users", "items"])
def test_models_of_other_items_or_users_are_refused(copy, side):
    path = copy / "models" / "ials"
    model = matrices.load(path)
    resave(path, model, **{side: getattr(model, side)[::-1]})
    with pytest.raises(Problem, match=f"ials: its {side} are not those of the catalogue; run dvc repro"):
        store.load(Settings(models=copy / "models"))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"default": "dsm"}, "dsm: no such model; .* did you mean 'dssm'"),
        ({"serve": ["dssm", "populr"]}, "populr: no such model; .* did you mean 'popular'"),
        ({"serve": ["ease", "popular"]}, "dssm: default and fallback must be among the models of --serve"),
    ],
)
def test_unknown_models_and_a_default_that_is_not_loaded_are_refused(world, settings, reason):
    with pytest.raises(Problem, match=reason):
        store.load(Settings(models=world / "models", **settings))
