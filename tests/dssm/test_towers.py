"""Towers: every combination gives vectors, learns with every weight, is saved whole, and cannot see its target."""

import itertools
from dataclasses import replace
from pathlib import Path

from retrieval.dssm.batches import Batch, Batches
from retrieval.dssm.bodies import ARCHITECTURES
from retrieval.dssm.encoders import HISTORIES
from retrieval.dssm.model import DSSM, Options
from retrieval.dssm.scoring import SCORES
from retrieval.dssm.towers import ITEMS, Sparse
from retrieval.params import load
from retrieval.training.loop import backward
from retrieval.training.losses import LOSSES, Losses, make
from retrieval.training.negatives import Negatives, comparison

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from worlds import FEATURES, batch, features_of, model


def vectors(net: DSSM, given: Batch) -> torch.Tensor:
    return net.users(given, net.items(torch.arange(net.count)))


def test_batchnorm_takes_a_row_that_is_alone():
    net = model(architecture="batchnorm").train()
    alone = next(Batches(features_of([[0, 1]], 6).histories, 5).sequences(torch.Generator().manual_seed(0)))
    assert vectors(net, alone).isfinite().all()


COMBINATIONS = list(itertools.product(ARCHITECTURES, HISTORIES, ITEMS))


@pytest.mark.parametrize(("architecture", "history", "item"), COMBINATIONS)
@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_gets_a_gradient(architecture, history, item, tied):
    net = model(architecture=architecture, history=history, item=item, tied=tied, learn_temperature=True)
    generator = torch.Generator().manual_seed(0)
    options = Negatives(kind="uniform", count=3, logq=True, exclude_seen=True)
    loss = make("softmax", Losses(margin=0.4, ccl_margin=0.4, ccl_weight=10.0, gbce_t=0.75), 3, net.count)
    compared = comparison(batch(), loss, options, torch.full((net.count,), 1 / net.count), tied, None, generator)
    backward(net, compared, loss)
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
    for a, b in zip(net.matrices(FEATURES.histories), other.matrices(FEATURES.histories), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("mode", ["sequence", "one"])
def test_the_target_and_what_follows_it_do_not_touch_the_user_vector(history, mode):
    net = model(history=history).eval()
    given = batch(mode)
    before = vectors(net, given)
    for i in range(len(given.target)):
        inside = torch.zeros(len(given.item), dtype=torch.bool)
        start = int(given.start[given.row[i]])
        inside[start : start + int(given.column[i])] = True
        changed = given._replace(item=torch.where(inside, given.item, 5 - given.item), target=5 - given.target)
        assert torch.allclose(vectors(net, changed)[i], before[i], atol=1e-6)


@pytest.mark.parametrize("history", HISTORIES)
def test_what_stands_before_the_target_does_touch_it(history):
    net = model(history=history).eval()
    given = batch()
    changed = vectors(net, given._replace(item=(given.item + 1) % 6))
    same = (changed - vectors(net, given)).abs().sum(1) == 0
    assert torch.equal(same, given.column == 0)


@pytest.mark.parametrize("history", HISTORIES)
def test_a_row_does_not_depend_on_its_neighbours(history):
    net = model(history=history).eval()
    together = net.matrices(FEATURES.histories)[0]
    table = net.items(torch.arange(net.count))
    for part in Batches(FEATURES.histories, 5, 1).whole():
        alone = net.columns(net.users(part, table), table, torch.arange(net.count))[0]
        assert np.allclose(together[part.user], alone.detach().numpy(), atol=1e-5)


def test_order_matters_to_sequences_and_not_to_a_plain_bag():
    forward, backwards = features_of([[0, 1, 2]], 6), features_of([[2, 1, 0]], 6)
    for history in HISTORIES:
        net = model(history=history, features=forward)
        left = [net.matrices(features.histories)[0] for features in (forward, backwards)]
        assert np.allclose(*left, atol=1e-6) == (history == "bag")
    net = model(history="bag", half_life=1.0, features=forward)
    assert not np.allclose(*(net.matrices(f.histories)[0] for f in (forward, backwards)), atol=1e-6)


def test_gaps_matter_to_sequences():
    near, far = features_of([[0, 1, 2]], 6), features_of([[0, 1, 2]], 6, [[0, 1, 90]])
    for history in ("gru", "transformer"):
        net = model(history=history, features=near)
        assert not np.allclose(*(net.matrices(f.histories)[0] for f in (near, far)), atol=1e-6)


def test_bag_by_hand():
    """The last tokens weigh 1, 1/2, 1/4 with a half-life of one item: (1 a + 2 b + 4 c) / 7."""
    from retrieval.dssm.encoders import Bag

    table = torch.tensor([[7.0, 0.0], [0.0, 7.0], [14.0, 14.0]])
    given = next(Batches(features_of([[0, 1, 2]], 3).histories, 3).whole())
    assert torch.allclose(Bag(2, 3, 1, 1, 0.0, 1.0)(table, given), torch.tensor([[1 + 8.0, 2 + 8.0]]))
    assert torch.allclose(Bag(2, 3, 1, 1, 0.0, 0.0)(table, given), torch.tensor([[7.0, 7.0]]))


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


def test_bodies_share_the_second_layer():
    """h = relu(W x + b), h + relu(W h + b), with W = 2, b = -1 on one side and x = 1: h = 1, then 1 + 1."""
    body, _ = ARCHITECTURES["mlp"](2, 0.0)
    nn.init.constant_(body.shared.bias, -1.0)
    body.shared.weight.data = 2 * torch.eye(2)
    assert body(torch.tensor([[1.0, 0.25]])).tolist() == [[2.0, 0.0]]


def test_an_id_that_is_always_dropped_leaves_the_features():
    net = model(item="both", id_dropout=0.999999)
    net.train()
    twin = model(item="both")
    twin.load_state_dict(net.state_dict())
    nn.init.zeros_(twin.item_tower.id.weight)
    assert torch.equal(net.items(torch.arange(6)), twin.items(torch.arange(6)))
    net.eval()
    assert not torch.equal(net.items(torch.arange(6)), twin.items(torch.arange(6)))


@pytest.mark.parametrize("score", SCORES)
def test_columns_are_the_score(score):
    torch.manual_seed(3)
    users, items = torch.randn(4, 3), torch.randn(5, 3)
    slow = {
        "dot": lambda u, v: (u * v).sum(),
        "cosine": lambda u, v: (u * v).sum() / u.norm() / v.norm(),
        "euclid": lambda u, v: -((u - v) ** 2).sum(),
    }
    left, right = SCORES[score](users, items)
    expected = torch.stack([torch.stack([slow[score](u, v) for v in items]) for u in users])
    assert torch.allclose(left @ right.T, expected, atol=1e-5)


def test_temperature_and_bias_are_part_of_the_score():
    net = model(temperature=0.5)
    users, items = torch.randn(2, 8), torch.randn(6, 8)
    left, right = net.columns(users, items, torch.arange(6))
    popularity = torch.tensor([3, 2, 3, 2, 2, 2]).add(1) / 20  # of the items 0 to 5 in FEATURES, each once more
    assert torch.allclose(left @ right.T, users @ items.T / 0.5 + popularity.log(), atol=1e-5)


def test_margins_are_compared_with_scores_as_they_are():
    for loss in LOSSES:
        net = model(loss=loss, temperature=0.5)
        assert (net.bias is None) == LOSSES[loss].margin
        assert (net.log_temperature.exp().item() == pytest.approx(1.0)) == LOSSES[loss].margin


def test_normalize_gives_unit_vectors():
    net = model(normalize=True)
    assert torch.allclose(net.items(torch.arange(6)).norm(dim=1), torch.ones(6))
    assert torch.allclose(vectors(net, batch()).norm(dim=1), torch.ones(14))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "triplet", "score": "cosine"}, "expected score=euclid, or normalize=true"),
        ({"loss": "ccl", "score": "dot"}, "expected score=cosine, or normalize=true"),
        ({"heads": 3}, "no multiple of towers.heads"),
    ],
)
def test_combinations_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        model(**settings)
    model(loss="triplet", score="cosine", normalize=True)


def test_auto_reads_a_history_as_a_bag_where_the_last_days_are_the_test():
    params = load(Path(__file__).parents[2] / "params.yaml")
    options = Options(**{name: params[name] for name in Options.model_fields})
    assert options.history == "auto"
    days = replace(FEATURES, spec={**FEATURES.spec, "split": "days"})
    assert options.settled(days).history == "bag"
    assert options.settled(FEATURES).history == "transformer"
    assert options.model_copy(update={"history": "gru"}).settled(days).history == "gru"
