"""The notebook's four tower bodies: what happens between a tower's first linear layer and its last.

A body maps features that went through a first linear layer, a head the user's history that did: [n, width] to
[n, width]. As in the notebook a body applies its second layer twice, the second time inside the residual connection:
two steps that share their weights.
"""

from collections.abc import Callable

from retrieval.dssm.dropout import Dropout

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Body(nn.Module):
    """relu(norm(x)), dropout, h = relu(W x + b), attention if any, h + relu(W h + b)."""

    def __init__(self, width: int, norm: nn.Module, dropout: float, attention: bool = False) -> None:
        super().__init__()
        self.norm, self.dropout = norm, Dropout(dropout)
        self.shared = nn.Linear(width, width)
        self.attention = _attention(width, dropout) if attention else nn.Identity()

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
    """Batch normalisation; a row that is alone in its batch has no variance and is normalised as in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1 or not self.training:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class _Alone(nn.Module):
    """A sequence layer over sequences of length one, as the notebook uses it: [n, width] to [n, width]."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[:, None])[:, 0]


def _attention(width: int, dropout: float) -> nn.Module:
    layer = nn.TransformerEncoderLayer(width, nhead=2, dim_feedforward=width, dropout=dropout, batch_first=True)
    return nn.Sequential(_Alone(layer), nn.LayerNorm(width))


def mlp(width: int, dropout: float) -> tuple[Body, Head]:
    """Residual MLP; no dropout, as in the notebook."""
    return Body(width, nn.Identity(), 0.0), Head(width, nn.Identity(), 0.0, hidden=False)


def batchnorm(width: int, dropout: float) -> tuple[Body, Head]:
    """BatchNorm and dropout after the first layer."""
    return Body(width, _BatchNorm(width), dropout), Head(width, _BatchNorm(width), dropout, hidden=True)


def layernorm(width: int, dropout: float) -> tuple[Body, Head]:
    """LayerNorm and dropout after the first layer: the notebook's best."""
    return Body(width, nn.LayerNorm(width), dropout), Head(width, nn.LayerNorm(width), dropout, hidden=True)


def transformer(width: int, dropout: float) -> tuple[Body, Head]:
    """BatchNorm, dropout and a TransformerEncoderLayer over the one vector of features."""
    body = Body(width, _BatchNorm(width), dropout, attention=True)
    return body, Head(width, _BatchNorm(width), dropout, hidden=False)


ARCHITECTURES: dict[str, Callable[[int, float], tuple[nn.Module, nn.Module]]] = {
    "mlp": mlp,
    "batchnorm": batchnorm,
    "layernorm": layernorm,
    "transformer": transformer,
}
