"""Evaluate lists from outside this repository on the test, like models."""

from pathlib import Path

from retrieval import histories
from retrieval.evaluation.assessment import assess_lists, prepare_exam
from retrieval.evaluation.cold import assess_cold, cold_users
from retrieval.evaluation.external import read_all
from retrieval.evaluation.options import Evaluation, Models
from retrieval.evaluation.report import write_result
from retrieval.params import Section, Seed
from retrieval.stage import folder, run, write_json


class EvaluateExternalParams(Section):
    """The parameters that `evaluate_external` reads."""

    seed: Seed
    models: Models
    evaluate: Evaluation


def main(params: EvaluateExternalParams, prepared: Path, features: Path, path: Path, out: Path) -> None:
    """data/prepared, data/features, models/external -> data/evaluation/external/<name>, and systems.json, the names."""
    options, data = params.evaluate, histories.load(features)
    exam = prepare_exam(prepared, data, options, params.seed)
    test, length = data.user_ids[exam.users], max(options.k, options.longest)
    systems = read_all(path, data, cold_users(prepared), test, params.models, length)
    with folder(out) as aside:
        write_json(aside / "systems.json", list(systems))
        for name, system in systems.items():
            result = assess_lists(system.lists(test), exam, options.k, {})
            write_result(aside / name, name, result, exam, options.k)
            cold = assess_cold(prepared, path, {}, {name: system}, exam, options)
            write_json(aside / name / "metrics" / "cold.json", cold)


if __name__ == "__main__":
    run(main)
