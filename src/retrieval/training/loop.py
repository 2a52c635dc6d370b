"""The training loop. It reads as the recipe: batch, candidates, step; after each epoch, validation."""

import copy
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from retrieval import divergence
from retrieval.dssm.batches import Batch, Batches
from retrieval.dssm.ensemble import Ensemble
from retrieval.dssm.model import DSSM
from retrieval.histories import Features
from retrieval.progress import Epochs, progress
from retrieval.training.candidates import AllItems, at_once
from retrieval.training.checkpoints import Checkpoint, of_member
from retrieval.training.losses import Loss, make
from retrieval.training.negatives import CandidateSampler
from retrieval.training.resolve import SHORTEST, VALIDATION_USERS, TrainDSSMParams, chance
from retrieval.training.step import Step, loss_parts
from retrieval.training.workers import Workers

import numpy as np
import torch
from torch import Generator, Tensor

SEED_STRIDE = 1_000_003  # between the first epochs of two seeds
SAMPLE = 1_000  # targets at least, by whose loss a trained model is compared with an untrained one
VALIDATED = 10_000  # held-out targets at most, by whose ranks epochs are compared
History = list[dict[str, float]]
Judge = Callable[[DSSM], float]  # how good a model is: more is better
M = TypeVar("M", DSSM, Ensemble)


class Trained(NamedTuple, Generic[M]):
    """A model, one line of history per epoch (of an ensemble's first member), and what is suspicious about the
    training."""

    model: M
    history: History
    warnings: list[str]


def fit(
    params: TrainDSSMParams,
    features: Features,
    checkpoint_path: Path | None = None,
    workers: Workers | None = None,
    live: Path | None = None,
    judge: Judge | None = None,
) -> Trained[Ensemble]:
    """Train the members of an ensemble by resolved parameters. Raises `Problem` if a training diverges.

    The members hold out the same items; the seed of the first is that of `params`, see `member_seed`. Their weights are
    float64 and on a grid: the same weights give the same two matrices on every machine. `checkpoint_path`: where the
    state after each epoch is saved, and resumed from. Every epoch draws from generators of its own, seeded with the
    seed and the epoch's number. `live`: where the history is written after each epoch. `judge`: the validation, if
    `train.patience` asks for one; None: that of held-out items, see `validate`.
    """
    workers, count = workers or Workers(), params.towers.ensemble
    make_deterministic(workers.device)
    trained = list[Trained[DSSM]]()
    for number in range(count):
        if number and workers.first:
            print(f"train_dssm: member {number + 1} of {count}", file=sys.stderr)
        path = None if checkpoint_path is None else of_member(checkpoint_path, number)
        with default_dtype(torch.float64 if params.train.precision == "float64" else torch.float32):
            trained.append(_train(params, features, member_seed(params.seed, number), path, workers, live, judge))
    warnings = [line for member in trained for line in member.warnings]
    return Trained(Ensemble([member.model for member in trained]), trained[0].history, warnings)


def member_seed(seed: int, number: int) -> int:
    """The seed of a member of an ensemble; that of the first is `seed` itself."""
    return int(np.random.default_rng((seed, number)).integers(2**32)) if number else seed


def _train(
    params: TrainDSSMParams,
    features: Features,
    seed: int,
    checkpoint_path: Path | None,
    workers: Workers,
    live: Path | None,
    judge: Judge | None,
) -> Trained[DSSM]:
    torch.manual_seed(seed)
    model = DSSM(features, params).to(workers.device)
    loss, options = make(params.loss, params.losses, model.count), params.train
    learning_rate = f"train.learning_rate={options.learning_rate}"
    batches, sampler = make_batches(params, features), make_sampler(params, features, model, loss)
    judge = judge or partial(validate, batches=batches)
    step = Step(model, loss, options, options.epochs * batches.steps(options.targets), workers)
    best = Best(model, options.patience)
    untrained, targets = sample_loss(model, loss, params, batches, sampler)
    divergence.check_start(untrained)
    modules = {"model": model, "average": step.average, "best": best.model}
    checkpoint = Checkpoint(checkpoint_path, modules, step.optimizer, step.schedule)
    history: History = checkpoint.resume()
    tell = Epochs(options.epochs, live, hidden=not workers.first)
    while len(history) < options.epochs and not best.is_stale(history):
        epoch = len(history) + 1
        generator = Generator().manual_seed(seed * SEED_STRIDE + epoch)
        torch.manual_seed(generator.initial_seed() + workers.rank)
        title = f"epoch {epoch}/{options.epochs}"
        history.append({"epoch": epoch, "loss": run_epoch(title, options.targets, batches, sampler, step, generator)})
        divergence.check_epoch(epoch, history[-1]["loss"], learning_rate)
        if options.patience:
            history[-1]["validation"] = workers.broadcast(judge(step.average.module))
            best.update(step.average.module, history)
        if workers.first:
            checkpoint.save(history)
        tell(history)
    model = best.model if options.patience else step.average.module
    now, _ = sample_loss(model, loss, params, batches, sampler)
    curve = [line["loss"] for line in history]
    warnings = divergence.verdict(now, untrained, targets, learning_rate, model.largest_weight(), curve)
    model.double().snap()
    return Trained(model, history, warnings)


