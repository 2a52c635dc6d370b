"""The parameters of a training, and `resolve`: every `auto` and every rule about combinations, before training."""

import math
import sys
from typing import Annotated, Any, Literal

from retrieval.cooccurrence import Cooccurrence
from retrieval.dssm.model import Options
from retrieval.histories import Features
from retrieval.params import AUTO, NotNegative, Positive, Section, Seed, one_of, validate
from retrieval.training.losses import LOSSES, Losses
from retrieval.training.negatives import Negatives

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

BATCHES = (4096, 2048, 1024, 512, 256)  # targets per step
STEPS_PER_EPOCH = 24  # fewest, for batch=auto
STEPS = 6_000  # for epochs=auto, where there is validation
EPOCHS = 24  # for epochs=auto, where there is none
FEWEST_EPOCHS, MOST_EPOCHS = 4, 100  # for epochs=auto, where there is validation
WARMUP, WARMUP_STEPS = 0.05, 30  # for warmup=auto: share of all steps, or where the last days are the test steps
VALIDATION_USERS = 500  # fewest that tell epochs apart
PATIENCE_EPOCHS, PATIENCE_STEPS = 6, 500  # fewest without a better validation, for patience=auto
HALF_LIFE = 60.0  # days, for recency=auto
RECENT_SHARE = 0.1  # of the interactions are targets of an epoch, at least, for recency=auto
EXACT = 10**12  # epochs x targets x items x width, at most, for precision=auto to be float64
WHOLE = 5 * 10**8  # targets per epoch x items, at most, for shared=auto to be 0: all items are quick to score
SHARED = 512  # items per batch, for shared=auto
SLOW, FAST = 0.003, 0.01  # for learning_rate=auto
USER_WEIGHT, MEAN_WEIGHT = 0.7, 0.4  # of a trend, unless a rehearsal clearly says otherwise
FEW_USERS_WEIGHT = 0.2  # in place of USER_WEIGHT where no users tell epochs apart: the towers overfit
ENSEMBLE_USERS = 5_000  # fewest, for ensemble=auto to be 2: with fewer, what the towers say counts little
SHORTEST = 3  # items of a user whose last one may be held out


class Train(Section):
    """How the towers are trained.

    targets: sequence (every item from those before it) or one (one item per user and epoch from the rest of the
    history, as in the notebook). batch: targets per step. learning_rate, weight_decay: of AdamW. warmup: the
    steps over which the learning rate rises, in a rehearsal and in the training that follows it; schedule: whether it
    falls after that. clip: largest norm of the gradient.
    average: largest decay of the moving average of the weights, which is the result; 0 for none. recency: days after
    which an interaction's chance to be a target has halved; 0 for none. holdout: share of the users whose last item is
    held out for validation, if there is any, see `loop.make_batches`. patience: epochs without a better
    validation after which training stops and goes back to the best; 0 for never. epochs: at most, see `rehearsal`, too.

    precision: float64 gives the same model on every processor and with any number of threads; float32 takes half the
    time, and its rounding acts like another seed; bfloat16 is float32 with the towers' products in bfloat16, for GPUs.
    compile: the towers by torch.compile, which takes minutes before the first step; also for GPUs.

    `auto` is resolved as follows.
    learning_rate: 0.01 if items that a batch shares stand for the catalogue, else 0.003. batch: 4,096, halved down to
    256 until an epoch has 24 steps, because small data need as many steps. weight_decay: 0.3 where the last days are
    the test, else 0.01: long training overfits past weeks. recency: 60 where the last days are the test, doubled until
    a tenth of the interactions are expected to be targets; else 0. patience: 6 epochs and at least 500 steps, if the
    holdout has 500 users, else 0. epochs: with patience as many as have 6,000 steps (4 to 100), else 24. warmup: a
    twentieth of all steps; 30 where the last days are the test, as few epochs may be best there. precision:
    float64 up to 10^12 products of epochs, targets, items and width, four times those of the default data; else, and on
    a GPU, float32.
    """

    targets: Literal["sequence", "one"]
    epochs: Annotated[Positive, AUTO]
    batch: Annotated[Positive, AUTO]
    learning_rate: Annotated[float, Field(gt=0), AUTO]
    weight_decay: Annotated[float, Field(ge=0), AUTO]
    warmup: Annotated[NotNegative, AUTO]
    schedule: Literal["constant", "cosine"]
    clip: Annotated[float, Field(gt=0)]
    average: Annotated[float, Field(ge=0, lt=1)]
    recency: Annotated[float, Field(ge=0), AUTO]
    holdout: Annotated[float, Field(ge=0, le=1)]
    patience: Annotated[NotNegative, AUTO]
    precision: Annotated[Literal["float64", "float32", "bfloat16"], AUTO]
    compile: bool


