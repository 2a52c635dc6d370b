"""Negatives: the items that a positive is compared with, drawn from the catalogue or all of it."""

from collections.abc import Callable
from typing import Annotated

from retrieval.dssm.batches import Batch
from retrieval.dssm.trend import Prior
from retrieval.params import Positive, Section, one_of
from retrieval.training.losses import Loss

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# Up to so many items a drawn one, a product with all items that occur, of which the drawn are picked, is quicker than
# gathering the vectors of the drawn.
DENSE = 64

# A sampler takes the targets [B], the items' frequency among targets [items], how many to draw, and a generator. It
# gives items [B, N], or [N] that all targets share, and log(N q) of each: q is its probability in one draw, N q the
# number of times it is expected.
Sampler = Callable[[Tensor, Tensor, int, Generator], tuple[Tensor, Tensor]]


def uniform(targets: Tensor, frequency: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Every item alike, anew for each target, with replacement."""
    items = torch.randint(len(frequency), (len(targets), count), generator=generator)
    return items, torch.log(torch.full(items.shape, count / len(frequency)))


def popularity(targets: Tensor, frequency: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """By frequency^0.75, anew for each target, with replacement: Mikolov et al. 2013, "Distributed representations"."""
    weight = frequency.double() ** 0.75
    cumulative = (weight / weight.sum()).cumsum(0)
    draw = torch.rand((len(targets), count), generator=generator, dtype=torch.float64)
    items = torch.searchsorted(cumulative, draw).clamp(max=len(frequency) - 1)
    return items, (count * weight / weight.sum()).log().float()[items]


def in_batch(targets: Tensor, frequency: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """The other targets of the batch, shared: by frequency, and for nothing. `count` does not matter."""
    return targets, (len(targets) * frequency).log()[targets]


def mixed(targets: Tensor, frequency: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """The targets of the batch and `count` items drawn uniformly, shared.

    Yang et al. 2020, "Mixed negative sampling for learning two-tower neural networks in recommendations".
    """
    drawn = torch.randint(len(frequency), (count,), generator=generator)
    items = torch.cat([targets, drawn])
    return items, (len(targets) * frequency + count / len(frequency)).log()[items]


SAMPLERS: dict[str, Sampler] = {"uniform": uniform, "popularity": popularity, "in-batch": in_batch, "mixed": mixed}


class Negatives(Section):
    """The negatives of losses that are given a sample: which sampler, and how many it draws.

    logq: lower a sampled score by log(N q) where the loss estimates a sum over the catalogue. exclude_seen: what the
    user has watched before is no negative, for any loss.
    """

    kind: Annotated[str, one_of(SAMPLERS)]
    count: Positive
    logq: bool
    exclude_seen: bool


class AllItems:
    """A batch's targets against every other item.

    prior: what each score contains besides left . right, as each target's place [B] in a table [days, items].
    """

    def __init__(self, batch: Batch, catalogue: int, prior: tuple[Tensor, Tensor] | None) -> None:
        self.batch, self.items, self.prior = batch, torch.arange(catalogue, device=batch.target.device), prior

    def __len__(self) -> int:
        """How many negatives a target has."""
        return len(self.items)

    def scores(self, left: Tensor, right: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """positive [B], negatives [B, N] and mask [B, N] of the targets in `part`.

        left [targets, e], right [items, e], of this comparison's `items`.
        """
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
        """Write scores of the targets in `part` into `out` [B, items], no gradient; returns the targets' own [B, 1].

        What a user has watched has -inf; the target itself never has.
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

    def seen(self, part: slice) -> tuple[Tensor, Tensor]:
        """Row in `part` and item of what the users of its targets have watched."""
        return _seen(self.batch, part)


class SampledItems:
    """A batch's targets against negatives that were drawn; only the items that occur need vectors."""

    def __init__(
        self,
        batch: Batch,
        catalogue: int,
        drawn: Tensor,
        expected: Tensor | None,
        tied: bool,
        prior: tuple[Tensor, Tensor] | None,
    ) -> None:
        self.items = torch.cat([batch.target, drawn.flatten(), *([batch.item] if tied else [])]).unique()
        place = torch.full((catalogue,), -1, device=drawn.device)
        place[self.items] = torch.arange(len(self.items), device=drawn.device)
        self.drawn, self.expected = place[drawn], expected
        self.dense = drawn.ndim == 1 or len(self.items) <= DENSE * drawn.shape[1]
        self.prior = None if prior is None else (prior[0], prior[1][:, self.items])
        occurs = place[batch.seen_item] >= 0
        self.batch = batch._replace(
            target=place[batch.target],
            item=place[batch.item] if tied else batch.item,
            seen_row=batch.seen_row[occurs],
            seen_item=place[batch.seen_item[occurs]],
        )

    def __len__(self) -> int:
        return len(self.items) if self.dense else self.drawn.shape[1]

    def scores(self, left: Tensor, right: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """As `AllItems.scores`; where the loss asks for it, negatives are lowered by log(N q)."""
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
        row, item = _seen(self.batch, part)
        own = torch.arange(len(target), device=target.device)
        if self.dense:
            mask = torch.ones((len(target), len(self.items)), dtype=torch.bool, device=target.device)
            mask[own, target] = mask[row, item] = False
            return _columns(mask, drawn)
        count = len(self.items)
        return (drawn != target[:, None]) & ~torch.isin(own[:, None] * count + drawn, row * count + item)


def _columns(values: Tensor, columns: Tensor) -> Tensor:
    """Of values [B, n] those in the columns [N], the same for every row, or [B, N]."""
    return values[:, columns] if columns.ndim == 1 else values.gather(1, columns)


def _seen(batch: Batch, part: slice) -> tuple[Tensor, Tensor]:
    """Row in `part` and item of what the users of its targets have watched."""
    first, last = torch.searchsorted(batch.seen_row, batch.seen_row.new_tensor([part.start, part.stop])).tolist()
    return batch.seen_row[first:last] - part.start, batch.seen_item[first:last]


def comparison(
    batch: Batch,
    loss: Loss,
    options: Negatives,
    frequency: Tensor,
    tied: bool,
    prior: Prior | None,
    generator: Generator,
    rows: Tensor | None = None,
) -> AllItems | SampledItems:
    """What the loss compares the batch's targets with, on the device of `frequency`. Drawn on the CPU, so that a seed
    means the same on every device. `tied`: the tokens' vectors are needed, too. `rows`: only these rows of the batch,
    ascending, against the negatives that are drawn for all of it."""
    device, count = frequency.device, len(frequency)
    part, targets = (batch, slice(None)) if rows is None else batch.rows(rows)
    known = None if prior is None else prior.at(part.time, device)
    if loss.catalogue:
        return AllItems(part.to(device), count, known)
    drawn, expected = SAMPLERS[options.kind](batch.target, frequency.cpu(), options.count, generator)
    if drawn.ndim == 2:
        drawn, expected = drawn[targets], expected[targets]
    correction = expected.to(device) if loss.corrected and options.logq else None
    return SampledItems(part.to(device), count, drawn.to(device), correction, tied, known)
