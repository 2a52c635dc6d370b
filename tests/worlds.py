"""Small planted worlds that the tests of training share."""

from retrieval.histories import Features, Histories

import numpy as np
import scipy.sparse as sp

DAY = 24 * 60 * 60


def features_of(sequences: list[list[int]], items: int, days: list[list[float]] | None = None) -> Features:
    """Features of users who watched these items in this order, one a day unless `days` says when.

    Users have a two-valued one-hot column, items two columns: parity, and a column of their own for each third item.
    """
    size = np.array([len(sequence) for sequence in sequences])
    when = [np.arange(len(s)) for s in sequences] if days is None else days
    time = np.concatenate([np.zeros(0), *[np.asarray(day) * DAY for day in when]]).astype(np.int64)
    histories = Histories(
        np.concatenate([[0], size.cumsum()]),
        np.concatenate([np.zeros(0), *sequences]).astype(np.int32),
        time,
        np.ones(len(time), np.float32),
    )
    users = sp.csr_matrix(np.eye(2, dtype=np.float32)[np.arange(len(sequences)) % 2])
    item = np.arange(items)
    columns = np.stack([item % 2 == 0, item % 2 == 1, item % 3 == 0], 1).astype(np.float32)
    spec = {
        "split": "leave-last",
        "moment": int(time.max(initial=0)) + DAY - 1,
        "data": "",
        "user_columns": {},
        "item_columns": {},
    }
    return Features(histories, users, sp.csr_matrix(columns), np.arange(len(sequences)), np.arange(items), spec)


def chain(users: int, items: int, length: int, seed: int) -> Features:
    """Users who walk along a ring: item i is followed by i + 1, from a start drawn for each. Order is everything."""
    start = np.random.default_rng(seed).integers(0, items, users)
    return features_of([((s + np.arange(length)) % items).tolist() for s in start], items)
