"""Seconds and peak memory of `prepare` and `features` at KION's size and ten times that, on DuckDB and on Spark.

Run `PYTHONPATH=src python benchmarks/preparation.py [scale ...]`; without scales 1 and 10. The rows are random, with
the numbers of users, items and rows of KION times the scale (items: its square root), on 163 days, so that times are
full of ties, as in KION. Spark runs at scale 1, in local mode, where pyspark and Java are installed; its files must be
those of DuckDB, byte by byte.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieval.params import load
from retrieval.sources.raw import write_interactions
from retrieval.stage import sha256

import numpy as np
import pyarrow as pa
from results import ROOT, record
from scale import run

ROWS, USERS, ITEMS, DAYS = 5_476_251, 962_179, 15_706, 163
BATCH = 1_000_000
START = 1_615_593_600_000_000  # 2021-03-13, in microseconds
FILES = ("train.parquet", "test.parquet", "cold.parquet")


def write(folder: Path, scale: float) -> None:
    """Write data/raw of that size: active users and popular items have most of the rows."""
    folder.mkdir(parents=True)
    write_interactions(folder, batches(round(ROWS * scale), USERS * scale, ITEMS * scale**0.5))
    manifest = {"source": "random", "split": "days", "timed": True, "columns": None}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def batches(rows: int, users: float, items: float) -> Iterator[pa.RecordBatch]:
    """Interactions in random order."""
    rng = np.random.default_rng(0)
    for start in range(0, rows, BATCH):
        size = min(BATCH, rows - start)
        yield pa.record_batch(
            {
                "user_id": (users * rng.random(size) ** 2).astype(np.int64),
                "item_id": (items * rng.random(size) ** 3).astype(np.int64) * 7 + 3,
                "time": pa.array(START + rng.integers(0, DAYS, size) * 86_400_000_000).cast(pa.timestamp("us")),
                "value": rng.integers(0, 101, size).astype(np.float64),
            }
        )


def measure(folder: Path, engine: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Name and cost of both stages."""
    params = load(ROOT / "params.yaml") | {"engine": engine}
    for stage in ("prepare", "features"):
        yield stage, run(stage, folder, params)


def main(scales: list[float]) -> None:
    """Record the costs by scale and engine."""
    results: dict[str, Any] = {}
    for scale in scales:
        with tempfile.TemporaryDirectory() as name:
            folder, hashes = Path(name), []
            write(folder / "data" / "raw", scale)
            engines = {"duckdb": "duckdb"} | ({"spark": "local[2]"} if scale == 1 and find_spec("pyspark") else {})
            for engine, url in engines.items():
                results[f"preparation_{scale:g}_{engine}"] = dict(measure(folder, url))
                hashes.append([sha256(folder / "data" / "prepared" / file) for file in FILES])
            if any(each != hashes[0] for each in hashes):
                sys.exit("the engines do not write the same files")
    record(**results)


if __name__ == "__main__":
    main([float(scale) for scale in sys.argv[1:]] or [1.0, 10.0])
