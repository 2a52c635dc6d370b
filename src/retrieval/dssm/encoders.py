"""History encoders: the user tower's state after the watched items, at any point of a history.

An encoder is a class with two methods: __init__(sizes: Towers), and forward(table [items, d], batch) -> [targets, d],
the state of each target's history. `table` holds the items' vectors. An encoder is given only the tokens before a
target, so that it cannot see the target.
"""

from retrieval.dssm.batches import GAPS, Batch, ragged
from retrieval.dssm.dropout import Dropout
from retrieval.dssm.sizes import Towers

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOWEST = 1 / 200  # radians per step; the fastest pair of columns turns by 1, the slowest by a little more than this


class Bag(nn.Module):
    """Mean of the tokens' vectors plus a bias: the notebook's linear layer over a normalised multi-hot.

    With `half_life` > 0 the k-th token from the end weighs 2^(-k / half_life), so that the last items count most.
    """

    def __init__(self, sizes: Towers) -> None:
        super().__init__()
        self.length, self.half_life = sizes.length, sizes.half_life
        self.bias = nn.Parameter(torch.zeros(sizes.width))

    def forward(self, table: Tensor, batch: Batch) -> Tensor:
        size = batch.column.clamp(max=self.length)  # [targets], tokens that each target reads
        row, rank = ragged(size)  # [tokens read]
        index = batch.item[(batch.start[batch.row] + batch.column - size)[row] + rank]  # [tokens read]
        offsets = size.cumsum(0) - size  # [targets]
        if not self.half_life:
            return F.embedding_bag(index, table, offsets, mode="mean") + self.bias
        weight = torch.exp2((rank + 1 - size[row]).to(table.dtype) / self.half_life)  # [tokens read]
        total = torch.zeros(len(size), dtype=table.dtype, device=table.device).index_add_(0, row, weight)
        bags = F.embedding_bag(index, table, offsets, mode="sum", per_sample_weights=weight / total[row])
        return bags + self.bias


class _Sequence(nn.Module):
    """A causal encoder of padded sequences. Padding is at the end, where no state that is read can see it.

    Token 0 of every sequence is a learned start, so that an empty history has a state, too. `places`: a vector is
    learned for the place of a token in its sequence.
    """

    def __init__(self, sizes: Towers, places: bool = False) -> None:
        super().__init__()
        width = sizes.width
        self.start = nn.Parameter(torch.empty(width))
        self.place = nn.Embedding(sizes.length + 1, width) if places else None
        self.gap = nn.Embedding(GAPS, width)
        for weight in (self.start, *([] if self.place is None else [self.place.weight]), self.gap.weight):
            nn.init.normal_(weight, std=0.02)
        self.dropout, self.out = Dropout(sizes.dropout), nn.Linear(width, width)

    def forward(self, table: Tensor, batch: Batch) -> Tensor:
        steps = torch.arange(int(batch.size.max()) + 1, device=table.device)
        at = (batch.start[:, None] + steps - 1).clamp(0, max(0, len(batch.item) - 1))  # [rows, steps], places of tokens
        inside = (steps > 0) & (steps <= batch.size[:, None])  # [rows, steps]
        tokens = F.embedding(batch.item[at], table) if len(batch.item) else table.new_zeros(*at.shape, table.shape[1])
        x = torch.where(inside[..., None], tokens, self.start)  # [rows, steps, d]
        if self.place is not None:
            x = x + self.place(steps)
        if len(batch.item):
            x = x + self.gap(batch.gap[at].where(inside, 0))
        return self.out(self.encode(self.dropout(x))[batch.row, batch.column])

    def encode(self, x: Tensor) -> Tensor:
        """[rows, steps, d] -> [rows, steps, d], step t made of the steps up to t."""
        raise NotImplementedError


class GRU(_Sequence):
    """Gated recurrent units: Hidasi et al. 2016, "Session-based recommendations with recurrent neural networks"."""

    def __init__(self, sizes: Towers) -> None:
        super().__init__(sizes, places=True)
        dropout = sizes.dropout if sizes.layers > 1 else 0.0
        self.layers = nn.GRU(sizes.width, sizes.width, sizes.layers, batch_first=True, dropout=dropout)

    def encode(self, x: Tensor) -> Tensor:
        return self.dropout(self.layers(x)[0])


class Transformer(_Sequence):
    """Causal self-attention: Kang and McAuley 2018, "Self-Attentive Sequential Recommendation", pre-norm, `rotated`."""

    def __init__(self, sizes: Towers) -> None:
        super().__init__(sizes)
        self.layers = nn.ModuleList(_Block(sizes.width, sizes.heads, sizes.dropout) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.width)

    def encode(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class _Block(nn.Module):
    """x + attention(norm(x)), x + feed-forward(norm(x))."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, Dropout(dropout)
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        rows, steps, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(rows, steps, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [rows, heads, steps, width / heads]
        mixed = F.scaled_dot_product_attention(rotated(query), rotated(key), value, is_causal=True)
        x = x + self.dropout(self.mix(mixed.transpose(1, 2).reshape(rows, steps, width)))
        return x + self.dropout(self.feed(self.feed_norm(x)))


def rotated(x: Tensor) -> Tensor:
    """x [..., steps, d], each pair of columns turned by an angle that grows with the step, another one for each pair.

    The product of two rows then depends on how many steps they are apart, not on where they stand: Su et al. 2021,
    "RoFormer: enhanced transformer with rotary position embedding". If d is odd, the last column stays as it is.
    """
    steps, half = x.shape[-2], x.shape[-1] // 2
    speed = SLOWEST ** (torch.arange(half, dtype=torch.float64, device=x.device) / half)  # radians per step
    angle = torch.arange(steps, device=x.device)[:, None] * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    left, right, rest = x.split([half, half, x.shape[-1] - 2 * half], -1)
    return torch.cat([left * cos - right * sin, left * sin + right * cos, rest], -1)


HISTORIES: dict[str, type[nn.Module]] = {"bag": Bag, "gru": GRU, "transformer": Transformer}
