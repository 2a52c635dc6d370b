"""Random but valid parameters: every training ends in a model that loads, or in one line; never in a traceback."""

import copy
import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import train_baselines
import train_dssm
import train_lightfm
from retrieval import histories, lightfm, matrices, stage
from retrieval.dssm.bodies import ARCHITECTURES
from retrieval.dssm.encoders import HISTORIES
from retrieval.dssm.scoring import SCORES
from retrieval.dssm.towers import ITEMS
from retrieval.errors import Problem
from retrieval.params import Section, load, validate
from retrieval.training.losses import LOSSES
from retrieval.training.negatives import SAMPLERS

import pytest
from dvc.utils.serialize import dumps_yaml
from worlds import features_of

ROOT = Path(__file__).parents[1]
SETS = 300
STAGES: dict[str, tuple[Any, type[Section], str]] = {
    "train_dssm": (train_dssm.main, train_dssm.TrainDSSMParams, "models/dssm"),
    "train_lightfm": (train_lightfm.main, train_lightfm.TrainLightFMParams, "models/lightfm"),
    "train_baselines": (train_baselines.main, train_baselines.TrainBaselinesParams, "models"),
}
NAMES = [*LOSSES, *ARCHITECTURES, *HISTORIES, *ITEMS, *SCORES, *SAMPLERS, *lightfm.LOSSES, *lightfm.FEATURES,
         "auto", "one", "sequence", "constant", "cosine", "float32", "float64"]  # fmt: skip
LEFT_OUT = {"data", "folder", "train.compile"}  # compiling takes minutes
UNBOUNDED = {"train.batch", "train.patience", "baselines.itemknn.neighbours",
             "baselines.userknn.neighbours", "baselines.userknn.pool", "baselines.ease.items", "seed"}  # fmt: skip


def value(rng: random.Random, key: str, usual: Any) -> Any:
    """Another value of the same kind, often at an end of its range; sizes and times stay small."""
    if isinstance(usual, bool):
        return rng.random() < 0.5
    if isinstance(usual, list):
        return [value(rng, key, each) for each in usual[: rng.randint(1, len(usual))]]
    if isinstance(usual, str):
        return rng.choice([rng.choice(NAMES), rng.choice(NAMES), rng.random() < 0.5, number(rng), rng.randint(1, 4)])
    if isinstance(usual, int) and not isinstance(usual, bool) and rng.random() < 0.9:
        return rng.choice([0, 1, 2, 3, 4, 6, 16, *([2**31 - 1, 2**32 - 1] if key in UNBOUNDED else [])])
    return number(rng)


def number(rng: random.Random) -> float:
    return rng.choice(
        [0.0, 0.5, 1.0, rng.random(), rng.choice([-1, 1]) * 10 ** rng.uniform(-5, 5), 10 ** rng.uniform(-300, 300)]
    )


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, each in values.items():
        if isinstance(each, dict):
            yield from leaves(each, f"{prefix}{name}.")
        elif f"{prefix}{name}" not in LEFT_OUT:
            yield f"{prefix}{name}", values, name


def drawn(rng: random.Random, schema: type[Section]) -> dict[str, Any]:
    """Valid parameters of a stage: those of params.yaml, small, some of them replaced."""
    values = load(ROOT / "params.yaml")
    values["towers"] |= {"width": 8, "length": 6, "layers": 1}
    values["train"] |= {"epochs": 2, "batch": 32}
    values["negatives"] |= {"count": 4}
    values["lightfm"] |= {"components": 4, "epochs": 2}
    values["baselines"]["ials"] |= {"factors": 4, "iterations": 2}
    values = {name: values[name] for name in schema.model_fields}
    keys = [key for key, _, _ in leaves(values)]
    for key in rng.sample(keys, min(len(keys), rng.choice([1, 2, 4, 8, 16]))):
        changed = copy.deepcopy(values)
        _, section, name = next(leaf for leaf in leaves(changed) if leaf[0] == key)
        section[name] = value(rng, key, section[name])
        try:
            validate(schema, changed)
        except Problem:
            continue
        values = changed
    return values


def check(root: Path, seed: int) -> dict[str, str]:
    """The line with which each stage ended, "" if it has written its models."""
    rng, ends = random.Random(seed), {}
    for name, (main, schema, out) in STAGES.items():
        (root / "params.yaml").write_text(dumps_yaml(drawn(rng, schema)), encoding="utf-8")
        sys.argv = [f"src/{name}.py", "features", out]
        try:
            stage.run(main)
            ends[name] = ""
            for path in root.glob(f"{out}/**/card.json"):
                model = matrices.load(path.parent)
                assert math.isfinite(abs(model.left).max() * abs(model.right).max())
        except SystemExit as end:
            ends[name] = str(end.code)
            assert ends[name].startswith(f"{name}: "), ends[name]
            assert ": unexpected " not in ends[name], ends[name]
            assert "\n" not in ends[name]
            assert len(ends[name]) < 1000
    return ends


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, path = random.Random(0), tmp_path_factory.mktemp("world") / "features"
    path.mkdir()
    world = features_of([rng.sample(range(3 * (u % 2), 15), rng.randint(1, 9)) for u in range(40)], 15)
    histories.save(path, world)
    return path


@pytest.fixture
def root(tmp_path: Path, features: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    (tmp_path / "features").symlink_to(features)
    return tmp_path


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[] if seed < SETS // 10 else pytest.mark.slow) for seed in range(SETS)]
)
def test_valid_parameters_end_in_models_or_in_one_line(root: Path, seed: int):
    check(root, seed)


def test_the_parameters_are_many_and_valid():
    """Most draws differ from params.yaml, in many keys over all draws."""
    rng, changed = random.Random(0), set[str]()
    usual = {key: section[name] for key, section, name in leaves(load(ROOT / "params.yaml"))}
    for _ in range(200):
        values = drawn(rng, train_dssm.TrainDSSMParams)
        validate(train_dssm.TrainDSSMParams, values)
        changed |= {key for key, section, name in leaves(values) if section[name] != usual[key]}
    assert len(changed) > 35
