"""Losses: how good is each of them, with the defaults and with settings that were searched for it?

Run after `dvc repro`: `PYTHONPATH=src python studies/losses.py FOLDER [loss ...]`. Two kinds of data: 500 users of
MovieLens 100K, their last item being the test, and `kion-synthetic` with the last 7 days. For each loss Optuna proposes
TRIALS settings out of SPACES, as `make search` does; the best one, by fold 1 of both kinds relative to the softmax, and
the defaults are then trained on folds 1 to 3 with three seeds each. FOLDER keeps what has run: the same command
continues an interrupted study, and processes for different losses may share it. Writes studies/losses.json and prints a
table of MAP@10, once all losses have run.
"""

import copy
import hashlib
import sys
from pathlib import Path
from typing import Any

from retrieval.experiments.space import read_dimension
from retrieval.experiments.trials import set_params
from retrieval.params import load
from retrieval.stage import write_json

import ablations
import numpy as np
import optuna
from ablations import DEFAULTS, FASTER, prepare_data, render, table

TRIALS, FOLDS, SEEDS = 6, (1, 2, 3), (1,)
KINDS = {
    "MovieLens, last item": ["split.kind=leave-last"],
    "kion-synthetic, 7 days": ["data=kion-synthetic", "synthetic.scale=0.005"],
}
ALL = ["train.learning_rate=float(0.0005,0.02,log)", "towers.dropout=0.1,0.2,0.4"]
SAMPLED = [*ALL, "negatives.count=16,64,256"]
STEPS, SPREAD = "train.batch=256,512,1024", "towers.temperature=0.3,1.0,2.0"
SPACES = {
    "softmax": [*ALL, SPREAD],
    "sampled_softmax": [*SAMPLED, SPREAD, "negatives.kind=uniform,mixed"],
    "gbce": [*SAMPLED, SPREAD, "losses.gbce_t=0.0,0.5,0.75,1.0"],
    "bpr": [*SAMPLED, SPREAD, STEPS],
    "ccl": [*SAMPLED, "losses.ccl_margin=0.0,0.2,0.4,0.6", "losses.ccl_weight=float(5,500,log)"],
    "triplet": [*SAMPLED, "losses.margin=float(0.1,3.0,log)"],
    "triplet_semihard": [*SAMPLED, "losses.margin=float(0.1,3.0,log)", STEPS],
}


def folder_of(root: Path, kind: str, fold: int) -> tuple[Path, dict[str, Any]]:
    """The folder of a kind and fold of data, prepared, and its parameters."""
    values = set_params(load(Path("params.yaml")), [*FASTER, *KINDS[kind], f"split.fold={fold}"])
    own = root / f"{[*KINDS].index(kind)}-{fold}"
    if not (own / "features").exists():
        own.mkdir(parents=True, exist_ok=True)
        prepare_data(copy.deepcopy(values), own)
    return own, values


def precision(root: Path, kind: str, fold: int, loss: str, changes: list[str], seed: int) -> np.ndarray:
    """Average precision of each test user, [users]; kept in `root`."""
    own, values = folder_of(root, kind, fold)
    name = f"{loss}-{hashlib.sha256(' '.join(changes).encode()).hexdigest()[:10]}-{seed}"
    done = own / f"{name}.npy"
    if not done.exists():
        np.save(done, ablations.precision(set_params(values, [f"loss={loss}", *changes, f"seed={seed}"]), own, name))
    return np.load(done)


def searched(root: Path, loss: str) -> list[str]:
    """The best of TRIALS settings, by fold 1 of all kinds: MAP@10 relative to that of the softmax's defaults, mean."""
    space = [read_dimension(each) for each in SPACES[loss]]
    study = optuna.create_study(direction="maximize")
    for number in range(TRIALS):
        study.sampler = optuna.samplers.TPESampler(seed=number)
        trial = study.ask({each.name: each.values for each in space})
        changes = [each.setting(trial.params[each.name]) for each in space]
        trial.set_user_attr("changes", changes)
        study.tell(trial, relative(root, loss, changes))
        print(f"{loss}: {study.trials[-1].value:.3f} of the softmax: {' '.join(changes)}", file=sys.stderr)
    return list(study.best_trial.user_attrs["changes"])


def relative(root: Path, loss: str, changes: list[str]) -> float:
    """MAP@10 over that of the softmax with the defaults, the mean over the kinds of data."""
    pairs = [(precision(root, kind, 1, loss, changes, 1), precision(root, kind, 1, "softmax", [], 1)) for kind in KINDS]
    return float(np.mean([own.mean() / softmax.mean() for own, softmax in pairs]))


def main() -> None:
    if len(sys.argv) == 1:
        sys.exit("losses: expected FOLDER, which keeps what has run, and maybe losses")
    root, losses = Path(sys.argv[1]), sys.argv[2:] or list(SPACES)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    best = {loss: searched(root, loss) for loss in losses}
    rows = {DEFAULTS: ("softmax", list[str]())} | {f"`loss={loss}`": (loss, []) for loss in losses if loss != "softmax"}
    rows |= {f"`loss={loss} {' '.join(changes)}`": (loss, changes) for loss, changes in best.items()}
    found = {
        kind: {
            name: [np.concatenate([precision(root, kind, fold, *row, seed) for fold in FOLDS]) for seed in SEEDS]
            for name, row in rows.items()
        }
        for kind in KINDS
    }
    results = table(found)
    write_json(Path("studies/losses.json"), {"settings": best, "results": results})
    print(render(results, [*rows][1:]))


if __name__ == "__main__":
    main()
