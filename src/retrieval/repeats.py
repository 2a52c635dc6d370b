"""Repeats: a term of the score for the items that a user has had, where users come back to items.

The score of such an item gains

    gain x log(1 + c),   c = the sum of 2^(-n / half_life) over the events of the user with the item,

where n counts the user's later events; half_life 0: c is the number of events. A few hundred dense columns cannot
tell which of many thousand items a user has had. So these are further columns of left, one per item, sparse and in a
file of their own, see `matrices`; the same columns of right are the identity.
"""

from dataclasses import dataclass

from retrieval.histories import Histories, Watched
from retrieval.matrices import grid_step

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Repeats:
    """`gain` in the unit of the scores, `half_life` in events; see above."""

    gain: float
    half_life: float

    def own(self, histories: Histories, items: int) -> sp.csr_matrix:
        """What the scores of the items in the histories gain, [users, items] float32 on a grid."""
        matrix = counts(histories, items, self.half_life)
        step = grid_step(self.gain)
        matrix.data = np.rint(self.gain * np.log1p(matrix.data) / step) * step
        return matrix.astype(np.float32)

    def of(self, watched: Watched, items: int) -> sp.csr_matrix:
        """`own` of one user, [1, items]."""
        rows, time = watched
        one = Histories(np.array([0, len(rows)]), rows.astype(np.int32), time, np.ones(len(rows), np.float32))
        return self.own(one, items)


def counts(histories: Histories, items: int, half_life: float) -> sp.csr_matrix:
    """The c of each user and item, [users, items] float64."""
    h, users = histories, len(histories.indptr) - 1
    later = h.indptr[1:][h.user] - 1 - np.arange(len(h.item))
    weight = np.exp2(-later / half_life) if half_life else np.ones(len(later))
    pair, place = np.unique(h.user.astype(np.int64) * items + h.item, return_inverse=True)
    user, item = np.divmod(pair, items)
    sums = np.bincount(place, weight, minlength=len(pair))  # in the order of the events on every machine
    return sp.csr_matrix((sums, (user, item)), shape=(users, items))
