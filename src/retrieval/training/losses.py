"""Losses over scores: how far each positive stands above its negatives.

One signature: loss(positive [B], negatives [B, N], mask [B, N]) -> scalar, the mean over the samples. A negative counts
where the mask is true. Scores come as they are ranked by; temperature, logQ correction and accidental hits are settled
before (`scoring.py`, `negatives.py`). What a loss has to set are its keyword-only arguments, which params.yaml names
in `losses`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

from retrieval.params import Section, Share

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor


class Losses(Section):
    """What the losses have to set, each read by those losses that have an argument of that name."""

    margin: Annotated[float, Field(ge=0)]
    ccl_margin: Annotated[float, Field(ge=-1, le=1)]
    ccl_weight: Annotated[float, Field(gt=0)]
    gbce_t: Share


def triplet(positive: Tensor, negatives: Tensor, mask: Tensor, *, margin: float = 0.4) -> Tensor:
    """mean over negatives of max(0, margin - s+ + s-); with s = -|u - v|^2 the notebook's loss.

    Schroff, Kalenichenko and Philbin 2015, "FaceNet", equation 2.
    """
    return _mean(F.relu(margin - positive[:, None] + negatives), mask)


def triplet_semihard(positive: Tensor, negatives: Tensor, mask: Tensor, *, margin: float = 0.4) -> Tensor:
    """max(0, margin - s+ + s*), s* the highest negative score below s+; where there is none, the lowest of all.

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
    """-log(e^s+ / (e^s+ + sum over negatives of e^s-)): cross-entropy of the positive among all that are scored.

    Over the whole catalogue as in Covington, Adams and Sargin 2016, or over a sample of it whose scores are corrected
    by -log q: Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item recommendations".
    """
    return F.softplus(_LogSumExp.apply(negatives, mask) - positive).mean()


def ccl(
    positive: Tensor, negatives: Tensor, mask: Tensor, *, ccl_margin: float = 0.9, ccl_weight: float = 150.0
) -> Tensor:
    """(1 - s+) + weight x mean over negatives of max(0, s- - margin), for scores that are cosines.

    Mao et al. 2021, "SimpleX: A Simple and Strong Baseline for Collaborative Filtering", equation 1.
    """
    return (1 - positive).mean() + ccl_weight * _mean(F.relu(negatives - ccl_margin), mask)


def gbce(positive: Tensor, negatives: Tensor, mask: Tensor, *, beta: float = 1.0) -> Tensor:
    """-(beta log sigmoid(s+) + sum over negatives of log(1 - sigmoid(s-))) / (1 + number of negatives).

    `beta` undoes the over-confidence that sampling brings (`gbce_beta`). Petrov and Macdonald 2023, "gSASRec:
    Reducing Overconfidence in Sequential Recommendation Trained with Negative Sampling", equation 9.
    """
    others = F.softplus(negatives).where(mask, 0).sum(1)
    return ((beta * F.softplus(-positive) + others) / (1 + mask.sum(1))).mean()


def gbce_beta(t: float, negatives: int, items: int) -> float:
    """beta = a (t (1 - 1/a) + 1/a) with a = negatives / (items - 1), the share of negatives that is sampled.

    t = 0 leaves the cross-entropy as it is (beta 1), t = 1 calibrates the scores in full (beta a).
    """
    a = min(1.0, negatives / max(1, items - 1))
    return a * (t * (1 - 1 / a) + 1 / a)


@dataclass(frozen=True)
class Loss:
    """A loss function and what it wants of the scores.

    score: the score function that is meant by score=auto. margin: it compares scores with a fixed margin, so that they
    must keep their scale: no temperature and no bias is applied. catalogue: its negatives are all other items, not a
    sample. corrected: it estimates a sum over the catalogue, so that a sampled score is lowered by log(N q).
    """

    function: Callable[..., Tensor]
    score: str = "dot"
    margin: bool = False
    catalogue: bool = False
    corrected: bool = False

    def __call__(self, positive: Tensor, negatives: Tensor, mask: Tensor) -> Tensor:
        return self.function(positive, negatives, mask)


LOSSES: dict[str, Loss] = {
    "triplet": Loss(triplet, score="euclid", margin=True),
    "triplet_semihard": Loss(triplet_semihard, score="euclid", margin=True),
    "bpr": Loss(bpr),
    "softmax": Loss(softmax, catalogue=True),
    "sampled_softmax": Loss(softmax, corrected=True),
    "ccl": Loss(ccl, score="cosine", margin=True),
    "gbce": Loss(gbce),
}


def make(name: str, options: Losses, negatives: int, items: int) -> Loss:
    """The loss of that name with its options bound, for `negatives` a sample out of a catalogue of `items`."""
    loss = LOSSES[name]
    known = {**options.model_dump(), "beta": gbce_beta(options.gbce_t, negatives, items)}
    wanted = inspect.signature(loss.function).parameters
    options_of_it = {key: value for key, value in known.items() if key in wanted}
    return replace(loss, function=partial(loss.function, **options_of_it)) if options_of_it else loss


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the samples of each sample's mean over the negatives that count; 0 for a sample that has none."""
    return (values.where(mask, 0).sum(1) / mask.sum(1).clamp(min=1)).mean()


class _LogSumExp(torch.autograd.Function):
    """log of the sum of e^s over the scores that count, [B, N] to [B]; -inf where none does.

    As masked_fill and logsumexp, in a third of the passes over the scores, which is what a step over a whole catalogue
    spends its time on.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor) -> Tensor:
        scores = scores.masked_fill(~mask, -float("inf"))
        highest = scores.amax(1)
        scores[highest.isinf()] = 0  # nothing counts: the result is -inf, its gradient 0
        share = torch.softmax(scores, 1)
        ctx.save_for_backward(share)
        return highest - share.amax(1).log()

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        (share,) = ctx.saved_tensors
        return share * gradient[0][:, None], None
