"""Evaluate one model on the test: metrics, values per user, and the data of the plots."""

from pathlib import Path

from retrieval import histories, matrices
from retrieval.evaluation.assessment import assess, prepare_exam
from retrieval.evaluation.cold import assess_cold
from retrieval.evaluation.options import Evaluation
from retrieval.evaluation.report import write_model, write_result
from retrieval.params import Section, Seed
from retrieval.stage import folder, run, write_json


class EvaluateModelParams(Section):
    """The parameters that `evaluate_model` reads."""

    seed: Seed
    evaluate: Evaluation


def main(params: EvaluateModelParams, prepared: Path, features: Path, path: Path, out: Path) -> None:
    """data/prepared, data/features, models/<name> -> data/evaluation/<name>, whose files the stage `evaluate` joins."""
    options, seed = params.evaluate, params.seed
    exam = prepare_exam(prepared, histories.load(features), options, seed)
    model = matrices.load(path)
    with folder(out) as aside:
        write_result(aside, model.name, assess(model, exam, options), exam, options.k)
        write_model(aside, path, model, exam, options, seed)
        cold = assess_cold(prepared, path.parent, {model.name: model}, {}, exam, options)
        write_json(aside / "metrics" / "cold.json", cold)


if __name__ == "__main__":
    run(main)
