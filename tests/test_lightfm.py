"""LightFM: the two matrices against RecTools, the data set against the notebook's way of building it."""

import hashlib
from dataclasses import replace

import train_lightfm
from retrieval import histories, lightfm, matrices
from retrieval.errors import Problem
from retrieval.histories import Features, Histories
from retrieval.lightfm import FEATURES, LOSSES, LightFM, dataset, suspicions, train
from retrieval.params import read

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from dvc.utils.serialize import dumps_yaml
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import LightFMWrapperModel, model_from_config
from worlds import section

NOTEBOOK = {
    "components": 4,
    "loss": "warp",
    "epochs": 1,
    "learning_rate": 0.05,
    "item_alpha": 0.0,
    "user_alpha": 0.0,
    "max_sampled": 10,
    "features": "ones_and_zeros",
    "weighted": True,
}


def params(**changes: object) -> LightFM:
    return LightFM(**section("lightfm", **NOTEBOOK | changes))


def test_small_data_are_learned_in_20_epochs_or_2_by_days(world: Features) -> None:
    by_days = replace(world, spec={**world.spec, "split": "days"})
    assert params(epochs="auto").resolve(world).epochs == 20
    assert params(epochs="auto").resolve(by_days).epochs == 2
    assert params(epochs=3).resolve(by_days).epochs == 3


@pytest.fixture(scope="module")
def world() -> Features:
    """60 users in two groups that say which they are, 24 items of two genres; a group watches its genre."""
    rng = np.random.default_rng(5)
    group, genre = np.arange(60) % 3 // 2, np.arange(24) % 2
    item = [
        rng.permutation(np.r_[rng.choice(np.flatnonzero(genre == g), 4, False), n % 24]) for n, g in enumerate(group)
    ]
    item = [pd.unique(row) for row in item]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in item])])
    n = int(indptr[-1])
    return Features(
        Histories(
            indptr, np.concatenate(item).astype(np.int32), np.arange(n), rng.integers(0, 21, n).astype(np.float32)
        ),
        sp.csr_matrix(np.eye(2, dtype=np.float32)[group]),
        sp.csr_matrix(np.column_stack([genre == 0, genre == 1, np.arange(24) < 5]).astype(np.float32)),
        np.arange(60) * 3 + 100,
        np.arange(24) * 2 + 500,
        {
            "moment": n + 1,
            "data": "planted",
            "user_columns": {"sex": ["f", "m"]},
            "split": "leave-last",
            "repeats": "drop",
            "timed": True,
        },
    )


def flat(matrix: sp.csr_matrix, ids: np.ndarray) -> pd.DataFrame:
    """The notebook's frame of features: a row for every id and column, the value 0 or 1."""
    frames = [
        pd.DataFrame({"id": ids, "value": column, "feature": f"c{c}"}) for c, column in enumerate(matrix.T.toarray())
    ]
    return pd.concat(frames)


def notebook_dataset(features: Features) -> Dataset:
    h = features.histories
    rows = {
        Columns.User: features.user_ids[h.user],
        Columns.Item: features.item_ids[h.item],
        Columns.Weight: h.weight,
        Columns.Datetime: pd.to_datetime(h.time, unit="s"),
    }
    return Dataset.construct(
        pd.DataFrame(rows),
        user_features_df=flat(features.users, features.user_ids),
        cat_user_features=["c0", "c1"],
        item_features_df=flat(features.items, features.item_ids),
        cat_item_features=["c0", "c1", "c2"],
    )


def columns(matrix: sp.csr_matrix, rows: np.ndarray) -> list[tuple[float, ...]]:
    return sorted(map(tuple, matrix.toarray()[rows].T.tolist()))


def test_ones_and_zeros_is_the_notebooks_dataset(world: Features):
    ours, theirs = dataset(world, params()), notebook_dataset(world)
    user = theirs.user_id_map.convert_to_internal(world.user_ids)
    item = theirs.item_id_map.convert_to_internal(world.item_ids)
    expected = theirs.get_user_item_matrix()[user][:, item]
    np.testing.assert_array_equal(ours.get_user_item_matrix().toarray(), expected.toarray())
    # The order of the columns is another one; a column is known by its numbers.
    assert columns(ours.user_features.values, np.arange(60)) == columns(theirs.user_features.values, user)
    assert columns(ours.item_features.values, np.arange(24)) == columns(theirs.item_features.values, item)
    assert ours.item_features.values.shape == (24, 6)


