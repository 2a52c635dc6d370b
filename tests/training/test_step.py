"""A step: the same gradients in parts, the schedule and the decay by hand, the moving average of weights."""

import math

from retrieval.training.losses import make
from retrieval.training.step import Average, backward, make_optimizer, rate

import pytest
import torch
from torch import nn
from worlds import batch, model, sampler_of, training_params


@pytest.mark.parametrize("loss", ["softmax", "bpr", "sampled_softmax"])
@pytest.mark.parametrize("kind", ["uniform", "mixed"])
def test_chunks_change_nothing(loss, kind, monkeypatch):
    gradients = []
    for chunk in (2**21, 13):
        monkeypatch.setattr("retrieval.training.candidates.CHUNK", chunk)
        net = model(loss=loss, history="gru")
        bound = make(loss, training_params().losses, net.count)
        candidates = sampler_of(net, kind, loss)(batch(), torch.Generator().manual_seed(0))
        value = backward(lambda given, net=net: net(given.batch, given.items), candidates, bound)
        gradients.append([torch.tensor(value), *(p.grad for p in net.parameters() if p.grad is not None)])
    for whole, parts in zip(*gradients, strict=True):
        assert torch.allclose(whole, parts, atol=1e-6)


def test_the_schedule_by_hand():
    share = rate(training_params(warmup=4, schedule="cosine").train, 20)
    # four steps up; then half a cosine over sixteen steps: a quarter of the way down is (1 + cos(pi / 4)) / 2
    assert [share(step) for step in (0, 1, 3, 4)] == pytest.approx([0.25, 0.5, 1.0, 1.0])
    assert share(8) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert share(12) == pytest.approx(0.5)
    assert share(20) == pytest.approx(0.0)
    constant = rate(training_params(warmup=4, schedule="constant").train, 20)
    assert constant(19) == 1.0


def test_weights_that_are_vectors_are_not_decayed():
    net = model()
    matrices, vectors = make_optimizer(net, training_params(weight_decay=0.1).train).param_groups
    assert matrices["weight_decay"] == 0.1
    assert vectors["weight_decay"] == 0.0
    assert all(p.ndim > 1 for p in matrices["params"])
    assert any(p is net.scorer.bias for p in vectors["params"])
    assert len(matrices["params"]) + len(vectors["params"]) == sum(p.requires_grad for p in net.parameters())


def test_the_average_follows_the_weights():
    """With decay .9: after the first update it is the weights; then it keeps 1/11; after many, 9/10."""
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, 0.9)
    weight = average.module.weight
    average.follow([torch.tensor([[1.0]])])
    assert weight.item() == pytest.approx(1.0)
    average.follow([torch.tensor([[12.0]])])
    assert weight.item() == pytest.approx(1 / 11 + 12 * 10 / 11)
    average.updates += 10_000
    average.follow([torch.tensor([[0.0]])])
    assert weight.item() == pytest.approx(0.9 * (1 / 11 + 12 * 10 / 11))


def test_without_decay_it_is_the_model():
    model = nn.Linear(2, 2)
    average = Average(model, 0.0)
    for _ in range(3):
        with torch.no_grad():
            model.weight += 1
        average.follow(list(model.parameters()))
    average.finish(model)
    assert torch.equal(average.module.weight, model.weight)


def test_the_statistics_of_batchnorm_are_those_of_the_model():
    model = nn.BatchNorm1d(2)
    average = Average(model, 0.9)
    model(torch.randn(8, 2))
    assert not torch.equal(average.module.running_mean, model.running_mean)
    average.finish(model)
    assert torch.equal(average.module.running_mean, model.running_mean)
