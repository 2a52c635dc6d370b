"""Train LightFM and write it as two matrices."""

from pathlib import Path

from retrieval import matrices
from retrieval.histories import load
from retrieval.lightfm import LightFM, train
from retrieval.params import Section, Seed
from retrieval.runs import recorded
from retrieval.stage import run


class TrainLightFMParams(Section):
    """What `train_lightfm` reads of params.yaml."""

    seed: Seed
    lightfm: LightFM


def main(params: TrainLightFMParams, features: Path, out: Path) -> None:
    """data/features -> models/lightfm."""
    data = load(features)
    left, right = train(data, params.lightfm, params.seed)
    card = {"data": data.spec["data"], "params": params.model_dump()}
    matrices.save(out, left, right, data.user_ids, data.item_ids, kind="vectors", **card)


if __name__ == "__main__":
    run(recorded(main))
