"""Join the files that the evaluation of each model has written: one file for all models."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from retrieval import ids
from retrieval.stage import write_json

import numpy as np

SUMMARY = ("map", "ndcg", "novelty")
VALUES, USERS = "values.npz", "users.parquet"


def join(parts: Sequence[Any]) -> Any:
    """One value of several: mappings have the keys of all, their values joined; lists are joined row by row.

    Values that are neither are the same in all parts, such as the number of users.
    """
    first = parts[0]
    if isinstance(first, dict):
        keys = dict.fromkeys(chain.from_iterable(parts))
        return {key: join([part[key] for part in parts if key in part]) for key in keys}
    if isinstance(first, list):
        return [join(rows) for rows in zip(*parts, strict=True)]
    return first


def join_files(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Write each JSON file of the folders, joined with those of the same name, to the folder `out`.

    Returns file name -> content.
    """
    names = sorted({file.relative_to(folder).as_posix() for folder in folders for file in folder.rglob("*.json")})
    joined = {}
    for name in names:
        files = [folder / name for folder in folders if (folder / name).exists()]
        joined[name] = join([json.loads(file.read_text(encoding="utf-8")) for file in files])
        write_json(out / name, joined[name])
    return joined


def read_values(folder: Path) -> dict[str, np.ndarray]:
    """metric -> value per test user [users], or [] for a metric of all users together."""
    with np.load(folder / VALUES, allow_pickle=False) as file:
        return dict(file)


def read_users(folder: Path) -> np.ndarray:
    """The ids of the test users [users], ascending, in the order of `read_values`."""
    return ids.load(folder / USERS)


def summary(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The metrics in SUMMARY of each model, few enough for the columns of `dvc exp show`."""
    starts = tuple(f"{name}@" for name in SUMMARY)
    return {
        model: {name: value for name, value in each.items() if name.startswith(starts)}
        for model, each in metrics.items()
    }
