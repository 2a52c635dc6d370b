"""Ensembles: the mean of the members' scores, as two matrices, for users of the data and for those who come later."""

from collections.abc import Sequence
from dataclasses import replace

import train_dssm
from retrieval import histories, matrices
from retrieval.dssm.ensemble import Ensemble
from retrieval.dssm.model import DSSM
from retrieval.newcomers import newcomer
from retrieval.training import checkpoints
from retrieval.training.checkpoints import Checkpoint
from retrieval.training.loop import fit, make_batches, member_seed

import numpy as np
import pytest
import torch
from worlds import FEATURES, chain, model, training_params

RING = chain(users=60, items=12, length=6, seed=0)


def scores(members: Sequence[DSSM]) -> np.ndarray:
    left, right = Ensemble(members).matrices(FEATURES.histories)
    return left.astype(np.float64) @ right.T


@pytest.mark.parametrize("trend", [True, False])
@pytest.mark.parametrize("settings", [{}, {"normalize": True, "tied": False}, {"score": "euclid"}, {"score": "cosine"}])
def test_the_score_is_the_mean_of_the_members_scores(trend, settings):
    """The trend, which all members have in common, included."""
    members = [model(seed, trend=trend, **settings) for seed in (0, 1, 2)]
    alone = [scores([member]) for member in members]
    assert not np.allclose(alone[0], alone[1], atol=1e-2)
    assert scores(members) == pytest.approx(np.mean(alone, axis=0), abs=1e-4)


def test_the_rows_of_some_users_are_theirs_among_all():
    both, users = Ensemble([model(0, trend=False), model(1, trend=False)]), np.array([1, 3])
    (some, right), (every, of_all) = both.matrices(FEATURES.histories, users), both.matrices(FEATURES.histories)
    assert np.array_equal(right, of_all)
    assert some == pytest.approx(every[users], abs=1e-6)


@pytest.mark.parametrize("trend", [True, False])
def test_many_users_are_written_part_by_part(trend, monkeypatch):
    """The first part has the largest numbers, which the grid of all depends on."""
    both = Ensemble([model(seed, trend=trend, bias=False) for seed in (0, 1)])
    whole, left = both.matrices(FEATURES.histories), torch.full((4, 16), 1 / 3)
    left[0] *= 1000
    expected = both.export.start(left)
    monkeypatch.setattr("retrieval.dssm.scoring.ROWS", 3)
    for a, b in zip(whole, both.matrices(FEATURES.histories), strict=True):
        assert np.array_equal(a, b)
    assert torch.equal(both.export.start(left), expected)
    assert torch.equal(both.export(left), expected)


def test_members_differ_in_their_seeds_alone():
    both = fit(training_params(RING, ensemble=2, epochs=2, seed=5), RING).model
    for number, member in enumerate(both.members):
        alone = fit(training_params(RING, epochs=2, seed=member_seed(5, number)), RING).model
        for name, value in alone.members[0].state_dict().items():
            assert torch.equal(member.state_dict()[name], value), name
    assert not torch.equal(both.members[0].item_tower.id.weight, both.members[1].item_tower.id.weight)


def test_seeds_of_members_are_no_seeds_of_other_ensembles():
    """Else two runs of a comparison over seeds would have members in common."""
    assert [member_seed(seed, 0) for seed in range(50)] == [*range(50)]
    later = {member_seed(seed, number) for seed in range(50) for number in (1, 2)}
    assert len(later) == 100
    assert not later & {*range(10_000)}


def test_members_hold_out_the_same_items(monkeypatch):
    """An item that one of them has learned could not tell weights apart."""
    held_out = []

    def watched(params, features):
        batches = make_batches(params, features)
        held_out.append(batches.validation_users.tolist())
        return batches

    monkeypatch.setattr("retrieval.training.loop.make_batches", watched)
    fit(training_params(RING, ensemble=3, epochs=1, patience=1, holdout=0.5), RING)
    assert len(held_out) == 3
    assert held_out[0] == held_out[1] == held_out[2] != []


@pytest.mark.parametrize("after", [2, 3, 5])
def test_an_interrupted_ensemble_ends_in_the_same_bytes(tmp_path, monkeypatch, after):
    """In the first member's three epochs, after them, or in those of the second."""
    params, path = training_params(RING, ensemble=2, epochs=3, dropout=0.3), tmp_path / "dssm-1.x"
    whole, save, saved = fit(params, RING).model, Checkpoint.save, []

    def interrupted(self, history):
        save(self, history)
        saved.append(len(history))
        if len(saved) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(params, RING, path)
    resumed = fit(params, RING, path).model
    assert len(saved) == 6, "no epoch is trained twice"
    assert [checkpoints.of_member(path, number).exists() for number in (0, 1)] == [True, True]
    for name, value in whole.state_dict().items():
        assert value.numpy().tobytes() == resumed.state_dict()[name].numpy().tobytes(), name


@pytest.mark.parametrize("kind", ["leave-last", "days"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_new_user_gets_the_row_of_one_with_the_same_history(tmp_path, monkeypatch, kind, tied):
    """By both members, blended where there is a trend."""
    monkeypatch.chdir(tmp_path)
    columns = {"parity": ["even", "odd"]}
    data = replace(FEATURES, spec={**FEATURES.spec, "split": kind, "user_columns": columns})
    (tmp_path / "features").mkdir()
    histories.save(tmp_path / "features", data)
    params = training_params(data, ensemble=2, epochs=2, tied=tied)
    train_dssm.main(params, tmp_path / "features", tmp_path / "dssm")
    saved, h = matrices.load(tmp_path / "dssm"), data.histories
    assert saved.left.shape[1] == 2 * 8 + (1 if kind == "days" else 2), "vectors, and a prior or two biases"
    assert not list((tmp_path / ".checkpoints").iterdir())
    fold_in = newcomer(tmp_path / "dssm", saved)
    for user in range(len(data.user_ids)):
        about = ("parity", columns["parity"][user % 2])
        found = fold_in((h.item[h.user == user], h.time[h.user == user]), [about])
        assert found[0] == pytest.approx(saved.left[user], abs=1e-5)
