"""Run every stage on `kion-synthetic` at several sizes: seconds, peak memory, and how both grow with the rows.

Run `PYTHONPATH=src python benchmarks/scale.py [scale ...]`; scale 1 has KION's 5.5 million interactions. `--stages`
runs some of the stages only: `--stages fetch,prepare,features,train_dssm 10`. Each stage script runs in a process of
its own, in a temporary folder. LightFM is trained for one epoch, the DSSM for one epoch in six ways: the notebook's
(triplet loss, one sample per user, width 128, batches of 1,024); the same with the full softmax; that with the width
and batch size of params.yaml; the defaults of params.yaml, without a rehearsal and with one pair of towers; and the
first two with the notebook's filter. With one sample per user the seconds of an epoch alone are measured, too: two
epochs minus one.
`evaluate` runs on all models, and then on those that are two dense matrices.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from retrieval.baselines import BASELINES
from retrieval.experiments.trials import set_params
from retrieval.params import load
from retrieval.training.resolve import MEAN_WEIGHT, USER_WEIGHT

import matplotlib
import numpy as np
import pyarrow.parquet as pq
import yaml
from results import ROOT, record

SCALES = [0.1, 0.3, 1.0]
ONE_TRAINING = [f"trend.user_weight={USER_WEIGHT}", f"trend.mean_weight={MEAN_WEIGHT}", "towers.ensemble=1"]
SAMPLE_A_USER = {
    "history": "bag",
    "item": "features",
    "train": {"targets": "one", "batch": 1024, "recency": 0},
    "towers": {"width": 128, "tied": False, "length": 1000},
    "negatives": {"count": 1, "exclude_seen": False, "shared": 0},
    "trend": {"enabled": False},
}
TRIPLET, SOFTMAX = ({**SAMPLE_A_USER, "loss": loss} for loss in ("triplet", "softmax"))
NARROW = {**SOFTMAX, "train": {"targets": "one", "recency": 0}, "towers": {"tied": False, "length": 1000}}
FILTERED = {"filter": {"enabled": True}}
OPTIONS: dict[str, dict[str, Any]] = {
    "train_lightfm": {"lightfm": {"epochs": 1}},
    "train_dssm (triplet)": TRIPLET,
    "train_dssm (softmax)": SOFTMAX,
    "train_dssm (softmax, narrow)": NARROW,
    "prepare (filtered)": FILTERED,
    "features (filtered)": FILTERED,
    "train_dssm (triplet, filtered)": {**TRIPLET, **FILTERED},
    "train_dssm (softmax, filtered)": {**SOFTMAX, **FILTERED},
}
PATHS = {
    "fetch": "data/raw",
    "prepare": "data/raw data/prepared",
    "features": "data/prepared data/features",
    "train_baselines": "data/features models/{model} models/{model}.run.json",
    "train_lightfm": "data/features models/lightfm models/lightfm.run.json",
    "train_dssm": "data/features models/dssm models/dssm.run.json",
    "evaluate": "data/prepared data/features models/{model} data/evaluation/{model}",
}
SCRIPTS = {"evaluate": "evaluate_model"}
DRAWN = [
    *("fetch", "prepare", "features", "train_baselines", "train_lightfm"),
    *("train_dssm (triplet)", "train_dssm (softmax)", "train_dssm (softmax, narrow)", "train_dssm", "evaluate"),
]
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")  # Okabe and Ito
VECTORS = "evaluate (vectors)"
STAGES = [*DRAWN, VECTORS, *(stage for stage in OPTIONS if stage.endswith("filtered)"))]


def peak(pid: int) -> int:
    """Peak memory of the process so far in megabytes, from Linux; 0 if it has ended."""
    try:
        held = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return round(int(held[1]) / 1024) if held else 0


def models(stage: str, folder: Path) -> list[str]:
    """The models that the stage runs for, one after the other; one empty name if it is not of one model."""
    if stage == "train_baselines":
        return list(BASELINES)
    return sorted(card.parent.name for card in folder.glob("models/*/card.json")) if stage == "evaluate" else [""]


def run(stage: str, folder: Path, params: dict[str, Any]) -> dict[str, float]:
    """Seconds and peak memory in megabytes, sampled every 50 ms."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    name, start, most = stage.split()[0], time.perf_counter(), 0
    script = ROOT / "src" / f"{SCRIPTS.get(name, name)}.py"
    for model in models(name, folder):
        paths = PATHS[name].format(model=model).split()
        process = subprocess.Popen([sys.executable, str(script), *paths], cwd=folder, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            most = max(most, peak(process.pid))
            time.sleep(0.05)
        if process.returncode:
            sys.exit(f"{stage} failed")
    return {"seconds": round(time.perf_counter() - start, 1), "megabytes": most}


def measure(scale: float, chosen: Sequence[str]) -> Iterator[tuple[str, dict[str, float]]]:
    """Name and cost of each of the stages, in order; the number of train rows comes after `prepare`."""
    defaults = load(ROOT / "params.yaml")
    defaults |= {"data": "kion-synthetic", "synthetic": {"scale": scale}}
    set_params(defaults, ONE_TRAINING)
    defaults["train"]["precision"] = "float32"  # at every scale, so that growth is that of one thing
    with tempfile.TemporaryDirectory() as name:
        for stage in chosen:
            if stage == VECTORS:
                for sparse in Path(name, "models").glob("*/left.npz"):
                    shutil.rmtree(sparse.parent)
            options = OPTIONS.get(stage, {})
            cost = run(stage, Path(name), _with(defaults, options, 1))
            if options.get("train"):
                two = run(stage, Path(name), _with(defaults, options, 2))
                cost["epoch_seconds"] = round(two["seconds"] - cost["seconds"], 1)
            yield stage, cost
            if stage == "prepare":
                yield "rows", {"train": pq.read_metadata(Path(name, "data/prepared/train.parquet")).num_rows}


def _with(defaults: dict[str, Any], options: dict[str, Any], epochs: int) -> dict[str, Any]:
    """`defaults` with `options` and that many epochs of the DSSM."""
    changed = {**options, "train": {"epochs": epochs, "patience": 0, **options.get("train", {})}}
    return {
        key: {**value, **changed.get(key, {})} if isinstance(value, dict) else changed.get(key, value)
        for key, value in defaults.items()
    }


def slope(rows: list[float], cost: list[float]) -> float:
    """b in cost = a rows^b, by least squares on the logarithms: 1 is linear, 2 quadratic."""
    return round(float(np.polyfit(np.log(rows), np.log(cost), 1)[0]), 2)


def draw(scales: list[dict[str, Any]], path: Path) -> None:
    """Plot seconds and peak memory of every stage over the rows of train, on logarithmic axes."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    rows = [one["rows"]["train"] for one in scales]
    titles = {"seconds": "Time per stage, one epoch", "megabytes": "Peak memory per stage"}
    for axis, (unit, title) in zip(axes, titles.items(), strict=True):
        for number, stage in enumerate(DRAWN):
            style = {"color": COLOURS[number % len(COLOURS)], "linestyle": "-" if number < len(COLOURS) else "--"}
            axis.loglog(rows, [one[stage][unit] for one in scales], marker="o", label=stage, **style)
        axis.set_xticks(rows, [f"{count / 1e6:.1f}" for count in rows])
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.set(xlabel="million rows of train", ylabel=unit, title=title)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scales", nargs="*", type=float, default=SCALES)
    parser.add_argument("--stages", type=lambda text: text.split(","), default=STAGES, metavar="NAME,NAME")
    options = parser.parse_args()
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
    scales = list[dict[str, Any]]()
    for scale in options.scales:
        scales.append({})
        for stage, cost in measure(scale, options.stages):
            scales[-1][stage] = cost
            print(f"scale {scale}: {stage}: {cost}", flush=True)
        record(**{f"scale_{scale:g}": scales[-1]})
    if len(scales) > 1 and options.stages == STAGES:
        rows = [one["rows"]["train"] for one in scales]
        units = ("seconds", "megabytes")
        growth = {s: {unit: slope(rows, [one[s][unit] for one in scales]) for unit in units} for s in DRAWN}
        record(scale_growth=growth)
        draw(scales, ROOT / "docs" / "scale.png")


if __name__ == "__main__":
    main()
