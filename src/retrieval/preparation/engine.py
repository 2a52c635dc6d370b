"""The engine that runs `prepare`: DuckDB in this process, or a Spark cluster. Expressions in Ibis run on both alike."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from retrieval import usable_cpus
from retrieval.errors import Problem

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator

MEMORY = 4_000_000_000  # bytes that DuckDB may use; what does not fit is spilled to the disk
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # versions 2 and 1
ROWS = 1 << 20  # per batch and row group


def _is_engine(url: str) -> str:
    if url != "duckdb" and not re.fullmatch(r"local(\[.+\])?|yarn|(spark|k8s|mesos)://.+", url):
        raise ValueError(
            f"{url!r} is not valid: expected duckdb, or a Spark master such as local[2] or spark://HOST:7077"
        )
    return url


Url = Annotated[str, AfterValidator(_is_engine)]


class Engine:
    """A connection, and a folder for what it puts aside on the disk."""

    def __init__(self, connection: ibis.BaseBackend, scratch: Path) -> None:
        self._connection, self._scratch = connection, scratch
        self._cached: list[ir.CachedTable] = []

    def read(self, path: Path) -> ir.Table:
        """The table in a parquet file."""
        return self._connection.read_parquet(path.absolute())

    def cache(self, table: ir.Table) -> ir.Table:
        """The table, computed now and kept until the engine closes."""
        self._cached.append(table.cache())
        return self._cached[-1]

    def write(self, table: ir.Table, path: Path) -> int:
        """Write a table to one parquet file, in its order, batch by batch. Returns the number of rows."""
        schema = table.schema().to_pyarrow()
        with pq.ParquetWriter(path, pa.schema([field.with_nullable(True) for field in schema])) as writer:
            for group in _groups(self._batches(table)):
                writer.write_table(group.cast(writer.schema))
        return pq.read_metadata(path).num_rows

    def _batches(self, table: ir.Table) -> Iterator[pa.RecordBatch]:
        """The rows in order. Ibis would hold all of them at once: DuckDB streams them, Spark writes files in order."""
        if self._connection.name == "duckdb":
            yield from self._connection.con.sql(self._connection.compile(table)).to_arrow_reader(ROWS)
            return
        aside = self._scratch / "spark"
        self._connection.to_parquet_dir(table, str(aside.absolute()))
        for part in sorted(aside.glob("*.parquet")):
            yield from pq.ParquetFile(part).iter_batches(ROWS)
        shutil.rmtree(aside)

    def close(self) -> None:
        """Release what is cached, and end the connection."""
        for table in self._cached:
            table.release()
        self._connection.disconnect()


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows of all batches in tables of ROWS rows, however an engine cuts them; the last table may be smaller."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        while sum(map(len, waiting)) >= ROWS:
            whole = pa.Table.from_batches(waiting)
            yield whole.slice(0, ROWS)
            waiting = whole.slice(ROWS).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting)


def size(table: ir.Table) -> int:
    """The number of rows."""
    return table.count().to_pyarrow().as_py()


def counts(table: ir.Table, key: str) -> dict[Any, int]:
    """How many rows each value of a column has, by ascending value."""
    rows = table.group_by(key).aggregate(rows=table.count()).order_by(key).to_pyarrow()
    return dict(zip(rows[key].to_pylist(), rows["rows"].to_pylist(), strict=True))


@contextmanager
def connect(url: str, scratch: Path) -> Iterator[Engine]:
    """Open the engine: `duckdb`, or the URL of a Spark master, such as local[2] or spark://host:7077.

    scratch: an existing folder, for what does not fit into memory. Raises `Problem` if Spark is not installed or does
    not start.
    """
    if url == "duckdb":
        connection = ibis.duckdb.connect(
            memory_limit=f"{_memory()}B", threads=usable_cpus(), temp_directory=str(scratch)
        )
    else:
        connection = _spark(url)
    engine = Engine(connection, scratch)
    try:
        yield engine
    finally:
        engine.close()


def _memory() -> int:
    """MEMORY, or half of what this machine or container has, if that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, CGROUPS):
        text = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        limits += [int(text)] if text.isdigit() else []
    return min(MEMORY, *(limit // 2 for limit in limits))


def _spark(master: str) -> ibis.BaseBackend:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise Problem(f"engine={master}: pyspark is not installed: make .venv/ready-spark") from None
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise Problem(f"engine={master}: Spark needs Java 17 or newer, and there is no program `java`")
    options: dict[str, Any] = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    options |= {"spark.log.level": "ERROR"}
    if master.startswith("local"):
        options |= {"spark.driver.memory": "4g", "spark.sql.shuffle.partitions": str(usable_cpus())}
    try:
        session = SparkSession.builder.master(master).config(map=options).getOrCreate()
    except Exception as error:
        raise Problem(f"engine={master}: Spark does not start: {str(error).splitlines()[0][:200]}") from None
    return ibis.pyspark.connect(session)
