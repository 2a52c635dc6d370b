"""Small data: is the DSSM above the best classic model where users are few, and what does co-occurrence add?

Run after `dvc repro`: `PYTHONPATH=src python studies/small.py [FOLDER ...]`. Draws 500 users, twice, of the default
data, of `kion-synthetic` and of each FOLDER with files of your own, and splits them both ways. Nothing is tuned: the
parameters are those of params.yaml. Writes studies/small.json, and prints a row for each draw.
"""

import copy
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import evaluate_model
import features
import fetch
import prepare
import train_baselines
import train_dssm
from retrieval import matrices
from retrieval.baselines import BASELINES
from retrieval.cooccurrence import FILE
from retrieval.params import load, validate
from retrieval.stage import read_table, write_json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

USERS, DRAWS = 500, (1, 2)
SPLITS: dict[str, dict[str, Any]] = {"last item": {"kind": "leave-last"}, "28 days": {"kind": "days", "days": 28}}
ALONE = "towers"  # the DSSM without the columns of co-occurrence


def changed(values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The parameters with some changed; those of a section, such as split={"days": 28}, are merged into it."""
    result = copy.deepcopy(values)
    for name, value in changes.items():
        result[name] = result[name] | value if isinstance(value, dict) else value
    return result


def sources(scratch: Path) -> Iterator[tuple[str, dict[str, Any], Path]]:
    """Name, parameters and folder of raw tables of each source."""
    values = load(Path("params.yaml"))
    yield values["data"], values, Path("data/raw")
    others = {"kion-synthetic": {"data": "kion-synthetic", "synthetic": {"scale": 0.01}}}
    others |= {Path(path).name: {"data": "folder", "folder": path} for path in sys.argv[1:]}
    for name, changes in others.items():
        own = changed(values, **changes)
        fetch.main(validate(fetch.FetchParams, own), scratch / name)
        yield name, own, scratch / name


def draw(raw: Path, out: Path, seed: int) -> None:
    """Write the raw tables with the interactions of some of the users who have 3 or more."""
    table = read_table(raw / "interactions.parquet")
    counts = table["user_id"].value_counts()
    enough = counts.field("values").filter(pc.greater_equal(counts.field("counts"), 3))
    ids = enough.take(pc.sort_indices(enough))
    chosen = ids.take(pa.array(np.random.default_rng(seed).choice(len(ids), min(USERS, len(ids)), replace=False)))
    shutil.copytree(raw, out)
    pq.write_table(table.filter(pc.is_in(table["user_id"], value_set=chosen)), out / "interactions.parquet")


def judge(values: dict[str, Any], raw: Path, root: Path) -> dict[str, dict[str, float]]:
    """MAP and, for new users, MAP of each model on one draw."""
    data = root / "features"
    prepare.main(validate(prepare.PrepareParams, values), raw, root / "prepared")
    features.main(validate(features.FeaturesParams, values), root / "prepared", data)
    for name in BASELINES:
        train_baselines.main(validate(train_baselines.TrainBaselinesParams, values), data, root / name)
    train_dssm.main(validate(train_dssm.TrainDSSMParams, values), data, root / "dssm")
    without_cooccurrence(root / "dssm", root / ALONE)
    found = {}
    for name in (*BASELINES, "dssm", ALONE):
        options = validate(evaluate_model.EvaluateModelParams, values)
        evaluate_model.main(options, root / "prepared", data, root / name, root / "evaluation")
        metrics, cold = (read_json(root / "evaluation" / "metrics" / f"{file}.json") for file in ("metrics", "cold"))
        found[name] = {"map": metrics[name]["map@10"]}
        found[name] |= {"map_new_users": cold[name]["map@10"]} if name in cold else {}
    found["dssm"]["weight"] = read_json(root / "dssm" / "card.json")["params"]["cooccurrence"]["weight"]
    return found


def without_cooccurrence(path: Path, out: Path) -> None:
    """Write the model in `path` again as it is without these columns."""
    model = matrices.load(path)
    own = model.right.shape[1] - (np.load(path / FILE).shape[1] if (path / FILE).exists() else 0)
    left, right = model.left[:, :own], model.right[:, :own]
    matrices.save(out, left, right, model.users, model.items, kind="vectors", data=model.card["data"])


def read_json(path: Path) -> Any:
    """The content of a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, values, raw in sources(Path(scratch)):
            for seed in DRAWS:
                for kind, split in SPLITS.items():
                    root = Path(scratch) / f"{name}-{seed}-{split['kind']}"
                    draw(raw, root / "raw", seed)
                    models = judge(changed(values, split=split), root / "raw", root)
                    results.append({"data": name, "draw": seed, "test": kind, "models": models})
                    write_json(Path("studies/small.json"), results)
                    print(name, seed, kind, {each: round(row["map"], 4) for each, row in models.items()})


if __name__ == "__main__":
    main()
