"""Small planted worlds that the tests of training share."""

from retrieval.dssm.batches import Batch, Batches
from retrieval.dssm.model import DSSM, Options
from retrieval.dssm.towers import Towers
from retrieval.dssm.trend import Trend
from retrieval.histories import Features, Histories
from retrieval.training.loop import Train
from retrieval.training.losses import Losses
from retrieval.training.negatives import Negatives

import numpy as np
import scipy.sparse as sp
import torch

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


def world(sizes):
    """User u watched u * 100, u * 100 + 1, ...: an item says whose it is and where it stands."""
    return features_of([[100 * u + k for k in range(n)] for u, n in enumerate(sizes)], 100 * len(sizes)).histories


def rows(batch):
    """(user, tokens before the target, target) of each target."""
    for row, column, target in zip(batch.row.tolist(), batch.column.tolist(), batch.target.tolist(), strict=True):
        start = int(batch.start[row])
        assert column <= int(batch.size[row])
        yield int(batch.user[row]), batch.item[start : start + column].tolist(), target


def seen(batch, i):
    return set(batch.seen_item[batch.seen_row == i].tolist())


FEATURES = features_of([[0, 1, 2, 3], [4, 2], [5, 0, 1], [3, 4, 5, 0, 2]], 6)
TOWERS = Towers(
    width=8, dropout=0.0, id_dropout=0.0, length=5, layers=1, heads=2, half_life=0.0, tied=True, bias=True,
    temperature=1.0, learn_temperature=False,
)  # fmt: skip


def model(seed: int = 0, features=FEATURES, **settings) -> DSSM:
    towers = TOWERS.model_copy(update={k: settings.pop(k) for k in list(settings) if k in Towers.model_fields})
    keys = {"architecture": "mlp", "history": "bag", "item": "both", "normalize": False, "score": "auto"}
    torch.manual_seed(seed)
    trend = Trend(
        enabled=settings.pop("trend", "auto"), windows=[1, 7], mix=[0.5, 0.25], slope=2.0, personal=0.5, common=0.25
    )
    return DSSM(features, Options(**{**keys, "loss": "softmax", **settings}, towers=towers, trend=trend))


def batch(mode: str = "sequence", features=FEATURES) -> Batch:
    return next(Batches(features.histories, 5).epoch(mode, torch.Generator().manual_seed(0)))


OPTIONS = Losses(margin=0.4, ccl_margin=0.4, ccl_weight=10.0, gbce_t=0.75)
NEGATIVES = Negatives(kind="uniform", count=8, logq=True, exclude_seen=False)
TRAIN = Train(
    targets="sequence", epochs=10, batch=128, learning_rate=0.01, weight_decay=0.0, warmup=0.0, schedule="constant",
    clip=5.0, average=0.0, recency=0, holdout=0.1, patience=0,
    precision="float32", compile=False,
)  # fmt: skip
