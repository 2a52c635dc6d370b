"""A small planted world with everything the stages write: prepared tables, features, and models trained by them."""

from pathlib import Path

import index
import train_baselines
import train_dssm
from retrieval import histories, matrices
from retrieval.params import load, validate
from retrieval.stage import write_json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

ROOT = Path(__file__).parents[1]
USERS, ITEMS, GROUPS = 60, 150, 3


def build(root: Path, seed: int = 0) -> Path:
    """Write a world in which users watch items of their own group. User u has id 10 u + 5, item i has id 7 i + 3."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 20, USERS)
    item = [rng.choice(ITEMS // GROUPS, size, replace=False) * GROUPS + u % GROUPS for u, size in enumerate(sizes)]
    time = [893_000_000 + np.sort(rng.integers(0, 10**6, size)) for size in sizes]
    rows = histories.Histories(
        np.concatenate([[0], sizes.cumsum()]),
        np.concatenate(item).astype(np.int32),
        np.concatenate(time),
        np.ones(sizes.sum(), np.float32),
    )
    spec = {
        "moment": 894_000_000,
        "split": "leave-last",
        "user_columns": {"age": ["old", "young"], "sex": ["F", "M"]},
        "item_columns": {},
    }
    users = sp.hstack([sp.csr_matrix(np.eye(2, dtype=np.float32)[rng.integers(0, 2, USERS)]) for _ in range(2)])
    items = sp.csr_matrix(np.eye(GROUPS, dtype=np.float32)[np.arange(ITEMS) % GROUPS])
    ids = np.arange(USERS) * 10 + 5, np.arange(ITEMS) * 7 + 3
    for name in ("features", "prepared"):
        (root / name).mkdir(parents=True)
    histories.save(root / "features", histories.Features(rows, users.tocsr(), items, *ids, spec))
    about = {
        "item_id": ids[1],
        "title": [f"Film {i}" if i else None for i in range(ITEMS)],
        "release_year": ["1994"] * ITEMS,
        "genres": ["Drama, War" if i % 2 else "Comedy" for i in range(ITEMS)],
    }
    pq.write_table(pa.table(about), root / "prepared" / "items.parquet")
    train(root, seed)
    return root


def train(root: Path, seed: int = 0, **trend: object) -> None:
    """Train the models of a world, smaller than by default, and write its catalogue. `trend` overrides that section."""
    values = load(ROOT / "params.yaml") | {"seed": seed}
    values["train"] |= {"epochs": 1}
    values["towers"] |= {"width": 8}
    values["trend"] |= trend
    values["baselines"]["ials"] |= {"factors": 8, "iterations": 2}
    for main, schema, out in (
        (train_baselines.main, train_baselines.TrainBaselinesParams, "models"),
        (train_dssm.main, train_dssm.TrainDSSMParams, "models/dssm"),
    ):
        main(validate(schema, values), root / "features", root / out)
    reindex(root, seed)
    write_json(root / "metrics.json", {"dssm": {"map@10": 0.25}, "popular": {"map@10": 0.125}})


def reindex(root: Path, seed: int = 0) -> None:
    """Write the catalogue and the indexes of the present models."""
    values = load(ROOT / "params.yaml") | {"seed": seed}
    params = index.IndexParams(**{name: values[name] for name in index.IndexParams.model_fields})
    folders = root / "prepared", root / "features", root / "models", root / "models" / "catalogue"
    index.main(params, *folders, root / "index.json")


def resave(path: Path, model: matrices.Model, **parts: np.ndarray) -> None:
    """Rewrite a model folder with some of left, right, users and items replaced, and matching hashes."""
    arrays = {name: parts.get(name, getattr(model, name)) for name in ("left", "right", "users", "items")}
    matrices.save(path, **{name: array.copy() for name, array in arrays.items()})
