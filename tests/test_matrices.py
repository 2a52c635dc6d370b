"""The model folder: two matrices with their ids, whole or not at all, and checked when read."""

import json

from retrieval import matrices
from retrieval.errors import Problem
from retrieval.matrices import KINDS, grid_step, snap

import numpy as np
import pytest
import scipy.sparse as sp

USERS, ITEMS = np.array([4, 7]), np.array([10, 20, 30])
LEFT = np.array([[1.0, 2.0], [3.0, 4.0]])
RIGHT = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])


@pytest.mark.parametrize("made", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_reads_back(tmp_path, made, kind):
    matrices.save(tmp_path / "m", made(LEFT), made(RIGHT), USERS, ITEMS, kind=kind, note="hello")
    model = matrices.load(tmp_path / "m", verify=True)
    left, right = (m.toarray() if sp.issparse(m) else m for m in (model.left, model.right))
    assert (left == LEFT).all()
    assert (right == RIGHT).all()
    assert left.dtype == right.dtype == np.float32
    assert model.users.tolist() == [4, 7]
    assert model.items.tolist() == [10, 20, 30]
    assert model.card["note"] == "hello"
    assert (model.card["users"], model.card["items"], model.card["dimensions"]) == (2, 3, 2)
    assert (model.name, model.kind) == ("m", kind)


def test_text_ids_read_back(tmp_path):
    users, items = np.array([" 7", "007"], dtype=object), np.array(["", "a\nb", "Ü/ü"], dtype=object)
    matrices.save(tmp_path / "m", LEFT, RIGHT, users, items, kind="vectors")
    model = matrices.load(tmp_path / "m", verify=True)
    assert (model.users.tolist(), model.items.tolist()) == (users.tolist(), items.tolist())


def test_dense_matrices_are_memory_mapped(tmp_path):
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors")
    assert isinstance(matrices.load(tmp_path / "m").left, np.memmap)


def test_equal_models_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        matrices.save(tmp_path / name / "m", sp.csr_matrix(LEFT), RIGHT, USERS, ITEMS, kind="vectors")
    for file in (tmp_path / "a" / "m").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / "m" / file.name).read_bytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_and_the_old_model_stays(tmp_path, bad):
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors")
    broken = LEFT.copy()
    broken[0, 0] = bad
    with pytest.raises(Problem, match="model m: left holds numbers that are not finite"):
        matrices.save(tmp_path / "m", broken, RIGHT, USERS, ITEMS, kind="vectors")
    assert (matrices.load(tmp_path / "m", verify=True).left == LEFT).all()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(Problem, match=r"left \(2, 2\) and right \(3, 1\) do not fit 2 users and 3 items"):
        matrices.save(tmp_path / "m", LEFT, RIGHT[:, :1], USERS, ITEMS, kind="vectors")
    with pytest.raises(Problem, match="do not fit 2 users and 2 items"):
        matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS[:2], kind="vectors")


def test_a_changed_file_is_found(tmp_path):
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors")
    np.save(tmp_path / "m" / "left.npy", (LEFT + 1).astype(np.float32))
    matrices.load(tmp_path / "m")
    with pytest.raises(Problem, match=r"left\.npy: not the file that card\.json was written for"):
        matrices.load(tmp_path / "m", verify=True)


@pytest.mark.parametrize("name", ["card.json", "left.npy", "user_ids.parquet"])
def test_a_missing_file_is_named(tmp_path, name):
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors")
    (tmp_path / "m" / name).unlink()
    with pytest.raises(Problem, match=f"not a model folder: {name} is missing"):
        matrices.load(tmp_path / "m")


def test_garbage_is_no_model(tmp_path):
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors")
    (tmp_path / "m" / "left.npy").write_bytes(b"not an array")
    with pytest.raises(Problem, match="not a model folder"):
        matrices.load(tmp_path / "m")
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors")
    (tmp_path / "m" / "card.json").write_text(json.dumps({"name": "m"}))
    with pytest.raises(Problem, match=r"m: card\.json has no 'kind'; train the model again"):
        matrices.load(tmp_path / "m")


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(Problem, match=r"model m: kind 'vector' is unknown; expected one of .* did you mean 'vectors'"):
        matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vector")


def test_the_grid_by_hand():
    """The power of two above 3 is 4. With 3 bits the step is 4 / 8 = 0.5: 0.7 is nearest to 0.5, 0.25 halfway to 0."""
    assert grid_step(3.0, 3) == 0.5
    assert grid_step(4.0, 3) == 1.0
    assert snap(np.array([3.0, 0.7, -0.8, 0.25, 0.0]), 3).tolist() == [3.0, 0.5, -1.0, 0.0, 0.0]
    assert snap(np.zeros((2, 0))).shape == (2, 0)
    assert snap(np.array([3.0, 0.7])).dtype == np.float32


def test_what_differs_in_its_last_bits_is_equal_on_the_grid():
    values = np.random.default_rng(0).normal(size=100_000)
    noise = 1 + 1e-11 * np.random.default_rng(1).normal(size=values.shape)
    assert not np.array_equal(values.astype(np.float32), (values * noise).astype(np.float32))
    assert np.array_equal(snap(values, 12), snap(values * noise, 12))


def test_float32_holds_the_grid_exactly_and_memory_is_reused_on_request():
    values = np.random.default_rng(0).normal(size=1000)
    steps = snap(values).astype(np.float64) / grid_step(np.abs(values).max())
    assert (steps == np.rint(steps)).all()
    assert np.abs(steps).max() < 2**20
    before = values.copy()
    assert np.array_equal(snap(values), snap(values, overwrite=True))
    assert not np.array_equal(values, before)