@torch.no_grad()
def sample_loss(
    model: DSSM, loss: Loss, params: TrainDSSMParams, batches: Batches, sampler: CandidateSampler
) -> tuple[float, int]:
    """Mean loss of some of the targets that training learns from, the same for every model; and how many they are."""
    model.eval()
    total, count, generator = 0.0, 0, Generator().manual_seed(params.seed)
    for batch in batches.epoch(params.train.targets, generator):
        candidates = sampler(batch, generator)
        left, right = model(candidates.batch, candidates.items)
        total += len(batch.target) * sum(part.item() for part in loss_parts(left, right, candidates, loss))
        count += len(batch.target)
        if count >= SAMPLE:
            break
    return total / max(1, count), count


def run_epoch(
    title: str, targets: str, batches: Batches, sampler: CandidateSampler, step: Step, generator: Generator
) -> float:
    """Train for one epoch; returns the mean loss per target. The average of the weights is up to date afterwards."""
    workers, total, count = step.workers, 0.0, 0
    step.model.train()
    with progress(title, batches.steps(targets), "steps", hidden=not workers.first) as advance:
        for batch in batches.epoch(targets, generator):
            candidates = sampler(batch, generator, workers.share(len(batch.user)))
            total += len(batch.target) * step(candidates, batch)
            count += len(batch.target)
            advance(1, f"loss={total / count:.4f}")
    workers.synchronize(step.model)
    step.average.finish(step.model)
    return workers.total(total) / max(1, count)


class Best:
    """The model of the epoch with the highest validation, the first of equals."""

    def __init__(self, model: DSSM, patience: int) -> None:
        self.model, self.patience = copy.deepcopy(model), patience

    def update(self, model: DSSM, history: History) -> None:
        """Take over the model if the last epoch is the best."""
        if best_epoch(history) == history[-1]["epoch"]:
            self.model.load_state_dict(model.state_dict())

    def is_stale(self, history: History) -> bool:
        """Whether `patience` epochs went by without a better one; never without patience."""
        return bool(self.patience and history) and len(history) - best_epoch(history) >= self.patience


def best_epoch(history: History) -> int:
    """The number of the epoch with the highest validation, the first of equals."""
    return int(max(history, key=lambda line: line["validation"])["epoch"])


@torch.no_grad()
def validate(model: DSSM, batches: Batches) -> float:
    """Mean reciprocal rank of the held-out targets among the items that their users have not watched."""
    vectors, ranks = model.vectors(), []
    buffer = vectors.new_empty(at_once(model.count), model.count)  # new ones would pile up in malloc
    for candidates, left, right in held_out(model, vectors, batches.validation(VALIDATED)):
        for part in candidates.parts():
            scores = buffer[: part.stop - part.start]
            positive = candidates.masked(left, right, part, scores)
            lower = scores.lt_(positive).sum(1)  # in place, as 0 and 1; a NaN is lower than nothing
            ranks.append(model.count - lower)
    return (1 / torch.cat(ranks)).mean().item()


def held_out(
    model: DSSM | Ensemble, vectors: Tensor, validation: Iterable[Batch]
) -> Iterator[tuple[AllItems, Tensor, Tensor]]:
    """For each batch of held-out targets its candidates, left [targets, e], and right [items, e] of all items.

    vectors: those of all items.
    """
    right = model.right(vectors)
    for batch in validation:
        prior = None if model.prior is None else model.prior.at(batch.time, model.device)
        candidates = AllItems(batch.to(model.device), model.count, prior)
        yield candidates, model.left(candidates.batch, vectors), right


def make_batches(params: TrainDSSMParams, features: Features) -> Batches:
    """Batches of the histories; the last items of some users are held out if early stopping or a weight needs them.

    Of the users with SHORTEST items or more, these are the share `holdout`. To choose the weights of popularity,
    co-occurrence or repeats there are at least VALIDATION_USERS, or half of the users if that is fewer.
    """
    histories, options = features.histories, params.train
    size = torch.from_numpy(np.diff(histories.indptr))
    holdout = torch.zeros(len(size), dtype=torch.bool)
    weights = params.cooccurrence.weight, params.towers.popularity
    weighed = "auto" in weights or features.spec["repeats"] == "keep"
    if options.patience or weighed:
        users = torch.where(size >= SHORTEST)[0]
        order = torch.randperm(len(users), generator=Generator().manual_seed(params.seed))
        least = min(VALIDATION_USERS, len(users) // 2) if weighed else 0
        holdout[users[order[: max(least, math.ceil(options.holdout * len(users)))]]] = True
    targets = chance(features, options.recency)
    return Batches(histories, params.towers.length, options.batch, holdout, targets, params.negatives.exclude_seen)


def make_sampler(params: TrainDSSMParams, features: Features, model: DSSM, loss: Loss) -> CandidateSampler:
    """Draws the candidates that the loss expects."""
    weights = chance(features, params.train.recency).numpy()
    weights = np.bincount(features.histories.item, weights, minlength=model.count)
    frequency = torch.from_numpy(weights / weights.sum()).to(model.device, torch.get_default_dtype())
    return CandidateSampler(
        params.negatives, frequency, loss.all_items, loss.corrected, tied=model.tied, prior=model.prior
    )


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make new tensors of this type; model, scores and draws of a training follow it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def make_deterministic(device: torch.device) -> None:
    """Sum in a fixed order, even where several threads add to one place, as in the gradient of x[index]."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA's products vary from run to run without it
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a check that costs time
