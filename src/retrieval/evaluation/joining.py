"""Join the files that the evaluation of each model has written: one file for all models."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from retrieval import ids
from retrieval.evaluation.intervals import intervals
from retrieval.stage import write_json, write_npz

import numpy as np

SUMMARY = ("map", "ndcg", "novelty")
VALUES, USERS = "values", "users.parquet"
SETTINGS = ("among_new_items", "among_all_items")  # of `cold_items`
POPULAR, RANDOM = "popular_by_features", "random"  # its baselines
Values = Mapping[str, np.ndarray]  # metric -> value per test user [users], or [] for a metric of all users together


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


def write_values(folder: Path, name: str, values: Values) -> None:
    """Write the file `name`.npz of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_npz(folder / f"{name}.npz", **values)


def read_values(folders: Mapping[str, Path], name: str) -> dict[str, Values]:
    """model -> what `write_values` has written; models whose folder has no such file are left out."""
    result: dict[str, Values] = {}
    for model, folder in folders.items():
        if (path := folder / f"{name}.npz").exists():
            with np.load(path, allow_pickle=False) as file:
                result[model] = dict(file)
    return result


def summarize(settings: Mapping[str, Mapping[str, Values]], own: str, resamples: int, seed: int) -> dict[str, Any]:
    """Setting -> the 95 % intervals of the models, and of model `own` minus each other one, as in `intervals`.

    settings: setting -> model -> values. Empty if no model has any.
    """
    return {
        setting: intervals(models, own if own in models else POPULAR, resamples, np.random.default_rng(seed))
        for setting, models in settings.items()
        if models
    }


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
