"""The parameters that decide the result of a model: those that its stages, and the stages of the data, read."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from retrieval.errors import Problem, choices
from retrieval.evaluation.options import PEERS
from retrieval.experiments.repository import is_in
from retrieval.experiments.rows import FOLD, SEED, SOURCE

import yaml

DATA = ("features", "prepare", "fetch")
TABLE = ("models", "peers")  # say which rows there are, and decide no result
VARIABLE = re.compile(r"\$\{(item\.)?model\}")


def read_by(model: str, names: Collection[str]) -> list[str]:
    """Those of the `names` of parameters that the stages of a model read, its own first.

    A model without stages is a system of models/external.
    """
    pipeline = _stages("dvc.yaml")
    if model in PEERS:
        own = list(_stages("peers/dvc.yaml").values())
    else:
        found = [pipeline[name] for name in (f"train_{model}", f"evaluate_{model}") if name in pipeline]
        own = found or [pipeline["evaluate_external"]]
    stages = [*own, *(pipeline[name] for name in DATA)]
    listed = dict.fromkeys(VARIABLE.sub(model, each) for stage in stages for each in stage["params"])
    return [name for each in listed if each not in TABLE for name in names if is_in(name, [each])]


def check_read(model: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise `Problem` for the first of the `names`, parameters or sections of `known`, that no stage of it reads."""
    read = read_by(model, known)
    for name in names:
        if not any(is_in(each, [name]) for each in read):
            others = [each for each in read if not is_in(each, (FOLD, SEED, *SOURCE))]
            raise Problem(f"{name}: has no effect on {model}, whose stages do not read it; {choices(name, others)}")


def _stages(path: str) -> dict[str, Any]:
    return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["stages"]
