"""A rehearsal of the test: by the last days of train, how long to train, and how much towers count beside the trend.

With a trend the score of a trained model is

    user_weight x (what the towers say of this user) + mean_weight x (what they say of all users) + prior,

and co-occurrence is added to it. How much of what the towers say comes true in the days to come depends on the data: on
few interactions hardly any, on many nearly all. Held-out items of days that training has seen can't tell, since the
towers know how popular each item became in them; they can't tell how long to train either, as the longer the towers
train, the better they know these days. So a model is trained on all but the last days of train, as many as the test
has. These days choose the weights and say which epochs are best. The model itself is then trained on everything, for
about as many steps; of an ensemble only the first member rehearses. Source: "Time to split", RecSys 2025: of all ways
to validate, one by time predicts a test by time best.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

from retrieval.cooccurrence import factors
from retrieval.dssm.ensemble import Ensemble
from retrieval.dssm.model import DSSM
from retrieval.histories import DAY, Features, Histories
from retrieval.ranking import blank, top
from retrieval.training.loop import History, fit
from retrieval.training.resolve import TrainDSSMParams, has_trend, resolve, trend_weights
from retrieval.training.weighing import USERS, USUAL_WEIGHT, WEIGHTS, better
from retrieval.training.workers import Workers

import numpy as np
import scipy.sparse as sp

GRIDS = (0.1, 0.2, 0.4, 0.7, 1.0), (0.0, 0.2, 0.4, 0.7, 1.0), WEIGHTS  # some of the user always: lists stay personal
REHEARSED = 2 * 10**10  # interactions x items, at most: of more, a sample of the users rehearses
FEWEST = 50  # users that tell weights apart
NEAR = 0.99  # of the best validation: which of such epochs is the best is mostly chance
MEAN_OF = 20_000  # users, at most, whose mean is the mean user
BLOCK = 256  # users at a time
K = 10  # items per list
Weights = tuple[float, float, float]  # of the user, of the mean user, of co-occurrence


def rehearse(
    params: TrainDSSMParams,
    features: Features,
    checkpoint_path: Path | None = None,
    workers: Workers | None = None,
    live: Path | None = None,
) -> TrainDSSMParams:
    """The parameters with values for `trend.user_weight`, `trend.mean_weight` and `cooccurrence.weight` where auto, and
    for `train.epochs`.

    The weights are those with the highest mean average precision at 10 over the users with items in both parts, unless
    the usual ones are nearly as good, see `better`. `train.epochs` has about as many steps as the rehearsal up to the
    `middle_of_best` of its epochs, by the usual weights. `train` stays as it is if the users are too few to tell epochs
    apart, see `resolve`. All parameters stay as they are without a trend or a split by days, if both weights of the
    trend have values, and with fewer than FEWEST users. `params` are not resolved yet: the rehearsal resolves them by
    its own data.
    """
    asked = params.trend.user_weight, params.trend.mean_weight, params.cooccurrence.weight
    if "auto" not in asked[:2] or not features.by_days or not has_trend(params, features):
        return params
    before, later = one_period_earlier(features, params.seed)
    users = np.flatnonzero(np.diff(later.indptr))
    if len(users) < FEWEST:
        print(f"train_dssm: no rehearsal, as {len(users)} users are too few", file=sys.stderr)
        return params
    print(f"train_dssm: rehearsal, on all but the last {features.spec['days']} days of train", file=sys.stderr)
    options = [grid if value == "auto" else (value,) for value, grid in zip(asked, GRIDS, strict=True)]
    usually = *trend_weights(len(users)), USUAL_WEIGHT
    user, mean, pairs = (other if value == "auto" else value for value, other in zip(asked, usually, strict=True))
    usual, test = (user, mean, pairs), Later(before, later, params)

    def judge(model: DSSM) -> float:
        return float(test.precision(test.terms(Ensemble([model])), [usual]).mean())

    one = params.model_copy(update={"towers": params.towers.model_copy(update={"ensemble": 1})})
    own = resolve(_weighted(one, (1.0, 1.0, 0.0)), before, judges=len(users))
    model, history, _ = fit(own, before, checkpoint_path, workers, live, judge)
    terms = test.terms(model)
    both = [(each, other, pairs) for each, other in product(*options[:2])]
    user, mean, _ = test.best(terms, both, usual)
    weights = test.best(terms, [(user, mean, each) for each in options[2]], (user, mean, pairs))
    if own.train.patience:
        share = len(before.histories.item) / len(features.histories.item)  # an epoch of all has as many more steps
        params = _stopped(params, own, max(1, round(middle_of_best(history) * share)))
    return _weighted(params, weights)


def resolve_by_rehearsal(
    params: TrainDSSMParams,
    features: Features,
    checkpoint_path: Path | None = None,
    workers: Workers | None = None,
    live: Path | None = None,
) -> TrainDSSMParams:
    """The parameters of a training, resolved: the weights by `rehearse`, the rest by `resolve`."""
    return resolve(rehearse(params, features, checkpoint_path, workers, live), features)


def one_period_earlier(features: Features, seed: int) -> tuple[Features, sp.csr_matrix]:
    """Train as it would be if the test began one test period earlier, and what its users watched in that period.

    The latter is [users, items] of ones, without items that this earlier train does not know. Of more than REHEARSED
    interactions x items the users are a random sample.
    """
    h, moment = features.histories, features.spec["moment"] - features.spec["days"] * DAY
    shape = len(features.user_ids), len(features.item_ids)
    most = max(1, REHEARSED * shape[0] // (len(h.item) * shape[1]))
    drawn = np.random.default_rng(seed).permutation(shape[0]) < most
    old = h.time <= moment
    before, later = h.only(old & drawn[h.user]), h.only(~old).matrix(shape[1])
    users = np.flatnonzero(np.diff(before.indptr))
    items, place = np.unique(before.item, return_inverse=True)
    earlier = replace(
        features,
        histories=Histories(np.append(0, before.indptr[1:][users]), place.astype(np.int32), before.time, before.weight),
        users=features.users[users],
        items=features.items[items],
        user_ids=features.user_ids[users],
        item_ids=features.item_ids[items],
        spec={**features.spec, "moment": moment},
        disliked=None if features.disliked is None else features.disliked[users][:, items],
        ages=None,
    )
    return earlier, later[users][:, items]


def middle_of_best(history: History) -> float:
    """The mean number of the epochs whose validation is at least NEAR of the best."""
    validation = np.array([line["validation"] for line in history])
    return 1 + float(np.flatnonzero(validation >= NEAR * validation.max()).mean())


def _weighted(params: TrainDSSMParams, weights: Weights) -> TrainDSSMParams:
    user, mean, pairs = weights
    trend = params.trend.model_copy(update={"user_weight": user, "mean_weight": mean})
    cooccurrence = params.cooccurrence.model_copy(update={"weight": pairs})
    return params.model_copy(update={"trend": trend, "cooccurrence": cooccurrence})


def _stopped(params: TrainDSSMParams, own: TrainDSSMParams, epochs: int) -> TrainDSSMParams:
    """Train for exactly so many epochs, in the precision of the rehearsal: where that depends on the machine, so does
    the number of epochs."""
    print(f"train_dssm: train.epochs={epochs}", file=sys.stderr)
    changes = {"epochs": epochs, "patience": 0, "precision": own.train.precision}
    return params.model_copy(update={"train": params.train.model_copy(update=changes)})


class Terms(NamedTuple):
    """What the scores are made of: users [users, d], what the towers say of each one; mean [d], of the mean user; right
    [items, d]; prior [items]."""

    users: np.ndarray
    mean: np.ndarray
    right: np.ndarray
    prior: np.ndarray


class Later:
    """What users watched in `later`, and how good the lists of a model that is trained on `before` are by that."""

    def __init__(self, before: Features, later: sp.csr_matrix, params: TrainDSSMParams) -> None:
        users, rng = np.flatnonzero(np.diff(later.indptr)), np.random.default_rng(params.seed)
        self.users = users[rng.permutation(len(users)) < USERS]
        self.anyone = np.flatnonzero(rng.permutation(later.shape[0]) < MEAN_OF)
        self.histories, self.excluded, self.later = before.histories, before.excluded[self.users], later[self.users]
        read, self.basis = factors(before.seen, params.cooccurrence, params.seed)
        self.pairs = before.seen[self.users] @ read

    def terms(self, model: Ensemble) -> Terms:
        """The terms of the users' scores by a model whose trend has the weights 1 and 1."""
        encoded = np.union1d(self.users, self.anyone)
        left, right = (each.astype(np.float64) for each in model.matrices(self.histories, encoded))
        users, anyone = (left[np.searchsorted(encoded, each), :-1] for each in (self.users, self.anyone))
        return Terms(users, anyone.mean(axis=0), right[:, :-1], right[:, -1])

    def best(self, terms: Terms, options: Sequence[Weights], usual: Weights) -> Weights:
        """The best of the options, see `better`; says so."""
        values = self.precision(terms, options)
        best = better(values, options.index(usual))
        names = ("trend.user_weight", "trend.mean_weight", "cooccurrence.weight")
        found = ", ".join(f"{name}={value}" for name, value in zip(names, options[best], strict=True))
        was = values[options.index(usual)].mean()
        print(f"train_dssm: {found}: MAP@10 {values[best].mean():.4f}, usual weights {was:.4f}", file=sys.stderr)
        return options[best]

    def precision(self, terms: Terms, options: Sequence[Weights]) -> np.ndarray:
        """Average precision at K, [options, users]."""
        users, mean, right, prior = terms
        found, common = np.empty((len(options), len(users))), mean @ right.T
        scores = blank(BLOCK, len(right), K)
        for start in range(0, len(users), BLOCK):
            part = slice(start, start + BLOCK)
            own, pairs = (users[part] - mean) @ right.T, self.pairs[part] @ self.basis.T
            pairs /= np.maximum(pairs.std(axis=1, keepdims=True), np.finfo(float).tiny)
            excluded, later = self.excluded[part].nonzero(), self.later[part].toarray()
            for row, (user, mean_weight, weight) in zip(found, options, strict=True):
                total = user * own + mean_weight * common + prior
                total += weight * total.std(axis=1, keepdims=True) * pairs
                total[excluded] = -np.inf
                scores[: len(own), : len(right)] = total
                row[part] = _average_precision(top(scores[: len(own)], K)[0], later)
        return found


def _average_precision(lists: np.ndarray, later: np.ndarray) -> np.ndarray:
    """[n] of lists [n, K] of items, by the ones in `later` [n, items], of which each row has some."""
    padded = np.pad(later, ((0, 0), (0, K)))  # a list of fewer than K candidates ends in places behind the items
    hits = np.take_along_axis(padded, lists, axis=1)
    return (hits * hits.cumsum(axis=1) / np.arange(1, K + 1)).sum(axis=1) / later.sum(axis=1)
