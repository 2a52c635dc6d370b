"""The model: every combination of its parts learns with every weight and is saved whole."""

import itertools

from retrieval.dssm.batches import Batch
from retrieval.dssm.bodies import ARCHITECTURES
from retrieval.dssm.encoders import HISTORIES
from retrieval.dssm.ensemble import Ensemble
from retrieval.dssm.model import DSSM
from retrieval.dssm.towers import ITEMS
from retrieval.training.losses import make
from retrieval.training.step import backward

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from worlds import FEATURES, batch, model, sampler_of, training_params


def vectors(net: DSSM, given: Batch) -> torch.Tensor:
    return net.users(given, net.items(torch.arange(net.count)))


COMBINATIONS = list(itertools.product(ARCHITECTURES, HISTORIES, ITEMS))


@pytest.mark.parametrize(("architecture", "history", "item"), COMBINATIONS)
@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_gets_a_gradient(architecture, history, item, tied):
    net = model(architecture=architecture, history=history, item=item, tied=tied, learn_temperature=True)
    loss = make("softmax", training_params().losses, net.count)
    candidates = sampler_of(net)(batch(), torch.Generator())
    backward(lambda given: net(given.batch, given.items), candidates, loss)
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("architecture", "history", "item"), COMBINATIONS)
def test_a_saved_model_gives_equal_vectors(architecture, history, item, tmp_path):
    settings = {"architecture": architecture, "history": history, "item": item, "tied": False}
    net, other = model(0, **settings), model(1, **settings)
    net.train()
    vectors(net, batch())  # moves the running statistics of batch norms, which are part of the state
    save_file(net.state_dict(), tmp_path / "towers.safetensors")
    other.load_state_dict(load_file(tmp_path / "towers.safetensors"))
    both = (Ensemble([each]).matrices(FEATURES.histories) for each in (net, other))
    for a, b in zip(*both, strict=True):
        assert np.array_equal(a, b)


def test_normalize_gives_unit_vectors():
    net = model(normalize=True)
    assert torch.allclose(net.items(torch.arange(6)).norm(dim=1), torch.ones(6))
    assert torch.allclose(vectors(net, batch()).norm(dim=1), torch.ones(14))
