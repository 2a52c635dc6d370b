"""The weight of co-occurrence beside the towers, by held-out items."""

import sys

from retrieval.cooccurrence import Blended, blend, factors
from retrieval.dssm.batches import Batches
from retrieval.dssm.model import DSSM
from retrieval.histories import Features
from retrieval.training.loop import held_out, make_batches
from retrieval.training.resolve import TrainDSSMParams

import numpy as np
import scipy.sparse as sp
import torch

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4)
USUAL_WEIGHT = 0.1  # on nearly all data that we tried it is better than 0, see docs/results.md
USERS = 5_000  # that weights are compared on, at most


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


def blended(params: TrainDSSMParams, features: Features, model: DSSM) -> tuple[TrainDSSMParams, Blended]:
    """The parameters with the weight, and the two matrices of a trained model with co-occurrence."""
    params = weigh(params, features, model)
    left, right = model.matrices(features.histories)
    return params, blend(left, right, features.seen, params.cooccurrence, params.seed)


def _seen(features: Features, batches: Batches) -> sp.csr_matrix:
    """Who watched what, [users, items] float32 of ones, without the held-out items."""
    h, kept = features.histories, np.ones(len(features.histories.item), dtype=bool)
    kept[batches.last[batches.validation_users].numpy()] = False
    return h.only(kept).matrix(len(features.item_ids))


@torch.no_grad()
def _reciprocal_ranks(model: DSSM, batches: Batches, features: Features, params: TrainDSSMParams) -> np.ndarray:
    """[weights, users], of the held-out items among the items that their users have not watched."""
    seen = _seen(features, batches)
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
