"""Negatives: the items that a positive is compared with, a sample of the catalogue or all of it."""

from collections.abc import Callable
from typing import Annotated

from retrieval.dssm.batches import Batch
from retrieval.dssm.trend import Prior
from retrieval.params import AUTO, NotNegative, Positive, Section, one_of

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# With up to this many items per drawn one, multiplying by all items that occur is faster than gathering the vectors of
# the drawn ones.
DENSE = 64
CHUNK = 2**21  # scores in memory at once

# A sampler takes the targets [B], the items' frequency among targets [items], how many to draw, and a generator. It
# gives items [B, N], or [N] that all targets share, and log(N q) of each: q is its probability in one draw, N q its
# expected count.
Sampler = Callable[[Tensor, Tensor, int, Generator], tuple[Tensor, Tensor]]


def uniform(targets: Tensor, frequency: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """All items equally likely, drawn anew for each target, with replacement."""
    items = torch.randint(len(frequency), (len(targets), count), generator=generator)
    return items, torch.log(torch.full(items.shape, count / len(frequency), dtype=frequency.dtype))


def popularity(targets: Tensor, frequency: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """By frequency^0.75, drawn anew for each target, with replacement: Mikolov et al. 2013, "Distributed
    representations of words and phrases and their compositionality"."""
    weight = frequency.double() ** 0.75
    cumulative = (weight / weight.sum()).cumsum(0)
    draw = torch.rand((len(targets), count), generator=generator, dtype=torch.float64)
    items = torch.searchsorted(cumulative, draw).clamp(max=len(frequency) - 1)
    return items, (count * weight / weight.sum()).log().to(frequency.dtype)[items]


def in_batch(targets: Tensor, frequency: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """The other targets of the batch, shared by all: by frequency, at no cost. `count` is ignored."""
    return targets, (len(targets) * frequency).log()[targets]


def mixed(targets: Tensor, frequency: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """The targets of the batch and `count` items drawn uniformly, shared by all.

    Yang et al. 2020, "Mixed negative sampling for learning two-tower neural networks in recommendations".
    """
    drawn = torch.randint(len(frequency), (count,), generator=generator)
    items = torch.cat([targets, drawn])
    return items, (len(targets) * frequency + count / len(frequency)).log()[items]


SAMPLERS: dict[str, Sampler] = {"uniform": uniform, "popularity": popularity, "in-batch": in_batch, "mixed": mixed}


class Negatives(Section):
    """The sampler for losses that compare with a sample of the items, and how many it draws.

    logq: lower a sampled score by log(N q) if the loss estimates a sum over the catalogue. exclude_seen: items that the
    user has watched before are no negatives, for any loss. shared: of loss=softmax, see `SharedItems`; 0: all items.
    """

    kind: Annotated[str, one_of(SAMPLERS)]
    count: Positive
    logq: bool
    exclude_seen: bool
    shared: Annotated[NotNegative, AUTO]


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
        targets, rows = len(self.batch.target), max(1, CHUNK // self.width)
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
        place = torch.full((count,), -1, device=columns.device)
        place[columns] = torch.arange(len(columns), device=columns.device)
        tokens = batch.item[place[batch.item] < 0].unique() if tied else columns[:0]
        place[tokens] = len(columns) + torch.arange(len(tokens), device=columns.device)
        seen = place[batch.seen_item]
        among = (seen >= 0) & (seen < len(columns))
        absent = (1 - frequency[columns].double()) ** len(targets) * (1 - len(drawn) / count)
        self.raised = -torch.log1p(-absent).to(frequency.dtype)
        if prior is None:
            prior = torch.zeros_like(batch.target), self.raised[None]
        else:
            prior = prior[0], prior[1][:, columns] + self.raised
        batch = batch._replace(
            target=place[batch.target],
            item=place[batch.item] if tied else batch.item,
            seen_row=batch.seen_row[among],
            seen_item=seen[among],
        )
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
        place = torch.full((count,), -1, device=drawn.device)
        place[items] = torch.arange(len(items), device=drawn.device)
        occurs = place[batch.seen_item] >= 0
        batch = batch._replace(
            target=place[batch.target],
            item=place[batch.item] if tied else batch.item,
            seen_row=batch.seen_row[occurs],
            seen_item=place[batch.seen_item[occurs]],
        )
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


class CandidateSampler:
    """Draws what a loss compares a batch's targets with. `frequency` [items] is each item's share of the targets.

    Draws on the CPU, so that a seed means the same on every device; the candidates are on the device of `frequency`.
    all_items, corrected: what the loss expects. `tied`: tokens need the item tower's vectors.
    """

    def __init__(
        self, options: Negatives, frequency: Tensor, all_items: bool, corrected: bool, tied: bool, prior: Prior | None
    ) -> None:
        self.options, self.frequency, self.all_items, self.tied, self.prior = options, frequency, all_items, tied, prior
        self.corrected = corrected and options.logq

    def __call__(self, batch: Batch, generator: Generator, rows: Tensor | None = None) -> Candidates:
        """Candidates of the batch, or of some of its rows, ascending, with the negatives drawn for the whole batch."""
        device, count = self.frequency.device, len(self.frequency)
        part, targets = (batch, slice(None)) if rows is None else batch.rows(rows)
        prior = None if self.prior is None else self.prior.at(part.time, device)
        if self.all_items:
            if not self.options.shared:
                return AllItems(part.to(device), count, prior)
            shared = torch.randperm(count, generator=generator)[: self.options.shared].to(device)
            return SharedItems(part.to(device), batch.target.to(device), shared, self.frequency, self.tied, prior)
        sample = SAMPLERS[self.options.kind]
        drawn, expected = sample(batch.target, self.frequency.cpu(), self.options.count, generator)
        if drawn.ndim == 2:
            drawn, expected = drawn[targets], expected[targets]
        correction = expected.to(device) if self.corrected else None
        return SampledItems(part.to(device), count, drawn.to(device), correction, self.tied, prior)
