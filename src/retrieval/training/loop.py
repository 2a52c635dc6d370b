"""Training: batches in, steps of the optimiser, a line an epoch out. Knows no loss and no tower by name."""

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from retrieval.dssm.batches import Batches
from retrieval.dssm.model import DSSM
from retrieval.histories import Features
from retrieval.params import AUTO, NotNegative, Positive, Section, Share
from retrieval.training.average import Average
from retrieval.training.checkpoints import Checkpoint
from retrieval.training.fused import FUSED
from retrieval.training.losses import Loss
from retrieval.training.negatives import AllItems, Negatives, SampledItems, comparison
from retrieval.training.workers import Workers

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

CHUNK = 2**21  # scores in memory at once
DAY = 24 * 60 * 60
STEPS = 24  # an epoch, at least, for batch=auto
ENOUGH = 0.1  # of the interactions are targets of an epoch, at least, for recency=auto
LEAST = 3  # items of a user whose last one may be held out
History = list[dict[str, float]]


class Train(Section):
    """How the towers are trained.

    targets: sequence (every item from those before it) or one (an item a user and epoch from all the rest of the
    history, as in the notebook). batch: targets a step. learning_rate, weight_decay: of AdamW; auto decay is 0.01 for
    leave-last and 0.3 where the last days are the test: what is learned of weeks past is the less true the longer it is
    trained. warmup: share of the steps over which the learning rate rises; schedule: whether it falls after that. clip:
    norm of the gradient at most. average: decay of the moving average of the weights, which is the result: it looks
    back over a tenth of the steps so far, with 0.999 over a thousand at most; 0 for none.
    recency: days after which an item's chance to be a target has halved; 0 for none; auto is 0 for leave-last and 60
    where the last days are the test, doubled until a tenth of the interactions are expected to be targets.
    holdout: share of the users whose last item is kept to validate on; patience: epochs without a better validation
    after which training stops and goes back to the best, 0 for never (and no item is kept). epochs: at most.

    precision: of the towers' products; scores and weights stay float32. compile: the towers by torch.compile, which
    takes minutes before the first step. Both are meant for GPUs: two cores are slower with either.

    auto batch: 4,096, or half of it, a quarter and so on down to 256, so that an epoch has 24 steps: a small data set
    needs as many as another. auto epochs and patience: validation takes about 500 users to tell epochs apart. Where the
    holdout has as many, training has 6,000 steps (4 to 100 epochs) and stops before that when 6 epochs that also have
    500 steps went by without a better one; with fewer it runs 24 epochs, on everything.
    """

    targets: Literal["sequence", "one"]
    epochs: Annotated[Positive, AUTO]
    batch: Annotated[Positive, AUTO]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0), AUTO]
    warmup: Share
    schedule: Literal["constant", "cosine"]
    clip: Annotated[float, Field(gt=0)]
    average: Annotated[float, Field(ge=0, lt=1)]
    recency: Annotated[float, Field(ge=0), AUTO]
    holdout: Annotated[float, Field(gt=0, lt=1)]
    patience: Annotated[NotNegative, AUTO]
    precision: Literal["float32", "bfloat16"]
    compile: bool

    def settled(self, features: Features) -> "Train":
        """These options with a number for every `auto`."""
        histories = features.histories
        recency = _recency(features) if self.recency == "auto" else self.recency
        days = features.spec["split"] == "days"
        decay = (0.3 if days else 0.01) if self.weight_decay == "auto" else self.weight_decay
        held = self.holdout * int((np.diff(histories.indptr) >= LEAST).sum())
        targets = _chance(features, recency).sum().item()
        smaller = (size for size in (4096, 2048, 1024, 512) if math.ceil(targets / size) >= STEPS)
        batch = next(smaller, 256) if self.batch == "auto" else self.batch
        steps = targets / batch
        patience = (max(6, math.ceil(500 / steps)) if held >= 500 else 0) if self.patience == "auto" else self.patience
        patience = patience if held else 0
        several = min(100, max(4, math.ceil(6_000 / steps)))
        epochs = (several if patience else 24) if self.epochs == "auto" else self.epochs
        settled = {"recency": recency, "weight_decay": decay, "patience": patience, "batch": batch, "epochs": epochs}
        return self.model_copy(update=settled)


