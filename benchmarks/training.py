"""Time our training step and the notebook's, with the same shapes, towers and loss, and record the ratio.

The shapes are the notebook's on KION: 1,024 users, 12,029 items, 835 item features, 16 user features, width 128. The
notebook sends ten negatives per user through the item tower, but its triplet loss reads only the first. One negative
per user therefore gives the same loss and gradient; `notebook_step_ratio` compares that. A second ratio has all ten
negatives in our loss, which is more work than the notebook does. Histories are random with the notebook's mean length.

It also times the softmax over the whole catalogue (loss and gradients of a default batch at KION's size), and compares
both with the speed of a plain matrix product.
"""

import time
from collections.abc import Callable
from typing import Any

from retrieval.dssm.batches import Batch
from retrieval.experiments.trials import set_params
from retrieval.histories import Features, Histories
from retrieval.params import load, validate
from retrieval.training import fused
from retrieval.training.candidates import AllItems
from retrieval.training.loop import fit
from retrieval.training.resolve import TrainDSSMParams

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from notebook import Item, Samples, User
from notebook import step as notebook_step
from results import ROOT, record

USERS, ITEMS, BATCH, WIDTH = 10_240, 12_029, 1024, 128
ROUNDS = 5  # everything is measured once per round; the median counts
USER_COLUMNS, ITEM_COLUMNS, GENRES, HISTORY = 16, 835, 100, 18
TARGETS, CATALOGUE, DIMENSIONS = 4096, 15_480, 64  # of the softmax: batch size, items in train, width in params.yaml

# The notebook's towers, loss and sampling; one epoch. The rest is as in params.yaml.
NOTEBOOK = f"""
history=bag item=features score=euclid loss=triplet losses.margin=0.4 trend.enabled=false cooccurrence.weight=0
towers.width={WIDTH} towers.dropout=0.2 towers.id_dropout=0 towers.length=10000 towers.layers=1 towers.tied=false
towers.bias=false towers.popularity=0 towers.ensemble=1
negatives.kind=uniform negatives.count=1 negatives.exclude_seen=false negatives.shared=0
train.targets=one train.epochs=1 train.batch={BATCH} train.learning_rate=0.001 train.weight_decay=0 train.warmup=0
train.schedule=constant train.clip=1e9 train.average=0 train.recency=0 train.patience=0 train.precision=float32
""".split()
PARAMS = validate(TrainDSSMParams, set_params(load(ROOT / "params.yaml"), NOTEBOOK))


