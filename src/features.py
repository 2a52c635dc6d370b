"""Encode the prepared tables as histories in time order and sparse feature matrices of users and items."""

import json
from pathlib import Path

from retrieval.columns import Columns, decade, features_of
from retrieval.histories import Features, from_rows, save
from retrieval.params import Section
from retrieval.stage import folder, run

import numpy as np
import pyarrow.parquet as pq


class FeaturesParams(Section):
    """The parameters that `features` reads."""

    columns: Columns


def main(params: FeaturesParams, prepared: Path, out: Path) -> None:
    """data/prepared -> data/features."""
    train = pq.read_table(prepared / "train.parquet")
    users = pq.read_table(prepared / "users.parquet")
    items = decade(pq.read_table(prepared / "items.parquet"))
    stats = json.loads((prepared / "stats.json").read_text(encoding="utf-8"))
    columns = params.columns
    user_ids, item_ids = (np.unique(np.asarray(train[key])) for key in ("user_id", "item_id"))
    named = stats.get("columns") or {"user": None, "item": None}
    user_matrix, user_columns, user_readings = features_of(
        user_ids, users, "user_id", columns.user, named["user"], columns.multiple
    )
    item_matrix, item_columns, _ = features_of(
        item_ids, items, "item_id", columns.item, named["item"], columns.multiple
    )
    spec = {
        "split": stats["split"],
        "moment": stats["moment"],
        "user_columns": user_columns,
        "item_columns": item_columns,
        "user_readings": user_readings,
    }
    histories = from_rows(train, user_ids, item_ids)
    with folder(out) as aside:
        save(aside, Features(histories, user_matrix, item_matrix, user_ids, item_ids, spec))


if __name__ == "__main__":
    run(main)
