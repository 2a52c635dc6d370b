"""The moving average of weights, by hand."""

from retrieval.training.average import Average

import pytest
import torch
from torch import nn


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
