"""History encoders: none sees its target, and each sees what it should of the items before it."""

from retrieval.dssm.batches import Batches
from retrieval.dssm.encoders import HISTORIES, SLOWEST, rotated
from retrieval.dssm.ensemble import Ensemble

import numpy as np
import pytest
import torch
from worlds import FEATURES, batch, features_of, model, training_params


def vectors(net, given):
    return net.users(given, net.items(torch.arange(net.count)))


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
    together = Ensemble([net]).matrices(FEATURES.histories)[0]
    table = net.items(torch.arange(net.count))
    for part in Batches(FEATURES.histories, 5, 1).whole():
        alone = net.scorer.left(net.users(part, table))
        assert np.allclose(together[part.user], alone.detach().numpy(), atol=1e-5)


BAGS = {"bag"}  # encoders to which the order of the items does not matter


@pytest.mark.parametrize("history", HISTORIES)
def test_order_matters_to_all_but_bags(history):
    forward, backwards = features_of([[0, 1, 2]], 6), features_of([[2, 1, 0]], 6)
    for half_life in {0.0, 1.0} if history in BAGS else {0.0}:
        net = model(history=history, half_life=half_life, features=forward)
        left = [Ensemble([net]).matrices(features.histories)[0] for features in (forward, backwards)]
        blind = np.allclose(*left, atol=1e-6)
        expected = history in BAGS and not half_life
        assert blind == expected, f"add {history!r} to BAGS in {__file__} if the order of the items shall not matter"


def test_gaps_matter_to_sequences():
    near, far = features_of([[0, 1, 2]], 6), features_of([[0, 1, 2]], 6, [[0, 1, 90]])
    for history in ("gru", "transformer"):
        net = model(history=history, features=near)
        assert not np.allclose(*(Ensemble([net]).matrices(f.histories)[0] for f in (near, far)), atol=1e-6)


def test_rotated_by_hand():
    """Two columns are one pair, which turns by 1 radian per step; of four the second pair turns by SLOWEST ^ (1/2)."""
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    expected = [[1, 0], [np.cos(1), np.sin(1)], [-2 * np.sin(2), 2 * np.cos(2)]]
    assert rotated(x).numpy() == pytest.approx(np.array(expected))
    four = rotated(torch.tensor([[0.0, 0, 0, 0], [0, 3, 0, 0]], dtype=torch.float64))[1]
    assert four.numpy() == pytest.approx([0, 3 * np.cos(SLOWEST**0.5), 0, 3 * np.sin(SLOWEST**0.5)])


@pytest.mark.parametrize("width", [1, 5, 8])
def test_products_of_rotated_rows_depend_on_their_distance_alone(width):
    query, key = torch.randn(2, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    many = rotated(query.expand(7, width)) @ rotated(key.expand(7, width)).T
    for apart in range(-6, 7):
        diagonal = many.diagonal(apart)
        assert torch.allclose(diagonal, diagonal[:1])
    assert torch.allclose(rotated(query[None]), query)
    assert (width == 1) == bool(np.isclose(many[0, 0], many[0, 3]))


def test_bag_by_hand():
    """The last tokens weigh 1, 1/2, 1/4 with a half-life of one item: (1 a + 2 b + 4 c) / 7."""
    from retrieval.dssm.encoders import Bag

    table = torch.tensor([[7.0, 0.0], [0.0, 7.0], [14.0, 14.0]])
    given = next(Batches(features_of([[0, 1, 2]], 3).histories, 3).whole())
    for half_life, expected in ((1.0, [[1 + 8.0, 2 + 8.0]]), (0.0, [[7.0, 7.0]])):
        bag = Bag(training_params(width=2, length=3, half_life=half_life).towers)
        assert torch.allclose(bag(table, given), torch.tensor(expected))
