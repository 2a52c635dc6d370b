"""Scores as inner products, and the one way from vectors to the two matrices."""

from retrieval.dssm.scoring import SCORES

import pytest
import torch
from worlds import model


@pytest.mark.parametrize("score", SCORES)
def test_columns_are_the_score(score):
    torch.manual_seed(3)
    users, items = torch.randn(4, 3), torch.randn(5, 3)
    slow = {
        "dot": lambda u, v: (u * v).sum(),
        "cosine": lambda u, v: (u * v).sum() / u.norm() / v.norm(),
        "euclid": lambda u, v: -((u - v) ** 2).sum(),
    }
    left, right = SCORES[score].left(users), SCORES[score].right(items)
    expected = torch.stack([torch.stack([slow[score](u, v) for v in items]) for u in users])
    assert torch.allclose(left @ right.T, expected, atol=1e-5)
    assert left.shape[1] == right.shape[1] == 3 + SCORES[score].extra


def test_temperature_and_bias_are_part_of_the_score():
    net = model(temperature=0.5)
    users, items = torch.randn(2, 8), torch.randn(6, 8)
    left, right = net.scorer.left(users), net.scorer.right(items, torch.arange(6))
    popularity = torch.tensor([3, 2, 3, 2, 2, 2]).add(1) / 20  # of the items 0 to 5 in FEATURES, each once more
    assert torch.allclose(left @ right.T, users @ items.T / 0.5 + popularity.log(), atol=1e-5)
