"""Negatives: the items that a positive is compared with, a sample of the catalogue or all of it."""

from collections.abc import Callable
from typing import Annotated

from retrieval.dssm.batches import Batch
from retrieval.dssm.trend import Prior
from retrieval.params import AUTO, NotNegative, Positive, Section, one_of
from retrieval.training.candidates import AllItems, Candidates, SampledItems, SharedItems

import torch
from torch import Generator, Tensor

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
    user has watched before are no negatives, for any loss. shared: of loss=softmax, the items drawn per batch, see
    `SharedItems`; 0: all items.
    """

    kind: Annotated[str, one_of(SAMPLERS)]
    count: Positive
    logq: bool
    exclude_seen: Annotated[bool, AUTO]
    shared: Annotated[NotNegative, AUTO]


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
