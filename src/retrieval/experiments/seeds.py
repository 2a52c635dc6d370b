"""Train the towers with several seeds on the same data: mean and deviation of the metrics, and a paired comparison.

The comparison with another model or experiment is paired by user: each user's metric is averaged over the seeds, and
the mean difference gets a 95 % interval by bootstrap over users (Efron 1979).
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from retrieval import histories, matrices
from retrieval.errors import Problem, choices
from retrieval.evaluation.assessment import Exam, assess, prepare_exam
from retrieval.evaluation.intervals import bootstrap
from retrieval.evaluation.options import Evaluation
from retrieval.experiments.repository import call, changed_params, command
from retrieval.matrices import Model
from retrieval.params import PATH, Section, Seed, load, parse, read, validate
from retrieval.stage import rounded, write_json
from retrieval.training.loop import fit
from retrieval.training.resolve import TrainDSSMParams, resolve

import numpy as np
import yaml
from tabulate import tabulate

PREPARED, FEATURES, MODELS = Path("data/prepared"), Path("data/features"), Path("models")


class SeedsParams(Section):
    """The parameters of the evaluation."""

    seed: Seed
    evaluate: Evaluation


def main() -> None:
    """Train and evaluate once per seed; print one line per metric."""
    parser = argparse.ArgumentParser(prog="seeds", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "-n", "--seeds", type=int, default=5, help="number of seeds, from the one in params.yaml upwards (default: 5)"
    )
    parser.add_argument(
        "-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="set a parameter, as in dvc exp run"
    )
    parser.add_argument(
        "--against", metavar="NAME", help="compare with a model in models/, or the DSSM of an experiment or revision"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write means and deviations to this JSON file")
    options = parser.parse_args()
    if options.seeds < 1:
        raise Problem(f"--seeds: {options.seeds} is not valid: expected 1 or more")
    settings, data = read(SeedsParams), histories.load(FEATURES)
    params = validate(TrainDSSMParams, _set(load(PATH), options.set_param))
    exam = prepare_exam(PREPARED, data, settings.evaluate, settings.seed)
    other = _judge(_fetch(options.against), exam, settings) if options.against else None
    runs, params = [], resolve(params, data)
    for seed in range(params.seed, params.seed + options.seeds):
        model = fit(params.model_copy(update={"seed": seed}), data).model
        left, right = model.matrices(data.histories)
        runs.append(_judge(Model("dssm", "vectors", left, right, data.user_ids, data.item_ids, {}), exam, settings))
    report = summarise(runs, other, settings.evaluate.resamples, settings.seed)
    if options.out:
        lines = {name: {key: rounded(line[key]) for key in ("mean", "deviation")} for name, line in report.items()}
        write_json(options.out, {"seeds": options.seeds, "dssm": lines})
    print(json.dumps(report, indent=2) if options.json else render(report, options.against))


def summarise(
    runs: list[dict[str, np.ndarray]], other: dict[str, np.ndarray] | None, resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """metric -> mean and sample deviation over the runs; with `other`, also difference, low, high and p_not_better.

    `runs` and `other` map metric -> value per user [users]. p_not_better is the share of the bootstrap samples in which
    the runs are no better than `other`.
    """
    report = {}
    for name in runs[0]:
        means = np.array([run[name].mean() for run in runs])
        line = {"mean": float(means.mean()), "deviation": float(means.std(ddof=1)) if len(runs) > 1 else 0.0}
        if other is not None and other[name].ndim:
            gaps = np.mean([run[name] for run in runs], axis=0) - other[name]
            samples = bootstrap(gaps[:, None], resamples, np.random.default_rng(seed))[:, 0]
            low, high = np.quantile(samples, [0.025, 0.975])
            line |= {"difference": float(gaps.mean()), "low": float(low), "high": float(high)}
            line["p_not_better"] = float(np.mean(samples <= 0))
        report[name] = line
    return report


def render(report: dict[str, dict[str, float]], against: str | None) -> str:
    """The report as a table."""
    lines = []
    for name, line in report.items():
        cells = [name, f"{line['mean']:.4f}", f"{line['deviation']:.4f}"]
        if "difference" in line:
            interval = f"{line['low']:+.4f} to {line['high']:+.4f}"
            cells += [f"{line['difference']:+.4f}", interval, f"{line['p_not_better']:.3f}"]
        lines.append(cells)
    headers = ["metric", "mean", "deviation", *([f"minus {against}", "95 %", "p (not better)"] if against else [])]
    return tabulate(lines, headers, "simple", disable_numparse=True)


def _judge(model: Model, exam: Exam, settings: SeedsParams) -> dict[str, np.ndarray]:
    """Metric -> value per user [users]."""
    return assess(model, exam, settings.evaluate).values


def _fetch(name: str) -> Model:
    """A model of models/, or the DSSM of an experiment or revision, from DVC's cache."""
    if (MODELS / name / "card.json").exists():
        return matrices.load(MODELS / name)
    _same_data(name)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "dssm"
        call("dvc", "get", ".", str(MODELS / "dssm"), "--rev", name, "--out", str(out))
        return matrices.load(out)


def _same_data(revision: str) -> None:
    """Raise `Problem` if the revision has other data or another split: its train may contain this test."""
    stages = load(Path("dvc.yaml"))["stages"]
    sections = {*stages["fetch"]["params"], *stages["prepare"]["params"]} - {"seed"}
    for key, (there, here) in changed_params(revision).items():
        if key.split(".")[0] in sections:
            raise Problem(
                f"--against {revision}: {key} is {there} there and {here} here; expected the same data and split"
            )


def _set(values: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """The parameters with KEY=VALUE set. Only those of train_dssm are allowed: data and other models stay the same."""
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise Problem(f"-S {change}: expected KEY=VALUE")
        *sections, name = key.split(".")
        if key.split(".")[0] not in TrainDSSMParams.model_fields:
            raise Problem(f"-S {change}: not a parameter of train_dssm; {choices(key, TrainDSSMParams.model_fields)}")
        section: Any = values
        for each in sections:
            section = section.get(each, {})
            if not isinstance(section, dict):
                raise Problem(f"-S {change}: {each} is a value, not a section")
        if name not in section:
            raise Problem(f"-S {change}: unknown key; {choices(name, section)}")
        try:
            section[name] = parse(value)
        except (yaml.YAMLError, ValueError):
            raise Problem(f"-S {change}: {value!r} is not valid YAML") from None
    return values


if __name__ == "__main__":
    command(main)
