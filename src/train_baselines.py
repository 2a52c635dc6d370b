"""Train the classic baselines and write each as two matrices."""

from pathlib import Path

from retrieval import matrices, newitems
from retrieval.baselines import BASELINES, Baselines
from retrieval.histories import load
from retrieval.matrices import Model
from retrieval.params import Section, Seed
from retrieval.runs import recorded
from retrieval.stage import folder, run


class TrainBaselinesParams(Section):
    """What `train_baselines` reads of params.yaml."""

    seed: Seed
    baselines: Baselines


def main(params: TrainBaselinesParams, features: Path, models: Path) -> None:
    """data/features -> models/<name> of every baseline."""
    data = load(features)
    card = {"data": data.spec["data"], "params": params.model_dump()}
    for name, baseline in BASELINES.items():
        left, right = baseline.train(data, params.baselines, params.seed)
        own = card if baseline.newcomer is None else card | {"newcomer": baseline.newcomer}
        with folder(models / name) as aside:
            if baseline.kind == "vectors":
                newitems.save(aside, data, right)
            model = Model(name, baseline.kind, left, right, data.user_ids, data.item_ids, own)
            matrices.write_into(aside, model)
        print(f"{name}: left {left.shape}, right {right.shape}")


if __name__ == "__main__":
    run(recorded(main))
