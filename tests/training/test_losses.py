"""Losses: values worked out by hand, and what every loss in the table must do."""

import inspect
import math

from retrieval.training.losses import LOSSES, gbce, gbce_beta, make

import pytest
import torch
from worlds import batch, features_of, model, sampler_of, training_params

OPTIONS = training_params(margin=0.4, ccl_margin=0.4, ccl_weight=10.0, gbce_t=0.75).losses
P = torch.tensor([1.0, 0.0])
N = torch.tensor([[0.0, 0.8, 5.0], [2.0, -1.0, 0.5]])
M = torch.tensor([[True, True, False], [True, True, True]])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


# Each loss of P, N and M with OPTIONS and 101 items: per sample, then the mean of the two
WORKED = {
    # max(0, .4 - 1 + 0) = 0 and max(0, .4 - 1 + .8) = .2: mean .1; then 2.4, max(0, .4 - 1) = 0, .9: mean 1.1
    "triplet": (0.1 + 1.1) / 2,
    # below 1 stand 0 and .8, the hardest is .8: .2; below 0 stands -1 alone: max(0, .4 - 1) = 0
    "triplet_semihard": (0.2 + 0.0) / 2,
    "bpr": ((softplus(-1) + softplus(-0.2)) / 2 + (softplus(2) + softplus(-1) + softplus(0.5)) / 3) / 2,
    # -log(e^1 / (e^1 + e^0 + e^.8)), -log(e^0 / (e^0 + e^2 + e^-1 + e^.5))
    "softmax": (math.log(math.e + 1 + math.exp(0.8)) - 1 + math.log(1 + math.exp(2) + math.exp(-1) + math.exp(0.5)))
    / 2,
    # (1 - 1) + 10 x mean(0, .4), (1 - 0) + 10 x mean(1.6, 0, .1)
    "ccl": (10 * 0.4 / 2 + 1 + 10 * 1.7 / 3) / 2,
    # 3 of 101 - 1 items: a = .03, beta = .03 (.75 (1 - 1 / .03) + 1 / .03) = .2725
    "gbce": (
        (0.2725 * softplus(-1) + softplus(0) + softplus(0.8)) / 3
        + (0.2725 * softplus(0) + softplus(2) + softplus(-1) + softplus(0.5)) / 4
    )
    / 2,
}
WORKED["sampled_softmax"] = WORKED["softmax"]


@pytest.mark.parametrize("name", LOSSES)
def test_worked_example(name):
    assert name in WORKED, f"add the loss {name!r} to WORKED in {__file__}, worked by hand, and its options to OPTIONS"
    assert make(name, OPTIONS, items=101)(P, N, M).item() == pytest.approx(WORKED[name], rel=1e-6)


def test_gbce_by_hand():
    # 3 of 31 - 1 items: a = .1; beta = .1 (.75 (1 - 10) + 10) = .1 x 3.25 = .325
    assert gbce_beta(0.75, 3, 31) == pytest.approx(0.325)
    assert gbce_beta(0.0, 3, 31) == pytest.approx(1.0)
    assert gbce_beta(1.0, 3, 31) == pytest.approx(0.1)
    first = (0.325 * softplus(-1) + softplus(0) + softplus(0.8)) / 3
    second = (0.325 * softplus(0) + softplus(2) + softplus(-1) + softplus(0.5)) / 4
    assert make("gbce", OPTIONS, items=31)(P, N, M).item() == pytest.approx((first + second) / 2)
    assert gbce(P, N, M, gbce_t=0.75, items=31).item() == pytest.approx((first + second) / 2)


