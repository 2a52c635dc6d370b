"""Candidates: what is scored, what is corrected, what is masked."""

import math

from retrieval.dssm.batches import Batches
from retrieval.training import candidates as candidates_module
from retrieval.training.candidates import AllItems, SharedItems
from retrieval.training.negatives import SAMPLERS

import pytest
import torch
from worlds import features_of, model, sampler_of

FEATURES = features_of([[0, 1, 2], [3, 4, 5], [5, 0]], 6)
EVEN = torch.full((6,), 1 / 6)


def batch(exclude_seen: bool = True):
    sampler = Batches(FEATURES.histories, 5, exclude_seen=exclude_seen)
    return next(sampler.sequences(torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dense", [0, 64])
def test_a_sample_scores_the_items_that_were_drawn(kind, tied, dense, monkeypatch):
    """Scores of the compact table equal those of the whole one, and own target and seen items are masked."""
    monkeypatch.setattr(candidates_module, "DENSE", dense)
    given, net = batch(), model(features=FEATURES)
    drawn, _ = SAMPLERS[kind](given.target, EVEN, 7, torch.Generator().manual_seed(3))
    sampler = sampler_of(net, kind, "bpr", count=7, logq=False, tied=tied)
    candidates = sampler(given, torch.Generator().manual_seed(3))
    left, right = torch.randn(len(given.target), 4), torch.randn(6, 4)
    part = slice(2, 7)
    positive, negatives, mask = candidates.scores(left, right[candidates.items], part)
    every = left @ right.T
    drawn = drawn.expand(len(given.target), drawn.shape[-1])
    assert torch.allclose(positive, every.gather(1, given.target[:, None])[part, 0], atol=1e-5)
    assert torch.allclose(negatives, every.gather(1, drawn)[part], atol=1e-5)
    for i in range(2, 7):
        banned = {int(given.target[i]), *given.seen_item[given.seen_row == i].tolist()}
        assert mask[i - 2].tolist() == [item not in banned for item in drawn[i].tolist()]
    if tied:
        assert torch.equal(candidates.items[candidates.batch.item], given.item)


def test_the_catalogue_holds_all_but_target_and_seen():
    for exclude in (True, False):
        given = batch(exclude)
        left, right = torch.randn(len(given.target), 4), torch.randn(6, 4)
        positive, negatives, mask = AllItems(given, 6, None).scores(left, right, slice(3, 8))
        assert torch.allclose(positive, (left @ right.T).gather(1, given.target[:, None])[3:8, 0], atol=1e-5)
        assert torch.allclose(negatives, (left @ right.T)[3:8])
        for i in range(3, 8):
            banned = {int(given.target[i]), *given.seen_item[given.seen_row == i].tolist()}
            assert mask[i - 3].tolist() == [item not in banned for item in range(6)]


def test_items_that_a_batch_shares_stand_for_the_catalogue():
    """The mean over batches and draws of the sum of e^s is the sum over all items but the target and seen ones."""
    frequency, count = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.04, 0.01]), 6
    given, left, right = batch(), torch.randn(8, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    _, scores, mask = AllItems(given, count, None).scores(left, right, slice(0, 8))
    expected, total, draws = scores.exp().where(mask, 0).sum(1), torch.zeros(8, dtype=torch.float64), 4000
    generator = torch.Generator().manual_seed(1)
    for _ in range(draws):
        others = torch.multinomial(frequency, 3, replacement=True, generator=generator)
        shared = torch.randperm(count, generator=generator)[:2]
        own = SharedItems(given, others, shared, frequency.double(), True, None)
        values = own.raised.new_zeros(8, count).index_copy(1, own.items[: own.width], own.raised.expand(8, -1).exp())
        total += (values * scores.exp()).where(mask, 0).sum(1)
    assert torch.allclose(total / draws, expected, rtol=0.05)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("with_prior", [True, False])
def test_shared_items_are_scored_as_in_the_catalogue_and_raised(tied, with_prior):
    """Two of six items, the targets and the tokens: the vectors of the others are not even needed."""
    given, left, right = batch(), torch.randn(8, 4), torch.randn(6, 4)
    table = (torch.zeros(8, dtype=torch.long), torch.arange(6.0)[None]) if with_prior else None
    every = AllItems(given, 6, table).scores(left, right, slice(2, 7))
    own = SharedItems(given, given.target, torch.tensor([4, 1]), EVEN, tied, table)
    positive, negatives, mask = own.scores(left, right[own.items], slice(2, 7))
    columns = own.items[: own.width]
    assert sorted(columns.tolist()) == sorted({*given.target.tolist(), 4, 1})
    assert torch.allclose(positive, every[0], atol=1e-5)
    assert torch.allclose(negatives, every[1][:, columns] + own.raised, atol=1e-5)
    assert torch.equal(mask, every[2][:, columns])
    if tied:
        assert torch.equal(own.items[own.batch.item], given.item)
        assert set(given.item.tolist()) <= set(own.items.tolist())


def test_a_draw_of_all_items_is_the_catalogue():
    """Each is there for certain: log 1 = 0 is added to its score."""
    own = SharedItems(batch(), batch().target, torch.arange(6), EVEN, True, None)
    assert own.items.tolist() == [0, 1, 2, 3, 4, 5]
    assert own.raised.tolist() == [0.0] * 6


def test_the_probability_to_be_shared_is_that_of_a_target_or_of_a_draw():
    """Of eight targets, each with an item's frequency of 1/6, and of two draws from six items:
    1 - (5/6)^8 (1 - 2/6) = 1 - 0.23257 x 0.66667 = 0.84496."""
    own = SharedItems(batch(), batch().target[:8], torch.tensor([0, 1]), EVEN, True, None)
    assert own.raised.tolist() == pytest.approx([-math.log(0.84496)] * own.width, abs=1e-4)
