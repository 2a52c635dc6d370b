"""New items: a row of right from what is said of them, by ridge regression on the items of train."""

from pathlib import Path

from retrieval import histories, matrices
from retrieval.baselines import BASELINES, Baselines
from retrieval.errors import Problem
from retrieval.newitems import FILE, FOLDS, PENALTY, estimate, learn, new_items, save, score_new, trust
from retrieval.params import load, validate
from retrieval.vocabulary import extend

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from worlds import GROUPS, ITEMS, ROOT, USERS, add_lightfm, trained, write_world

ONE_OF_EACH_GROUP = sp.csr_matrix(np.eye(GROUPS, dtype=np.float32))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read. An item's feature is its group."""
    return add_lightfm(write_world(tmp_path_factory.mktemp("newitems") / "world"))


def test_ridge_regression_by_hand():
    """Items of equal counts. Two have feature 0 and values 3 and 5, two have none and 0: the mean is 2, what is above
    it 1, 3, -2, -2, so that feature 0 gets (1 + 3) / (2 + PENALTY). The grid of 12 bits has steps of 2^-10 up to 4."""
    features = sp.csr_matrix(np.array([[1, 0], [1, 0], [0, 0], [0, 0]], np.float32))
    found = estimate(features, np.array([[3.0], [5.0], [0.0], [0.0]]), np.full(4, 7))
    np.testing.assert_allclose(found, [[2], [4 / (2 + PENALTY)], [0]], atol=2**-10)


def test_it_is_the_closed_form():
    """(X'WX + penalty I)^-1 X'W(Y - mean), W = log(1 + counts) over its mean."""
    rng = np.random.default_rng(0)
    features, values = (rng.random((50, 12)) < 0.3).astype(np.float64), rng.normal(size=(50, 4))
    counts = rng.integers(1, 100, 50)
    weights = np.diag(np.log(1 + counts) / np.log(1 + counts).mean())
    mean = (weights @ values).mean(0)
    exact = np.linalg.solve(
        features.T @ weights @ features + PENALTY * np.eye(12), features.T @ weights @ (values - mean)
    )
    found = estimate(sp.csr_matrix(features), values, counts)
    np.testing.assert_allclose(found, np.vstack([mean, exact]), atol=matrices.grid_step(np.abs(found).max(), 12))