@pytest.mark.parametrize(
    ("kind", "count", "beta"),
    [("uniform", 3, 0.325), ("in-batch", 3, 1.0), ("mixed", 3, 1.0)],
)
def test_gbce_is_calibrated_by_the_negatives_that_are_compared(kind, count, beta):
    """3 of 31 - 1 items by `count`: beta = .325, as above. 64 targets of the batch are more than the 30 other items:
    a = 1, so beta = 1, whatever `count` says."""
    features = features_of([[i % 31, (i + 1) % 31] for i in range(32)], 31)
    net, given = model(features=features), batch(features=features)
    candidates = sampler_of(net, kind, "gbce", count=count)(given, torch.Generator().manual_seed(0))
    left, right = torch.zeros(len(given.target), 4), torch.zeros(len(candidates.items), 4)
    _, negatives, mask = candidates.scores(left, right, slice(0, 1))
    value = make("gbce", OPTIONS, items=31)(torch.zeros(1), negatives, mask).item()
    count = int(mask.sum())  # of all scores 0: (beta + count) ln 2 / (1 + count)
    assert value == pytest.approx((beta + count) * math.log(2) / (1 + count))


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.fused])
def test_a_fused_loss_takes_the_options_of_the_plain_one(name):
    """An option of the one alone would make the fast path compute another loss."""
    plain, fast = (
        {key for key, each in inspect.signature(function).parameters.items() if each.kind is each.KEYWORD_ONLY}
        for function in (LOSSES[name].function, LOSSES[name].fused)
    )
    assert plain == fast


def test_a_bound_loss_keeps_its_fused_form():
    assert make("softmax", OPTIONS, 10).fused is not None
    assert make("sampled_softmax", OPTIONS, 10).fused is None


def test_semihard_falls_back_to_the_easiest_where_every_negative_is_above():
    # all above the positive: the lowest of them, .5: .4 - 0 + .5
    loss = make("triplet_semihard", OPTIONS, 10)
    assert loss(P[1:], torch.tensor([[2.0, 0.5]]), torch.ones(1, 2, dtype=torch.bool)).item() == pytest.approx(0.9)


def losses():
    return pytest.mark.parametrize("name", list(LOSSES))


@losses()
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, 1e8])
def test_extreme_scores_give_finite_losses_and_gradients(name, scale):
    for sign in (1, -1):
        positive = (sign * scale * torch.tensor([1.0, -1.0])).requires_grad_()
        negatives = (scale * torch.tensor([[1.0, -1.0, 0.5], [-1.0, 1.0, 0.0]])).requires_grad_()
        value = make(name, OPTIONS, 100)(positive, negatives, M)
        value.backward()
        assert value.isfinite()
        assert positive.grad.isfinite().all()
        assert negatives.grad.isfinite().all()


@losses()
def test_falls_when_the_positive_rises_and_rises_with_the_negatives(name):
    loss = make(name, OPTIONS, 100)
    hard = torch.tensor([[0.9, 0.8, 0.7]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    values = [loss(torch.tensor([s]), hard, mask).item() for s in (0.95, 1.0, 1.05)]
    assert values[0] > values[1] > values[2]
    assert loss(torch.tensor([1.0]), hard + 0.05, mask) > loss(torch.tensor([1.0]), hard, mask)


@losses()
def test_a_masked_negative_changes_nothing_and_has_no_gradient(name):
    loss = make(name, OPTIONS, 100)
    negatives = N.clone().requires_grad_()
    loss(P, negatives, M).backward()
    assert negatives.grad[0, 2] == 0
    other = N.clone()
    other[0, 2] = -77.0
    assert loss(P, other, M) == loss(P, N, M)


@losses()
def test_the_order_of_negatives_does_not_matter(name):
    loss = make(name, OPTIONS, 100)
    order = torch.tensor([2, 0, 1])
    assert loss(P, N[:, order], M[:, order]).item() == pytest.approx(loss(P, N, M).item(), rel=1e-6)


@losses()
def test_a_sample_without_negatives_is_harmless(name):
    negatives = N.clone().requires_grad_()
    value = make(name, OPTIONS, 100)(P, negatives, torch.zeros_like(M))
    value.backward()
    assert value.isfinite()
    assert (negatives.grad == 0).all()


def test_the_softmax_has_the_gradient_of_a_plain_logsumexp():
    negatives, plain = (N.double().clone().requires_grad_() for _ in range(2))
    LOSSES["softmax"](P.double(), negatives, M).backward()
    scores = torch.cat([P.double()[:, None], plain.masked_fill(~M, -float("inf"))], 1)
    torch.nn.functional.cross_entropy(scores, torch.zeros(2, dtype=torch.long)).backward()
    assert torch.allclose(negatives.grad, plain.grad, atol=1e-12)
