"""Train the towers with several seeds on the same data: mean and deviation of the metrics on the test.

For a row of README's table. To choose between settings use `make compare`, which looks at the validation.
"""

import argparse
from functools import partial
from pathlib import Path

from retrieval import histories
from retrieval.evaluation.assessment import assess, prepare_exam
from retrieval.evaluation.options import Evaluation
from retrieval.experiments.arguments import number
from retrieval.experiments.repository import command
from retrieval.matrices import Model
from retrieval.params import Section, Seed, read
from retrieval.stage import rounded, write_json
from retrieval.training.loop import fit
from retrieval.training.rehearsal import resolve_by_rehearsal
from retrieval.training.resolve import TrainDSSMParams
from retrieval.training.weighing import blended

import numpy as np
from tabulate import tabulate

PREPARED, FEATURES = Path("data/prepared"), Path("data/features")


class SeedsParams(Section):
    """The parameters of the evaluation."""

    seed: Seed
    evaluate: Evaluation


def main() -> None:
    """Train and evaluate once per seed; write means and deviations, and print them."""
    parser = argparse.ArgumentParser(prog="seeds", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "-n",
        "--seeds",
        type=partial(number, int, "--seeds", 1),
        default=5,
        help="number of seeds, from the one in params.yaml upwards (default: 5)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("metrics/seeds.json"), metavar="FILE", help="default: metrics/seeds.json"
    )
    options = parser.parse_args()
    settings, data = read(SeedsParams), histories.load(FEATURES)
    exam = prepare_exam(PREPARED, data, settings.evaluate, settings.seed)
    params, runs = read(TrainDSSMParams), []
    for seed in range(params.seed, params.seed + options.seeds):
        own = resolve_by_rehearsal(params.model_copy(update={"seed": seed}), data)
        _, found = blended(own, data, fit(own, data).model)
        model = Model("dssm", "vectors", found.left, found.right, data.user_ids, data.item_ids, {}, found.own)
        runs.append(assess(model, exam, settings.evaluate).values)
    report = summarise(runs)
    write_json(options.out, {"seeds": options.seeds, "dssm": report})
    rows = [[name, f"{line['mean']:.4f}", f"{line['deviation']:.4f}"] for name, line in report.items()]
    print(tabulate(rows, ["metric", "mean", "deviation"], "simple", disable_numparse=True))


def summarise(runs: list[dict[str, np.ndarray]]) -> dict[str, dict[str, float]]:
    """metric -> mean and sample deviation over the runs, each of which maps metric -> value per user [users]."""
    report = {}
    for name in runs[0]:
        means = np.array([run[name].mean() for run in runs])
        deviation = means.std(ddof=1) if len(runs) > 1 else 0.0
        report[name] = {"mean": rounded(means.mean()), "deviation": rounded(deviation)}
    return report


if __name__ == "__main__":
    command(main)
