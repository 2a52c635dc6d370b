"""Train RecTools' SASRec on the data of `dvc repro` and evaluate it as every other model, for docs/results.md.

Run after `dvc repro`: `PYTHONPATH=src:benchmarks python studies/sasrec.py [epochs]`; it needs
requirements/bench.txt. 64 dimensions, two blocks, item ids and features, and the softmax over the catalogue are
its best settings on these data. It prints the metrics and writes nothing.
"""

import contextlib
import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

from retrieval import histories
from retrieval.evaluation.assessment import Evaluation, prepare_exam
from retrieval.evaluation.lists import judge
from retrieval.evaluation.metrics import METRICS, means, values
from retrieval.params import load

import numpy as np
import pandas as pd
from libraries import flat
from pytorch_lightning import Trainer, seed_everything
from rectools.dataset import Dataset
from rectools.models import SASRecModel

PREPARED, FEATURES = Path("data/prepared"), Path("data/features")


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    params = load(Path("params.yaml"))
    options, seed = Evaluation.model_validate(params["evaluate"]), params["seed"]
    data = histories.load(FEATURES)
    exam = prepare_exam(PREPARED, data, options, seed)
    rows = data.histories
    table = {"user_id": rows.user, "item_id": rows.item, "weight": 1.0, "datetime": pd.to_datetime(rows.time, unit="s")}
    dataset = Dataset.construct(pd.DataFrame(table), item_features_df=flat(data.items), cat_item_features=["column"])
    seed_everything(seed, verbose=False)

    def trainer(**_: object) -> Trainer:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        return Trainer(max_epochs=epochs, min_epochs=epochs, deterministic=True, accelerator="cpu", **quiet)

    model = SASRecModel(
        n_factors=64, n_blocks=2, n_heads=2, session_max_len=200, loss="softmax", get_trainer_func=trainer
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        model.fit(dataset)
        lists = model.recommend(exam.users, dataset, options.k, filter_viewed=True)
    items = np.full((len(exam.users), options.k), -1, np.int32)
    items[np.searchsorted(exam.users, lists["user_id"]), lists["rank"] - 1] = lists["item_id"]
    found = values(judge(items, exam.truth[exam.users], exam.train_items), METRICS)
    print(json.dumps({"sasrec": means(found), "epochs": epochs}, indent=2))


if __name__ == "__main__":
    main()
