"""Candidates: what the targets of a batch are compared with, all items, a sample that stands for them, or a few.

`negatives` draws them.
"""

from retrieval.dssm.batches import Batch

import torch
import torch.nn.functional as F
from torch import Tensor

# With up to this many items per drawn one, multiplying by all items that occur is faster than gathering the vectors of
# the drawn ones.
DENSE = 64
CHUNK = 2**21  # scores in memory at once


def at_once(width: int) -> int:
    """Number of targets with `width` scores each that are in memory at once."""
    return max(1, CHUNK // width)


class Candidates:
    """What the targets of a batch are compared with: their vectors are those of `items` [n].

    prior: what each score contains besides left . right, as each target's row [B] of a table [days, n].
    """

    def __init__(self, batch: Batch, items: Tensor, prior: tuple[Tensor, Tensor] | None) -> None:
        self.batch, self.items, self.prior = batch, items, prior

    @property
    def width(self) -> int:
        """Number of scores per target."""
        return len(self.items)

    def parts(self) -> list[slice]:
        """Slices of the targets with at most CHUNK scores each."""
        targets, rows = len(self.batch.target), at_once(self.width)
        return [slice(first, min(first + rows, targets)) for first in range(0, targets, rows)]

    def scores(self, left: Tensor, right: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """positive [B], negatives [B, N] and mask [B, N] of the targets in `part`.

        left [targets, e], right [n, e] of `items`.
        """
        raise NotImplementedError

    def seen(self, part: slice) -> tuple[Tensor, Tensor]:
        """Target in `part` and item of each seen pair, [pairs] each."""
        rows = self.batch.seen_row
        first, last = torch.searchsorted(rows, rows.new_tensor([part.start, part.stop])).tolist()
        return rows[first:last] - part.start, self.batch.seen_item[first:last]


class AllItems(Candidates):
    """A batch's targets against every other item."""

    def __init__(self, batch: Batch, count: int, prior: tuple[Tensor, Tensor] | None) -> None:
        super().__init__(batch, torch.arange(count, device=batch.target.device), prior)

    def scores(self, left: Tensor, right: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """As `Candidates.scores`; N is the number of items."""
        target = self.batch.target[part]
        scores = left[part] @ right.T
        own = torch.arange(len(target), device=target.device)
        mask = torch.ones(scores.shape, dtype=torch.bool, device=target.device)
        mask[own, target] = False
        mask[self.seen(part)] = False
        positive = (left[part] * right[target]).sum(1)
        if self.prior is not None:
            place, table = self.prior
            scores = scores + table.index_select(0, place[part])
            positive = positive + table[place[part], target]
        return positive, scores, mask

    def masked(self, left: Tensor, right: Tensor, part: slice, out: Tensor) -> Tensor:
        """Write the scores of the targets in `part` into `out` [B, items], without a gradient; an item that the user
        has watched gets -inf, the target never. Returns the targets' own scores [B, 1].
        """
        if self.prior is None:
            torch.mm(left[part], right.T, out=out)
        else:
            place, table = self.prior
            torch.index_select(table, 0, place[part], out=out).addmm_(left[part], right.T)
        target = self.batch.target[part, None]
        positive = out.gather(1, target)
        out[self.seen(part)] = -float("inf")
        out.scatter_(1, target, positive)
        return positive


class SharedItems(AllItems):
    """A batch's targets against each other and `drawn` [m], items drawn uniformly without replacement: all share them.

    Each of these items stands for 1 / p items, where p is its probability to be among them, so its score is raised by
    -log p unless it is the target itself. The sum over them estimates the sum over the catalogue without bias, in time
    that does not grow with it: Horvitz and Thompson 1952, "A generalization of sampling without replacement from a
    finite universe". Only these items, the first `width` of `items`, and the tokens need vectors.

    targets [B'] are those of the whole batch, of which `batch` may be a part; frequency [count] is that of the items
    among all targets.
    """

    def __init__(
        self,
        batch: Batch,
        targets: Tensor,
        drawn: Tensor,
        frequency: Tensor,
        tied: bool,
        prior: tuple[Tensor, Tensor] | None,
    ) -> None:
        count, columns = len(frequency), torch.cat([targets, drawn]).unique()
        others = torch.ones(count, dtype=torch.bool, device=columns.device).index_fill_(0, columns, False)
        tokens = batch.item[others[batch.item]].unique() if tied else columns[:0]
        place = _places(torch.cat([columns, tokens]), count)
        absent = (1 - frequency[columns].double()) ** len(targets) * (1 - len(drawn) / count)
        self.raised = -torch.log1p(-absent).to(frequency.dtype)
        if prior is None:
            prior = torch.zeros_like(batch.target), self.raised[None]
        else:
            prior = prior[0], prior[1][:, columns] + self.raised
        batch = _placed(batch, place, len(columns), tied)
        Candidates.__init__(self, batch, torch.cat([columns, tokens]), prior)

    @property
    def width(self) -> int:
        """Number of scores per target."""
        return len(self.raised)

    def scores(self, left: Tensor, right: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """As `Candidates.scores`; N is `width`."""
        positive, negatives, mask = super().scores(left, right[: self.width], part)
        return positive - self.raised[self.batch.target[part]], negatives, mask

    def masked(self, left: Tensor, right: Tensor, part: slice, out: Tensor) -> Tensor:
        """As `AllItems.masked`, for `out` [B, width]."""
        target = self.batch.target[part, None]
        positive = super().masked(left, right[: self.width], part, out) - self.raised[target]
        out.scatter_(1, target, positive)
        return positive


class SampledItems(Candidates):
    """A batch's targets against sampled negatives; only the items that occur need vectors.

    drawn [B, N] or [N] that all targets share; expected: log(N q) of them, by which their scores are lowered, or None.
    `tied`: the batch's tokens need vectors, too.
    """

    def __init__(
        self,
        batch: Batch,
        count: int,
        drawn: Tensor,
        expected: Tensor | None,
        tied: bool,
        prior: tuple[Tensor, Tensor] | None,
    ) -> None:
        items = torch.cat([batch.target, drawn.flatten(), *([batch.item] if tied else [])]).unique()  # [n]
        place = _places(items, count)
        batch = _placed(batch, place, len(items), tied)
        super().__init__(batch, items, None if prior is None else (prior[0], prior[1][:, items]))
        self.drawn, self.expected = place[drawn], expected
        self.dense = drawn.ndim == 1 or len(items) <= DENSE * drawn.shape[1]

    @property
    def width(self) -> int:
        """Number of scores per target."""
        return len(self.items) if self.dense else self.drawn.shape[1]

    def scores(self, left: Tensor, right: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """As `Candidates.scores`; negatives are lowered by log(N q) if there is `expected`."""
        target, drawn = self.batch.target[part], self.drawn if self.drawn.ndim == 1 else self.drawn[part]
        positive = (left[part] * right[target]).sum(1)
        if self.dense:
            negatives = _columns(left[part] @ right.T, drawn)
        else:
            negatives = torch.einsum("be,bne->bn", left[part], F.embedding(drawn, right))
        if self.prior is not None:
            place, table = self.prior
            positive = positive + table[place[part], target]
            negatives = negatives + table[place[part][:, None], drawn]
        if self.expected is not None:
            negatives = negatives - (self.expected if drawn.ndim == 1 else self.expected[part])
        return positive, negatives, self._mask(target, drawn, part)

    def _mask(self, target: Tensor, drawn: Tensor, part: slice) -> Tensor:
        row, item = self.seen(part)
        own = torch.arange(len(target), device=target.device)
        if self.dense:
            mask = torch.ones((len(target), len(self.items)), dtype=torch.bool, device=target.device)
            mask[own, target] = mask[row, item] = False
            return _columns(mask, drawn)
        count = len(self.items)
        return (drawn != target[:, None]) & ~torch.isin(own[:, None] * count + drawn, row * count + item)


def _columns(values: Tensor, columns: Tensor) -> Tensor:
    """The values [B, n] in the columns [N], the same for every row, or [B, N]."""
    return values[:, columns] if columns.ndim == 1 else values.gather(1, columns)


def _places(items: Tensor, count: int) -> Tensor:
    """[count]: the place of each item of the catalogue in `items` [n], -1 for those that are not there."""
    place = torch.full((count,), -1, device=items.device)
    place[items] = torch.arange(len(items), device=items.device)
    return place


def _placed(batch: Batch, place: Tensor, width: int, tied: bool) -> Batch:
    """The batch with places instead of items, and of the seen pairs those whose items are among the first `width`."""
    seen = place[batch.seen_item]
    among = (seen >= 0) & (seen < width)
    return batch._replace(
        target=place[batch.target],
        item=place[batch.item] if tied else batch.item,
        seen_row=batch.seen_row[among],
        seen_item=seen[among],
    )