def test_choices_of_features(world: Features):
    np.testing.assert_array_equal(FEATURES["none"](world.items).toarray(), np.empty((24, 0)))
    np.testing.assert_array_equal(FEATURES["ones"](world.items).toarray(), world.items.toarray())
    both = FEATURES["ones_and_zeros"](world.items).toarray()
    # Item 1 has genre 1 and is among the first five: ones 0 1 1, zeros 1 0 0.
    assert both[1].tolist() == [0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("features", FEATURES)
def test_the_two_matrices_recommend_as_rectools(
    world: Features, loss: str, features: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lightfm, "snap", lambda values: values)  # the grid is a rounding more
    steps = {"loss": loss, "learning_rate": 0.1, "item_alpha": 0.02, "user_alpha": 0.03, "max_sampled": 2}
    settings = params(features=features, epochs=3, **steps)
    left, right, _ = train(world, settings, seed=3)
    config = {
        "cls": "LightFMWrapperModel",
        "epochs": 3,
        "model": {"no_components": 4, "random_state": 3, **steps},
    }
    data = dataset(world, settings)
    model = model_from_config(config)
    assert isinstance(model, LightFMWrapperModel)
    recos = model.fit(data).recommend(world.user_ids, data, k=10, filter_viewed=True)
    ours = np.where(world.seen.toarray() > 0, -np.inf, left @ right.T)
    user = np.searchsorted(world.user_ids, recos[Columns.User])
    item = np.searchsorted(world.item_ids, recos[Columns.Item])
    np.testing.assert_allclose(ours[user, item], recos[Columns.Score], rtol=1e-4, atol=1e-5)
    best = -np.sort(-ours, axis=1)[user, recos[Columns.Rank] - 1]
    np.testing.assert_allclose(best, recos[Columns.Score], rtol=1e-4, atol=1e-5)


def test_lightfm_is_compiled_to_be_the_same_on_every_machine(world: Features):
    """With its own default, -ffast-math -march=native, the numbers depend on the processor that compiled it."""
    digest = hashlib.sha256(
        b"".join(part.tobytes() for part in train(world, params(loss="bpr", epochs=5), 1)[:2])
    ).hexdigest()
    assert digest[:16] == "5e27443a2aea9cd7", "install it by make, which sets LIGHTFM_NO_CFLAGS=1"


def test_equal_seed_equal_bytes(world: Features):
    first, again, other = (train(world, params(), seed) for seed in (1, 1, 2))
    assert [part.tobytes() for part in first] == [part.tobytes() for part in again]
    assert first[0].tobytes() != other[0].tobytes()
    assert first[0].dtype == first[1].dtype == np.float32


def test_text_ids_change_nothing(world: Features):
    users, items = (np.array([f"{id}/é" for id in ids], dtype=object) for ids in (world.user_ids, world.item_ids))
    data = dataset(replace(world, user_ids=users, item_ids=items), params())
    assert data.user_id_map.external_ids.tolist() == users.tolist()
    assert data.item_id_map.external_ids.tolist() == items.tolist()
    one, other = (train(each, params(), 1) for each in (world, replace(world, user_ids=users, item_ids=items)))
    assert [part.tobytes() for part in one] == [part.tobytes() for part in other]


def test_weights_count_only_if_asked_for(world: Features):
    def bytes_of(features: Features, weighted: bool) -> bytes:
        return train(features, params(weighted=weighted), 1)[0].tobytes()

    h = world.histories
    alike = replace(world, histories=replace(h, weight=np.ones_like(h.weight)))
    assert bytes_of(world, weighted=False) == bytes_of(alike, weighted=True)
    assert bytes_of(world, weighted=True) != bytes_of(alike, weighted=True)


def test_taste_is_found(world: Features):
    left, right, _ = train(world, params(epochs=30, features="ones", weighted=False), 1)
    unseen = np.where(world.seen.toarray() > 0, -np.inf, left @ right.T)
    assert (unseen.argmax(axis=1) % 2 == np.arange(60) % 3 // 2).mean() > 0.9


@pytest.mark.parametrize("features", FEATURES)
def test_users_and_items_without_columns(world: Features, features: str):
    bare = replace(world, users=world.users[:, :0], items=world.items[:, :0])
    assert (
        train(bare, params(features=features), 1)[0].tobytes() == train(bare, params(features="none"), 1)[0].tobytes()
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_is_one_line(world: Features):
    with pytest.raises(Problem, match=r"^the training diverged; lower lightfm.learning_rate=1e\+38: Not all"):
        train(world, params(learning_rate=1e38, epochs=5), 1)


@pytest.mark.parametrize("loss", ["warp", "bpr"])
def test_huge_but_finite_vectors_are_refused_and_large_ones_said(world: Features, loss: str):
    def judge(rate: float) -> list[str]:
        settings = params(loss=loss, learning_rate=rate, epochs=20, features="ones", weighted=False)
        left, right, _ = train(world, settings, 1)
        assert np.isfinite(left).all()
        return suspicions(world, settings, left, right, 1)

    assert judge(0.05) == []
    with pytest.raises(Problem, match=r"diverged: the loss of .*; lower lightfm.learning_rate=10.0"):
        judge(10.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "wrap"}, "lightfm.loss: 'wrap' is not valid: expected one of warp, .*; did you mean 'warp'"),
        ({"features": "zeros"}, "expected one of none, ones, ones_and_zeros"),
        ({"learning_rate": "1e-3"}, "lightfm.learning_rate: '1e-3' is text, expected a number"),
        (
            {"max_sampled": 2**31 - 1},
            "lightfm.max_sampled: 2147483647 is not valid: expected less than or equal to 10000",
        ),
        ({"components": 0}, "lightfm.components: 0 is not valid"),
        ({"factors": 4}, "lightfm.factors: unknown key"),
    ],
)
def test_bad_parameters_are_named(tmp_path, change: dict[str, object], message: str):
    path = tmp_path / "params.yaml"
    path.write_text(dumps_yaml({"seed": 1, "lightfm": NOTEBOOK | change}))
    with pytest.raises(Problem, match=message):
        read(train_lightfm.TrainLightFMParams, path)


def test_stage_writes_the_model(world: Features, tmp_path):
    (tmp_path / "features").mkdir()
    histories.save(tmp_path / "features", world)
    train_lightfm.main(
        train_lightfm.TrainLightFMParams(seed=1, lightfm=params()), tmp_path / "features", tmp_path / "lightfm"
    )
    model = matrices.load(tmp_path / "lightfm")
    left, right, _ = train(world, params(), 1)
    assert model.left.tobytes() == left.tobytes()
    assert model.right.tobytes() == right.tobytes()
    assert model.items.tolist() == world.item_ids.tolist()
    assert model.card["params"]["lightfm"] == NOTEBOOK
