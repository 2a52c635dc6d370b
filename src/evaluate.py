"""Join the evaluations of all models: tables of metrics, intervals of their differences, and plots."""

import json
from pathlib import Path

from retrieval.errors import Problem
from retrieval.evaluation.intervals import intervals
from retrieval.evaluation.joining import (
    POPULAR,
    RANDOM,
    SETTINGS,
    VALUES,
    join_files,
    read_values,
    summarize,
    summary,
)
from retrieval.evaluation.options import OWN, Evaluation, Models, Peers
from retrieval.params import Section, Seed
from retrieval.stage import run, write_json

import numpy as np


class EvaluateParams(Section):
    """The parameters that `evaluate` reads."""

    seed: Seed
    models: Models
    peers: Peers
    evaluate: Evaluation


def main(params: EvaluateParams, evaluation: Path, indexes: Path, metrics: Path, plots: Path) -> None:
    """data/evaluation, models/indexes -> metrics, plots."""
    from retrieval.drawing.pictures import draw_intervals, draw_scores  # loads matplotlib; `check` needs none

    options, names = params.evaluate, sorted([*params.models, *params.peers])
    systems = json.loads((evaluation / "external" / "systems.json").read_text(encoding="utf-8"))
    external = evaluation / "external"
    models = {name: evaluation / name for name in names}
    folders = models | {name: external / "systems" / name for name in systems}
    for folder in folders.values():
        if not folder.is_dir():
            raise Problem(f"{folder}: no such folder; run dvc repro evaluate")
    tables = join_files([folder / "metrics" for folder in folders.values()], metrics)
    series = join_files([folder / "plots" for folder in folders.values()], plots)
    bars = intervals(read_values(folders, VALUES), OWN, options.resamples, np.random.default_rng(params.seed))
    write_json(metrics / "intervals.json", bars)
    models |= {name: external / "baselines" / name for name in (POPULAR, RANDOM)}
    cold_items = {setting: read_values(models, setting) for setting in SETTINGS}
    write_json(metrics / "cold_items.json", summarize(cold_items, OWN, options.resamples, params.seed))
    write_json(metrics / "summary.json", summary(tables["metrics.json"]))
    cards = {name: indexes / name / "index.json" for name in names if (indexes / name).is_dir()}
    measured = {name: json.loads(card.read_text(encoding="utf-8"))["measured"] for name, card in cards.items()}
    write_json(metrics / "index.json", measured)
    draw_intervals(plots / "leaderboard.png", bars["means"], f"map@{options.k}", OWN)
    scores = {Path(file).stem: rows for file, rows in series.items() if file.startswith("scores/")}
    draw_scores(plots / "scores.png", scores)


if __name__ == "__main__":
    run(main)
