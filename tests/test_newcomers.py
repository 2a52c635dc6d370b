"""Users who are not in the data: iALS solves for them as training does, LightFM adds up their features."""

import json
from dataclasses import replace
from pathlib import Path

import train_baselines
import train_lightfm
from retrieval import histories, matrices
from retrieval.cooccurrence import FILE
from retrieval.errors import Problem
from retrieval.lightfm import FEATURES, dataset
from retrieval.newcomers import NOTHING, newcomer
from retrieval.params import load, validate

import numpy as np
import pytest
import rectools.models.lightfm as rectools_lightfm
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from worlds import ROOT, USERS, add_lightfm, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read."""
    return add_lightfm(write_world(tmp_path_factory.mktemp("newcomers") / "world"))


def train_ials(world: Path, out: Path, **options: float) -> matrices.Model:
    values = load(ROOT / "params.yaml")
    values["baselines"]["ials"] |= options
    params = validate(train_baselines.TrainBaselinesParams, values)
    train_baselines.main(params, world / "features", out / "ials")
    return matrices.load(out / "ials")


@pytest.mark.parametrize("alpha", [1.0, 20.0])
def test_ials_gives_the_history_of_a_user_in_train_their_row(world, tmp_path, alpha):
    """But for the last step of training, which solves for the items: after enough of them both are the same."""
    model = train_ials(world, tmp_path, factors=6, iterations=60, alpha=alpha, regularization=1.0)
    fold_in, h = newcomer(tmp_path / "ials", model), histories.load(world / "features").histories
    for user in range(USERS):
        row = fold_in((h.item[h.user == user], h.time[h.user == user]), [])
        np.testing.assert_allclose(row[0], model.left[user], atol=0.02 * np.abs(model.left).max())


def test_ials_solves_what_implicit_solves(world, tmp_path):
    model = train_ials(world, tmp_path, factors=6, iterations=2, alpha=3.0, regularization=1.0)
    theirs = AlternatingLeastSquares(factors=6, alpha=3.0, regularization=1.0, dtype=np.float64)
    theirs.item_factors = np.asarray(model.right, np.float64)
    watched = np.array([4, 9, 77])
    row = sp.csr_matrix((np.ones(3, np.float32), watched, [0, 3]), shape=(1, len(model.items)))
    expected = theirs.recalculate_user(np.array([0]), row)
    found = newcomer(tmp_path / "ials", model)((watched, watched), [])
    np.testing.assert_allclose(found, expected, atol=2 * matrices.grid_step(np.abs(expected).max(), 14))
    assert found.tobytes() == matrices.snap(found, 14).tobytes(), "on the grid"


def test_cooccurrence_reads_of_a_new_user_what_it_has_read_of_a_known_one(world):
    model, h = matrices.load(world / "models" / "dssm"), histories.load(world / "features").histories
    fold_in, read = newcomer(world / "models" / "dssm", model), np.load(world / "models" / "dssm" / FILE)
    for user in range(USERS):
        row = fold_in((h.item[h.user == user], h.time[h.user == user]), [])
        known = model.left[user, -read.shape[1] :].astype(np.float64)
        found = row[0, -read.shape[1] :].astype(np.float64)
        assert found.any()
        assert found / np.abs(found).max() == pytest.approx(known / np.abs(known).max(), abs=1e-4)
    assert not fold_in(NOTHING, [])[0, -read.shape[1] :].any(), "nothing to read"


def test_ials_gives_a_user_without_a_history_the_mean_user(world):
    model = matrices.load(world / "models" / "ials")
    found = newcomer(world / "models" / "ials", model)(NOTHING, [("age", "old")])
    np.testing.assert_allclose(found[0], model.left.mean(0), atol=1e-4)


@pytest.mark.parametrize("kind", FEATURES)
def test_lightfm_scores_a_new_user_as_lightfm_does(world, tmp_path, monkeypatch, kind):
    """LightFM predicts for a row of user features without the user's own."""
    trained, fit = [], rectools_lightfm.LightFMWrapperModel.fit
    monkeypatch.setattr(
        rectools_lightfm.LightFMWrapperModel, "fit", lambda self, data: trained.append(fit(self, data)) or self
    )
    values = load(ROOT / "params.yaml")
    values["lightfm"] |= {"components": 8, "epochs": 5, "features": kind}
    params = validate(train_lightfm.TrainLightFMParams, values)
    train_lightfm.main(params, world / "features", tmp_path / "lightfm")
    model, data = matrices.load(tmp_path / "lightfm"), histories.load(world / "features")
    fold_in = newcomer(tmp_path / "lightfm", model)
    pairs = [(column, value) for column, values in data.spec["user_columns"].items() for value in values]
    theirs = dataset(data, params.lightfm)
    items = trained[0]._prepare_features(theirs.item_features, len(data.item_ids))
    for places in ([], [0], [1, 2], [0, 3]):
        one = np.zeros((1, len(pairs)), np.float32)
        one[0, places] = 1
        columns = FEATURES[kind](sp.csr_matrix(one))
        user = sp.hstack([sp.csr_matrix((1, USERS)), columns], format="csr", dtype=np.float32)
        expected = trained[0].model.predict(
            np.zeros(len(data.item_ids), np.int32),
            np.arange(len(data.item_ids)),
            item_features=items,
            user_features=user,
        )
        row = fold_in(NOTHING, [pairs[place] for place in places])
        scale = np.abs(expected).max()
        np.testing.assert_allclose((row @ model.right.T)[0], expected, atol=1e-4 * scale)
        assert row.tobytes() == matrices.snap(row).tobytes(), "on the grid"
        np.testing.assert_array_equal(row, fold_in((np.array([3]), np.array([0])), [pairs[place] for place in places]))


def test_a_file_that_does_not_load_is_one_line(world, tmp_path):
    model = matrices.load(world / "models" / "lightfm")
    with pytest.raises(Problem, match=r"^.*: what folds in new users does not load: .*newcomer\.npy"):
        newcomer(tmp_path, model)
    card = json.loads(json.dumps(model.card)) | {"user_columns": {}}
    assert newcomer(world / "models" / "lightfm", replace(model, card=card))(NOTHING, []).shape == (1, 10)
    ials = matrices.load(world / "models" / "ials")
    with pytest.raises(Problem, match="what folds in new users does not load: 'params'"):
        newcomer(tmp_path, replace(ials, card={"newcomer": "least_squares"}))


def test_a_model_that_names_nothing_cannot(world):
    ials = matrices.load(world / "models" / "ials")
    assert newcomer(world / "models" / "ials", replace(ials, card={})) is None
    assert newcomer(world / "models" / "userknn", matrices.load(world / "models" / "userknn")) is None
