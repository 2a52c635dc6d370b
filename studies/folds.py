"""Compare the DSSM with popular_7d on several folds and seeds: is it better every week, or was one week lucky?

Run after `dvc repro`: `PYTHONPATH=src:benchmarks python studies/folds.py [fold ...]`. It reads params.yaml, splits
data/raw again for each fold (default: 0 to 3) and trains three seeds per fold, one training per core. On two
cores MovieTweetings takes half an hour. It prints a table and writes nothing.
"""

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import evaluate
import features
import prepare
import train_dssm
from retrieval import histories, matrices
from retrieval.baselines import BASELINES, Baselines
from retrieval.evaluation.assessment import assess, prepare_exam
from retrieval.experiments.seeds import summarise
from retrieval.params import load, validate

import numpy as np
import torch
from tabulate import tabulate

RAW, FOLDS, SEEDS, METRIC, OTHER = Path("data/raw"), [0, 1, 2, 3], 3, "map@10", "popular_7d"
Values = dict[str, np.ndarray]  # METRIC -> one value per test user


def split(fold: int, folder: Path) -> Values:
    """Prepare the fold in `folder` and evaluate OTHER on it."""
    params = load(Path("params.yaml"))
    params["split"]["fold"] = fold
    prepare.main(validate(prepare.PrepareParams, params), RAW, folder / "prepared")
    features.main(validate(features.FeaturesParams, params), folder / "prepared", folder / "features")
    data = histories.load(folder / "features")
    left, right = BASELINES[OTHER].train(data, Baselines.model_validate(params["baselines"]), params["seed"])
    matrices.save(folder / OTHER, left, right, data.user_ids, data.item_ids, kind=BASELINES[OTHER].kind)
    return judge(folder, OTHER)


def train(folder: Path, seed: int) -> Values:
    """Train the DSSM on the fold in `folder` and evaluate it."""
    params = load(Path("params.yaml")) | {"seed": seed}
    name = f"dssm-{folder.name}-{seed}"
    train_dssm.main(validate(train_dssm.TrainDSSMParams, params), folder / "features", folder / name)
    return judge(folder, name)


def judge(folder: Path, name: str) -> Values:
    """METRIC of the test users on items that are new to them."""
    options = validate(evaluate.EvaluateParams, load(Path("params.yaml")))
    exam = prepare_exam(folder / "prepared", histories.load(folder / "features"), options.evaluate, options.seed)
    return {METRIC: assess(matrices.load(folder / name), exam, options.evaluate).values[METRIC]}


def main() -> None:
    folds = [int(one) for one in sys.argv[1:]] or FOLDS
    options = validate(evaluate.EvaluateParams, load(Path("params.yaml")))
    seeds = range(options.seed, options.seed + SEEDS)
    with (
        tempfile.TemporaryDirectory() as name,
        ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), torch.set_num_threads, (1,)) as pool,
    ):
        folders = [Path(name) / str(fold) for fold in folds]
        others = list(pool.map(split, folds, folders))
        trained = [[pool.submit(train, folder, seed) for seed in seeds] for folder in folders]
        runs = [[one.result() for one in fold] for fold in trained]
    lines = []
    bootstrap = options.evaluate.resamples, options.seed
    for fold, fold_runs, other in zip(folds, runs, others, strict=True):
        found = summarise(fold_runs, None, *bootstrap)[METRIC]
        each = " ".join(f"{run[METRIC].mean():.4f}" for run in fold_runs)
        lines.append([fold, len(other[METRIC]), other[METRIC].mean(), found["mean"], found["deviation"], each])
    means = np.array([[line[2], line[3]] for line in lines]).mean(0)
    together = [{METRIC: np.concatenate([fold[place][METRIC] for fold in runs])} for place in range(SEEDS)]
    pooled = summarise(together, {METRIC: np.concatenate([one[METRIC] for one in others])}, *bootstrap)[METRIC]
    print(tabulate(lines, ["fold", "users", OTHER, "dssm", "deviation", "each seed"], floatfmt=".4f"))
    print(f"mean of the folds: {OTHER} {means[0]:.4f}, dssm {means[1]:.4f}, {means[1] / means[0] - 1:+.1%}")
    print(
        f"dssm minus {OTHER}, all users of the folds: {pooled['difference']:+.4f}, "
        f"95 % {pooled['low']:+.4f} to {pooled['high']:+.4f}"
    )


if __name__ == "__main__":
    main()
