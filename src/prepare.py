"""Clean, split and filter the raw tables into train, test and cold interactions, users, items and stats.json."""

import json
from pathlib import Path

from retrieval.errors import Problem
from retrieval.params import Section
from retrieval.preparation import tables
from retrieval.preparation.filters import Filter
from retrieval.preparation.interactions import entities, prepare
from retrieval.preparation.split import Split
from retrieval.stage import folder, run, write_json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


class PrepareParams(Section):
    """The parameters that `prepare` reads."""

    split: Split
    filter: Filter


def main(params: PrepareParams, raw: Path, out: Path) -> None:
    """data/raw -> data/prepared."""
    if not (raw / "manifest.json").exists():
        raise Problem(f"{raw / 'manifest.json'}: no such file; run the stage fetch first")
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    kind = manifest["split"] if params.split.kind == "auto" else params.split.kind
    table = tables.read_interactions(raw / "interactions.csv")
    users, items = tables.read_users(raw / "users.csv"), tables.read_items(raw / "items.csv")
    result = prepare(table, users["user_id"].to_numpy(), kind, params.split, params.filter)
    parts = {"train": result.train, "test": result.test, "cold": result.cold}
    counts = {name: len(part) for name, part in parts.items()}
    stats = {"source": manifest["source"], "split": kind, "moment": result.moment}
    stats["interactions"] = {"in": len(table), "kept": counts, "dropped": result.dropped}
    with folder(out) as aside:
        for name, part in parts.items():
            pq.write_table(pa.Table.from_pandas(part, preserve_index=False), aside / f"{name}.parquet")
            stats[name] = {"users": part["user_id"].nunique(), "items": part["item_id"].nunique()}
        for name, key, about in (("users", "user_id", users), ("items", "item_id", items)):
            rows, dropped = entities(about, key, pd.concat([result.train[key], result.cold[key]]).unique())
            pq.write_table(rows, aside / f"{name}.parquet")
            stats[name] = {"in": len(about), "kept": len(rows), "dropped": dropped}
        write_json(aside / "stats.json", stats)


if __name__ == "__main__":
    run(main)