def fit(
    model: DSSM,
    features: Features,
    loss: Loss,
    negatives: Negatives,
    options: Train,
    seed: int,
    kept: Path | None = None,
    workers: Workers | None = None,
) -> tuple[DSSM, History]:
    """Train; returns the model to use and the history, a line an epoch. `kept`: the checkpoint, to go on from.

    Every epoch draws from a generator of its own, made of the seed and the epoch's number, and dropout likewise.
    """
    _deterministic(model.device)
    workers = workers or Workers()
    options = options.settled(features)
    sampler = _sampler(features, model.length, negatives.exclude_seen, options, seed)
    frequency = _frequency(features).to(model.device)
    optimizer = _optimizer(model, options)
    steps = sampler.steps(options.targets)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(options, steps * options.epochs))
    parameters: list[Tensor] = list(model.parameters())
    average = Average(model, options.average)
    best = copy.deepcopy(model)
    modules = {"model": model, "average": average, "best": best}
    checkpoint = Checkpoint(kept, modules, optimizer, schedule) if kept else None
    history = checkpoint.resume() if checkpoint else History()
    towers = _computed(workers.together(model), options)
    for epoch in range(len(history) + 1, options.epochs + 1):
        if options.patience and history and len(history) - _best(history) >= options.patience:
            break
        generator = Generator().manual_seed(seed * 1_000_003 + epoch)
        torch.manual_seed(generator.initial_seed() + workers.rank)
        model.train()
        total, count = 0.0, 0
        batches, title = sampler.epoch(options.targets, generator), f"epoch {epoch}/{options.epochs}"
        for batch in (bar := tqdm(batches, title, steps, disable=None if workers.first else True)):
            optimizer.zero_grad()
            rows = workers.share(len(batch.user))
            compared = comparison(batch, loss, negatives, frequency, model.tied, model.prior, generator, rows)
            share = workers.weight(len(compared.batch.target) / len(batch.target), len(batch.user))
            total += len(batch.target) * share * backward(towers, compared, loss, share * workers.count)
            count += len(batch.target)
            clip_grad_norm_(parameters, options.clip)
            optimizer.step()
            schedule.step()
            average.follow(parameters)
            bar.set_postfix(loss=f"{total / count:.4f}", refresh=False)
        workers.agree(model)
        average.finish(model)
        history.append({"epoch": epoch, "loss": workers.total(total) / max(1, count)})
        if options.patience:
            history[-1]["validation"] = workers.agreed(validate(average.module, sampler))
            if _best(history) == epoch:
                best.load_state_dict(average.module.state_dict())
        if checkpoint and workers.first:
            checkpoint.save(history)
    return best if options.patience else average.module, history


