"""Evaluate every model: rank for all users, metrics with error bars and by group, data and pictures of the plots."""

from pathlib import Path

from retrieval import histories, matrices
from retrieval.errors import Problem
from retrieval.evaluation import Evaluation, assess, prepare_exam
from retrieval.metrics import means
from retrieval.params import NotNegative, Section
from retrieval.stage import run, write_json


class Params(Section):
    """What `evaluate` reads of params.yaml."""

    seed: NotNegative
    evaluate: Evaluation


def main(params: Params, prepared: Path, features: Path, models: Path, metrics: Path, plots: Path) -> None:
    """data/prepared, data/features, models -> metrics, plots."""
    folders = [card.parent for card in sorted(models.glob("[!.]*/card.json"))]
    if not folders:
        raise Problem(f"{models}: holds no model; run the train stages first")
    exam = prepare_exam(prepared, histories.load(features), params.evaluate, params.seed)
    results = {folder.name: assess(matrices.load(folder), exam, params.evaluate) for folder in folders}
    write_json(metrics / "metrics.json", {name: means(result.values) for name, result in results.items()})
    write_json(metrics / "beyond.json", {name: means(result.beyond) for name, result in results.items()})
    write_json(metrics / "settings.json", {name: result.settings for name, result in results.items()})


if __name__ == "__main__":
    run(main)
