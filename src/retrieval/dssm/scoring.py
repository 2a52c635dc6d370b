"""The score of a user and an item as an inner product: score(u, v) = left . right.

Training and ranking both score by these columns, so what a model is trained by, it is ranked by.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def dot(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """u . v"""
    return users, items


def cosine(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """u . v / (|u| |v|)"""
    return F.normalize(users, dim=-1), F.normalize(items, dim=-1)


def euclid(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """-|u - v|^2 = [2u, 1, -|u|^2] . [v, -|v|^2, 1]"""
    return (
        torch.cat([2 * users, torch.ones_like(users[..., :1]), -users.square().sum(-1, keepdim=True)], -1),
        torch.cat([items, -items.square().sum(-1, keepdim=True), torch.ones_like(items[..., :1])], -1),
    )


# Each takes user vectors [..., d] and item vectors [..., d] and gives left [..., e] and right [..., e].
SCORES: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {"dot": dot, "cosine": cosine, "euclid": euclid}