def _computed(towers: nn.Module, options: Train) -> Callable[[AllItems | SampledItems], tuple[Tensor, Tensor]]:
    """The towers, computed as the options say; what comes out is float32."""
    call = torch.compile(towers, dynamic=True) if options.compile else towers

    def columns(compared: AllItems | SampledItems) -> tuple[Tensor, Tensor]:
        with torch.autocast(compared.items.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
            left, right = call(compared)
        return left.float(), right.float()

    return columns


def _best(history: History) -> int:
    """The epoch of the highest validation, the first of equals."""
    return int(max(history, key=lambda line: line["validation"])["epoch"])


def backward(
    model: Callable[[AllItems | SampledItems], tuple[Tensor, Tensor]],
    compared: AllItems | SampledItems,
    loss: Loss,
    weight: float = 1.0,
) -> float:
    """The loss of a batch; its gradient times `weight` is added to that of the parameters.

    The towers run once. Scores are made, compared and differentiated in chunks of at most CHUNK, so that memory stays
    bounded however large the batch and the catalogue are.
    """
    columns = model(compared)
    left, right = (column.detach().requires_grad_() for column in columns)
    total = 0.0
    for value in _values(left, right, compared, loss):
        (value * weight).backward()
        total += value.item()
    torch.autograd.backward(columns, [left.grad, right.grad])
    return total


def _values(left: Tensor, right: Tensor, compared: AllItems | SampledItems, loss: Loss) -> Iterator[Tensor]:
    """Parts of the batch's mean loss that add up to it."""
    if isinstance(compared, AllItems) and loss.function in FUSED:
        yield FUSED[loss.function](left, right, compared)
    else:
        for part in _parts(len(left), len(compared)):
            yield loss(*compared.scores(left, right, part)) * ((part.stop - part.start) / len(left))


@torch.no_grad()
def validate(model: DSSM, sampler: Batches) -> float:
    """Mean reciprocal rank of the held-out targets among the items that their users have not watched."""
    model.eval()
    items = torch.arange(model.count, device=model.device)
    vectors, ranks = model.items(items), []
    buffer = vectors.new_empty(max(1, CHUNK // model.count), model.count)  # freed ones would pile up
    for held in sampler.validation():
        known = None if model.prior is None else model.prior.at(held.time, model.device)
        compared = AllItems(held.to(model.device), model.count, known)
        left, right = model.columns(model.users(compared.batch, vectors), vectors, items)
        for part in _parts(len(left), len(compared)):
            scores = buffer[: part.stop - part.start]
            positive = compared.masked(left, right, part, scores)
            lower = scores.lt_(positive).sum(1)  # in place, as 0 and 1; a NaN is lower than nothing
            ranks.append(model.count - lower)
    return (1 / torch.cat(ranks)).mean().item()


def _parts(targets: int, negatives: int) -> list[slice]:
    """Slices of the targets with at most CHUNK scores each."""
    rows = max(1, CHUNK // negatives)
    return [slice(first, min(first + rows, targets)) for first in range(0, targets, rows)]


def _sampler(features: Features, length: int, exclude_seen: bool, options: Train, seed: int) -> Batches:
    histories = features.histories
    size = torch.from_numpy(np.diff(histories.indptr))
    held = torch.zeros(len(size), dtype=torch.bool)
    if options.patience:  # of users who keep something to be read
        users = torch.where(size >= LEAST)[0]
        chosen = torch.randperm(len(users), generator=Generator().manual_seed(seed))
        held[users[chosen[: math.ceil(options.holdout * len(users))]]] = True
    return Batches(histories, length, options.batch, held, _chance(features, options.recency), exclude_seen)


def _recency(features: Features) -> float:
    """Days, for recency=auto."""
    recency = 60.0 if features.spec["split"] == "days" else 0.0
    while recency and _chance(features, recency).mean() < ENOUGH:
        recency *= 2
    return recency


def _chance(features: Features, recency: float) -> Tensor:
    """[n] each interaction's chance to be a target: 1 for the newest."""
    time = torch.from_numpy(features.histories.time)
    age = (time.max() - time) / DAY
    return torch.exp2(-age / recency) if recency else torch.ones(len(age))


def _frequency(features: Features) -> Tensor:
    """[items] each item's share of the interactions."""
    counts = np.bincount(features.histories.item, minlength=len(features.item_ids))
    return torch.from_numpy(counts / counts.sum()).float()


def _deterministic(device: torch.device) -> None:
    """Sums in a fixed order, also where several threads add to one place, as in the gradient of x[index]."""
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a check that costs time


def _optimizer(model: DSSM, options: Train) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019); biases, norms and other vectors are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)


def _schedule(options: Train, steps: int) -> Callable[[int], float]:
    """Share of the learning rate at each step: a linear rise, then constant or half a cosine down to nothing."""
    rise = max(1, round(options.warmup * steps))

    def share(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        if options.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))

    return share
