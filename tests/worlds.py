"""Small planted worlds that tests share: in memory, and as folders that the stages wrote."""

from contextlib import chdir
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import catalogue
import index
import train_baselines
import train_dssm
import train_lightfm
from retrieval import histories, matrices
from retrieval.baselines import BASELINES
from retrieval.dssm.batches import Batch, Batches
from retrieval.dssm.ensemble import Ensemble
from retrieval.dssm.model import DSSM
from retrieval.histories import DAY, Features, Histories
from retrieval.newitems import score_new
from retrieval.params import load, validate
from retrieval.search.indexes import has_index
from retrieval.stage import read_table, write_json
from retrieval.training.loop import History, fit
from retrieval.training.losses import LOSSES
from retrieval.training.negatives import CandidateSampler, Negatives
from retrieval.training.resolve import TrainDSSMParams, resolve
from retrieval.vocabulary import extend

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
import torch

ROOT = Path(__file__).parents[1]
USERS, ITEMS, GROUPS = 60, 150, 3  # of the world that `write_world` writes
MODELS = sorted(["dssm", *BASELINES])  # of the same

COLUMNS = {"colour": ["blue", "green", "red"], "price": ["0-10", "10-20"], "rare, or not": ["rare, very", "0"]}

# Ids that are easily mistaken for something else, in a URL or as a number
ODD = ["007", "7", "7.0", "1e3", "-0", " 7", "7 ", "+7", "NaN", "null", "Ünïcode/slash", "/", "a/b/history", "a?b&c=7",
       "a#b", "%2F", "%", "a+b", "a;b", "\\", "'", '"', "<b>", "ÄÖ", "A\u0308", "🎬", "line\nbreak", "7\n", "\t",
       "../x", "9999999999999999999999"]  # fmt: skip


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
        "repeats": "drop",
        "timed": True,
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

# What the tests rest on, whatever params.yaml says: plain, quick to train. `trend` is the key `enabled` of its section.
SMALL = {
    "architecture": "mlp", "history": "bag", "item": "both", "normalize": False, "score": "auto", "loss": "softmax",
    "width": 8, "dropout": 0.0, "id_dropout": 0.0, "length": 5, "layers": 1, "heads": 2, "half_life": 0, "tied": True,
    "bias": "auto", "popularity": 0.0, "ensemble": 1, "temperature": 1.0, "learn_temperature": False,
    "trend": "auto", "windows": [1, 7], "mix": [0.5, 0.25], "slope": 2.0, "smoothing": 0.0,
    "user_weight": 0.5, "mean_weight": 0.25,
    "kind": "uniform", "count": 8, "logq": True, "exclude_seen": False, "shared": 0,
    "targets": "sequence", "epochs": 10, "batch": 128, "learning_rate": 0.01, "weight_decay": 0.0, "warmup": 0,
    "schedule": "constant", "clip": 5.0, "average": 0.0, "recency": 0.0, "holdout": 0.1, "patience": 0,
    "precision": "auto", "compile": False, "weight": 0.0, "seed": 42,
}  # fmt: skip
SECTIONS = ("towers", "trend", "losses", "negatives", "train", "cooccurrence")


def section(name: str, **changes: Any) -> dict[str, Any]:
    """A section of params.yaml, such as `evaluate` or `baselines.ease`, with the values that a test is about."""
    values = load(ROOT / "params.yaml")
    for part in name.split("."):
        values = values[part]
    return values | changes


def training_params(features: Features = FEATURES, **changes: Any) -> TrainDSSMParams:
    """params.yaml with SMALL and the changes, each by its last name: width=16 is towers.width; resolved."""
    values = load(ROOT / "params.yaml")
    for name, value in (SMALL | changes).items():
        if name == "trend":
            values["trend"]["enabled"] = value
        elif name in values:
            values[name] = value
        else:
            next(values[section] for section in SECTIONS if name in values[section])[name] = value
    return resolve(validate(TrainDSSMParams, values), features)


def model(seed: int = 0, features: Features = FEATURES, **changes: Any) -> DSSM:
    """An untrained model."""
    torch.manual_seed(seed)
    return DSSM(features, training_params(features, **changes))


def trained(features: Features, seed: int = 1, **changes: Any) -> tuple[Ensemble, History]:
    """A model and the history of its training."""
    return fit(training_params(features, seed=seed, **changes), features)[:2]


