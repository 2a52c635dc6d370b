"""The fused softmax is the plain one: same value, same gradients."""

from retrieval.dssm.batches import Batches
from retrieval.dssm.trend import Prior
from retrieval.training import fused
from retrieval.training.candidates import AllItems, SharedItems
from retrieval.training.losses import LOSSES

import pytest
import torch
from worlds import FEATURES, features_of, training_params


@pytest.mark.parametrize("mode", ["sequence", "one"])
@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("with_prior", [True, False])
@pytest.mark.parametrize("shared", [None, [0, 4]])
@pytest.mark.parametrize("chunk", [2**20, 13])
@pytest.mark.parametrize(("width", "threads"), [(4, 1), (16, 2), (18, 3)])
def test_value_and_gradients_are_those_of_the_plain_softmax(
    mode, exclude_seen, with_prior, shared, chunk, width, threads, monkeypatch
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(fused, "CHUNK", chunk)
    monkeypatch.setattr(fused, "ROWS", 1)
    batch = next(
        Batches(FEATURES.histories, 5, exclude_seen=exclude_seen).epoch(mode, torch.Generator().manual_seed(0))
    )
    prior = Prior(FEATURES, training_params(trend=True).trend)
    table = prior.at(batch.time) if with_prior else None
    if shared is None:
        candidates = AllItems(batch, 6, table)
    else:
        candidates = SharedItems(batch, batch.target, torch.tensor(shared), torch.full((6,), 1 / 6), True, table)
    torch.manual_seed(0)
    left, right = torch.randn(len(batch.target), width), torch.randn(len(candidates.items), width)
    values, gradients = [], []
    for form in ("plain", "fused"):
        a, b = left.clone().requires_grad_(), right.clone().requires_grad_()
        if form == "fused":
            value = LOSSES["softmax"].fused(a, b, candidates)
        else:
            value = LOSSES["softmax"](*candidates.scores(a, b, slice(0, len(a))))
        (3 * value).backward()
        values.append(value.item())
        gradients.append((a.grad, b.grad))
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert torch.allclose(gradients[0][0], gradients[1][0], atol=1e-5)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-5)


@pytest.mark.parametrize(("sign", "loss", "gradient"), [(1, 0.0, [0.0, 0.0]), (-1, 87.3365, [-1.0, 0.5])])
def test_extreme_scores_stay_finite(sign, loss, gradient):
    """User 0 watches item 0, then 1: both targets have the highest score of all, or the lowest.

    A share below 2^-126 counts as that: 126 ln 2 = 87.3365. The gradient has no such bound. Of the lowest, item 1
    stands against target 0, so that it is (-1 - 1) / 2 for two targets, and item 2 against target 1, (0 - -1) / 2.
    """
    batch = next(Batches(features_of([[0, 1]], 3).histories, 5).sequences(torch.Generator()))
    left = torch.tensor([[sign * 1e4], [-sign * 1e4]]).requires_grad_()
    value = fused.softmax(left, torch.tensor([[1.0], [-1.0], [0.0]]), AllItems(batch, 3, None))
    value.backward()
    assert value.item() == pytest.approx(loss)
    assert left.grad.flatten().tolist() == pytest.approx(gradient)
