"""The weights of popularity, co-occurrence and repeats beside the towers, by held-out items."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from retrieval.cooccurrence import Blended, blend, covariance, factors, spread
from retrieval.dssm.batches import Batches
from retrieval.dssm.ensemble import Ensemble
from retrieval.histories import Features, Histories
from retrieval.repeats import Repeats, counts
from retrieval.stage import rounded
from retrieval.training.candidates import at_once
from retrieval.training.loop import held_out, make_batches
from retrieval.training.resolve import TrainDSSMParams

import numpy as np
import scipy.sparse as sp
import torch

POPULARITY = (0.0, 0.15, 0.3, 0.6, 1.2, 2.4)
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4)
USUAL_WEIGHT = 0.1  # on nearly all data that we tried it is better than 0, see docs/results.md
USUAL = 0.0, USUAL_WEIGHT  # weights of popularity and of co-occurrence
LEAST = 0.05  # share of the usual validation: a smaller gain is mostly chance, see docs/results.md
CLEAR = 3.0  # standard errors: a larger gain is no chance, however small it is
GAINS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # of repeats, in spreads of the scores
HALF_LIVES = (0.0, 30.0, 10.0, 3.0)  # of repeats, in events; 0: all events count alike
USUAL_REPEATS = Repeats(4.0, 30.0)
SPREAD = 100_000  # users by whom it is measured, at most
USERS = 5_000  # that weights are compared on, at most
Weights = tuple[float, float]  # of popularity, of co-occurrence


@dataclass(frozen=True)
class Scored(Blended):
    """The matrices; where users come back to items also `own`, see `matrices`, and what it was made by."""

    repeats: Repeats | None = None
    own: sp.csr_matrix | None = None


def weigh(params: TrainDSSMParams, features: Features, model: Ensemble) -> TrainDSSMParams:
    """The parameters with values for `towers.popularity` and `cooccurrence.weight`.

    For auto they are those of POPULARITY and then of WEIGHTS with the highest validation, unless those of USUAL are
    nearly as good, see `better`. Validation is the mean reciprocal rank, as in training. The held-out items are left
    out of popularity and co-occurrence, as they are of the towers' training.
    """
    asked = params.towers.popularity, params.cooccurrence.weight
    if "auto" not in asked:
        return params
    popularity, weight = (usual if value == "auto" else value for value, usual in zip(asked, USUAL, strict=True))
    batches = make_batches(params, features)
    if len(batches.validation_users):
        held_out_items = _HeldOut(model, batches, features, params)
        if asked[0] == "auto":
            options = [(each, weight) for each in POPULARITY]
            popularity = held_out_items.best("towers.popularity", POPULARITY, options, USUAL[0])
        if asked[1] == "auto":
            options = [(popularity, each) for each in WEIGHTS]
            weight = held_out_items.best("cooccurrence.weight", WEIGHTS, options, USUAL[1])
    towers = params.towers.model_copy(update={"popularity": popularity})
    cooccurrence = params.cooccurrence.model_copy(update={"weight": weight})
    return params.model_copy(update={"towers": towers, "cooccurrence": cooccurrence})


def lately(histories: Histories, items: int) -> np.ndarray:
    """Recent popularity, [items] float64: log(1 + the item's interactions in the later half of the histories)."""
    time = histories.time
    late = histories.item[time >= np.median(time)] if len(time) else histories.item
    return np.log1p(np.bincount(late, minlength=items))


def better(values: np.ndarray, usual: int) -> int:
    """The option with the highest mean of values [options, users], or `usual` if that is nearly as good.

    To be chosen, an option must gain more than CLEAR standard errors over `usual`, or both more than one standard error
    and more than the share LEAST of the mean of `usual`.
    """
    gain = values - values[usual]
    best = int(gain.mean(axis=1).argmax())
    error = gain[best].std() / np.sqrt(gain.shape[1])
    enough = min(CLEAR * error, max(error, LEAST * values[usual].mean()))
    return best if gain[best].mean() > enough else usual


def blended(params: TrainDSSMParams, features: Features, model: Ensemble) -> tuple[TrainDSSMParams, Scored]:
    """The parameters with the weights, and the matrices of a trained model with popularity, co-occurrence and repeats.

    Popularity becomes part of the model's biases.
    """
    params = weigh(params, features, model)
    if params.towers.popularity:
        model.raise_biases(params.towers.popularity * lately(features.histories, model.count))
    repeats = _repeats(params, features, model) if features.spec["repeats"] == "keep" else None
    found = Scored(**vars(_exported(params, features.histories, model)))
    if repeats is None:
        return params, found
    repeats = replace(repeats, gain=rounded(repeats.gain * _spread(found)))
    return params, replace(found, repeats=repeats, own=repeats.own(features.histories, model.count))


def _exported(params: TrainDSSMParams, histories: Histories, model: Ensemble) -> Blended:
    """The two matrices of users with these histories."""
    left, right = model.matrices(histories)
    return blend(left, right, histories.matrix(model.count), params.cooccurrence, params.seed)


def _spread(found: Blended) -> float:
    """The mean over users, SPREAD at most, of the standard deviation of their scores over the items."""
    return float(spread(found.left[:: -(-len(found.left) // SPREAD)], covariance(found.right)).mean())


def _repeats(params: TrainDSSMParams, features: Features, model: Ensemble) -> Repeats | None:
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


class _HeldOut:
    """The items that validation users hold out, and how a model with popularity and co-occurrence ranks them."""

    def __init__(self, model: Ensemble, batches: Batches, features: Features, params: TrainDSSMParams) -> None:
        before = before_held_out(features, batches)
        self.model, self.batches, self.seen = model, batches, before.matrix(model.count)
        self.popularity = torch.from_numpy(lately(before, model.count)).to(model.device)
        read, basis = factors(self.seen, params.cooccurrence, params.seed)
        self.read, self.basis = read, torch.from_numpy(basis.T.copy()).to(model.device)

    def best(self, name: str, values: Sequence[float], options: Sequence[Weights], usual: float) -> float:
        """The one of `values` whose option is the best, see `better`; says so."""
        reciprocal = self.reciprocal_ranks(options)
        value = values[better(reciprocal, values.index(usual))]
        means = zip(reciprocal.mean(axis=1), values, strict=True)
        found = ", ".join(f"{mean:.4f} with {each}" for mean, each in means)
        print(f"train_dssm: {name}={value}: validation {found}", file=sys.stderr)
        return value

    @torch.no_grad()
    def reciprocal_ranks(self, options: Sequence[Weights]) -> np.ndarray:
        """[options, users], of the held-out items among the items that their users have not watched."""
        ranks = []
        for candidates, left, right in held_out(self.model, self.model.vectors(), self.batches.validation(USERS)):
            history = torch.from_numpy(self.seen[candidates.batch.user.cpu().numpy()] @ self.read).to(left.device)
            for part in candidates.parts():
                _, scores, mask = candidates.scores(left, right, part)
                target, pairs = candidates.batch.target[part, None], history[part] @ self.basis
                pairs /= pairs.std(1, keepdim=True).clamp(min=torch.finfo(pairs.dtype).tiny)
                lower = []
                for popularity, weight in options:
                    total = scores + popularity * self.popularity
                    total += weight * total.std(1, keepdim=True) * pairs
                    lower.append(((total >= total.gather(1, target)) & mask).sum(1))
                ranks.append(1 + torch.stack(lower))
        return (1 / torch.cat(ranks, 1)).cpu().numpy()
