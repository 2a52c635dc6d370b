"""Dropout: its share, its scale, its gradient, and that a seed decides it."""

from retrieval.dropout import Dropout

import pytest
import torch


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_elements_are_dropped_with_that_chance_and_the_mean_stays(p):
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(1000, 301))
    # the share of 301,000 draws has a standard deviation of at most sqrt(.25 / 301,000) = .0009: four of them
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=0.004)
    assert y[y != 0].unique().tolist() == pytest.approx([1 / (1 - p)], rel=1e-4)


def test_neighbours_are_dropped_independently():
    """Four elements share a random number: both of two neighbours go as often as p^2 says."""
    torch.manual_seed(0)
    dropped = Dropout(0.5)(torch.ones(100_000, 4)) == 0
    for i in range(3):
        assert (dropped[:, i] & dropped[:, i + 1]).float().mean().item() == pytest.approx(0.25, abs=0.006)


def test_the_gradient_passes_where_the_value_did():
    torch.manual_seed(0)
    x = torch.randn(50, 3, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, torch.where(y == 0, 0.0, 2.0))


def test_a_seed_decides_it_and_without_training_nothing_is_dropped():
    x, dropout = torch.randn(7, 5), Dropout(0.3)
    first, second = (dropout(x) for _ in range(2) if torch.manual_seed(1))
    assert torch.equal(first, second)
    assert not torch.equal(first, dropout(x))
    assert torch.equal(dropout.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