def halves(ages: sp.csr_matrix | None = None) -> tuple[histories.Features, np.ndarray, np.ndarray]:
    """1,000 items, each watched once, half of them of kind a and half of kind b: what is known of them, 1 for a and -1
    for b, and noise: 1 or -1, of which kind and fold tell nothing."""
    item = np.arange(1000)
    watched = histories.Histories(
        np.array([0, 1000]), item.astype(np.int32), np.zeros(1000, np.int64), np.ones(1000, np.float32)
    )
    kind, noise = 1.0 - 2 * (item // FOLDS % 2), 1.0 - 2 * (item // (2 * FOLDS) % 2)
    features = sp.csr_matrix(np.stack([kind > 0, kind < 0], axis=1).astype(np.float32))
    no_users = sp.csr_matrix((1, 0), dtype=np.float32)
    return histories.Features(watched, no_users, features, item[:1], item, {}, ages=ages), kind, noise


def test_trust_by_hand():
    """A fold is estimated from 400 items of each kind: 400 / (400 + PENALTY) above or below the mean, which is 0.
    Nearly all of the kind is explained, and nothing of noise. Of the kind and twice the noise, 1 is, and 4 is left."""
    data, kind, noise = halves()
    missed = (PENALTY / (400 + PENALTY)) ** 2
    expected = [1, 0, (1 - missed) / (4 + missed)]
    found = trust(data, np.stack([kind, noise, kind + 2 * noise], axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(("young", "expected"), [(200, 0), (199, 1)])
def test_trust_is_that_of_the_youngest_fifth(young, expected):
    """The kind tells nothing of the last items, which are the youngest; 199 of 1,000 are too few to tell."""
    last = np.arange(1000) >= 1000 - young
    data, kind, noise = halves(sp.csr_matrix(last[:, None].astype(np.float32)))
    assert trust(data, np.where(last, noise, kind)[:, None]).tolist() == [expected]


def test_taste_counts_as_far_as_features_tell_it_and_a_bias_always_does():
    data, kind, noise = halves()
    right = np.stack([kind, kind + 2 * noise, kind + 2 * noise], axis=1)
    left = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])  # the last column is the bias
    found, plain = learn(data, left, right), estimate(data.described, right, data.counts)
    np.testing.assert_allclose(found, plain * np.array([1, 0.25, 1]), atol=1e-3)
    assert found[1, 2] == plain[1, 2]
    assert (learn(data, left[:, :2], right[:, :2]) == plain[:, :2]).all(), "without a bias nothing else ranks them"


@pytest.mark.parametrize("name", ["dssm", "lightfm", "ials"])
def test_users_like_the_new_item_of_their_group(world, name):
    """User u watches items of group u % 3."""
    data = histories.load(world / "features")
    if name == "lightfm":
        model = matrices.load(world / "models" / name)
        left, right = model.left, model.right
    elif name == "ials":
        values = load(ROOT / "params.yaml")["baselines"]
        values["ials"] |= {"factors": 8, "regularization": 1.0}
        left, right = BASELINES[name].train(data, validate(Baselines, values).resolve(data), 0)
    else:
        left, right = trained(data, epochs=60)[0].matrices(data.histories)
    found = learn(data, left, right)
    rows = found[0] + found[1:]
    scores = (left - left.mean(0)) @ rows.T  # what differs between users, so that popularity does not count
    best = (scores - scores.mean(0)).argmax(axis=1)
    assert (best == np.arange(USERS) % GROUPS).mean() > 0.9


def test_the_rows_do_not_depend_on_what_else_is_asked_for(world):
    for name in ("dssm", "lightfm", "ials"):
        model = matrices.load(world / "models" / name)
        together = new_items(world / "models" / name, model, ONE_OF_EACH_GROUP)
        for i in range(GROUPS):
            assert (new_items(world / "models" / name, model, ONE_OF_EACH_GROUP[[i]]) == together[i]).all()
        step = matrices.grid_step(float(np.abs(model.right).max()))
        assert (together / step == np.rint(together / step)).all(), "on the grid of right"


def test_models_without_vectors_cannot(world):
    for name in (name for name, baseline in BASELINES.items() if baseline.kind != "vectors"):
        path = world / "models" / name
        assert new_items(path, matrices.load(path), ONE_OF_EACH_GROUP) is None


def test_without_features_no_model_can(tmp_path):
    data = histories.load(write_world(tmp_path / "world") / "features")
    bare = histories.Features(
        data.histories, data.users, sp.csr_matrix((ITEMS, 0), dtype=np.float32), data.user_ids, data.item_ids, data.spec
    )
    save(tmp_path, bare, np.ones((USERS, 2)), np.ones((ITEMS, 2)))
    assert not (tmp_path / FILE).exists()


def test_features_of_another_vocabulary_are_refused(world):
    path = world / "models" / "dssm"
    with pytest.raises(Problem, match=r"new_items\.npy does not fit the features of the items: 9 columns") as error:
        new_items(path, matrices.load(path), sp.csr_matrix((1, 9), dtype=np.float32))
    assert "\n" not in str(error.value)


def test_a_model_gets_a_row_for_each_new_item(world):
    catalogue = extend(histories.load(world / "features"), pa.table({"item_id": [9002, 9001], "group": ["b", "x"]}))
    model = matrices.load(world / "models" / "dssm")
    scored = score_new(world / "models" / "dssm", model, catalogue)
    assert (scored.right[:ITEMS] == model.right).all()
    expected = new_items(world / "models" / "dssm", model, sp.csr_matrix(np.array([[0, 0, 0], [0, 1, 0]], np.float32)))
    assert (scored.right[ITEMS:] == expected).all()
    assert scored.items.tolist() == [*model.items.tolist(), 9001, 9002]
    popular = matrices.load(world / "models" / "popular")
    assert score_new(world / "models" / "popular", popular, catalogue) is popular