def sampler_of(net: DSSM, kind: str = "uniform", loss: str = "softmax", **options: Any) -> CandidateSampler:
    """What draws the candidates of a batch, all items alike."""
    even, chosen = torch.full((net.count,), 1 / net.count), LOSSES[loss]
    drawn = {"kind": kind, "count": options.pop("count", 8), "shared": options.pop("shared", 0)}
    settings = Negatives(logq=options.pop("logq", True), exclude_seen=True, **drawn)
    flags = {"all_items": chosen.all_items, "corrected": chosen.corrected, "tied": net.tied, "prior": net.prior}
    return CandidateSampler(settings, even, **flags | options)


def batch(mode: str = "sequence", features=FEATURES) -> Batch:
    return next(Batches(features.histories, 5).epoch(mode, torch.Generator().manual_seed(0)))


def odd_ids(count: int) -> np.ndarray:
    """Text ids, ascending: those of `ODD`, and others that each resemble one of them."""
    numbered = (f"{text}{number}" for number in range(count) for text in ODD)
    return np.array(sorted([*ODD, *islice(numbered, count - len(ODD))]), dtype=object)


def favourites(kind: str, users: int = 500, items: int = 120, days: int = 60, seed: int = 0):
    """Features of users who come back to favourites, and what they do later, [users, items] of ones.

    A user has six favourites of their own group of the items, and comes back to the first more often than to the last.
    Of four events one is another item of the group, mostly a popular one; half of these take the place of a favourite.
    Kind: by days the last 7 are later, for leave-last each user's last event is.
    """
    rng, each = np.random.default_rng(seed), items // 4
    popularity, share = 1 / np.arange(1, each + 1) ** 0.8, 0.6 ** np.arange(6)
    popularity, share = popularity / popularity.sum(), share / share.sum()
    sequences, times, truth = [], [], np.zeros((users, items), np.float32)
    for user in range(users):
        own, when = rng.choice(each, 6, replace=False, p=popularity), np.sort(rng.random(rng.integers(20, 120)) * days)
        watched = []
        for _ in when:
            other = rng.choice(each, p=popularity)
            watched.append(4 * (other if rng.random() < 0.25 else rng.choice(own, p=share)) + user % 4)
            if watched[-1] // 4 == other and other not in own and rng.random() < 0.5:
                own[rng.integers(6)] = other
        late = when > days - 7 if kind == "days" else np.arange(len(when)) == len(when) - 1
        truth[user, np.array(watched)[late]] = 1
        sequences.append(np.array(watched)[~late].tolist())
        times.append(when[~late])
    data = features_of(sequences, items, times)
    spec = data.spec | {"split": kind, "days": 7, "repeats": "keep", "moment": (days - 7) * DAY}
    return replace(data, spec=spec), truth


def most_frequent(data: Features) -> np.ndarray:
    """Scores [users, items]: how often the user has had the item, of equal ones the latest first, then popularity."""
    h, scores = data.histories, np.tile(data.counts / 1e9, (len(data.user_ids), 1))
    for place, (user, item) in enumerate(zip(h.user, h.item, strict=True)):
        scores[user, item] = np.floor(scores[user, item]) + 1 + (place + 1) / (len(h.item) + 1) * 0.9
    return scores


