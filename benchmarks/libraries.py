"""Time an epoch of our DSSM and of RecTools' DSSM, and our ranking, RecTools' rankers and the notebook's loop.

The data are those of `training.py`: 10,240 users, 12,029 items, the notebook's columns, width 128. Both DSSMs draw one
negative for a triplet loss. RecTools' towers have neither norms nor dropout, so ours are `mlp`, which are one layer
deeper. RecTools is timed with its default batch size of 128 and with our 1,024. Every ranker finds the ten best items
per user outside the history; that all find the same is checked. RecTools' DSSM needs PyTorch Lightning, see
requirements/bench.txt.
"""

import contextlib
import logging
import tempfile
import time
import warnings
from collections.abc import Callable

from retrieval.histories import Features
from retrieval.ranking import rank

import numpy as np
import pandas as pd
import scipy.sparse as sp
from notebook import recommend
from rectools.dataset import Dataset
from rectools.models import DSSMModel
from rectools.models.rank import Distance, ImplicitRanker, TorchRanker
from results import record
from training import BATCH, ITEMS, PARAMS, ROUNDS, USERS, WIDTH, ours, world

K, SHARE = 10, 10  # the notebook's loop ranks one in SHARE users


def rectools_epoch(data: Dataset, batch: int) -> float:
    """Seconds per epoch of RecTools' DSSM: the time of two epochs minus that of one."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # it writes checkpoints
        for epochs in (1, 2):
            model = DSSMModel(
                n_factors=WIDTH, max_epochs=epochs, batch_size=batch, loggers=False, trainer_accelerator="cpu"
            )
            start = time.perf_counter()
            model.fit(data)
            seconds.append(time.perf_counter() - start)
    return seconds[1] - seconds[0]


def dataset(features: Features) -> Dataset:
    """The data as a RecTools dataset."""
    rows = features.seen.tocoo()
    interactions = pd.DataFrame({"user_id": rows.row, "item_id": rows.col, "weight": 1.0, "datetime": "2021-01-01"})
    return Dataset.construct(
        interactions,
        user_features_df=flat(features.users),
        cat_user_features=["column"],
        item_features_df=flat(features.items),
        cat_item_features=["column"],
    )


def flat(matrix: sp.csr_matrix) -> pd.DataFrame:
    """RecTools' feature table: one row per column that is set, and one more so that everyone has a feature."""
    rows = matrix.tocoo()
    every = pd.DataFrame({"id": np.arange(matrix.shape[0]), "feature": "column", "value": -1})
    return pd.concat([every, pd.DataFrame({"id": rows.row, "feature": "column", "value": rows.col})])


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Seconds, and the result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def ranking(features: Features) -> dict[str, float]:
    """Users per second of each ranker."""
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((count, WIDTH), dtype=np.float32) for count in (USERS, ITEMS))
    everyone, seen = np.arange(USERS), features.seen
    watched = [set(seen.indices[a:b].tolist()) for a, b in zip(seen.indptr, seen.indptr[1:], strict=False)]
    some = USERS // SHARE
    # [2u, 1] . [v, -|v|^2] orders items as the distance that the notebook ranks by
    left = np.hstack([2 * users, np.ones((USERS, 1), np.float32)])
    right = np.hstack([items, -(items**2).sum(1, keepdims=True)])
    implicit = ImplicitRanker(Distance.DOT, left, right, num_threads=0)
    torch = TorchRanker(Distance.DOT, "cpu", left, right, batch_size=1024)
    works = {
        "ours": lambda: rank(left, right, everyone, K, seen).items,
        "rectools_implicit": lambda: lists(implicit.rank(everyone, K, seen)[1], USERS),
        "rectools_torch": lambda: lists(torch.rank(everyone, K, seen)[1], USERS),
        "notebook": lambda: lists(
            recommend(users[:some], items, watched[:some], everyone[:some], np.arange(ITEMS), K)["item_id"], some
        ),
    }
    speed: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        results = {name: timed(work) for name, work in works.items()}
        for name, (seconds, found) in results.items():
            speed[name].append(len(found) / seconds)
            agree = (found == results["ours"][1][: len(found)]).mean()
            assert agree > 0.999, f"{name}: only {agree:.1%} of the items are the same"
    return {name: float(np.median(values)) for name, values in speed.items()}


def lists(items: object, users: int) -> np.ndarray:
    """A flat array of items as [users, K]."""
    return np.asarray(items).reshape(users, K)


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    features, params = world(), PARAMS.model_copy(update={"architecture": "mlp"})
    data, batches = dataset(features), {"": 128, "_of_equal_batches": BATCH}
    rounds = [
        [ours(features, 1, params) * USERS / BATCH, *(rectools_epoch(data, b) for b in batches.values())]
        for _ in range(ROUNDS)
    ]
    epoch, *theirs = np.median(rounds, axis=0).tolist()
    speed = ranking(features)
    record(
        dssm_epoch_seconds=round(epoch, 3),
        **{f"rectools_dssm_epoch_seconds{name}": round(one, 2) for name, one in zip(batches, theirs, strict=True)},
        **{
            f"rectools_dssm_epoch_ratio{name}": round(one / epoch, 1) for name, one in zip(batches, theirs, strict=True)
        },
        ranking_users_per_second={name: round(value) for name, value in speed.items()},
        ranking_ratio={name: round(speed["ours"] / value, 1) for name, value in speed.items() if name != "ours"},
    )


if __name__ == "__main__":
    main()
