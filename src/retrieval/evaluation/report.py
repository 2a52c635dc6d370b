"""The files of the evaluation of one model: metrics, values per user, and data series."""

import json
from pathlib import Path

from retrieval import ids
from retrieval.evaluation.assessment import Assessment, Exam
from retrieval.evaluation.distributions import densities, sample, scores
from retrieval.evaluation.groups import by_group, groups
from retrieval.evaluation.joining import USERS, VALUES, write_values
from retrieval.evaluation.metrics import by_k, means
from retrieval.evaluation.options import Evaluation
from retrieval.evaluation.series import Series, by_length, by_popularity
from retrieval.matrices import Model
from retrieval.stage import write_json

import numpy as np


def write_result(out: Path, name: str, result: Assessment, exam: Exam, params: Evaluation) -> None:
    """Write what every model and every system has, to metrics/, plots/, VALUES and USERS.

    Each JSON file is that of all models with one model only; `joining` makes one of them.
    """
    metrics, plots = out / "metrics", out / "plots"
    write_json(metrics / "metrics.json", {name: means(result.values)})
    write_json(metrics / "by_k.json", {name: by_k(result.lists, params.ks)})
    write_json(metrics / "beyond.json", {name: means(result.beyond)})
    write_json(metrics / "settings.json", {name: result.settings} if result.settings else {})
    lift = f"popularity_lift@{params.k}"
    by_user = result.values | {lift: result.beyond[lift]}
    write_json(metrics / "groups.json", by_group({name: by_user}, groups(exam.data, exam.users)))
    write_json(plots / "ndcg.json", by_length({name: result.lists}))
    write_json(plots / "popularity.json", by_popularity({name: result.lists.first(params.k)}))
    write_values(out, VALUES, result.values)
    ids.save(out / USERS, exam.data.user_ids[exam.users])


def write_model(out: Path, path: Path, model: Model, exam: Exam, params: Evaluation, seed: int) -> None:
    """Write what only some models have: the machine of a training that is not exact, its loss, the scores of vectors.

    path: the folder of the model.
    """
    machine = model.card.get("machine")
    write_json(out / "metrics" / "machines.json", {} if machine is None else {model.name: machine})
    if (history := path / "history.json").exists():
        write_json(out / "plots" / "loss.json", json.loads(history.read_text(encoding="utf-8")))
    if model.kind == "vectors" and len(model.items) == len(exam.data.item_ids):
        write_json(out / "plots" / "scores" / f"{model.name}.json", _distributions(model, exam, params, seed))


def _distributions(model: Model, exam: Exam, params: Evaluation, seed: int) -> Series:
    """The densities of the scores of test and train pairs by a model of dense vectors."""
    rng = np.random.default_rng(seed)
    seen, truth = exam.data.seen, exam.truth
    pairs = {
        f"{period}_{kind}": pairs
        for period, watched, excluded in (("test", truth, seen), ("train", seen, truth))
        for kind, pairs in sample(watched, excluded, params.points, params.negatives, rng).items()
    }
    return densities({kind: scores(model, each) for kind, each in pairs.items()})
