"""One step of the optimiser: gradients of a batch, clipping, AdamW, the schedule of its rate, averaging of weights."""

import copy
import math
from collections.abc import Callable, Iterator

from retrieval.dssm.batches import Batch
from retrieval.dssm.model import DSSM
from retrieval.training.candidates import Candidates
from retrieval.training.losses import Loss
from retrieval.training.resolve import Train
from retrieval.training.workers import Workers

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_


class Step:
    """Learns from the candidates of a batch. `steps`: the maximum number of steps."""

    def __init__(self, model: DSSM, loss: Loss, options: Train, steps: int, workers: Workers) -> None:
        self.model, self.loss, self.options, self.workers = model, loss, options, workers
        self.parameters: list[Tensor] = list(model.parameters())
        self.optimizer = make_optimizer(model, options)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate(options, steps))
        self.average, self.dtype = Average(model, options.average), torch.get_default_dtype()
        towers = workers.together(model)
        self.towers = torch.compile(towers, dynamic=True) if options.compile else towers

    def __call__(self, candidates: Candidates, batch: Batch) -> float:
        """Take a step. Returns the mean loss before it; with several processes, this process's part of the mean."""
        share = self.workers.weight(len(candidates.batch.target) / len(batch.target), len(batch.user))
        self.optimizer.zero_grad()
        loss = share * backward(self.columns, candidates, self.loss, share * self.workers.count)
        clip_grad_norm_(self.parameters, self.options.clip)
        self.optimizer.step()
        self.schedule.step()
        self.average.follow(self.parameters)
        return loss

    def columns(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """left [targets, e] and right [items, e] in the precision of the weights; the towers compute in `precision`."""
        mixed = self.options.precision == "bfloat16"
        with torch.autocast(candidates.items.device.type, torch.bfloat16, enabled=mixed):
            left, right = self.towers(candidates.batch, candidates.items)
        return left.to(self.dtype), right.to(self.dtype)


class Average(nn.Module):
    """The model with a moving average of its weights, fast at first so that the start is soon forgotten.

    The decay of update t is (t - 1) / (t + 9), at most `decay`; without a decay there is no average.
    """

    updates: Tensor

    def __init__(self, model: DSSM, decay: float) -> None:
        super().__init__()
        self.module, self.decay = copy.deepcopy(model), decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.weights: list[Tensor] = list(self.module.parameters())

    @torch.no_grad()
    def follow(self, current: list[Tensor]) -> None:
        """Move one step towards the current weights."""
        if not self.decay:
            return
        self.updates += 1
        updates = self.updates.item()
        torch._foreach_lerp_(self.weights, current, 1 - min(self.decay, (updates - 1) / (updates + 9)))

    @torch.no_grad()
    def finish(self, model: nn.Module) -> None:
        """Copy the model's buffers, such as the statistics of BatchNorm; without a decay also its weights."""
        pairs = [*zip(self.module.buffers(), model.buffers(), strict=True)]
        pairs += [] if self.decay else zip(self.weights, model.parameters(), strict=True)
        for own, current in pairs:
            own.copy_(current)


def backward(
    columns: Callable[[Candidates], tuple[Tensor, Tensor]], candidates: Candidates, loss: Loss, weight: float = 1.0
) -> float:
    """The loss of a batch; `weight` times its gradient is added to that of the parameters.

    The towers run once. Scores are computed and differentiated part by part, so that memory is bounded for any batch
    and catalogue.
    """
    outputs = columns(candidates)
    left, right = (output.detach().requires_grad_() for output in outputs)
    total = 0.0
    for value in loss_parts(left, right, candidates, loss):
        (value * weight).backward()
        total += value.item()
    torch.autograd.backward(outputs, [left.grad, right.grad])
    return total


def loss_parts(left: Tensor, right: Tensor, candidates: Candidates, loss: Loss) -> Iterator[Tensor]:
    """Parts of the batch's mean loss; their sum is the loss."""
    if loss.fused is not None:
        yield loss.fused(left, right, candidates)
    else:
        for part in candidates.parts():
            yield loss(*candidates.scores(left, right, part)) * ((part.stop - part.start) / len(left))


def make_optimizer(model: DSSM, options: Train) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019), without decay of biases, norms and other vectors."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)


def rate(options: Train, steps: int) -> Callable[[int], float]:
    """The factor of the learning rate at each step: a linear rise, then constant, or half a cosine down to 0."""
    rise = max(1, options.warmup)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        if options.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))

    return factor
