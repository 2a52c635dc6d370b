"""Batches: every target once, nothing of the target or of what follows it among what it is predicted from."""

from retrieval.dssm import batches
from retrieval.dssm.batches import GAPS, Batches, gap_buckets, ragged

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import DAY, rows, seen, world

SIZES = st.lists(st.integers(0, 12), min_size=1, max_size=8)


@settings(max_examples=60)
@given(SIZES, st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_sequences_predict_every_item_once_from_those_right_before_it(sizes, length, size, seed):
    sampler = Batches(world(sizes), length, size)
    targets = []
    for batch in sampler.sequences(torch.Generator().manual_seed(seed)):
        assert int(batch.size.max()) <= length
        for i, (user, tokens, target) in enumerate(rows(batch)):
            assert target // 100 == user
            assert tokens == list(range(target - len(tokens), target))
            assert seen(batch, i) == set(range(100 * user, target))
            assert batch.time[i] == target % 100 * DAY
            targets.append(target)
    assert sorted(targets) == [100 * u + k for u, n in enumerate(sizes) for k in range(n)]


@settings(max_examples=60)
@given(SIZES, st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_one_each_predicts_an_item_from_all_others(sizes, length, size, seed):
    sampler = Batches(world(sizes), length, size)
    users = []
    for batch in sampler.one_each(torch.Generator().manual_seed(seed)):
        assert len(batch.target) <= size
        for i, (user, tokens, target) in enumerate(rows(batch)):
            others = [100 * user + k for k in range(sizes[user]) if 100 * user + k != target]
            assert tokens == others[-length:]
            assert target not in tokens
            assert seen(batch, i) == {*others, target}
            users.append(user)
    assert sorted(users) == [u for u, n in enumerate(sizes) if n]


def test_one_each_draws_uniformly():
    sampler = Batches(world([4]), 10)
    counts = np.zeros(4)
    for seed in range(800):
        (batch,) = sampler.one_each(torch.Generator().manual_seed(seed))
        counts[int(batch.target)] += 1
    # binomial(800, 1/4): mean 200, deviation 12.2
    assert (abs(counts - 200) < 5 * 12.2).all()


def test_long_histories_are_cut_at_new_places():
    sampler = Batches(world([50]), 7)
    first = [
        sorted(t for b in sampler.sequences(torch.Generator().manual_seed(seed)) for _, k, t in rows(b) if not k)
        for seed in range(9)
    ]
    assert len({tuple(f) for f in first}) > 3


def test_held_out_items_are_validated_on_and_never_seen_in_training():
    held = torch.tensor([False, True, True])
    sampler = Batches(world([3, 4, 2]), 10, 4, held)
    for mode in ("sequence", "one"):
        for seed in range(5):
            for batch in sampler.epoch(mode, torch.Generator().manual_seed(seed)):
                assert not {103, 201} & {*batch.target.tolist(), *batch.item.tolist()}
    (batch,) = sampler.validation()
    assert list(rows(batch)) == [(2, [200], 201), (1, [100, 101, 102], 103)]
    assert seen(batch, 1) == {100, 101, 102}


def test_whole_histories_hold_everything_up_to_the_length_the_short_ones_first():
    sampler = Batches(world([3, 0, 5]), 4, 2, torch.tensor([True, False, False]))
    batches = list(sampler.whole())
    assert [user for batch in batches for user in batch.user.tolist()] == [1, 0, 2]
    assert [tokens for batch in batches for _, tokens, _ in rows(batch)] == [[], [0, 1, 2], [201, 202, 203, 204]]


def test_batches_of_whole_histories_are_bounded_in_tokens(monkeypatch):
    """A batch has at most TOKENS tokens, padding too, or it is one user."""
    monkeypatch.setattr(batches, "TOKENS", 4)
    found = list(Batches(world([5, 1, 2, 1, 4, 2]), 10).whole())
    assert sorted(user for batch in found for user in batch.user.tolist()) == list(range(6))
    assert all(len(batch.user) == 1 or len(batch.user) * int(batch.size.max()) <= 4 for batch in found)
    assert len(found) < 6


def test_batches_of_targets_are_bounded_in_pairs(monkeypatch):
    """Five items have 0 + 1 + 2 + 3 + 4 = 10 pairs of a target and one before it: three such users are too many."""
    monkeypatch.setattr(batches, "PAIRS", 20)
    found = list(Batches(world([5, 5, 5]), 10).sequences(torch.Generator().manual_seed(0)))
    assert sorted(len(batch.seen_item) for batch in found) == [10, 20]
    (one,) = Batches(world([5, 5, 5]), 10, exclude_seen=False).sequences(torch.Generator().manual_seed(0))
    assert len(one.target) == 15


def test_chance_thins_the_targets_and_keeps_the_tokens():
    chance = torch.tensor([0.0, 1.0, 0.0, 1.0])
    (batch,) = Batches(world([4]), 10, chance=chance).sequences(torch.Generator().manual_seed(0))
    assert list(rows(batch)) == [(0, [0], 1), (0, [0, 1, 2], 3)]
    assert not list(Batches(world([4]), 10, chance=torch.zeros(4)).sequences(torch.Generator()))
    assert not list(Batches(world([4]), 10, chance=torch.zeros(4)).one_each(torch.Generator()))


def test_seen_items_are_left_out_on_request():
    (batch,) = Batches(world([4]), 10, exclude_seen=False).sequences(torch.Generator())
    assert len(batch.seen_row) == 0


def test_gap_buckets_by_hand():
    time = torch.tensor([5, 5, 6, 8, 100, 3, 2**40])
    rank = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    # first; same second; 1 s -> 2; 2 s -> 2 + 1; 92 s: log2 is 6.5 -> 8; first; as long as it gets
    assert gap_buckets(time, rank).tolist() == [0, 1, 2, 3, 8, 0, GAPS - 1]


def test_ragged():
    row, rank = ragged(torch.tensor([2, 0, 3]))
    assert row.tolist() == [0, 0, 2, 2, 2]
    assert rank.tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("mode", ["sequence", "one"])
def test_equal_seeds_give_equal_batches(mode):
    def draw(seed):
        return list(Batches(world([5, 9, 30, 2]), 7, 8).epoch(mode, torch.Generator().manual_seed(seed)))

    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    assert any(not torch.equal(x.target, y.target) for x, y in zip(first, other, strict=False))
