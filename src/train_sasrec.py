"""Train RecTools' SASRec and write it as two matrices."""

from pathlib import Path

from retrieval import matrices
from retrieval.histories import load
from retrieval.params import Section, Seed
from retrieval.runs import machine, recorded
from retrieval.sasrec import SASRec, train
from retrieval.stage import run


class TrainSASRecParams(Section):
    """What `train_sasrec` reads of params.yaml."""

    seed: Seed
    sasrec: SASRec


def main(params: TrainSASRecParams, features: Path, out: Path) -> None:
    """data/features -> models/sasrec."""
    data = load(features)
    left, right = train(data, params.sasrec, params.seed)
    card = {"data": data.spec["data"], "params": params.model_dump()}
    card["machine"] = {"precision": "float32", **machine()}
    matrices.save(out, left, right, data.user_ids, data.item_ids, kind="vectors", **card)


if __name__ == "__main__":
    run(recorded(main))
