"""Evaluate lists from outside this repository like models, and the baselines of the new items."""

from pathlib import Path

from retrieval import histories
from retrieval.evaluation.assessment import assess_lists, prepare_exam
from retrieval.evaluation.cold import assess_cold, cold_users
from retrieval.evaluation.cold_items import assess_cold_items, baselines, prepare_cold_items
from retrieval.evaluation.external import read_all
from retrieval.evaluation.joining import write_values
from retrieval.evaluation.options import Evaluation, Models, Peers
from retrieval.evaluation.report import write_result
from retrieval.params import Section, Seed
from retrieval.stage import folder, read_table, run, write_json
from retrieval.vocabulary import extend


class EvaluateExternalParams(Section):
    """The parameters that `evaluate_external` reads."""

    seed: Seed
    models: Models
    peers: Peers
    evaluate: Evaluation


def main(params: EvaluateExternalParams, prepared: Path, features: Path, path: Path, out: Path) -> None:
    """data/prepared, data/features, models/external -> data/evaluation/external: systems, baselines, and systems.json,
    the names of the systems."""
    options, data = params.evaluate, histories.load(features)
    catalogue = extend(data, read_table(prepared / "new_items.parquet"))
    new = prepare_cold_items(prepared, catalogue, len(data.item_ids))
    data = catalogue if options.candidates == "all" else data
    exam = prepare_exam(prepared, data, options, params.seed)
    test = data.user_ids[exam.users]
    taken = [*params.models, *params.peers]
    systems = read_all(path, data, cold_users(prepared), test, taken, options.ks[-1])
    with folder(out) as aside:
        write_json(aside / "systems.json", list(systems))
        for name, system in systems.items():
            result = assess_lists(system.lists(test), exam, options.k, {})
            write_result(aside / "systems" / name, name, result, exam, options)
            cold = assess_cold(prepared, path, {}, {name: system}, exam, options)
            write_json(aside / "systems" / name / "metrics" / "cold.json", cold)
        if new is not None:
            for name, baseline in baselines(new, params.seed).items():
                for setting, values in assess_cold_items(baseline, new, options).items():
                    write_values(aside / "baselines" / name, setting, values)


if __name__ == "__main__":
    run(main)
