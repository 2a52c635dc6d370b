"""Towers: the sparse layer, and an item's id beside its features."""

from retrieval.dssm.towers import ITEMS, Sparse

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn
from worlds import FEATURES, model


def test_sparse_is_the_linear_layer_over_dense_rows():
    layer = Sparse(FEATURES.items, 4)
    dense = torch.from_numpy(FEATURES.items.toarray()) @ layer.weight + layer.bias
    rows = torch.tensor([5, 0, 0, 3])
    assert torch.allclose(layer(rows), dense[rows], atol=1e-6)


@pytest.mark.parametrize("before", [None, sp.csr_matrix(np.ones((4, 4)))])
def test_sparse_over_all_rows_has_the_value_and_gradient_of_the_dense_layer(before):
    """Rows and columns without any entry among them, at the end, too; also where it has read another matrix before."""
    matrix = sp.csr_matrix([[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    layer = Sparse(matrix if before is None else before, 3, whole=True)
    layer.read(matrix)
    above = torch.randn(4, 3)
    layer(None).backward(above)
    dense = torch.from_numpy(matrix.toarray()).float()
    assert torch.allclose(layer(None), dense @ layer.weight + layer.bias, atol=1e-6)
    assert torch.allclose(layer.weight.grad, dense.T @ above, atol=1e-6)
    assert torch.allclose(layer.bias.grad, above.sum(0), atol=1e-6)


@pytest.mark.parametrize("item", ITEMS)
def test_all_items_at_once_have_the_vectors_and_gradients_of_items_by_name(item):
    """Every item's vector times a weight of its own: in order, which is how the whole catalogue comes, and reversed."""
    gradients, order = [], torch.arange(6)
    for items in (order, order.flip(0)):
        net = model(item=item)
        (net.items(items) * (items[:, None] + 1)).sum().backward()
        gradients.append([p.grad for p in net.item_tower.parameters()])
    for whole, named in zip(*gradients, strict=True):
        assert torch.allclose(whole, named, atol=1e-5)


def test_an_id_that_is_always_dropped_leaves_the_features():
    net = model(item="both", id_dropout=0.999999)
    net.train()
    twin = model(item="both")
    twin.load_state_dict(net.state_dict())
    nn.init.zeros_(twin.item_tower.id.weight)
    assert torch.equal(net.items(torch.arange(6)), twin.items(torch.arange(6)))
    net.eval()
    assert not torch.equal(net.items(torch.arange(6)), twin.items(torch.arange(6)))