def world(seed: int = 0) -> Features:
    """Random users and items in the notebook's shapes. Popularity is Zipf-like; no user has an item twice."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, ITEMS + 1)
    size = rng.geometric(1 / HISTORY, USERS)
    drawn = rng.choice(ITEMS, (USERS, size.max()), p=popularity / popularity.sum())
    rows = [np.unique(row[:n]) for row, n in zip(drawn, size, strict=True)]
    item = np.concatenate(rows).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    histories = Histories(indptr, item, np.arange(len(item)), np.ones(len(item), np.float32))
    users = sp.csr_matrix(
        np.eye(USER_COLUMNS, dtype=np.float32)[rng.integers(0, 4, (USERS, 4)) * 4 + np.arange(4)].sum(1)
    )
    items = sp.random(ITEMS, ITEM_COLUMNS, 8 / ITEM_COLUMNS, "csr", np.float32, rng, np.ones)
    spec = {"split": "leave-last", "moment": len(item), "repeats": "drop"}
    return Features(histories, users, items, np.arange(USERS), np.arange(ITEMS), spec)


def epoch_seconds(train: Callable[[int], Any], epochs: int) -> float:
    """Seconds of an epoch, where train(n) trains for n epochs: several minus a first one, after one to warm up."""
    seconds = []
    for several in (1, 1, epochs + 1):
        start = time.perf_counter()
        train(several)
        seconds.append(time.perf_counter() - start)
    return (seconds[2] - seconds[1]) / epochs


def ours(features: Features, count: int, params: TrainDSSMParams = PARAMS, epochs: int = 10) -> float:
    """Seconds per step: the time of an epoch over its steps."""
    negatives = params.negatives.model_copy(update={"count": count})

    def train(several: int) -> None:
        options = params.train.model_copy(update={"epochs": several})
        fit(params.model_copy(update={"negatives": negatives, "train": options}), features)

    return epoch_seconds(train, epochs) / (USERS / BATCH)


def theirs(features: Features, steps: int = 2) -> float:
    """Seconds per step of the notebook's loader, towers and loss.

    One-hot columns have the types pandas gives them: uint8 from get_dummies, int64 from str.get_dummies for genres.
    """
    dense = features.seen.toarray().astype(np.float64)
    dense /= dense.sum(1, keepdims=True)
    users, items = (pd.DataFrame(one.toarray(), dtype=np.uint8) for one in (features.users, features.items))
    items = pd.concat([items.iloc[:, :-GENRES], items.iloc[:, -GENRES:].astype(np.int64)], axis=1)
    loader = torch.utils.data.DataLoader(Samples(users, items, dense), BATCH, shuffle=True)
    user, item = User(USER_COLUMNS, ITEMS, WIDTH, 0.2), Item(ITEM_COLUMNS, WIDTH, 0.2)
    optimizer = torch.optim.Adam([*user.parameters(), *item.parameters()])
    batches, start = iter(loader), time.perf_counter()
    for _ in range(steps):
        notebook_step(user, item, optimizer, next(batches))
    return (time.perf_counter() - start) / steps


def work(count: int) -> float:
    """Multiplications and additions in the matrix products of one of our steps: forward, and twice that backward.

    The first layers are embedding bags. Only items that occur in the batch pass the item tower, three layers deep.
    """
    occurring = ITEMS * (1 - (1 - 1 / ITEMS) ** (BATCH * (count + 1)))
    item, user = 3 * WIDTH**2, 2 * WIDTH**2 + WIDTH**2 + 2 * WIDTH**2
    scores = (count + 1) * WIDTH
    return 3 * 2 * (occurring * item + BATCH * (user + scores))


def softmax() -> float:
    """Seconds for loss and gradients of a batch, best of ten: three products of TARGETS x CATALOGUE."""
    left, right = (torch.randn(rows, DIMENSIONS, requires_grad=True) for rows in (TARGETS, CATALOGUE))
    batch = Batch(*[torch.empty(0, dtype=torch.long)] * len(Batch._fields))
    candidates = AllItems(batch._replace(target=torch.randint(CATALOGUE, (TARGETS,))), CATALOGUE, None)
    seconds = []
    for _ in range(11):
        start = time.perf_counter()
        fused.softmax(left, right, candidates).backward()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def product_speed(size: int = 2048) -> float:
    """Multiplications and additions per second of a plain matrix product, best of ten."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(11):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def main() -> None:
    features = world()
    rounds = [
        (ours(features, 1), ours(features, 10), theirs(features), softmax(), product_speed()) for _ in range(ROUNDS)
    ]
    one, ten, notebook, whole, speed = np.median(rounds, axis=0).tolist()
    record(
        step_seconds=round(one, 4),
        step_of_ten_negatives_seconds=round(ten, 4),
        notebook_step_seconds=round(notebook, 3),
        notebook_step_ratio=round(notebook / one, 1),
        notebook_step_ratio_of_ten_negatives=round(notebook / ten, 1),
        step_share_of_product_speed=round(work(1) / one / speed, 3),
        softmax_seconds=round(whole, 4),
        softmax_share_of_product_speed=round(3 * 2 * TARGETS * CATALOGUE * DIMENSIONS / whole / speed, 3),
        product_gflops=round(speed / 1e9),
    )


if __name__ == "__main__":
    main()
