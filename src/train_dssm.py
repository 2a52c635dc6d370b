"""Train the two towers and write them as two matrices, with their weights and the training's history."""

import sys
from pathlib import Path

from retrieval import histories, matrices, newitems
from retrieval.cooccurrence import FILE as COOCCURRENCE
from retrieval.divergence import flagged
from retrieval.matrices import Model
from retrieval.runs import machine, recorded
from retrieval.stage import folder, rounded, run, write_json
from retrieval.training.checkpoints import FOLDER, REHEARSAL, checkpoint_path, of_member
from retrieval.training.loop import fit
from retrieval.training.rehearsal import resolve_by_rehearsal
from retrieval.training.resolve import TrainDSSMParams
from retrieval.training.weighing import blended
from retrieval.training.workers import Workers

import numpy as np


def main(params: TrainDSSMParams, features: Path, out: Path) -> None:
    """data/features -> models/dssm."""
    data, workers = histories.load(features), Workers()
    rehearsal = checkpoint_path(f"{REHEARSAL}{out.name}", data=data.spec["data"], params=params.model_dump())
    live = FOLDER / f"{out.name}.json"
    params = resolve_by_rehearsal(params, data, rehearsal, workers, live)
    checkpoint = checkpoint_path(out.name, data=data.spec["data"], params=params.model_dump())
    model, history, warnings = fit(params, data, checkpoint, workers, live)
    if not workers.first:
        sys.exit()  # the first process writes, its run card too
    params, found = blended(params, data, model)
    card = {"data": data.spec["data"], "params": params.model_dump(), "user_columns": data.spec["user_columns"]}
    card["newcomer"] = "towers"
    card |= flagged("train_dssm", warnings)
    if params.train.precision != "float64":
        card["machine"] = {"precision": params.train.precision, **machine()}
    checkpoints = [of_member(checkpoint, number) for number in range(params.towers.ensemble)]
    with folder(out) as aside:
        model.save(aside)
        if found.read is not None:
            np.save(aside / COOCCURRENCE, found.read)
            card["cooccurrence"] = {"step": found.step}
        if found.repeats is not None:
            card["repeats"] = vars(found.repeats)
        newitems.save(aside, data, found.left, found.right)
        write_json(
            aside / "history.json",
            [line | {key: rounded(line[key]) for key in line if key != "epoch"} for line in history],
        )
        own = Model(out.name, "vectors", found.left, found.right, data.user_ids, data.item_ids, card, found.own)
        matrices.write_into(aside, own)
    for path in (*checkpoints, rehearsal, live):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    run(recorded(main))
