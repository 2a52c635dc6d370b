"""A training that diverged says so: what it ends in is compared with a model that knows nothing.

Both have a loss on the same targets. Training lowers it, whatever the loss, the model and the data. A model that is
many times worse than an untrained one is refused; what is only suspicious is said, and stored in the card.
"""

import math
import sys
from collections.abc import Iterator, Sequence

from retrieval.errors import Problem

FLAG, REFUSE = 2.0, 10.0  # times the loss of an untrained model
RISE = 0.5  # of the loss of an untrained model, from the best epoch to the last one
FLOOR = 0.01  # a loss below it is as good as this one
ENOUGH = 100  # targets; the losses of fewer are too noisy to suspect anything
LARGE, HUGE = 1e3, 1e6  # weights; usual ones are below 30


def check_epoch(epoch: int, loss: float, learning_rate: str) -> None:
    """Raise `Problem` if the loss is not finite. `learning_rate`: the name and the value of the parameter."""
    if not math.isfinite(loss):
        raise Problem(f"the loss of epoch {epoch} is {loss}: the training diverged; lower {learning_rate}")


def check_start(loss: float) -> None:
    """Raise `Problem` if the loss of the untrained model is not finite."""
    if not math.isfinite(loss):
        raise Problem(
            f"the loss before the first step is {loss}: scores or their loss are too large; "
            "check towers.temperature, trend.slope, losses.*"
        )


def verdict(
    loss: float, untrained: float, targets: int, learning_rate: str, largest: float, curve: Sequence[float] = ()
) -> list[str]:
    """What is suspicious about a trained model, in one line each. Raises `Problem` if it diverged.

    loss, untrained: of the trained and of an untrained model, on the same `targets`, so many. largest: its largest
    weight. curve: the loss of every epoch.
    """
    untrained = max(untrained, FLOOR)
    if not loss <= REFUSE * untrained:
        raise Problem(f"the training diverged: {_worse(loss, untrained)}; lower {learning_rate}")
    if not largest <= HUGE:
        raise Problem(f"the training diverged: its largest weight is {largest:.3g}; lower {learning_rate}")
    found = _suspicions(loss, untrained, largest, curve) if targets >= ENOUGH else ()
    return [f"{line}; {learning_rate} may be too high" for line in found]


def flagged(stage: str, warnings: Sequence[str]) -> dict[str, list[str]]:
    """Print the warnings of a stage; returns what they add to the model's card, nothing without any."""
    for line in warnings:
        print(f"{stage}: warning: {line}", file=sys.stderr)
    return {"warnings": list(warnings)} if warnings else {}


def _suspicions(loss: float, untrained: float, largest: float, curve: Sequence[float]) -> Iterator[str]:
    if loss > FLAG * untrained:
        yield _worse(loss, untrained)
    if largest > LARGE:
        yield f"the largest weight is {largest:.3g}"
    if curve and curve[-1] - min(curve) > RISE * untrained:
        best = min(range(len(curve)), key=curve.__getitem__)
        yield f"the loss rose from {curve[best]:.4g} in epoch {best + 1} to {curve[-1]:.4g} in epoch {len(curve)}"


def _worse(loss: float, untrained: float) -> str:
    return f"the loss of the trained model is {loss:.4g}, that of an untrained one {untrained:.4g}"
