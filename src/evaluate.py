"""Evaluate every model: metrics with error bars and by group, and the data and pictures of the plots."""

import json
import sys
from pathlib import Path
from typing import Any

from retrieval import histories, ids, matrices
from retrieval.encode import joined
from retrieval.errors import Problem
from retrieval.evaluation import report
from retrieval.evaluation.assessment import Evaluation, assess, assess_lists, prepare_exam
from retrieval.evaluation.cold import assess_cold, cold_users
from retrieval.evaluation.cold_items import ColdItems, assess_cold_items, baselines, prepare_cold_items, summarize
from retrieval.evaluation.external import read_all
from retrieval.evaluation.pictures import draw_intervals, draw_scores
from retrieval.matrices import Model
from retrieval.newitems import score_new
from retrieval.params import Section, Seed
from retrieval.stage import read_table, run, write_json
from retrieval.vocabulary import extend

import numpy as np

DSSM = "dssm"  # compared with every other model, and the model of the training curve and the maps


class EvaluateParams(Section):
    """The parameters that `evaluate` reads."""

    seed: Seed
    evaluate: Evaluation


def main(params: EvaluateParams, prepared: Path, features: Path, models: Path, metrics: Path, plots: Path) -> None:
    """data/prepared, data/features, models, and lists in models/external -> metrics, plots."""
    options, seed = params.evaluate, params.seed
    all_models = {card.parent.name: matrices.load(card.parent) for card in sorted(models.glob("[!.]*/card.json"))}
    if DSSM not in all_models:
        raise Problem(
            f"{models / DSSM}: no such model; all others are compared with it: run the stage train_dssm first"
        )
    data = histories.load(features)
    catalogue = extend(data, read_table(prepared / "new_items.parquet"))
    complete = {name: score_new(models / name, model, catalogue) for name, model in all_models.items()}
    new = prepare_cold_items(prepared, catalogue, len(data.item_ids))
    write_json(metrics / "cold_items.json", _cold_items(complete, new, options, seed))
    if options.candidates == "all":
        data, all_models = catalogue, complete
        _say_incomplete(complete, data)
    exam = prepare_exam(prepared, data, options, seed)
    test = data.user_ids[exam.users]
    external = read_all(models / "external", data, cold_users(prepared), test, all_models, options.ks[-1])
    results = {name: assess(model, exam, options) for name, model in all_models.items()}
    results |= {name: assess_lists(each.lists(test), exam, options.k, {}) for name, each in external.items()}
    bars = report.write_metrics(metrics, results, DSSM, exam, options, seed)
    write_json(metrics / "cold.json", assess_cold(prepared, models, all_models, external, exam, options))
    machines = {name: model.card["machine"] for name, model in all_models.items() if "machine" in model.card}
    write_json(metrics / "machines.json", machines)
    distributions = report.write_series(plots, results, all_models, exam, options, seed)
    history = json.loads((models / DSSM / "history.json").read_text(encoding="utf-8"))
    write_json(plots / "loss.json", history)
    draw_intervals(plots / "leaderboard.png", bars["means"], f"map@{options.k}", DSSM)
    draw_scores(plots / "scores.png", distributions)
    report.write_maps(plots, all_models[DSSM], exam, _titles(prepared / "items.parquet", data), options, seed)


def _cold_items(models: dict[str, Model], exam: ColdItems | None, options: Evaluation, seed: int) -> dict[str, Any]:
    if exam is None:
        return {}
    able = {name: model for name, model in models.items() if len(model.items) == len(exam.data.item_ids)}
    results = {name: assess_cold_items(each, exam, options) for name, each in (able | baselines(exam, seed)).items()}
    return summarize(results, DSSM, options, seed)


def _say_incomplete(models: dict[str, Model], data: histories.Features) -> None:
    """Say which models leave the new items out of their lists."""
    names = [name for name, model in models.items() if len(model.items) < len(data.item_ids)]
    if names:
        new = len(data.item_ids) - len(models[names[0]].items)
        print(f"evaluate: {', '.join(names)}: cannot score the {new:,} items that are not in train", file=sys.stderr)


def _titles(path: Path, data: histories.Features) -> np.ndarray:
    """[items], the title of each item, "" if it has none; the values of a list are separated by commas."""
    table = read_table(path)
    titles = np.full(len(data.item_ids), "", dtype=object)
    if "title" in table.column_names:
        row = ids.rows_of(table["item_id"].to_numpy(), data.item_ids)
        titles[row[row >= 0]] = joined(table["title"]).fill_null("").to_numpy()[row >= 0]
    return titles


if __name__ == "__main__":
    run(main)
