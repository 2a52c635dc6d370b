"""New items: a row of right from features alone, as training would make it of them."""

import json
from dataclasses import replace
from pathlib import Path

import train_dssm
import train_lightfm
from retrieval import histories, matrices
from retrieval.dssm.model import TERMS
from retrieval.dssm.terms import PENALTY, estimate
from retrieval.errors import Problem
from retrieval.newitems import extend, new_items, score_new
from retrieval.params import load, validate

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from worlds import GROUPS, ITEMS, ROOT, USERS, add_lightfm, write_world

SPEC = {"item_columns": {"group": ["a", "b", "c"]}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read."""
    return add_lightfm(write_world(tmp_path_factory.mktemp("newitems") / "world", **SPEC))


def train(world: Path, out: Path, **changes) -> matrices.Model:
    values = load(ROOT / "params.yaml")
    values["train"] |= {"epochs": 1}
    values["towers"] |= {"width": 8}
    values |= changes
    train_dssm.main(validate(train_dssm.TrainDSSMParams, values), world / "features", out)
    return matrices.load(out)


GROUP_OF_ONE = sp.csr_matrix(np.eye(GROUPS, dtype=np.float32))


@pytest.mark.parametrize("changes", [
    {}, {"architecture": "transformer"}, {"score": "cosine"}, {"score": "euclid"}, {"normalize": True},
])  # fmt: skip
def test_a_model_of_features_gives_an_item_of_train_its_own_vector(world, tmp_path, changes):
    """item=features: the vector is that of train, bias and prior are estimates."""
    model = train(world, tmp_path / "dssm", item="features", **changes)
    data = histories.load(world / "features")
    rows = new_items(tmp_path / "dssm", model)(data.items)
    terms = np.load(tmp_path / "dssm" / TERMS)
    taste = model.right.shape[1] - terms.shape[1]
    np.testing.assert_array_equal(rows[:, :taste], model.right[:, :taste])


def test_bias_and_prior_are_estimated(world, tmp_path):
    model = train(world, tmp_path / "dssm", **{"towers": load(ROOT / "params.yaml")["towers"] | {"bias": True}})
    data = histories.load(world / "features")
    rows = new_items(tmp_path / "dssm", model)(GROUP_OF_ONE)
    for group in range(GROUPS):
        of_group = model.right[np.arange(ITEMS) % GROUPS == group, -1].astype(np.float64)
        assert abs(rows[group, -1] - of_group.mean()) < abs(of_group - of_group.mean()).max()
    assert len(np.load(tmp_path / "dssm" / TERMS)) == 1 + data.items.shape[1]


def test_ridge_regression_by_hand():
    """Two items with feature 0 and values 3 and 5, two without any and 0: the mean is 2, what is above it 1, 3, -2, -2.
    Feature 0 gets (1 + 3) / (2 + PENALTY)."""
    features = sp.csr_matrix(np.array([[1, 0], [1, 0], [0, 0], [0, 0]], np.float32))
    found = estimate(features, np.array([[3.0], [5.0], [0.0], [0.0]]))
    np.testing.assert_allclose(found, [[2], [4 / (2 + PENALTY)], [0]], atol=1e-9)
    assert estimate(features, np.zeros((4, 0))).shape == (3, 0)


def test_the_rows_do_not_depend_on_what_else_is_asked_for(world):
    for name in ("dssm", "lightfm"):
        model = matrices.load(world / "models" / name)
        rows_of = new_items(world / "models" / name, model)
        together = rows_of(GROUP_OF_ONE)
        assert all((rows_of(GROUP_OF_ONE[[i]]) == together[i]).all() for i in range(GROUPS))
        step = matrices.grid_step(float(np.abs(model.right).max()))
        assert (together / step == np.rint(together / step)).all(), "on the grid of right"


@pytest.mark.parametrize("features", ["ones", "ones_and_zeros"])
def test_lightfm_sums_the_vectors_of_the_features(world, tmp_path, features):
    """An item's row less that of a new item with its features is what the item's own embedding says: all items of a
    group differ from it by that alone, so that the rows of two groups differ as the features do."""
    values = load(ROOT / "params.yaml")
    values["lightfm"] |= {"components": 8, "epochs": 2, "features": features}
    train_lightfm.main(validate(train_lightfm.TrainLightFMParams, values), world / "features", tmp_path / "lightfm")
    model = matrices.load(tmp_path / "lightfm")
    rows = new_items(tmp_path / "lightfm", model)(GROUP_OF_ONE)
    assert rows.shape == (GROUPS, 10)
    assert (rows[:, 0] == 1).all(), "left's bias of the user"
    data = histories.load(world / "features")
    best = (model.left @ rows.T).argmax(axis=1)
    assert (best == np.arange(USERS) % GROUPS).mean() > 0.5, "users like the new item of their group"
    assert len(data.user_ids) == USERS


def test_models_that_know_no_features_cannot(world, tmp_path):
    for name in ("popular", "itemknn", "ials", "ease"):
        assert new_items(world / "models" / name, matrices.load(world / "models" / name)) is None
    assert new_items(tmp_path / "dssm", train(world, tmp_path / "dssm", item="id")) is None


def test_a_folder_that_lacks_a_file_is_refused(world, tmp_path):
    model = train(world, tmp_path / "dssm")
    (tmp_path / "dssm" / TERMS).unlink()
    with pytest.raises(Problem, match="what scores new items does not load"):
        new_items(tmp_path / "dssm", model)


def test_new_items_come_after_those_of_train(world):
    data = histories.load(world / "features")
    disliked = sp.csr_matrix((np.ones(1, np.float32), ([0], [1])), shape=(USERS, ITEMS))
    table = pa.table({"item_id": [9002, 9001], "group": ["b", "x"]})
    catalogue = extend(replace(data, disliked=disliked), table)
    assert catalogue.item_ids.tolist() == [*data.item_ids.tolist(), 9001, 9002]
    assert (catalogue.items[:ITEMS] != data.items).nnz == 0
    assert catalogue.items[ITEMS:].toarray().tolist() == [[0, 0, 0], [0, 1, 0]]
    assert catalogue.seen.shape == catalogue.excluded.shape == (USERS, ITEMS + 2)
    assert catalogue.counts[ITEMS:].tolist() == [0, 0]
    model = matrices.load(world / "models" / "dssm")
    scored = score_new(world / "models" / "dssm", model, catalogue)
    assert (scored.right[:ITEMS] == model.right).all()
    assert scored.right.shape[0] == ITEMS + 2
    popular = matrices.load(world / "models" / "popular")
    assert score_new(world / "models" / "popular", popular, catalogue) is popular


def test_the_card_says_who_can(world):
    cards = {
        name: json.loads((world / "models" / name / "card.json").read_text()).get("new_items")
        for name in ("dssm", "lightfm", "popular", "ials")
    }
    assert cards == {"dssm": "towers", "lightfm": "feature_sum", "popular": None, "ials": None}
