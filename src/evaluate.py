"""Evaluate every model: rank for all users, metrics with error bars and by group, data and pictures of the plots."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from retrieval import histories, matrices, report
from retrieval.errors import Problem, choices
from retrieval.evaluation import Evaluation, assess, prepare_exam
from retrieval.params import NotNegative, Section
from retrieval.pictures import draw_intervals, draw_scores
from retrieval.stage import run, write_json


class Params(Section):
    """What `evaluate` reads of params.yaml."""

    seed: NotNegative
    evaluate: Evaluation


def main(params: Params, prepared: Path, features: Path, models: Path, metrics: Path, plots: Path) -> None:
    """data/prepared, data/features, models -> metrics, plots."""
    options, seed = params.evaluate, params.seed
    loaded = {card.parent.name: matrices.load(card.parent) for card in sorted(models.glob("[!.]*/card.json"))}
    if options.reference not in loaded:
        raise Problem(f"evaluate.reference: {options.reference!r} is no model; {choices(options.reference, loaded)}")
    data = histories.load(features)
    exam = prepare_exam(prepared, data, options, seed)
    results = {name: assess(model, exam, options) for name, model in loaded.items()}
    bars = report.write_metrics(metrics, results, exam, options, seed)
    distributions = report.write_series(plots, results, loaded, exam, options, seed)
    history = json.loads((models / options.reference / "history.json").read_text(encoding="utf-8"))
    write_json(plots / "loss.json", history)
    draw_intervals(plots / "leaderboard.png", bars["means"], f"map@{options.k}", options.reference)
    draw_scores(plots / "scores.png", distributions)
    report.write_maps(plots, loaded[options.reference], exam, _titles(prepared / "items.parquet", data), options, seed)


def _titles(path: Path, data: histories.Features) -> np.ndarray:
    """[items], the title of each row of the item matrix, "" for an item without one."""
    table = pq.read_table(path, columns=["item_id", "title"]).to_pandas().set_index("item_id")["title"]
    return table.reindex(data.item_ids).fillna("").to_numpy(dtype=str)


if __name__ == "__main__":
    run(main)
