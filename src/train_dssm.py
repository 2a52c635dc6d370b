"""Train the two towers and write them as two matrices, with their weights and the training's history."""

import sys
from pathlib import Path

from retrieval import histories, matrices
from retrieval.dssm.model import DSSM, Options
from retrieval.params import NotNegative
from retrieval.runs import recorded
from retrieval.stage import folder, run, write_json
from retrieval.training import checkpoints
from retrieval.training.loop import Train, fit
from retrieval.training.losses import Losses, make
from retrieval.training.negatives import Negatives
from retrieval.training.workers import Workers

import numpy as np
import torch
from safetensors.torch import save_file


class TrainDSSMParams(Options):
    """What `train_dssm` reads of params.yaml."""

    losses: Losses
    negatives: Negatives
    train: Train
    seed: NotNegative


def main(params: TrainDSSMParams, features: Path, out: Path) -> None:
    """data/features -> models/dssm."""
    data, workers = histories.load(features), Workers()
    params = params.settled(data)
    torch.manual_seed(params.seed)
    model = DSSM(data, params).to(workers.device)
    loss = make(params.loss, params.losses, params.negatives.count, len(data.item_ids))
    kept = checkpoints.place(out.name, data=data.spec["data"], params=params.model_dump())
    model, history = fit(model, data, loss, params.negatives, params.train, params.seed, kept, workers)
    if not workers.first:
        sys.exit()  # the first process writes, its run card too
    left, right = model.matrices(data.histories)
    with folder(out) as aside:
        save_file(model.state_dict(), aside / "towers.safetensors")
        np.save(aside / "tokens.npy", model.vectors().cpu().numpy())
        write_json(aside / "history.json", history)
        card = {"data": data.spec["data"], "params": params.model_dump(), "user_columns": data.spec["user_columns"]}
        matrices.write_into(aside, out.name, left, right, data.user_ids, data.item_ids, **card)
    kept.unlink(missing_ok=True)


if __name__ == "__main__":
    run(recorded(main))
