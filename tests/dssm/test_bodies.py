"""Bodies: the layer that is applied twice, and what the sizes reach."""

from retrieval.dssm.batches import Batches
from retrieval.dssm.bodies import ARCHITECTURES

import pytest
import torch
from torch import nn
from worlds import features_of, model, training_params


def test_bodies_share_the_second_layer():
    """h = relu(W x + b), h + relu(W h + b), with W = 2, b = -1 on one side and x = 1: h = 1, then 1 + 1."""
    body, _ = ARCHITECTURES["mlp"](training_params(width=2).towers)
    nn.init.constant_(body.shared.bias, -1.0)
    body.shared.weight.data = 2 * torch.eye(2)
    assert body(torch.tensor([[1.0, 0.25]])).tolist() == [[2.0, 0.0]]


def test_batchnorm_takes_a_row_that_is_alone():
    net = model(architecture="batchnorm").train()
    alone = next(Batches(features_of([[0, 1]], 6).histories, 5).sequences(torch.Generator().manual_seed(0)))
    vector = net.users(alone, net.items(torch.arange(net.count)))
    assert vector.isfinite().all()
    assert vector.abs().sum() > 0


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_the_attention_of_the_transformer_body_has_the_heads_of_the_parameters(heads):
    """By name: torch keeps the number of heads as an attribute; 8 / heads numbers are in each."""
    body, _ = ARCHITECTURES["transformer"](training_params(width=8, heads=heads).towers)
    attention = next(module for module in body.modules() if isinstance(module, nn.MultiheadAttention))
    assert (attention.num_heads, attention.head_dim) == (heads, 8 // heads)
