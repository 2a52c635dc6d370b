"""The files of an evaluation: metrics, data series and maps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval.evaluation.assessment import Assessment, Evaluation, Exam
from retrieval.evaluation.distributions import densities, sample, scores
from retrieval.evaluation.groups import by_group, groups
from retrieval.evaluation.intervals import intervals
from retrieval.evaluation.metrics import by_k, means
from retrieval.evaluation.pictures import draw_map
from retrieval.evaluation.projection import PROJECTIONS, project, taste
from retrieval.evaluation.series import Series, by_length, by_popularity
from retrieval.histories import Features
from retrieval.matrices import Model
from retrieval.stage import write_json

import numpy as np
import scipy.sparse as sp

Results = Mapping[str, Assessment]


def write_metrics(out: Path, results: Results, own: str, exam: Exam, params: Evaluation, seed: int) -> dict[str, Any]:
    """Write metrics, by_k, beyond, settings, groups, intervals (.json); the last compare model `own` with every other.

    Returns the intervals.
    """
    values = {name: result.values for name, result in results.items()}
    bars = intervals(values, own, params.resamples, np.random.default_rng(seed))
    write_json(out / "metrics.json", {name: means(each) for name, each in values.items()})
    write_json(out / "by_k.json", {name: by_k(result.lists, params.ks) for name, result in results.items()})
    write_json(out / "beyond.json", {name: means(result.beyond) for name, result in results.items()})
    write_json(out / "settings.json", {name: result.settings for name, result in results.items() if result.settings})
    lift = f"popularity_lift@{params.k}"
    by_user = {name: result.values | {lift: result.beyond[lift]} for name, result in results.items()}
    write_json(out / "groups.json", by_group(by_user, groups(exam.data, exam.users)))
    write_json(out / "intervals.json", bars)
    return bars


def write_series(
    out: Path, results: Results, models: Mapping[str, Model], exam: Exam, params: Evaluation, seed: int
) -> dict[str, Series]:
    """Write ndcg, popularity and, for each model of vectors, scores (.json). Returns the scores."""
    lists = {name: result.lists for name, result in results.items()}
    write_json(out / "ndcg.json", by_length(lists))
    write_json(out / "popularity.json", by_popularity({name: each.first(params.k) for name, each in lists.items()}))
    distributions = _distributions(models, exam, params, seed)
    for name, series in distributions.items():
        write_json(out / "scores" / f"{name}.json", series)
    return distributions


def write_maps(out: Path, model: Model, exam: Exam, titles: np.ndarray, params: Evaluation, seed: int) -> None:
    """Draw maps of the vectors of the most watched items, and of random test users; titles [items]."""
    _draw_items(out / "items.png", model, exam, titles, params, seed)
    _draw_users(out / "users.png", model, exam, params, seed)


def _draw_items(path: Path, model: Model, exam: Exam, titles: np.ndarray, params: Evaluation, seed: int) -> None:
    """The most watched items, coloured by genre, or else by their first feature."""
    data, watchers = exam.data, exam.train_items.watchers
    items = np.argsort(-watchers, kind="stable")[: params.points]
    points = project(np.asarray(model.right[items])[:, taste(model)], seed, params.map)
    kinds = _kinds(data.items[items], _categories(data), "genres")
    amount = ("popularity", "users per item", np.maximum(watchers[items], 1))
    title = f"Item vectors of {model.name} ({PROJECTIONS[params.map].title}): near items go to the same users"
    draw_map(path, title, points, kinds, amount, titles[items[:60]])


def _draw_users(path: Path, model: Model, exam: Exam, params: Evaluation, seed: int) -> None:
    """Random test users, coloured by their first feature, or else by what they watched."""
    data, rng = exam.data, np.random.default_rng(seed)
    users = np.sort(rng.choice(exam.users, min(params.points, len(exam.users)), replace=False))
    points = project(np.asarray(model.left[users])[:, taste(model)], seed, params.map)
    if data.spec["user_columns"]:
        kinds = _kinds(data.users[users], data.spec["user_columns"])
    else:
        kinds = _kinds(data.seen[users] @ data.items, _categories(data), "genres")
    amount = ("activity", "items per user", np.diff(data.histories.indptr)[users])
    title = f"User vectors of {model.name} ({PROJECTIONS[params.map].title}): near users get the same items"
    draw_map(path, title, points, kinds, amount)


def _categories(data: Features) -> dict[str, list[str]]:
    """The columns of the items, without texts: a word of a title is no kind of item."""
    texts = data.spec.get("item_texts", {})
    return {name: values for name, values in data.spec["item_columns"].items() if name not in texts}


def _distributions(models: Mapping[str, Model], exam: Exam, params: Evaluation, seed: int) -> dict[str, Series]:
    """The densities of the scores of test and train pairs by each model of dense vectors."""
    rng = np.random.default_rng(seed)
    seen, truth = exam.data.seen, exam.truth
    pairs = {
        f"{period}_{kind}": pairs
        for period, watched, excluded in (("test", truth, seen), ("train", seen, truth))
        for kind, pairs in sample(watched, excluded, params.points, params.negatives, rng).items()
    }
    return {
        name: densities({kind: scores(model, each) for kind, each in pairs.items()})
        for name, model in models.items()
        if model.kind == "vectors" and len(model.items) == len(exam.data.item_ids)
    }


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
