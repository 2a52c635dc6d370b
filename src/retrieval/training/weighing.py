"""The weights of co-occurrence and of repeats beside the towers, by held-out items."""

import sys
from dataclasses import dataclass, replace
from itertools import product

from retrieval.cooccurrence import Blended, blend, covariance, factors, spread
from retrieval.dssm.batches import Batches
from retrieval.dssm.model import DSSM
from retrieval.histories import Features, Histories
from retrieval.repeats import Repeats, counts
from retrieval.stage import rounded
from retrieval.training.candidates import at_once
from retrieval.training.loop import held_out, make_batches
from retrieval.training.resolve import TrainDSSMParams

import numpy as np
import scipy.sparse as sp
import torch

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4)
USUAL_WEIGHT = 0.1  # on nearly all data that we tried it is better than 0, see docs/results.md
GAINS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # of repeats, in spreads of the scores
HALF_LIVES = (0.0, 30.0, 10.0, 3.0)  # of repeats, in events; 0: all events count alike
USUAL_REPEATS = Repeats(4.0, 30.0)
SPREAD = 100_000  # users by whom it is measured, at most
USERS = 5_000  # that weights are compared on, at most


@dataclass(frozen=True)
class Scored(Blended):
    """The matrices; where users come back to items also `own`, see `matrices`, and what it was made by."""

    repeats: Repeats | None = None
    own: sp.csr_matrix | None = None


def weigh(params: TrainDSSMParams, features: Features, model: DSSM) -> TrainDSSMParams:
    """The parameters with a value for `cooccurrence.weight`: for auto the one of WEIGHTS with the highest validation.

    Validation is the mean reciprocal rank, as in training; `better` compares with USUAL_WEIGHT. The held-out items are
    left out of the co-occurrence, as they are of the towers' training.
    """
    options, weight = params.cooccurrence, USUAL_WEIGHT
    if options.weight != "auto":
        return params
    batches = make_batches(params, features)
    if len(batches.validation_users):
        reciprocal = _reciprocal_ranks(model, batches, features, params)
        weight = WEIGHTS[better(reciprocal, WEIGHTS.index(USUAL_WEIGHT))]
        means = zip(reciprocal.mean(axis=1), WEIGHTS, strict=True)
        found = ", ".join(f"{mean:.4f} with {each}" for mean, each in means)
        print(f"train_dssm: cooccurrence.weight={weight}: validation {found}", file=sys.stderr)
    return params.model_copy(update={"cooccurrence": options.model_copy(update={"weight": weight})})


def better(values: np.ndarray, usual: int) -> int:
    """The option with the highest mean of values [options, users], if it gains more than a standard error over the
    option `usual`; otherwise `usual`."""
    gain = values - values[usual]
    best = int(gain.mean(axis=1).argmax())
    return best if gain[best].mean() > gain[best].std() / np.sqrt(gain.shape[1]) else usual


def blended(params: TrainDSSMParams, features: Features, model: DSSM) -> tuple[TrainDSSMParams, Scored]:
    """The parameters with the weight, and the matrices of a trained model with co-occurrence and repeats."""
    params = weigh(params, features, model)
    repeats = _repeats(params, features, model) if features.spec["repeats"] == "keep" else None
    found = Scored(**vars(_exported(params, features.histories, model)))
    if repeats is None:
        return params, found
    repeats = replace(repeats, gain=rounded(repeats.gain * _spread(found)))
    return params, replace(found, repeats=repeats, own=repeats.own(features.histories, model.count))


def _exported(params: TrainDSSMParams, histories: Histories, model: DSSM) -> Blended:
    """The two matrices of users with these histories."""
    left, right = model.matrices(histories)
    return blend(left, right, histories.matrix(model.count), params.cooccurrence, params.seed)


def _spread(found: Blended) -> float:
    """The mean over users, SPREAD at most, of the standard deviation of their scores over the items."""
    return float(spread(found.left[:: -(-len(found.left) // SPREAD)], covariance(found.right)).mean())


def _repeats(params: TrainDSSMParams, features: Features, model: DSSM) -> Repeats | None:
    """The half-life and the gain, in spreads of the scores, with the highest mean reciprocal rank of held-out items
    among all items; None if it is best without."""
    batches = make_batches(params, features)
    users = batches.validation_users[:: max(1, -(-len(batches.validation_users) // USERS))]
    if not len(users):
        return USUAL_REPEATS
    before, targets = before_held_out(features, batches), features.histories.item[batches.last[users].numpy()]
    options = [Repeats(gain, half_life) for half_life, gain in product(HALF_LIVES, GAINS)]
    values = _with_repeats(options, before, _exported(params, before, model), users.numpy(), targets)
    best, without = options[int(values.argmax())], values[options.index(Repeats(0.0, 0.0))]
    print(
        f"train_dssm: repeats: gain {best.gain} spreads, half-life {best.half_life or 'none'} events: validation "
        f"{values.max():.4f}, without {without:.4f}",
        file=sys.stderr,
    )
    return best if best.gain else None


def _with_repeats(
    options: list[Repeats], histories: Histories, found: Blended, users: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """The mean reciprocal rank of the targets [n] of users [n], [options]."""
    values, unit, count = np.zeros(len(options)), _spread(found), len(found.right)
    counted = {each: counts(histories, count, each)[users] for each in {option.half_life for option in options}}
    size = at_once(count)
    for start in range(0, len(users), size):
        part = slice(start, start + size)
        towers = found.left[users[part]].astype(np.float64) @ found.right.T.astype(np.float64)
        for place, each in enumerate(options):
            scores = towers + each.gain * unit * np.log1p(counted[each.half_life][part].toarray())
            target = np.take_along_axis(scores, targets[part, None].astype(np.int64), 1)
            values[place] += (1 / (scores >= target).sum(1)).sum() / len(users)
    return values


def before_held_out(features: Features, batches: Batches) -> Histories:
    """The histories without the held-out items."""
    h, kept = features.histories, np.ones(len(features.histories.item), dtype=bool)
    kept[batches.last[batches.validation_users].numpy()] = False
    return h.only(kept)


@torch.no_grad()
def _reciprocal_ranks(model: DSSM, batches: Batches, features: Features, params: TrainDSSMParams) -> np.ndarray:
    """[weights, users], of the held-out items among the items that their users have not watched."""
    seen = before_held_out(features, batches).matrix(model.count)
    read, basis = factors(seen, params.cooccurrence, params.seed)
    items, ranks = torch.from_numpy(basis.T.copy()).to(model.device), []
    for candidates, left, right in held_out(model, model.vectors(), batches.validation(USERS)):
        history = torch.from_numpy(seen[candidates.batch.user.cpu().numpy()] @ read).to(model.device)
        for part in candidates.parts():
            positive, scores, mask = candidates.scores(left, right, part)
            target, extra = candidates.batch.target[part, None], history[part] @ items
            scale = scores.std(1, keepdim=True) / extra.std(1, keepdim=True).clamp(min=torch.finfo(extra.dtype).tiny)
            extra *= scale
            own = extra.gather(1, target)
            lower = [((scores + w * extra >= positive[:, None] + w * own) & mask).sum(1) for w in WEIGHTS]
            ranks.append(1 + torch.stack(lower))
    return (1 / torch.cat(ranks, 1)).cpu().numpy()
