"""What the service loads: models that fit the catalogue, or a reason why not."""

import json
import shutil
from pathlib import Path

from retrieval import matrices
from retrieval.baselines import BASELINES
from retrieval.errors import Problem
from retrieval.search.indexes import Faiss
from retrieval.serving import store
from retrieval.serving.app import create
from retrieval.serving.settings import Settings
from retrieval.stage import sha256

import pytest
from starlette.testclient import TestClient
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


def test_two_versions_of_a_model_are_served_side_by_side(copy, world):
    other = copy / "releases" / "1" / "models"
    shutil.copytree(copy / "models", other)
    model = matrices.load(other / "dssm")
    resave(other / "dssm", model, left=-model.left)
    serve = [f"dssm={copy / 'models' / 'dssm'}", f"new={other / 'dssm'}", "popular"]
    with TestClient(create(Settings(models=copy / "models", serve=serve))) as client:
        assert [model["name"] for model in client.get("/models").json()["models"]] == ["dssm", "new", "popular"]
        old, new = (client.get(f"/reco/{name}/15").json() for name in ("dssm", "new"))
        assert (old["model"], new["model"]) == ("dssm", "new")
        assert old["items"] != new["items"]
        assert client.get("/similar/new/10").json()["model"] == "new"
        assert client.get("/reco/new/16?fallback=true").json()["model"] == "popular"
        cards = client.get("/version").json()["models"]
        assert cards["new"] == sha256(other / "dssm" / "card.json") != cards["dssm"]
        counted = client.get("/metrics").text
        for name in ("dssm", "new"):
            assert (
                f'retrieval_requests_total{{method="GET",model="{name}",route="/reco/{{model}}/{{user_id}}"' in counted
            )


def test_another_version_is_searched_by_the_index_beside_it(world):
    settings = Settings(
        models=world / "models", serve=[f"new={world / 'models' / 'dssm'}", "dssm", "popular"], backend="hnsw"
    )
    assert store.load(settings).models["new"].nearest is not None


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
        ({"serve": ["dssm", "popular", "dssm=x"]}, "serve: dssm appears twice"),
        ({"serve": ["dssm", "popular", "new=x"]}, "^x: card.json is missing; "),
        ({"serve": ["ease", "popular"]}, "dssm: default and fallback must be among the models of --serve"),
    ],
)
def test_unknown_models_and_a_default_that_is_not_loaded_are_refused(world, settings, reason):
    with pytest.raises(Problem, match=reason):
        store.load(Settings(models=world / "models", **settings))


def test_a_database_that_cannot_be_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(Problem, match=r"^database: vectors: expected a URL"):
        store.load(Settings(models=tmp_path / "nothing", backend="milvus", database="vectors"))


def test_workers_do_not_share_a_folder_of_milvus_lite(tmp_path):
    """Else each worker but the first would end at its start, and be replaced, for ever."""
    settings = Settings(models=tmp_path / "nothing", backend="milvus", database=str(tmp_path / "vectors.db"), workers=2)
    with pytest.raises(Problem, match=r"^database: .*vectors.db: one process can open it, and workers is 2$"):
        store.load(settings)
