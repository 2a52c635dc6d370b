"""Clean, split and filter the raw tables into interactions of train and tests, users, items and stats.json."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from retrieval.errors import Problem
from retrieval.params import Section
from retrieval.preparation import guards
from retrieval.preparation.engine import Engine, Url, connect
from retrieval.preparation.entities import divide, read_entities
from retrieval.preparation.filters import Filter
from retrieval.preparation.interactions import Described, Rules, prepare
from retrieval.preparation.positives import Positives
from retrieval.preparation.split import Split
from retrieval.stage import folder, run, write_json

import ibis
import ibis.expr.types as ir
import pyarrow.parquet as pq

ENTITIES = {"users": "user_id", "items": "item_id"}
TESTS = ("test", "cold", "cold_items")


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
            stats |= {"days": params.split.days} if kind == "days" else {}
            lines = [*_interactions(engine, raw, aside, rules, stats), *_entities(engine, raw, aside, stats)]
        stats["warnings"] = [*guards.of_sizes(stats), *lines]
        write_json(aside / "stats.json", stats)
    for line in stats["warnings"]:
        print(f"prepare: warning: {line}", file=sys.stderr)


def _interactions(engine: Engine, raw: Path, out: Path, rules: Rules, stats: dict[str, Any]) -> list[str]:
    """Write train and the tests, and what is not to be recommended. Fills `stats`; returns lines of warning."""
    path = raw / "interactions.parquet"
    result = prepare(engine, engine.read(path), Described(*(_ids(engine, raw, name) for name in ENTITIES)), rules)
    stats["moment"] = result.moment
    parts = {"train": result.train, **{name: getattr(result, name) for name in TESTS}}
    kept = {name: engine.write(part, out / f"{name}.parquet") for name, part in parts.items()}
    stats["interactions"] = {"in": pq.read_metadata(path).num_rows, "kept": kept, "dropped": result.dropped}
    stats["interactions"]["copies"] = guards.copies(result.positives)
    if rules.positives.exclude_disliked:
        stats["disliked"] = engine.write(result.disliked, out / "disliked.parquet")
    for name in TESTS:
        part = engine.read(out / f"{name}.parquet")
        counts = part.aggregate(users=part.user_id.nunique(), items=part.item_id.nunique())
        stats[name] = counts.to_pyarrow().to_pylist()[0]
    return list(guards.of_rows(result.positives, rules.positives, stats["timed"]))


def _ids(engine: Engine, raw: Path, name: str) -> ir.Table | None:
    """The ids in the table of users or items, None without the file."""
    path = raw / f"{name}.parquet"
    return engine.read(path).select(ENTITIES[name]).distinct() if path.exists() else None


def _entities(engine: Engine, raw: Path, out: Path, stats: dict[str, Any]) -> list[str]:
    """Write the rows of users and items that train or the cold test has, and those of new items: all others.

    Fills `stats`; returns lines of warning.
    """
    parts, lines = [engine.read(out / f"{name}.parquet") for name in ("train", "cold")], list[str]()
    stats["train"] = {}
    for name, key in ENTITIES.items():
        ids = ibis.union(*(part.select(key) for part in parts), distinct=True).to_pyarrow()[key].combine_chunks()
        about = read_entities(raw / f"{name}.parquet", key, ids)
        rows, others, repeated = divide(about, key, ids)
        pq.write_table(rows, out / f"{name}.parquet")
        stats[name] = {"in": len(about), "kept": len(rows), "repeated": repeated, "without_interaction": len(others)}
        lines += guards.of_ids(name, ids, about[key])
        stats["train"][name] = len(ids) - (stats["cold"]["users"] if name == "users" else 0)
        lines += guards.of_columns(name, rows)
        if name == "items":
            pq.write_table(others, out / "new_items.parquet")
    return lines


if __name__ == "__main__":
    run(main)
