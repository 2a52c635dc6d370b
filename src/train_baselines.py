"""Train one of the classic baselines and write it as two matrices."""

from pathlib import Path

from retrieval import matrices, newitems
from retrieval.baselines import BASELINES, Baselines
from retrieval.errors import Problem, choices
from retrieval.histories import load
from retrieval.matrices import Model
from retrieval.params import Section, Seed
from retrieval.runs import recorded
from retrieval.stage import folder, run


class TrainBaselinesParams(Section):
    """What `train_baselines` reads of params.yaml."""

    seed: Seed
    baselines: Baselines


def main(params: TrainBaselinesParams, features: Path, out: Path) -> None:
    """data/features -> models/<name>; the name says which baseline it is."""
    name = out.name
    if name not in BASELINES:
        raise Problem(f"{out}: unknown baseline {name!r}; {choices(name, BASELINES)}")
    data, baseline = load(features), BASELINES[name]
    options = params.baselines.resolve(data)
    left, right = baseline.train(data, options, params.seed)
    own = {"seed": params.seed, "baselines": options.model_dump(include={name})}
    card = {"data": data.spec["data"], "params": own}
    card |= {} if baseline.newcomer is None else {"newcomer": baseline.newcomer}
    with folder(out) as aside:
        if baseline.kind == "vectors":
            newitems.save(aside, data, left, right)
        matrices.write_into(aside, Model(name, baseline.kind, left, right, data.user_ids, data.item_ids, card))
    print(f"{name}: left {left.shape}, right {right.shape}")


if __name__ == "__main__":
    run(recorded(main))