class TrainDSSMParams(Options):
    """What `train_dssm` reads of params.yaml."""

    loss: Annotated[str, one_of(LOSSES)]
    losses: Losses
    negatives: Negatives
    train: Train
    cooccurrence: Cooccurrence
    seed: Seed

    @model_validator(mode="after")
    def _combination(self) -> "TrainDSSMParams":
        loss, towers = LOSSES[self.loss], self.towers
        if loss.margin and self.score not in ("auto", loss.score) and not self.normalize:
            raise ValueError(
                f"loss={self.loss} with score={self.score} has no fixed scale for its margin: "
                f"expected score={loss.score}, or normalize=true"
            )
        if loss.margin and (
            self.trend.enabled is True or towers.bias is True or towers.temperature != 1 or towers.learn_temperature
        ):
            raise ValueError(
                f"loss={self.loss} has a margin, and its scores can have no trend, bias or temperature: expected "
                "trend.enabled and towers.bias auto or false, towers.temperature=1.0, towers.learn_temperature=false"
            )
        if self.trend.enabled is True and towers.bias is True:
            raise ValueError("a trend takes the place of the items' bias: expected towers.bias auto or false")
        return self


def resolve(params: TrainDSSMParams, features: Features, judges: int | None = None) -> TrainDSSMParams:
    """The parameters with a value for every `auto`, by the loss, the split and the size of the data. Prints them.

    judges: number of users by whom epochs are compared, where that is not by held-out items; then none are held out.
    Raises `Problem` where the data lead to a combination that is not possible.
    """
    loss, values, resolved = LOSSES[params.loss], params.model_dump(), dict[str, Any]()

    def settle(key: str, value: Any) -> Any:
        *sections, name = key.split(".")
        section = values[sections[0]] if sections else values
        if section[name] == "auto":
            section[name] = resolved[key] = value
        return section[name]

    if judges is None:
        judges = math.ceil(params.train.holdout * (np.diff(features.histories.indptr) >= SHORTEST).sum())
    else:
        values["train"]["holdout"] = 0.0
    settle("score", loss.score)
    settle("history", "bag" if features.by_days else "transformer")
    trend = settle("trend.enabled", has_trend(params, features))
    user_weight, mean_weight = trend_weights(judges)
    settle("trend.user_weight", user_weight)
    settle("trend.mean_weight", mean_weight)
    bias = settle("towers.bias", not trend and not loss.margin)
    settle("towers.ensemble", 2 if trend and len(features.user_ids) >= ENSEMBLE_USERS else 1)
    if features.by_days or not bias:
        settle("towers.popularity", 0.0)
    settle("train.weight_decay", 0.3 if features.by_days else 0.01)
    recency = settle("train.recency", _recency(features) if features.by_days else 0.0)
    targets = chance(features, recency).sum().item()
    large = loss.all_items and targets * len(features.item_ids) > WHOLE
    settle("negatives.exclude_seen", features.spec["repeats"] == "drop")
    shared = settle("negatives.shared", SHARED if large else 0)
    settle("train.learning_rate", FAST if shared else SLOW)
    enough = (size for size in BATCHES if math.ceil(targets / size) >= STEPS_PER_EPOCH)
    steps = targets / settle("train.batch", next(enough, BATCHES[-1]))
    patience = max(PATIENCE_EPOCHS, math.ceil(PATIENCE_STEPS / steps)) if judges >= VALIDATION_USERS else 0
    values["train"]["patience"] = settle("train.patience", patience) if judges else 0
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, math.ceil(STEPS / steps)))
    epochs = settle("train.epochs", epochs if values["train"]["patience"] else EPOCHS)
    settle("train.warmup", WARMUP_STEPS if features.by_days else round(WARMUP * epochs * math.ceil(steps)))
    exact = epochs * targets * len(features.item_ids) * params.towers.width <= EXACT and not torch.cuda.is_available()
    settle("train.precision", "float64" if exact else "float32")
    print("auto:", ", ".join(f"{key}={value}" for key, value in resolved.items()) or "none", file=sys.stderr)
    return validate(TrainDSSMParams, values)


def trend_weights(judges: int) -> tuple[float, float]:
    """The usual weights of the user and of the mean user beside a trend, see `rehearsal`."""
    return USER_WEIGHT if judges >= VALIDATION_USERS else FEW_USERS_WEIGHT, MEAN_WEIGHT


def has_trend(params: TrainDSSMParams, features: Features) -> bool:
    """Whether the scores contain a trend: for auto, where the last days are the test, unless the loss has a margin."""
    enabled = params.trend.enabled
    return features.by_days and not LOSSES[params.loss].margin if enabled == "auto" else bool(enabled)


def chance(features: Features, recency: float) -> Tensor:
    """Each interaction's chance [n] to be a target: 1 for the newest, half of it for every `recency` days before."""
    age = torch.from_numpy(features.age)
    return torch.exp2(-age / recency) if recency else torch.ones_like(age)


def _recency(features: Features) -> float:
    """HALF_LIFE, doubled until RECENT_SHARE of the interactions are expected to be targets."""
    days = HALF_LIFE
    while chance(features, days).mean() < RECENT_SHARE:
        days *= 2
    return days