def write_world(root: Path, seed: int = 0, text: bool = False, columns: bool = False, **facts: Any) -> Path:
    """Write a world in which users watch items of their own group. User u has id 10 u + 5, item i has id 7 i + 3.

    There is a new item for each group. With the fact repeats="keep" users come back to four items each. With `text`
    the ids are `odd_ids`. With `columns` items have values of COLUMNS, too, several per column or none, and the word
    "film". `facts` are set in the spec of the features.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 20, USERS)
    item = [rng.choice(ITEMS // GROUPS, size, replace=False) * GROUPS + u % GROUPS for u, size in enumerate(sizes)]
    if facts.get("repeats") == "keep":
        item = [rng.choice(each[:4], len(each)) for each in item]
    time = [893_000_000 + np.sort(rng.integers(0, 10**6, size)) for size in sizes]
    rows = Histories(
        np.concatenate([[0], sizes.cumsum()]),
        np.concatenate(item).astype(np.int32),
        np.concatenate(time),
        np.ones(sizes.sum(), np.float32),
    )
    spec = {
        "moment": 894_000_000,
        "split": "leave-last",
        "repeats": "drop",
        "timed": True,
        "user_columns": {"age": ["old", "young"], "sex": ["F", "M"]},
        "item_columns": {"group": list("abc")},
    } | facts
    users = sp.hstack([sp.csr_matrix(np.eye(2, dtype=np.float32)[rng.integers(0, 2, USERS)]) for _ in range(2)])
    items = sp.csr_matrix(np.eye(GROUPS, dtype=np.float32)[np.arange(ITEMS) % GROUPS])
    if columns:
        values = sp.random(ITEMS, 7, 0.3, "csr", np.float32, np.random.default_rng(seed))
        values.data[:] = 1
        items = sp.hstack([items, values, np.ones((ITEMS, 1), np.float32)], format="csr")
        spec |= {"item_columns": spec["item_columns"] | COLUMNS | {"title": ["film"]}, "item_texts": {"title": [1.0]}}
    ids, new = (np.arange(USERS) * 10 + 5, np.arange(ITEMS) * 7 + 3), np.arange(ITEMS, ITEMS + GROUPS) * 7 + 3
    if text:
        ids, new = (odd_ids(USERS), odd_ids(ITEMS)), np.array([f"new/{group}" for group in "abc"], dtype=object)
    for name in ("features", "prepared"):
        (root / name).mkdir(parents=True)
    histories.save(root / "features", Features(rows, users.tocsr(), items, *ids, spec))
    about = {
        "item_id": ids[1],
        "title": [f"Film {i}" if i else None for i in range(ITEMS)],
        "release_year": ["1994"] * ITEMS,
        "genres": ["Drama, War" if i % 2 else "Comedy" for i in range(ITEMS)],
        "group": ["abc"[i % GROUPS] for i in range(ITEMS)],
    }
    pq.write_table(pa.table(about), root / "prepared" / "items.parquet")
    about = {"item_id": new, "title": [f"New {group}" for group in "abc"], "group": list("abc")}
    pq.write_table(pa.table(about), root / "prepared" / "new_items.parquet")
    train_models(root, seed)
    return root


def train_models(root: Path, seed: int = 0, epochs: int = 1, item: str = "both", **trend: object) -> None:
    """Train the models of a world, smaller than by default, and write its catalogue. `trend` overrides that section."""
    values = load(ROOT / "params.yaml") | {"seed": seed, "item": item}
    values["train"] |= {"epochs": epochs}
    values["towers"] |= {"width": 8, "heads": 1}
    values["trend"] |= trend
    values["baselines"]["ials"] |= {"factors": 8, "iterations": 2}
    features, models = root / "features", root / "models"
    for name in BASELINES:
        train_baselines.main(validate(train_baselines.TrainBaselinesParams, values), features, models / name)
    with chdir(root):  # for .checkpoints: processes that train side by side must not share it
        train_dssm.main(validate(train_dssm.TrainDSSMParams, values), features, models / "dssm")
    reindex(root, seed)
    write_json(root / "metrics.json", {"dssm": {"map@10": 0.25}, "popular": {"map@10": 0.125}})


def reindex(root: Path, seed: int = 0) -> None:
    """Write the catalogue and the indexes of the present models."""
    values = load(ROOT / "params.yaml") | {"seed": seed}
    params, features, models = validate(index.IndexParams, values), root / "features", root / "models"
    catalogue.main(catalogue.CatalogueParams(), root / "prepared", features, models / "catalogue")
    for card in models.glob("[!.]*/card.json"):
        if has_index(matrices.load(card.parent)):
            index.main(params, features, card.parent, models / "indexes" / card.parent.name)


def resave(path: Path, model: matrices.Model, **parts: np.ndarray) -> None:
    """Rewrite a model folder with some of left, right, users and items replaced, and matching hashes."""
    arrays = {name: parts.get(name, getattr(model, name)) for name in ("left", "right", "users", "items")}
    matrices.save(path, **{name: array.copy() for name, array in arrays.items()}, kind=model.kind)


def add_lightfm(root: Path, seed: int = 0, epochs: int = 2) -> Path:
    """Train LightFM in a world, too, and write its catalogue again."""
    values = load(ROOT / "params.yaml") | {"seed": seed}
    values["lightfm"] |= {"components": 8, "epochs": epochs}
    params = validate(train_lightfm.TrainLightFMParams, values)
    train_lightfm.main(params, root / "features", root / "models" / "lightfm")
    reindex(root, seed)
    return root


def complete(root: Path, name: str) -> matrices.Model:
    """A model of a world, with the new items if it can score them."""
    catalogue = extend(histories.load(root / "features"), read_table(root / "prepared" / "new_items.parquet"))
    return score_new(root / "models" / name, matrices.load(root / "models" / name), catalogue)
