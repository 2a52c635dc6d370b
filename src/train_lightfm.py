"""Train LightFM and write it as two matrices."""

from pathlib import Path

from retrieval import matrices, newitems
from retrieval.divergence import flagged
from retrieval.histories import load
from retrieval.lightfm import LightFM, suspicions, train
from retrieval.matrices import Model
from retrieval.params import Section, Seed
from retrieval.runs import recorded
from retrieval.stage import folder, run

import numpy as np


class TrainLightFMParams(Section):
    """What `train_lightfm` reads of params.yaml."""

    seed: Seed
    lightfm: LightFM


def main(params: TrainLightFMParams, features: Path, out: Path) -> None:
    """data/features -> models/lightfm."""
    data, seed = load(features), params.seed
    options = params.lightfm.resolve(data)
    left, right, newcomer = train(data, options, seed)
    own = {"seed": seed, "lightfm": options.model_dump()}
    card = {"data": data.spec["data"], "params": own, "user_columns": data.spec["user_columns"]}
    card |= flagged("train_lightfm", suspicions(data, options, left, right, seed))
    card["newcomer"] = "feature_sum"
    with folder(out) as aside:
        np.save(aside / "newcomer.npy", newcomer)
        newitems.save(aside, data, left, right)
        matrices.write_into(aside, Model(out.name, "vectors", left, right, data.user_ids, data.item_ids, card))


if __name__ == "__main__":
    run(recorded(main))
