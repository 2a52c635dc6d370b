"""Maps of a model's vectors: the most watched items, and random test users."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from retrieval.evaluation.options import Evaluation
from retrieval.evaluation.projection import PROJECTIONS, project, taste
from retrieval.histories import Features
from retrieval.matrices import Model

import numpy as np
import scipy.sparse as sp


def write_maps(
    out: Path, model: Model, data: Features, users: np.ndarray, titles: np.ndarray, params: Evaluation, seed: int
) -> None:
    """Draw maps of the most watched items and of random ones of the `users`, which are rows; titles [items]."""
    items = np.argsort(-data.counts, kind="stable")[: params.points]
    some = np.random.default_rng(seed).choice(users, min(params.points, len(users)), replace=False)
    some.sort()
    dimensions = taste(model)
    vectors = [np.asarray(matrix[rows])[:, dimensions] for matrix, rows in ((model.right, items), (model.left, some))]
    kind = f"{model.name} ({PROJECTIONS[params.map].title})"
    with ProcessPoolExecutor(1, get_context("spawn")) as other:  # both at once: a projection takes seconds
        of_users = other.submit(project, vectors[1], seed, params.map)
        points = project(vectors[0], seed, params.map)
        from retrieval.drawing.pictures import draw_map  # loads matplotlib; `check` needs none

        title = f"Item vectors of {kind}: near items go to the same users"
        draw_map(out / "items.png", title, points, *_about_items(items, data, titles))
        title = f"User vectors of {kind}: near users get the same items"
        draw_map(out / "users.png", title, of_users.result(), *_about_users(some, data))


def _about_items(items: np.ndarray, data: Features, titles: np.ndarray) -> tuple[Any, ...]:
    """Items are coloured by genre, or else by their first feature; the first 60 have their titles."""
    kinds = _kinds(data.items[items], data.categories, "genres")
    return kinds, ("popularity", "users per item", np.maximum(data.counts[items], 1)), titles[items[:60]]


def _about_users(users: np.ndarray, data: Features) -> tuple[Any, ...]:
    """Users are coloured by their first feature, or else by what they watched."""
    if data.spec["user_columns"]:
        kinds = _kinds(data.users[users], data.spec["user_columns"])
    else:
        kinds = _kinds(data.seen[users] @ data.items, data.categories, "genres")
    return kinds, ("activity", "items per user", np.diff(data.seen.indptr)[users])


def _kinds(matrix: sp.csr_matrix, vocabulary: Mapping[str, list[str]], column: str = "") -> tuple[str, np.ndarray]:
    """A column's name, and a value of it for each row of `matrix` [rows, features].

    The column is `column`, or the first one if that does not exist. A row with several values gets the one of which it
    has the largest share of all rows: of a film's genres the rarest. A row with none gets "unknown", as do all rows if
    there are no columns at all.
    """
    if not vocabulary:
        return "feature", np.full(matrix.shape[0], "unknown")
    name = column if column in vocabulary else next(iter(vocabulary))
    start = sum(len(values) for values in list(vocabulary.values())[: list(vocabulary).index(name)])
    amount = matrix[:, start : start + len(vocabulary[name])].toarray()
    share = amount / np.maximum(amount.sum(axis=0), 1)
    values = np.array([str(value) for value in vocabulary[name]], dtype=object)
    return name, np.where(share.any(axis=1), values[share.argmax(axis=1)], "unknown")
