"""Sequences: is the DSSM ahead of RecTools' SASRec on planted data of MovieLens 1M's shape, given as long?

Run after `make .venv/ready-sasrec`: `PYTHONPATH=src:benchmarks python studies/sequences.py FOLDER`. 6,040 users have a
million interactions with 3,416 items; three of ten follow from the item before (`quality.plant`). The test is each
user's last item. The DSSM has the defaults, and its time includes choosing the weights of popularity and co-occurrence.
SASRec has each of SETTINGS, and trains for as many epochs as fit into the same time of the processor, on one thread.
All are judged on the test, so that the best of SASRec's settings is its best there. FOLDER keeps what has run: the same
command continues an interrupted study. Writes studies/sequences.json.
"""

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import evaluate_model
import fetch
import train_dssm
import train_sasrec
from retrieval.evaluation.intervals import intervals
from retrieval.evaluation.joining import read_values
from retrieval.experiments.trials import set_params
from retrieval.params import load, validate
from retrieval.stage import write_json

import numpy as np
import torch
from ablations import encode_data
from quality import plant

USERS, ITEMS, ROWS, TASTES = 6_040, 3_416, 999_603, 20
BASE = ["data=folder", "split.kind=leave-last", "train.precision=float32"]
SEARCHED = ["sasrec.length=50", "sasrec.factors=128", "sasrec.learning_rate=0.0007"]  # on MovieLens 100K: results.md
SETTINGS: dict[str, list[str]] = {"sasrec": [], "sasrec-searched": SEARCHED}
OURS, METRICS, RESAMPLES = "dssm", ("recall@10", "map@10"), 1000


def prepare_data(values: dict[str, Any], root: Path) -> None:
    """The planted files and the folders raw, prepared and features."""
    plant(root / "files", USERS, ITEMS, ROWS, TASTES)
    fetch.main(validate(fetch.FetchParams, values), root / "raw")
    encode_data(values, root)


def train(values: dict[str, Any], root: Path, name: str, budget: float | None = None) -> float:
    """Train the DSSM, or SASRec for `budget` seconds of the processor; evaluate it. Returns the seconds it took."""
    own, done = copy.deepcopy(values), root / f"{name}.json"
    if not done.exists():
        if budget is None:
            cost = {"seconds": seconds(train_dssm, train_dssm.TrainDSSMParams, own, root, name)}
        else:
            one = seconds(
                train_sasrec, train_sasrec.TrainSASRecParams, set_params(own, ["sasrec.epochs=1"]), root, name
            )
            epochs = max(1, int(budget / one))
            set_params(own, [f"sasrec.epochs={epochs}"])
            spent = seconds(train_sasrec, train_sasrec.TrainSASRecParams, own, root, name)
            cost = {"seconds": spent, "epochs": epochs}
        options = validate(evaluate_model.EvaluateModelParams, own)
        evaluate_model.main(options, root / "prepared", root / "features", root / name, root / "evaluation" / name)
        write_json(done, cost)
    return float(json.loads(done.read_text(encoding="utf-8"))["seconds"])


def seconds(stage: Any, section: Any, values: dict[str, Any], root: Path, name: str) -> float:
    """Processor seconds of a stage that trains root/name."""
    start = time.process_time()
    stage.main(validate(section, copy.deepcopy(values)), root / "features", root / name)
    return round(time.process_time() - start, 1)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("sequences: expected FOLDER, which keeps what has run")
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    values = set_params(load(Path("params.yaml")), [*BASE, f"folder={root / 'files'}"])
    if not (root / "features").exists():
        root.mkdir(parents=True, exist_ok=True)
        prepare_data(copy.deepcopy(values), root)
    budget = train(values, root, OURS)
    for name, changes in SETTINGS.items():
        train(set_params(copy.deepcopy(values), changes), root, name, budget)
    found = read_values({name: root / "evaluation" / name for name in (OURS, *SETTINGS)}, "values")
    kept = {name: {metric: own[metric] for metric in METRICS} for name, own in found.items()}
    costs = {name: json.loads((root / f"{name}.json").read_text(encoding="utf-8")) for name in kept}
    results = {"costs": costs, **intervals(kept, OURS, RESAMPLES, np.random.default_rng(0))}
    write_json(Path("studies/sequences.json"), results)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
