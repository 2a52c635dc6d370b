"""New items: what are features, id_dropout and the regression worth? A tenth of the items is held out of train.

Run after `dvc repro`: `PYTHONPATH=src python studies/cold_items.py`. All interactions of the items that are held out
become the test of new items; the models are trained on the others. Writes studies/cold_items.json.
"""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import features as features_stage
from features import FeaturesParams
from retrieval import histories
from retrieval.baselines import BASELINES, Baselines
from retrieval.dssm.model import DSSM, unit
from retrieval.evaluation.cold_items import assess_cold_items, baselines, prepare_cold_items
from retrieval.evaluation.joining import SETTINGS, summarize
from retrieval.evaluation.options import Evaluation
from retrieval.histories import Features
from retrieval.lightfm import LightFM
from retrieval.lightfm import train as train_lightfm
from retrieval.matrices import Model
from retrieval.newitems import learn
from retrieval.params import load, validate
from retrieval.stage import read_table, write_json
from retrieval.training.loop import fit
from retrieval.training.resolve import TrainDSSMParams, resolve
from retrieval.training.weighing import blended
from retrieval.vocabulary import extend

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

SHARE, SEED = 0.1, 42
VARIANTS: dict[str, dict[str, Any]] = {
    "item=both, id_dropout=0.1 (default)": {},
    "item=both, id_dropout=0": {"towers": {"id_dropout": 0.0}},
    "item=both, id_dropout=0.5": {"towers": {"id_dropout": 0.5}},
    "item=features": {"item": "features"},
    "item=id": {"item": "id"},
}


def hold_out(prepared: Path, out: Path) -> None:
    """Move the interactions of SHARE of the items from train to cold_items, and their rows to new_items."""
    train, items = (read_table(prepared / f"{name}.parquet") for name in ("train", "items"))
    ids = np.sort(items["item_id"].to_numpy())
    chosen = pa.array(np.random.default_rng(SEED).permutation(ids)[: round(SHARE * len(ids))])
    shutil.copytree(prepared, out)
    for table, of_train, of_new in ((train, "train", "cold_items"), (items, "items", "new_items")):
        new = pc.is_in(table["item_id"], value_set=chosen)
        pq.write_table(table.filter(pc.invert(new)), out / f"{of_train}.parquet")
        pq.write_table(table.filter(new), out / f"{of_new}.parquet")


def dssm_params(changes: dict[str, Any], data: Features) -> TrainDSSMParams:
    """params.yaml with changes, resolved."""
    values = load(Path("params.yaml"))
    for key, value in changes.items():
        values[key] = values[key] | value if isinstance(value, dict) else value
    return resolve(validate(TrainDSSMParams, values), data)


@torch.no_grad()
def by_tower(model: DSSM, catalogue: Features, regressed: np.ndarray) -> np.ndarray:
    """Rows of right of the new items as the item tower makes them without an id; further columns are as regressed."""
    tower, trained = model.item_tower.eval(), model.count
    tower.first.read(catalogue.items[trained:])
    vectors = unit(tower.last(tower.body(tower.first(None))), model.normalize)
    right = model.scorer.score.right(vectors).numpy()
    return np.hstack([right, regressed[:, right.shape[1] :]])


def main() -> None:
    values, results = load(Path("params.yaml")), dict[str, Any]()
    options = Evaluation.model_validate(values["evaluate"])
    with tempfile.TemporaryDirectory() as scratch:
        prepared, encoded = Path(scratch) / "prepared", Path(scratch) / "features"
        hold_out(Path("data/prepared"), prepared)
        features_stage.main(validate(FeaturesParams, values), prepared, encoded)
        data = histories.load(encoded)
        catalogue = extend(data, read_table(prepared / "new_items.parquet"))
        exam = prepare_cold_items(prepared, catalogue, len(data.item_ids))
    assert exam is not None

    def assess(name: str, left: np.ndarray, right: np.ndarray, new: np.ndarray) -> None:
        rows = np.vstack([right, new]).astype(np.float32)
        model = Model(name, "vectors", left, rows, catalogue.user_ids, catalogue.item_ids, {})
        results[name] = assess_cold_items(model, exam, options)
        print(name, json.dumps({k: {m: round(v.mean(), 4) for m, v in s.items()} for k, s in results[name].items()}))

    for name, changes in VARIANTS.items():
        params = dssm_params(changes, data)
        model = fit(params, data).model
        _, found = blended(params, data, model)
        left, right = found.left, found.right
        new = regress(data, catalogue, left, right)
        assess(f"DSSM, {name}", left, right, new)
        if not changes:
            without = regress(replace(data, ages=None), replace(catalogue, ages=None), left, right)
            assess(f"DSSM, {name}, without the age of items", left, right, without)
        if params.item != "id":
            assess(f"DSSM, {name}, item tower without id", left, right, by_tower(model.members[0], catalogue, new))
    left, right, _ = train_lightfm(data, validate(LightFM, values["lightfm"]).resolve(data), SEED)
    assess("LightFM", left, right, regress(data, catalogue, left, right))
    left, right = BASELINES["ials"].train(data, validate(Baselines, values["baselines"]).resolve(data), SEED)
    assess("iALS", left, right, regress(data, catalogue, left, right))
    results |= {name: assess_cold_items(model, exam, options) for name, model in baselines(exam, SEED).items()}
    own = f"DSSM, {next(iter(VARIANTS))}"
    settings = {setting: {name: result[setting] for name, result in results.items()} for setting in SETTINGS}
    write_json(Path("studies/cold_items.json"), summarize(settings, own, options.resamples, SEED))


def regress(data: Features, catalogue: Features, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Rows of right of the new items, as `retrieval.newitems` makes them."""
    coefficients = learn(data, left, right)
    return coefficients[0] + catalogue.described[len(data.item_ids) :] @ coefficients[1:]


if __name__ == "__main__":
    main()
