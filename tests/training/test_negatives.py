"""Negatives: what is drawn how often, and what is corrected."""

from retrieval.training.negatives import SAMPLERS

import pytest
import torch
from worlds import batch, features_of, model, sampler_of

FREQUENCY = torch.tensor([0.5, 0.3, 0.2])
FEATURES = features_of([[0, 1, 2], [3, 4, 5], [5, 0]], 6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_item_is_drawn_as_often_as_its_correction_says(name):
    targets = torch.multinomial(FREQUENCY, 2000, replacement=True, generator=torch.Generator().manual_seed(1))
    drawn, expected = SAMPLERS[name](targets, FREQUENCY, 50, torch.Generator().manual_seed(2))
    shared = drawn.ndim == 1
    times = torch.bincount(drawn.flatten(), minlength=3) / (1 if shared else len(targets))
    for item in range(3):
        share = expected[drawn == item].exp()
        assert torch.allclose(share, share[:1])
        assert times[item].item() == pytest.approx(share[0].item(), rel=0.1)


def test_the_correction_makes_a_sampled_sum_an_unbiased_one():
    """The mean over draws of sum e^(s - log N q) is the sum of e^s over the catalogue."""
    scores = torch.tensor([1.0, -0.5, 0.3])
    for name in ("uniform", "popularity", "mixed"):
        targets = torch.multinomial(FREQUENCY, 4000, replacement=True, generator=torch.Generator().manual_seed(1))
        drawn, expected = SAMPLERS[name](targets, FREQUENCY, 20, torch.Generator().manual_seed(2))
        total = (scores[drawn] - expected).exp().sum(-1).mean().item()
        assert total == pytest.approx(scores.exp().sum().item(), rel=0.05)


def test_only_a_loss_that_estimates_a_sum_is_corrected():
    net, given, left, right = model(features=FEATURES), batch(features=FEATURES), torch.zeros(8, 4), torch.zeros(6, 4)
    for name, correction in (("sampled_softmax", 4 / 6), ("bpr", 1.0), ("gbce", 1.0)):
        candidates = sampler_of(net, "uniform", name, count=4)(given, torch.Generator().manual_seed(0))
        _, negatives, _ = candidates.scores(left, right[candidates.items], slice(0, 8))
        assert torch.allclose(negatives.exp(), torch.tensor(1 / correction))
