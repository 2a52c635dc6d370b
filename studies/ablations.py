"""Ablations: what is each choice of the defaults worth, switched off by itself?

Run after `dvc repro`: `PYTHONPATH=src python studies/ablations.py FOLDER [seed ...]`. Three kinds of data: 500 users of
MovieLens 100K, their last item being the test, the same with the last 28 days, and `kion-synthetic` with the last 7
days, both of these with two pairs of towers. Three seeds each, unless others are named; that takes over an hour on one
core. FOLDER keeps what has run, and the same command continues an interrupted study. Writes studies/ablations.json
after each seed and kind, and prints a table: MAP@10 minus that of the defaults, a mean over the seeds, with the 95 %
interval of the paired difference over the users.
"""

import copy
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import evaluate_model
import features
import fetch
import prepare
import train_dssm
from retrieval.evaluation.intervals import intervals
from retrieval.evaluation.joining import read_values
from retrieval.experiments.trials import set_params
from retrieval.params import load, validate
from retrieval.stage import write_json
from retrieval.training.resolve import FEW_USERS_WEIGHT, MEAN_WEIGHT

import numpy as np
from small import draw

SEEDS, RESAMPLES, DEFAULTS = (1, 2, 3), 1000, "defaults"
FASTER = ["train.precision=float32"]
TWO = "towers.ensemble=2"  # by days, as larger data have it by default
KINDS = {
    "MovieLens, last item": ["split.kind=leave-last"],
    "MovieLens, 28 days": ["split.kind=days", "split.days=28", TWO],
    "kion-synthetic, 7 days": ["data=kion-synthetic", "synthetic.scale=0.005", TWO],
}
CHOICES = {
    "no co-occurrence": ["cooccurrence.weight=0.0"],
    "no popularity": ["towers.popularity=0.0"],
    "`history` bag for transformer": ["history=bag"],
    "`history` transformer for bag": ["history=transformer"],
    "`item=id`": ["item=id"],
    "`item=features`": ["item=features"],
    "no dropout": ["towers.dropout=0.0"],
    "no dropout of ids": ["towers.id_dropout=0.0"],
    "tokens with vectors of their own": ["towers.tied=false"],
    "no average of the weights": ["train.average=0.0"],
    "watched items are negatives": ["negatives.exclude_seen=false"],
    "`towers.ensemble=1`": ["towers.ensemble=1"],
    "`towers.ensemble=2`": [TWO],
    "one target per user and epoch": ["train.targets=one"],
    "`loss=bpr`": ["loss=bpr"],
    "no rehearsal": [f"trend.user_weight={FEW_USERS_WEIGHT}", f"trend.mean_weight={MEAN_WEIGHT}"],
    "no trend": ["trend.enabled=false"],
    "all interactions are targets": ["train.recency=0.0"],
    "`train.weight_decay` 0.01": ["train.weight_decay=0.01"],
}
BY_DAYS, LAST = [*CHOICES][-4:], ["no popularity"]  # change nothing for the last item, or for the last days
SAME = {  # as the defaults, by days or not
    True: ["`history` bag for transformer", "`towers.ensemble=2`"],
    False: ["`history` transformer for bag", "`towers.ensemble=1`"],
}


def prepare_data(values: dict[str, Any], root: Path) -> None:
    """The folders raw, prepared and features of a kind of data; those of the default source are drawn from data/raw."""
    raw = Path("data/raw")
    if values["data"] == "kion-synthetic":
        raw = root / "raw"
        fetch.main(validate(fetch.FetchParams, values), raw)
    else:
        draw(raw, root / "raw", seed=1)
    encode_data(values, root)


def encode_data(values: dict[str, Any], root: Path) -> None:
    """The folders prepared and features, from the folder raw."""
    prepare.main(validate(prepare.PrepareParams, values), root / "raw", root / "prepared")
    features.main(validate(features.FeaturesParams, values), root / "prepared", root / "features")


def precision(values: dict[str, Any], root: Path, name: str = "dssm") -> np.ndarray:
    """Average precision of each test user, [users], with the DSSM root/name trained by these parameters."""
    path, out = root / name, root / f"{name}-evaluation"
    train_dssm.main(validate(train_dssm.TrainDSSMParams, values), root / "features", path)
    options = validate(evaluate_model.EvaluateModelParams, values)
    evaluate_model.main(options, root / "prepared", root / "features", path, out)
    return read_values({name: out}, "values")[name]["map@10"]


def choices_of(by_days: bool) -> dict[str, list[str]]:
    """The choices that differ from the defaults with this split."""
    left_out = {*SAME[by_days], *(LAST if by_days else BY_DAYS)}
    return {DEFAULTS: []} | {name: changes for name, changes in CHOICES.items() if name not in left_out}


def table(found: dict[str, dict[str, list[np.ndarray]]]) -> dict[str, dict[str, dict[str, float]]]:
    """By kind and choice: mean, and low and high of the difference from the defaults, over the seeds run so far."""
    results = {}
    for kind, runs in found.items():
        means = {name: {"map": np.mean(values, axis=0)} for name, values in runs.items()}
        both = intervals(means, DEFAULTS, RESAMPLES, np.random.default_rng(0))
        results[kind] = {DEFAULTS: both["means"][DEFAULTS]["map"]}
        for name, metrics in both["differences"].items():
            lost = metrics["map"]  # by the choice; 0 - x, as -x may be -0.0
            results[kind][name] = {"mean": 0 - lost["mean"], "low": 0 - lost["high"], "high": 0 - lost["low"]}
    return results


def render(results: dict[str, dict[str, dict[str, float]]], choices: Iterable[str]) -> str:
    """The results of the defaults and the choices as a table of Markdown, a column per kind."""
    rows = [["", *results], ["---", *["---:"] * len(results)]]
    for name in (DEFAULTS, *choices):
        cells = [own.get(name) for own in results.values()]
        sign = "" if name == DEFAULTS else "+"
        rows.append([name, *(in_words(cell, sign) if cell else "" for cell in cells)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def in_words(cell: dict[str, float], sign: str) -> str:
    """Mean, low and high."""
    mean, low, high = (f"{cell[name]:{sign}.4f}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def main() -> None:
    if len(sys.argv) == 1:
        sys.exit("ablations: expected FOLDER, which keeps what has run, and maybe seeds")
    folder, *seeds = sys.argv[1:]
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for seed in [int(each) for each in seeds] or SEEDS:
        for number, (kind, changes) in enumerate(KINDS.items()):
            root, base = Path(folder) / str(number), set_params(load(Path("params.yaml")), [*FASTER, *changes])
            if not (root / "features").exists():
                root.mkdir(parents=True, exist_ok=True)
                prepare_data(copy.deepcopy(base), root)
            runs = found.setdefault(kind, {})
            for name, more in choices_of(by_days="last item" not in kind).items():
                done = root / f"{seed}-{'-'.join(more) or DEFAULTS}.npy"
                if not done.exists():
                    values = set_params(copy.deepcopy(base), [*more, f"seed={seed}"])
                    np.save(done, precision(values, root))
                runs.setdefault(name, []).append(np.load(done))
                print(seed, kind, name, round(float(runs[name][-1].mean()), 4), file=sys.stderr)
            write_json(Path("studies/ablations.json"), table(found))
    print(render(table(found), CHOICES))


if __name__ == "__main__":
    main()
