"""The model folder: two matrices with their ids, whole or not at all, and checked when read."""

import json

from retrieval import matrices
from retrieval.errors import Problem
from retrieval.matrices import KINDS, grid_step, snap
from retrieval.stage import folder

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
    model = matrices.load(tmp_path / "m")
    left, right = (m.toarray() if sp.issparse(m) else m for m in (model.left, model.right))
    assert (left == LEFT).all()
    assert (right == RIGHT).all()
    assert left.dtype == right.dtype == np.float32
    assert model.users.tolist() == [4, 7]
    assert model.items.tolist() == [10, 20, 30]
    assert model.card["note"] == "hello"
    assert (model.card["users"], model.card["items"], model.card["dimensions"]) == (2, 3, 2)
    assert (model.name, model.kind) == ("m", kind)


def test_what_own_items_score_more_reads_back_and_fits(tmp_path):
    own = sp.csr_matrix(np.array([[0, 0.5, 0], [0, 0, 2]], dtype=np.float32))
    with folder(tmp_path / "m") as aside:
        matrices.write_into(aside, matrices.Model("m", "vectors", LEFT, RIGHT, USERS, ITEMS, {}, own))
    assert matrices.load(tmp_path / "m").own.toarray().tolist() == own.toarray().tolist()
    for wrong, reason in (
        (own[:1], r"own \(1, 3\) does not fit 2 users and 3 items"),
        (own * np.inf, "own holds numbers"),
    ):
        with pytest.raises(Problem, match=reason):
            matrices.write_into(tmp_path, matrices.Model("m", "vectors", LEFT, RIGHT, USERS, ITEMS, {}, wrong))
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors")
    assert matrices.load(tmp_path / "m").own is None


def test_text_ids_read_back(tmp_path):
    users, items = np.array([" 7", "007"], dtype=object), np.array(["", "a\nb", "Ü/ü"], dtype=object)
    matrices.save(tmp_path / "m", LEFT, RIGHT, users, items, kind="vectors")
    model = matrices.load(tmp_path / "m")
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
    assert (matrices.load(tmp_path / "m").left == LEFT).all()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(Problem, match=r"left \(2, 2\) and right \(3, 1\) do not fit 2 users and 3 items"):
        matrices.save(tmp_path / "m", LEFT, RIGHT[:, :1], USERS, ITEMS, kind="vectors")
    with pytest.raises(Problem, match="do not fit 2 users and 2 items"):
        matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS[:2], kind="vectors")


def edit(card, **changes):
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: np.save(m / "left.npy", (LEFT + 1).astype(np.float32)), r"left\.npy: does not match its hash"),
        (lambda m: (m / "left.npy").write_bytes(b"not an array"), r"left\.npy: does not match its hash in card\.json"),
        (lambda m: (m / "card.json").unlink(), "m: card.json is missing; train the model again"),
        (lambda m: (m / "left.npy").unlink(), "m: left.npy is missing; train the model again"),
        (lambda m: (m / "user_ids.parquet").unlink(), "m: user_ids.parquet is missing"),
        (lambda m: edit(m / "card.json", normalize=True), r"does not match its own hash: it has been edited"),
        (lambda m: edit(m / "card.json", files={}), r"card\.json: does not match its own hash"),
        (lambda m: edit(m / "card.json", kind="constant"), r"card\.json: does not match its own hash"),
        (lambda m: edit(m / "card.json", format=0), r"its format is 0, expected 2: another version wrote it"),
        (lambda m: (m / "card.json").write_text('{"name": "m"}'), "its format is None, expected 2"),
        (lambda m: (m / "card.json").write_text("null"), "its format is None, expected 2"),
        (lambda m: (m / "card.json").write_text("[" * 100_000), r"card\.json: does not read"),
        (lambda m: (m / "card.json").write_bytes((m / "card.json").read_bytes()[:40]), r"card\.json: does not read"),
    ],
)  # fmt: skip
def test_what_has_changed_since_it_was_written_is_refused(tmp_path, damage, message):
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors", normalize=False)
    damage(tmp_path / "m")
    with pytest.raises(Problem, match=message) as error:
        matrices.load(tmp_path / "m")
    assert "\n" not in str(error.value)


def test_a_matrix_that_the_card_does_not_name_is_not_read(tmp_path):
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors")
    sp.save_npz(tmp_path / "m" / "left.npz", sp.csr_matrix(LEFT * 2))
    assert (matrices.load(tmp_path / "m").left == LEFT).all()


def test_a_model_under_the_name_of_another_is_refused(tmp_path):
    matrices.save(tmp_path / "m", LEFT, RIGHT, USERS, ITEMS, kind="vectors")
    (tmp_path / "m").rename(tmp_path / "other")
    with pytest.raises(Problem, match=r"other: card\.json is of the model 'm'; rename the folder back"):
        matrices.load(tmp_path / "other")


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
