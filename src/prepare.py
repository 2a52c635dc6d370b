"""Clean, split and filter the raw tables into train, test and cold interactions, users, items and stats.json."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from retrieval.errors import Problem
from retrieval.params import Section
from retrieval.preparation import guards
from retrieval.preparation.engine import Engine, Url, connect
from retrieval.preparation.entities import read_entities, select
from retrieval.preparation.filters import Filter
from retrieval.preparation.interactions import Rules, prepare
from retrieval.preparation.positives import Positives
from retrieval.preparation.split import Split
from retrieval.stage import folder, run, write_json

import ibis
import pyarrow.parquet as pq


class PrepareParams(Section):
    """The parameters that `prepare` reads."""

    engine: Url
    split: Split
    positives: Positives
    filter: Filter


def main(params: PrepareParams, raw: Path, out: Path) -> None:
    """data/raw -> data/prepared."""
    if not (raw / "manifest.json").exists():
        raise Problem(f"{raw / 'manifest.json'}: no such file; run the stage fetch first")
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    kind = manifest["split"] if params.split.kind == "auto" else params.split.kind
    if not manifest["timed"] and kind != "leave-last":
        raise Problem(f"split.kind={kind} needs times, and the data have only an order; use split.kind=leave-last")
    rules = Rules(kind, params.split, params.positives, params.filter)
    with folder(out) as aside:
        with TemporaryDirectory(dir=aside) as scratch, connect(params.engine, Path(scratch)) as engine:
            stats = {name: manifest[name] for name in ("source", "timed", "columns")}
            stats |= {"split": kind, "repeats": params.split.repeats}
            lines = [*_interactions(engine, raw, aside, rules, stats), *_entities(engine, raw, aside, stats)]
        stats["warnings"] = [*guards.of_sizes(stats), *lines]
        write_json(aside / "stats.json", stats)
    for line in stats["warnings"]:
        print(f"prepare: warning: {line}", file=sys.stderr)


def _interactions(engine: Engine, raw: Path, out: Path, rules: Rules, stats: dict[str, Any]) -> list[str]:
    """Write train, test and cold, and what is not to be recommended. Fills `stats`; returns lines of warning."""
    path, users = raw / "interactions.parquet", raw / "users.parquet"
    described = engine.read(users).select("user_id").distinct() if users.exists() else None
    result = prepare(engine, engine.read(path), described, rules)
    stats["moment"] = result.moment
    parts = {"train": result.train, "test": result.test, "cold": result.cold}
    kept = {name: engine.write(part, out / f"{name}.parquet") for name, part in parts.items()}
    stats["interactions"] = {"in": pq.read_metadata(path).num_rows, "kept": kept, "dropped": result.dropped}
    if rules.positives.exclude_disliked:
        stats["disliked"] = engine.write(result.disliked, out / "disliked.parquet")
    for name in ("test", "cold"):
        part = engine.read(out / f"{name}.parquet")
        counts = part.aggregate(users=part.user_id.nunique(), items=part.item_id.nunique())
        stats[name] = counts.to_pyarrow().to_pylist()[0]
    return list(guards.of_rows(result.positives, rules.positives, stats["timed"]))


def _entities(engine: Engine, raw: Path, out: Path, stats: dict[str, Any]) -> list[str]:
    """Write the rows of users and items that train or the cold test has. Fills `stats`; returns lines of warning."""
    parts, lines = [engine.read(out / f"{name}.parquet") for name in ("train", "cold")], list[str]()
    stats["train"] = {}
    for name, key in (("users", "user_id"), ("items", "item_id")):
        ids = ibis.union(*(part.select(key) for part in parts), distinct=True).to_pyarrow()[key].combine_chunks()
        about = read_entities(raw / f"{name}.parquet", key, ids)
        rows, dropped = select(about, key, ids)
        pq.write_table(rows, out / f"{name}.parquet")
        stats[name] = {"in": len(about), "kept": len(rows), "dropped": dropped}
        lines += guards.of_ids(name, ids, about[key])
        stats["train"][name] = len(ids) - (stats["cold"]["users"] if name == "users" else 0)
        lines += guards.of_columns(name, rows)
    return lines


if __name__ == "__main__":
    run(main)
