"""The softmax over the whole catalogue, fused: loss and gradients of a chunk of scores at a time, in one buffer.

The same value and gradients as `losses.softmax` on the scores of `negatives.AllItems`, in less than half of the time:
a chunk is gone through seldom and in place, factors are left to the small matrices, no mask is made, and on a CPU each
thread works on targets of its own.
"""

from collections.abc import Callable, Iterator
from typing import Any

from retrieval.threads import side_by_side
from retrieval.training import losses
from retrieval.training.negatives import AllItems

import torch
from torch import Tensor

CHUNK = 2**20  # scores at once
ROWS = 128  # targets at once, at least: all items and their gradient are gone through once for so many
SMALLEST = torch.finfo(torch.float32).tiny  # share of a target that is told from none: a loss of 87 is the highest
LANES = 16  # numbers that a processor multiplies at once: rows of 65 may take a third longer than rows of 64


def softmax(left: Tensor, right: Tensor, compared: AllItems) -> Tensor:
    """Mean of -log(e^s+ / sum of e^s over the items that count), for left [targets, e] and right [items, e].

    A target adds at most 87 to the value, where its share is no longer told from 0; its gradient is what it is.
    """
    return _Softmax.apply(left, right, compared)


class _Softmax(torch.autograd.Function):
    """Gradients are made on the way forward, for the scores are gone afterwards.

    The items' is summed in columns [e, items], where one more, such as that of a bias, takes no longer than its share.
    """

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, compared: AllItems) -> Tensor:
        others = _split(right)
        gradients = [left.new_empty(len(left), columns.shape[1]) for columns in others]

        def sums(targets: slice) -> tuple[Tensor, Tensor]:
            total, items = left.new_zeros(()), left.new_zeros(right.shape[::-1])
            for part, loss, share in _chunks(left, right, compared, targets):
                total += loss
                for columns, gradient in zip(others, gradients, strict=True):
                    torch.mm(share, columns, out=gradient[part])
                items.addmm_(left[part].T.contiguous(), share, alpha=1 / len(left))
            return total, items

        totals, items = zip(*side_by_side(sums, _shares(left)), strict=True)
        for of_thread in items[1:]:
            items[0].add_(of_thread)
        ctx.save_for_backward(torch.cat(gradients, 1).div_(len(left)), items[0].T.contiguous())
        return torch.stack(totals).sum() / len(left)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, Tensor, None]:
        gradient, items = ctx.saved_tensors
        return above[0] * gradient, above[0] * items, None


def _chunks(left: Tensor, right: Tensor, compared: AllItems, targets: slice) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Some of the targets, the sum of their losses, and its gradient by the scores [B, items], in the one buffer."""
    rows = max(ROWS, CHUNK // len(right))
    buffer = left.new_empty(min(rows, targets.stop - targets.start), len(right))
    for first in range(targets.start, targets.stop, rows):
        part = slice(first, min(first + rows, targets.stop))
        scores, target = buffer[: part.stop - first], compared.batch.target[part, None]
        compared.masked(left, right, part, scores)
        share = torch.softmax(scores, 1, out=scores)
        own = share.gather(1, target)
        share.scatter_(1, target, own - 1)
        yield part, -own.clamp(min=SMALLEST).log().sum(), share


def _shares(left: Tensor) -> list[slice]:
    """The targets, as a part for each thread."""
    targets, parts = len(left), torch.get_num_threads() if left.device.type == "cpu" else 1
    return [slice(targets * part // parts, targets * (part + 1) // parts) for part in range(parts)]


def _split(columns: Tensor) -> list[Tensor]:
    """The columns [n, e] in two matrices: as many of them as fill whole lanes, and the rest, such as that of a bias."""
    whole = columns.shape[1] // LANES * LANES
    return [part.contiguous() for part in (columns[:, :whole], columns[:, whole:]) if part.shape[1]]


# Loss functions that have a fused form for a comparison with the whole catalogue.
FUSED: dict[Callable[..., Tensor], Callable[[Tensor, Tensor, AllItems], Tensor]] = {losses.softmax: softmax}
