"""Time to quality: validation over seconds, of the DSSM and of RecTools' SASRec and DSSM.

Run `PYTHONPATH=src python benchmarks/quality.py [set ...]` on an otherwise idle machine, after `make repro`. The sets
are those of SETS; the default is `shop`, and `kion` takes hours. Our DSSM is trained by the defaults and, where these
compare targets with a sample of the items, with all of them, too; both without a rehearsal, which has a validation of
its own, and one pair of towers. Each training is a process of `train_dssm.py`; the clock starts with the process, runs
through the validation, and is read at each epoch's line on stderr. The peers train for as long as our defaults, see
`peers.py`. The number is the seconds until 99 % of the best validation that all items reach. Validation is the mean
reciprocal rank of held-out items; nothing here reads a test. Writes the key `quality` of benchmarks/results.json, and
docs/quality.png.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from retrieval import histories
from retrieval.experiments.trials import set_params
from retrieval.params import load, validate
from retrieval.training.resolve import SLOW, TrainDSSMParams, resolve

import matplotlib
import numpy as np
import pandas as pd
import yaml
from peers import PEERS, Curve, curves
from results import PATH, ROOT, record
from scale import COLOURS, ONE_TRAINING

SETS = {
    "shop": ["data=folder", "folder=shop", "split.kind=leave-last"],
    "MovieLens 100K": ["train.holdout=0.5", "train.patience=24"],
    "kion at a tenth": ["data=kion-synthetic", "synthetic.scale=0.1", *ONE_TRAINING],
    "kion": ["data=kion-synthetic", "synthetic.scale=1.0", *ONE_TRAINING],
}
DEFAULTS, ALL_ITEMS = "defaults", "all items"
WITHOUT_SAMPLE = ["negatives.shared=0", f"train.learning_rate={SLOW}"]
STAGES = (("fetch", "raw"), ("prepare", "raw", "prepared"), ("features", "prepared", "features"))
EPOCH = re.compile(r"epoch \d+/\d+: .*validation ([\d.]+)")
SHARE = 0.99  # of the best validation, of all items where that is another training


def plant(out: Path, users: int = 22_000, items: int = 12_000, rows: int = 200_000, tastes: int = 150) -> None:
    """Users of two of the tastes each, and items that three others of the same taste tend to follow: a shop."""
    out.mkdir()
    rng = np.random.default_rng(5)
    taste, weight = rng.integers(tastes, size=items), rng.permutation(1 / np.arange(1, items + 1) ** 0.7)
    members = [np.flatnonzero(taste == each) for each in range(tastes)]
    shares = [weight[own].cumsum() / weight[own].sum() for own in members]
    follows = np.stack([rng.choice(members[each], 3) for each in taste])
    size = 4 + rng.geometric(1 / (rows / users - 4), users)
    table = []
    for user in range(users):
        own, seen, now, item = rng.integers(tastes, size=2), dict[int, int](), int(rng.integers(6 * 10**7)), -1
        while len(seen) < size[user]:
            if item >= 0 and rng.random() < 0.3:
                item = int(follows[item, rng.integers(3)])
            else:
                chosen = own[rng.integers(2)] if rng.random() < 0.8 else rng.integers(tastes)
                item = int(members[chosen][np.searchsorted(shares[chosen], rng.random())])
            now += int(rng.exponential(500_000))
            seen.setdefault(item, now)
        table += [(user, item, 1_400_000_000 + when) for item, when in seen.items()]
    pd.DataFrame(table, columns=["user_id", "item_id", "time"]).to_csv(out / "interactions.csv", index=False)
    pd.DataFrame({"item_id": np.arange(items), "category": taste % 30}).to_csv(out / "items.csv", index=False)


def stage(folder: Path, name: str, *paths: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *paths]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def curve(folder: Path) -> Curve:
    """Seconds since the start and validation of each epoch of a training."""
    start, points = time.perf_counter(), Curve()
    process = stage(folder, "train_dssm", "features", "dssm", "dssm.run.json")
    for line in process.stderr or ():
        if found := EPOCH.match(line):
            points.append((round(time.perf_counter() - start, 1), float(found[1])))
    if process.wait():
        sys.exit("train_dssm failed")
    return points


def measure(name: str) -> dict[str, Any]:
    """By run the curve and the seconds until SHARE of the best validation of the goal's run; None: never."""
    found = dict[str, Curve]()
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        if name == "shop":
            plant(folder / "shop")
        params = set_params(load(ROOT / "params.yaml"), SETS[name])
        write(params, folder)
        prepare(folder, params["data"])
        data = histories.load(folder / "features")
        ours = resolve(validate(TrainDSSMParams, params), data)
        found[DEFAULTS] = curve(folder)
        if ours.negatives.shared:
            write(set_params(params, WITHOUT_SAMPLE), folder)
            found[ALL_ITEMS] = curve(folder)
        found |= curves(ours, data, found[DEFAULTS][-1][0])
    best = {run: max(value for _, value in points) for run, points in found.items()}
    goal = SHARE * best.get(ALL_ITEMS, best[DEFAULTS])
    reached = {run: next((at for at, value in points if value >= goal), None) for run, points in found.items()}
    return {"goal": round(goal, 4), "best": best, "seconds": reached, "curves": found}


def write(params: dict[str, Any], folder: Path) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def prepare(folder: Path, source: str) -> None:
    """raw, prepared and features; those of the default source from data/raw of the repository."""
    stages: tuple[tuple[str, ...], ...] = STAGES
    if source == "movielens-100k":
        shutil.copytree(ROOT / "data" / "raw", folder / "raw")
        stages = STAGES[1:]
    for script, *paths in stages:
        process = stage(folder, script, *paths)
        process.communicate()
        if process.returncode:
            sys.exit(f"{script} failed")


def draw(results: dict[str, Any], path: Path) -> None:
    """A panel per set: validation over seconds, and the goal."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(4 * len(results), 3.6), layout="constrained", squeeze=False)
    for axis, (name, result) in zip(axes[0], results.items(), strict=True):
        for run, points in result["curves"].items():
            axis.plot(*zip(*points, strict=True), label=run, color=COLOURS[[DEFAULTS, ALL_ITEMS, *PEERS].index(run)])
        axis.axhline(result["goal"], color="0.6", linestyle=":", linewidth=1)
        axis.set(title=name, xlabel="seconds", ylabel="validation MRR" if axis is axes[0, 0] else "", ylim=(0, None))
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    known = json.loads(PATH.read_text(encoding="utf-8")).get("quality", {})
    for name in sys.argv[1:] or [next(iter(SETS))]:
        known[name] = measure(name)
        record(quality=known)
    draw({name: known[name] for name in SETS if name in known}, ROOT / "docs" / "quality.png")


if __name__ == "__main__":
    main()
