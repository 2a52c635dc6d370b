"""The engine: tables in, files in order out, and one line where there is none."""

import shutil
import sys
from pathlib import Path

from retrieval.errors import Problem
from retrieval.preparation import engine
from retrieval.preparation.engine import Engine, connect, counts, size

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def test_a_table_is_written_in_its_order_in_batches(
    duckdb: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROWS", 1000)
    pq.write_table(pa.table({"a": [7 * n % 5003 for n in range(5003)], "b": ["x"] * 5003}), tmp_path / "in.parquet")
    table = duckdb.read(tmp_path / "in.parquet")
    assert duckdb.write(table.order_by("a"), tmp_path / "out.parquet") == 5003
    assert pq.read_table(tmp_path / "out.parquet")["a"].to_pylist() == list(range(5003))
    assert duckdb.write(table.filter(table.a < 0), tmp_path / "empty.parquet") == 0
    assert pq.read_schema(tmp_path / "empty.parquet") == pq.read_schema(tmp_path / "out.parquet")


@pytest.mark.parametrize("sizes", [[1], [3, 3, 3], [10], [1] * 9, [2, 7, 0, 4]])
def test_row_groups_do_not_depend_on_the_batches_of_an_engine(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROWS", 4)
    numbers = iter(range(100))
    batches = [pa.record_batch({"a": pa.array([next(numbers) for _ in range(size)], pa.int64())}) for size in sizes]
    groups = [group["a"].to_pylist() for group in engine._groups(iter(batches))]
    assert [number for group in groups for number in group] == list(range(sum(sizes)))
    assert {len(group) for group in groups[:-1]} <= {4}
    assert 0 < len(groups[-1]) <= 4


def test_sizes_and_counts(duckdb: Engine, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["y", "x", "y"]}), tmp_path / "in.parquet")
    table = duckdb.read(tmp_path / "in.parquet")
    assert (size(table), counts(table, "a")) == (3, {"x": 1, "y": 2})


def test_spark_that_is_not_installed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with (
        pytest.raises(Problem, match=r"^engine=local\[2\]: pyspark is not installed: make \.venv/ready-spark$"),
        connect("local[2]", tmp_path),
    ):
        pass


def test_spark_without_java_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with (
        pytest.raises(
            Problem, match=r"^engine=spark://x:1: Spark needs Java 17 or newer, and there is no program `java`"
        ),
        connect("spark://x:1", tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max", engine.MEMORY), ("1000000000", 500_000_000), (str(2**60), engine.MEMORY), (None, engine.MEMORY)],
)
def test_a_container_limits_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, expected: int
) -> None:
    if limit is not None:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(engine, "CGROUPS", (str(tmp_path / "memory.max"), str(tmp_path / "none")))
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 10**7}[name])
    assert engine._memory() == expected
