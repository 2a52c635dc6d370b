"""RecTools' SASRec and DSSM with their own defaults: validation over seconds, by the held-out items of our training.

The clock stands still while a model is validated. Both train for a given time instead of a number of epochs. RecTools'
DSSM needs features of users and items; it is given one column for everyone where there are none.
"""

import contextlib
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from retrieval.histories import Features
from retrieval.sasrec import dataset as sequences
from retrieval.sasrec import vectors
from retrieval.training.loop import VALIDATED, make_batches
from retrieval.training.resolve import TrainDSSMParams
from retrieval.training.weighing import before_held_out

import numpy as np
import scipy.sparse as sp
import torch
from libraries import dataset as with_features
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools.models import DSSMModel, SASRecModel
from rectools.models.nn.dssm import DSSMItemDataset, DSSMUserDataset
from torch.utils.data import DataLoader, Subset

EVERY = 15.0  # seconds between two validations
EPOCHS = 10_000  # more than there is time for
Vectors = tuple[np.ndarray, np.ndarray]  # left of the held-out users, right of all items
Curve = list[tuple[float, float]]  # seconds, validation


class HeldOut:
    """The last items of some users, as in our training, and the data without them."""

    def __init__(self, params: TrainDSSMParams, features: Features) -> None:
        batches = make_batches(params, features)
        self.features = replace(features, histories=before_held_out(features, batches))
        parts = list(batches.validation(VALIDATED))
        user, target = (torch.cat([getattr(part, name) for part in parts]).numpy() for name in ("user", "target"))
        order = np.argsort(user)
        self.users, self.targets = user[order], target[order]
        self.seen = sp.csr_matrix(self.features.seen[self.users])

    def reciprocal_rank(self, left: np.ndarray, right: np.ndarray) -> float:
        """Mean over the users of the targets' reciprocal ranks among the items that the users have not watched."""
        total = 0.0
        for start in range(0, len(self.users), 1024):
            part = slice(start, start + 1024)
            scores = left[part] @ right.T
            positive = scores[np.arange(len(scores)), self.targets[part]].copy()
            scores[self.seen[part].nonzero()] = -np.inf
            total += (1 / np.maximum(1, (scores >= positive[:, None]).sum(axis=1))).sum()
        return total / len(self.users)


class Watch(Callback):
    """Validates every EVERY seconds and stops after `seconds`; not copied with the trainer it belongs to."""

    def __init__(self, held: HeldOut, vectors: Callable[[], Vectors], seconds: float) -> None:
        self.held, self.vectors, self.seconds = held, vectors, seconds
        self.points, self.start, self.due = Curve(), time.perf_counter(), EVERY

    def __deepcopy__(self, memo: dict[int, Any]) -> "Watch":
        return self

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        spent = time.perf_counter() - self.start
        if spent < self.due:
            return
        with torch.no_grad():
            self.points.append((round(spent, 1), round(self.held.reciprocal_rank(*self.vectors()), 5)))
        pl_module.train()
        self.due = spent + EVERY
        trainer.should_stop = spent > self.seconds
        self.start = time.perf_counter() - spent


def sasrec(held: HeldOut, seconds: float) -> Curve:
    """RecTools' SASRec."""
    data, model = sequences(held.features), SASRecModel()

    watch = Watch(held, lambda: vectors(model, data, held.users), seconds)
    model._trainer = _trainer(watch)
    model.fit(data)
    return watch.points


def dssm(held: HeldOut, seconds: float) -> Curve:
    """RecTools' DSSM: Euclidean distance, a triplet loss with one negative."""
    data = with_features(held.features)

    def distances() -> Vectors:
        users = Subset(DSSMUserDataset.from_dataset(data), data.user_id_map.convert_to_internal(held.users).tolist())
        left = model.model.inference_users(DataLoader(users, 256))
        own = model.model.inference_items(DataLoader(DSSMItemDataset.from_dataset(data), 256))
        known = data.item_id_map.external_ids.astype(np.int64)
        right = np.zeros((len(held.features.item_ids), own.shape[1] + 1), np.float32)
        right[:, -1] = -1e9
        right[known] = np.hstack([own, -(own**2).sum(axis=1, keepdims=True) / 2])  # orders items as the distance
        return np.hstack([left, np.ones((len(left), 1), np.float32)]), right

    watch = Watch(held, distances, seconds)
    model = DSSMModel(loggers=False)
    model._trainer = _trainer(watch)
    model.fit(data)
    return watch.points


def _trainer(watch: Watch) -> Trainer:
    return Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=1,
        callbacks=[watch],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
    )


PEERS: dict[str, Callable[[HeldOut, float], Curve]] = {"RecTools' SASRec": sasrec, "RecTools' DSSM": dssm}


def curves(params: TrainDSSMParams, features: Features, seconds: float) -> dict[str, Curve]:
    """The curve of each of PEERS, trained for about that many seconds."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    held, found = HeldOut(params, features), dict[str, Curve]()
    for name, train in PEERS.items():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seed_everything(params.seed, verbose=False)
            found[name] = train(held, seconds)
    return found
