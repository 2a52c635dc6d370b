"""Dropout: what is left out, what is kept, and that a seed decides it."""

from retrieval.dssm.dropout import Dropout

import pytest
import torch


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_each_value_is_left_out_with_probability_p_and_the_mean_stays(p):
    torch.manual_seed(0)
    out = Dropout(p)(torch.ones(300, 401))
    # A share of 120,300 draws has a standard deviation of at most sqrt(0.25 / 120,300) = 0.0014.
    assert (out == 0).double().mean() == pytest.approx(p, abs=0.006)
    assert out.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-3)
    assert out.double().mean() == pytest.approx(1, abs=0.006 / (1 - p))
    for step in (1, 2, 3, 4, 401):  # neighbours, also in one drawn integer, are left out independently: p x p together
        flat = out.flatten() == 0
        assert (flat[:-step] & flat[step:]).double().mean() == pytest.approx(p * p, abs=0.006)


@pytest.mark.parametrize("shape", [(0, 4), (1,), (3, 5), (2, 3, 4)])
def test_any_shape_is_kept(shape):
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


def test_the_gradient_passes_where_the_value_did():
    x = torch.ones(1000, requires_grad=True)
    out = Dropout(0.3)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_the_seed_decides_and_every_call_draws_anew():
    drop, x = Dropout(0.5), torch.ones(1000)
    torch.manual_seed(1)
    first, second = drop(x), drop(x)
    torch.manual_seed(1)
    assert torch.equal(drop(x), first)
    assert not torch.equal(first, second)


def test_nothing_is_left_out_in_evaluation_or_at_probability_zero():
    x = torch.ones(1000)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
