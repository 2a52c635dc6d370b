"""Evaluate one model on the test: metrics, values per user, and the data of the plots."""

import sys
from pathlib import Path

from retrieval import histories, matrices
from retrieval.evaluation.assessment import assess, prepare_exam
from retrieval.evaluation.cold import assess_cold
from retrieval.evaluation.cold_items import assess_cold_items, prepare_cold_items
from retrieval.evaluation.joining import write_values
from retrieval.evaluation.options import Evaluation
from retrieval.evaluation.report import write_model, write_result
from retrieval.newitems import score_new
from retrieval.params import Section, Seed
from retrieval.stage import folder, read_table, run, write_json
from retrieval.torchrun import Processes
from retrieval.vocabulary import extend


class EvaluateModelParams(Section):
    """The parameters that `evaluate_model` reads."""

    seed: Seed
    evaluate: Evaluation


def main(params: EvaluateModelParams, prepared: Path, features: Path, path: Path, out: Path) -> None:
    """data/prepared, data/features, models/<name> -> data/evaluation/<name>, whose files the stage `evaluate` joins."""
    options, seed = params.evaluate, params.seed
    data, model = histories.load(features), matrices.load(path)
    catalogue = extend(data, read_table(prepared / "new_items.parquet"))
    complete = score_new(path, model, catalogue)
    new = prepare_cold_items(prepared, catalogue, len(data.item_ids))
    scores_new = len(complete.items) == len(catalogue.item_ids)
    if options.candidates == "all":
        if not scores_new:
            count = len(catalogue.item_ids) - len(complete.items)
            print(f"evaluate: {model.name}: cannot score the {count:,} items that are not in train", file=sys.stderr)
        data, model = catalogue, complete
    exam, processes = prepare_exam(prepared, data, options, seed), Processes()
    result = assess(model, exam, options, processes)
    cold = assess_cold(prepared, path.parent, {model.name: model}, {}, exam, options, processes)
    cold_items = assess_cold_items(complete, new, options, processes) if new is not None and scores_new else {}
    if not processes.first:
        return  # the first process writes
    with folder(out) as aside:
        write_result(aside, model.name, result, exam, options)
        write_model(aside, path, model, exam, options, seed)
        write_json(aside / "metrics" / "cold.json", cold)
        for setting, values in cold_items.items():
            write_values(aside, setting, values)


if __name__ == "__main__":
    run(main)
