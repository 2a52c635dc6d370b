"""One GPU against the processor: a step, an epoch at KION's size, a whole training with its metrics, a ranking.

Run after `make repro`, in the environment of the benchmarks, on a machine with an NVIDIA GPU and torch with CUDA:
`PYTHONPATH=src python benchmarks/gpu.py`. It is sized to take less than six minutes. To try it without a GPU, on less
data: `--anywhere --scale 0.002`; nothing is recorded then.

- The step of `training.py`: the notebook's shapes and its triplet loss.
- An epoch of the default DSSM on `kion-synthetic`, in float32 and bfloat16, with and without `torch.compile`. A first
  epoch warms up, and compiles.
- `train_dssm` on the data of `data/features`, from start to end, and how far the metrics of its model are from those of
  `metrics/metrics.json`, whose model the processor trained.
- The ten best unseen items of all users of `kion-synthetic`: by torch on the device, in float32, and by our exact
  ranking on the processor.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from retrieval import histories, matrices
from retrieval.experiments.trials import set_params
from retrieval.histories import Features
from retrieval.params import load, validate
from retrieval.ranking import rank
from retrieval.training.loop import fit
from retrieval.training.resolve import TrainDSSMParams, resolve

import numpy as np
import scale as stages
import torch
import training
from results import ROOT, record

BLOCK, WIDTH, K = 8192, 65, 10  # of the ranking: users at once, columns of the vectors, items per list
EPOCHS = 2  # measured after the first one
METRICS = "map@10", "ndcg@10", "recall@10"
USUAL = [*stages.ONE_TRAINING, "towers.popularity=0", "cooccurrence.weight=0"]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes until the device has done the work."""
    start = time.perf_counter()
    work()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def data(folder: Path, scale: float) -> Features:
    """The features of `kion-synthetic`, made by the stages in `folder`."""
    values = load(ROOT / "params.yaml") | {"data": "kion-synthetic", "synthetic": {"scale": scale}}
    for stage in ("fetch", "prepare", "features"):
        stages.run(stage, folder, values)
    return histories.load(folder / "data" / "features")


def epoch(features: Features, precision: str, compiled: bool) -> float:
    """Seconds of an epoch with the defaults."""

    def train(epochs: int) -> None:
        own = {"epochs": epochs, "patience": 0, "precision": precision, "compile": compiled}
        changes = [*USUAL, *(f"train.{name}={value}" for name, value in own.items())]
        values = set_params(load(ROOT / "params.yaml"), changes)
        fit(resolve(validate(TrainDSSMParams, values), features), features)

    return training.epoch_seconds(train, EPOCHS)


def whole_training(folder: Path) -> dict[str, Any]:
    """Seconds and metrics of `train_dssm` on data/features: here, and as the processor had them."""
    _stage("train_dssm", ROOT / "data/features", folder / "dssm", folder / "run.json")
    _stage("evaluate_model", ROOT / "data/prepared", ROOT / "data/features", folder / "dssm", folder / "evaluation")
    cards = folder / "run.json", ROOT / "models" / "dssm.run.json"
    tables = folder / "evaluation" / "metrics" / "metrics.json", ROOT / "metrics" / "metrics.json"
    rows = [_read(path)["dssm"] for path in tables]
    return {
        "seconds": [_read(path)["seconds"] for path in cards],
        "metrics": {name: [row[name] for row in rows] for name in METRICS},
    }


def ranking(features: Features) -> dict[str, int]:
    """Users per second: torch's product and topk on the device, in float32, and our exact ranking on the processor."""
    rng, seen = np.random.default_rng(0), features.seen
    left, right = (matrices.snap(rng.standard_normal((count, WIDTH), dtype=np.float32)) for count in seen.shape)
    users, items = (torch.from_numpy(side).to(DEVICE) for side in (left, right))

    def on_device() -> None:
        for start in range(0, len(users), BLOCK):
            scores = users[start : start + BLOCK] @ items.T
            rows, columns = (torch.from_numpy(each).to(DEVICE) for each in seen[start : start + BLOCK].nonzero())
            scores[rows, columns] = -float("inf")
            scores.topk(K).indices.cpu()

    on_device()
    exact = seconds(lambda: rank(left, right, np.arange(len(left)), K, seen))
    return {"torch": round(len(left) / seconds(on_device)), "exact_on_cpu": round(len(left) / exact)}


def measure(scale: float) -> dict[str, Any]:
    """All of it."""
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "none"
    found: dict[str, Any] = {"device": name, "step_seconds": round(training.ours(training.world(), 1), 5)}
    with tempfile.TemporaryDirectory() as folder:
        features = data(Path(folder), scale)
        for precision, compiled in product(("float32", "bfloat16"), (False, True)):
            title = f"epoch_seconds_{precision}" + "_compiled" * compiled
            found[title] = round(epoch(features, precision, compiled), 2)
            print(f"{title}: {found[title]}", file=sys.stderr)
        found["train_dssm"] = whole_training(Path(folder))
        found["users_per_second"] = ranking(features)
    return found


def _stage(script: str, *paths: Path) -> None:
    subprocess.run([sys.executable, ROOT / "src" / f"{script}.py", *paths], cwd=ROOT, check=True)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of kion-synthetic; 1 has KION's size")
    parser.add_argument("--anywhere", action="store_true", help="run without a GPU, too")
    options = parser.parse_args()
    if DEVICE.type == "cpu" and not options.anywhere:
        sys.exit("gpu: torch finds no NVIDIA GPU (torch.cuda.is_available() is false); --anywhere runs without one")
    found = measure(options.scale)
    if DEVICE.type == "cuda" and options.scale == 1:
        record(gpu=found)
    else:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
