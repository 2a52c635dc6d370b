"""Losses over scores: each is a function of how far a positive is above its negatives.

One signature: loss(positive [B], negatives [B, N], mask [B, N]) -> scalar, the mean over the samples. A negative counts
where the mask is true. Scores come as they are ranked by, after temperature, logQ correction and the masking of
accidental hits (`dssm.scoring`, `negatives`). Options of a loss are keyword-only arguments without a default: keys of
`losses` in params.yaml, or `items`, the size of the catalogue.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

from retrieval.params import Section, Share
from retrieval.training import fused

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor


class Losses(Section):
    """Options of the losses. A loss gets those that it has an argument for."""

    margin: Annotated[float, Field(ge=0)]
    ccl_margin: Annotated[float, Field(ge=-1, le=1)]
    ccl_weight: Annotated[float, Field(gt=0)]
    gbce_t: Share


def triplet(positive: Tensor, negatives: Tensor, mask: Tensor, *, margin: float) -> Tensor:
    """mean over negatives of max(0, margin - s+ + s-); with s = -|u - v|^2 the notebook's loss.

    Schroff, Kalenichenko and Philbin 2015, "FaceNet", equation 2.
    """
    return _mean(F.relu(margin - positive[:, None] + negatives), mask)


def triplet_semihard(positive: Tensor, negatives: Tensor, mask: Tensor, *, margin: float) -> Tensor:
    """max(0, margin - s+ + s*), s* the highest negative score below s+, or the lowest of all if none is below.

    Schroff, Kalenichenko and Philbin 2015, "FaceNet", equation 4.
    """
    beyond = mask & (negatives < positive[:, None])
    hardest = negatives.masked_fill(~beyond, -float("inf")).amax(1)
    easiest = negatives.masked_fill(~mask, float("inf")).amin(1)
    chosen = hardest.where(beyond.any(1), easiest).where(mask.any(1), -float("inf"))
    return F.relu(margin - positive + chosen).mean()


def bpr(positive: Tensor, negatives: Tensor, mask: Tensor) -> Tensor:
    """mean over negatives of -log sigmoid(s+ - s-) = softplus(s- - s+).

    Rendle et al. 2009, "BPR: Bayesian Personalized Ranking from Implicit Feedback".
    """
    return _mean(F.softplus(negatives - positive[:, None]), mask)


def softmax(positive: Tensor, negatives: Tensor, mask: Tensor) -> Tensor:
    """-log(e^s+ / (e^s+ + sum over negatives of e^s-)): cross-entropy of the positive among all scored items.

    Over the whole catalogue as in Covington, Adams and Sargin 2016, or over a sample whose scores are corrected by
    -log q: Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item recommendations".
    """
    return F.softplus(_LogSumExp.apply(negatives, mask) - positive).mean()


def ccl(positive: Tensor, negatives: Tensor, mask: Tensor, *, ccl_margin: float, ccl_weight: float) -> Tensor:
    """(1 - s+) + weight x mean over negatives of max(0, s- - margin), for scores that are cosines.

    Mao et al. 2021, "SimpleX: A Simple and Strong Baseline for Collaborative Filtering", equation 1.
    """
    return (1 - positive).mean() + ccl_weight * _mean(F.relu(negatives - ccl_margin), mask)


def gbce(positive: Tensor, negatives: Tensor, mask: Tensor, *, gbce_t: float, items: int) -> Tensor:
    """-(beta log sigmoid(s+) + sum over negatives of log(1 - sigmoid(s-))) / (1 + number of negatives).

    `gbce_beta` undoes the overconfidence that sampling brings. Petrov and Macdonald 2023, "gSASRec: Reducing
    Overconfidence in Sequential Recommendation Trained with Negative Sampling", equation 9.
    """
    beta = gbce_beta(gbce_t, negatives.shape[1], items)
    others = F.softplus(negatives).where(mask, 0).sum(1)
    return ((beta * F.softplus(-positive) + others) / (1 + mask.sum(1))).mean()


def gbce_beta(t: float, negatives: int, items: int) -> float:
    """beta = a (t (1 - 1/a) + 1/a) with a = negatives / (items - 1), the sampled share of the catalogue, at most 1.

    t = 0 leaves the cross-entropy as it is (beta 1), t = 1 calibrates the scores fully (beta a).
    """
    a = min(1.0, negatives / max(1, items - 1))
    return a * (t * (1 - 1 / a) + 1 / a)


@dataclass(frozen=True)
class Loss:
    """A loss function and what it expects of the scores.

    score: the score function for score=auto. margin: the loss compares scores with a fixed margin, so they must keep
    their scale: no temperature, bias or trend. all_items: the negatives are all other items, or those of a batch that
    stand for them (`candidates.SharedItems`). corrected: the loss estimates a sum over the catalogue, so that sampled
    scores are lowered by log(N q). fused: the same loss as a function (left, right, candidates) with the options of
    `function`, for all_items.
    """

    function: Callable[..., Tensor]
    score: str = "dot"
    margin: bool = False
    all_items: bool = False
    corrected: bool = False
    fused: Callable[..., Tensor] | None = None

    def __call__(self, positive: Tensor, negatives: Tensor, mask: Tensor) -> Tensor:
        return self.function(positive, negatives, mask)


LOSSES: dict[str, Loss] = {
    "triplet": Loss(triplet, score="euclid", margin=True),
    "triplet_semihard": Loss(triplet_semihard, score="euclid", margin=True),
    "bpr": Loss(bpr),
    "softmax": Loss(softmax, all_items=True, fused=fused.softmax),
    "sampled_softmax": Loss(softmax, corrected=True),
    "ccl": Loss(ccl, score="cosine", margin=True),
    "gbce": Loss(gbce),
}


def make(name: str, options: Losses, items: int) -> Loss:
    """The loss of that name with its options bound, for a catalogue of `items`."""
    loss = LOSSES[name]
    arguments = inspect.signature(loss.function).parameters
    bound = {key: value for key, value in {**options.model_dump(), "items": items}.items() if key in arguments}
    fast = loss.fused and partial(loss.fused, **bound)
    return replace(loss, function=partial(loss.function, **bound), fused=fast)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the samples of each sample's mean where the mask is true; 0 for a sample without negatives."""
    return (values.where(mask, 0).sum(1) / mask.sum(1).clamp(min=1)).mean()


class _LogSumExp(torch.autograd.Function):
    """log of the sum of e^s over the scores where the mask is true, [B, N] to [B]; -inf where it is nowhere true.

    The same as masked_fill and logsumexp, in a third of the passes over the scores.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor) -> Tensor:
        scores = scores.masked_fill(~mask, -float("inf"))
        highest = scores.amax(1)
        scores[highest.isinf()] = 0  # the mask is nowhere true: the result is -inf, its gradient 0
        share = torch.softmax(scores, 1)
        ctx.save_for_backward(share)
        return highest - share.amax(1).log()

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        (share,) = ctx.saved_tensors
        return share * gradient[0][:, None], None
