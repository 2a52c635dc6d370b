"""The report of an evaluation: files of metrics, data series and pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval.evaluation.assessment import Assessment, Evaluation, Exam
from retrieval.evaluation.distributions import densities, sample, scores
from retrieval.evaluation.groups import by_group, groups
from retrieval.evaluation.intervals import intervals
from retrieval.evaluation.metrics import means
from retrieval.evaluation.pictures import draw_map
from retrieval.evaluation.projection import PROJECTIONS, project, taste
from retrieval.evaluation.series import Series, by_length, by_popularity
from retrieval.matrices import Model
from retrieval.stage import write_json

import numpy as np
import scipy.sparse as sp

Results = Mapping[str, Assessment]


def write_metrics(out: Path, results: Results, own: str, exam: Exam, params: Evaluation, seed: int) -> dict[str, Any]:
    """metrics, beyond, settings, groups and intervals (.json), these with the model `own` compared with every other.

    Returns the intervals.
    """
    values = {name: result.values for name, result in results.items()}
    bars = intervals(values, own, params.resamples, np.random.default_rng(seed))
    write_json(out / "metrics.json", {name: means(each) for name, each in values.items()})
    write_json(out / "beyond.json", {name: means(result.beyond) for name, result in results.items()})
    write_json(out / "settings.json", {name: result.settings for name, result in results.items()})
    write_json(out / "groups.json", by_group(values, groups(exam.data, exam.users)))
    write_json(out / "intervals.json", bars)
    return bars


def write_series(
    out: Path, results: Results, models: Mapping[str, Model], exam: Exam, params: Evaluation, seed: int
) -> dict[str, Series]:
    """ndcg, popularity and, for each model of vectors, scores (.json); returns the scores."""
    lists = {name: result.lists for name, result in results.items()}
    write_json(out / "ndcg.json", by_length(lists))
    write_json(out / "popularity.json", by_popularity({name: each.first(params.k) for name, each in lists.items()}))
    distributions = _distributions(models, exam, params, seed)
    for name, series in distributions.items():
        write_json(out / "scores" / f"{name}.json", series)
    return distributions


def write_maps(out: Path, model: Model, exam: Exam, titles: np.ndarray, params: Evaluation, seed: int) -> None:
    """Maps of the vectors of the most watched items, and of test users, drawn at random.

    Users have the colour of their first feature or, where they have none, of what they watched.
    """
    data, columns = exam.data, taste(model)
    items = np.argsort(-exam.catalogue.watchers, kind="stable")[: params.points]
    places = project(np.asarray(model.right[items])[:, columns], seed, params.map)
    watchers = np.maximum(exam.catalogue.watchers[items], 1)
    kinds = _kinds(data.items[items], data.spec["item_columns"], "genres")
    title = f"Item vectors of {model.name} ({PROJECTIONS[params.map].title}): near items go to the same users"
    amount = ("popularity", "users who watched it", watchers)
    draw_map(out / "items.png", title, places, kinds, amount, titles[items[:60]])
    rng = np.random.default_rng(seed)
    users = np.sort(rng.choice(exam.users, min(params.points, len(exam.users)), replace=False))
    places = project(np.asarray(model.left[users])[:, columns], seed, params.map)
    if data.spec["user_columns"]:
        kinds = _kinds(data.users[users], data.spec["user_columns"])
    else:
        kinds = _kinds(data.seen[users] @ data.items, data.spec["item_columns"], "genres")
    watched = np.diff(data.histories.indptr)[users]
    title = f"User vectors of {model.name} ({PROJECTIONS[params.map].title}): near users get the same items"
    draw_map(out / "users.png", title, places, kinds, ("activity", "items watched", watched))


def _distributions(models: Mapping[str, Model], exam: Exam, params: Evaluation, seed: int) -> dict[str, Series]:
    rng = np.random.default_rng(seed)
    seen, truth = exam.data.seen, exam.truth
    pairs = {
        f"{period}_{kind}": pairs
        for period, watched, known in (("test", truth, seen), ("train", seen, truth))
        for kind, pairs in sample(watched, known, params.points, params.negatives, rng).items()
    }
    return {
        name: densities({kind: scores(model, each) for kind, each in pairs.items()})
        for name, model in models.items()
        if model.kind == "vectors"
    }


def _kinds(rows: sp.csr_matrix, columns: Mapping[str, list[str]], block: str = "") -> tuple[str, np.ndarray]:
    """A column's name and each row's value of it: of several ones the one that the row has most of, as a share of what
    all rows have, and so of a film's genres the rarest; of none "unknown".

    `block` is the column, or the first one if there is no such; without columns all are unknown.
    """
    if not columns:
        return "feature", np.full(rows.shape[0], "unknown")
    name = block if block in columns else next(iter(columns))
    start = sum(len(values) for values in list(columns.values())[: list(columns).index(name)])
    amount = rows[:, start : start + len(columns[name])].toarray()
    share = amount / np.maximum(amount.sum(axis=0), 1)
    values = np.asarray([str(value) for value in columns[name]])
    return name, np.where(share.any(axis=1), values[share.argmax(axis=1)], "unknown")
