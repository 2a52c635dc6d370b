"""The notebook's four tower bodies: the layers between a tower's first linear layer and its last.

A body transforms the features after a tower's first linear layer, a head transforms the user's history: both map
[n, width] to [n, width]. As in the notebook, a body applies its second layer twice, the second time inside the residual
connection: two steps that share their weights.
"""

from collections.abc import Callable

from retrieval.dssm.dropout import Dropout
from retrieval.dssm.sizes import Towers

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Body(nn.Module):
    """relu(norm(x)), dropout, h = relu(W x + b), attention if there are heads, h + relu(W h + b)."""

    def __init__(self, width: int, norm: nn.Module, dropout: float, heads: int = 0) -> None:
        super().__init__()
        self.norm, self.dropout = norm, Dropout(dropout)
        self.shared = nn.Linear(width, width)
        self.attention = _attention(width, heads, dropout) if heads else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(torch.relu(self.norm(x)))
        x = self.attention(torch.relu_(self.shared(x)))
        return x + torch.relu_(self.shared(x))


class Head(nn.Module):
    """relu(norm(x)), dropout, and one more relu(W x + b) if `hidden`."""

    def __init__(self, width: int, norm: nn.Module, dropout: float, hidden: bool) -> None:
        super().__init__()
        self.norm, self.dropout = norm, Dropout(dropout)
        self.hidden = nn.Sequential(nn.Linear(width, width), nn.ReLU()) if hidden else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden(self.dropout(torch.relu(self.norm(x))))


class _BatchNorm(nn.BatchNorm1d):
    """Batch normalisation. A batch of one row has no variance: it is normalised as in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1 or not self.training:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class _SingleToken(nn.Module):
    """A sequence layer over sequences of length one, as the notebook uses it: [n, width] to [n, width]."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[:, None])[:, 0]


def _attention(width: int, heads: int, dropout: float) -> nn.Module:
    layer = nn.TransformerEncoderLayer(width, heads, width, dropout, batch_first=True)
    return nn.Sequential(_SingleToken(layer), nn.LayerNorm(width))


def mlp(sizes: Towers) -> tuple[Body, Head]:
    """Residual MLP; no dropout, as in the notebook."""
    width = sizes.width
    return Body(width, nn.Identity(), 0.0), Head(width, nn.Identity(), 0.0, hidden=False)


def batchnorm(sizes: Towers) -> tuple[Body, Head]:
    """BatchNorm and dropout after the first layer."""
    width, dropout = sizes.width, sizes.dropout
    return Body(width, _BatchNorm(width), dropout), Head(width, _BatchNorm(width), dropout, hidden=True)


def layernorm(sizes: Towers) -> tuple[Body, Head]:
    """LayerNorm and dropout after the first layer: the notebook's best."""
    width, dropout = sizes.width, sizes.dropout
    return Body(width, nn.LayerNorm(width), dropout), Head(width, nn.LayerNorm(width), dropout, hidden=True)


def transformer(sizes: Towers) -> tuple[Body, Head]:
    """BatchNorm, dropout and a TransformerEncoderLayer over the one vector of features."""
    width, dropout = sizes.width, sizes.dropout
    body = Body(width, _BatchNorm(width), dropout, sizes.heads)
    return body, Head(width, _BatchNorm(width), dropout, hidden=False)


# Each takes the sizes of the towers and gives the body of the features and the head of the history.
ARCHITECTURES: dict[str, Callable[[Towers], tuple[nn.Module, nn.Module]]] = {
    "mlp": mlp,
    "batchnorm": batchnorm,
    "layernorm": layernorm,
    "transformer": transformer,
}
