"""The engines, one of each for all tests of a process."""

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from retrieval.preparation.engine import Engine, connect

import ibis.expr.types as ir
import pytest
from raw_tables import write_interactions

Raw = Callable[..., ir.Table]


@pytest.fixture(scope="session")
def duckdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """DuckDB."""
    with connect("duckdb", tmp_path_factory.mktemp("duckdb")) as engine:
        yield engine


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Spark in local mode."""
    if find_spec("pyspark") is None or shutil.which("java") is None:
        pytest.skip("needs Java 17 and pyspark: make .venv/ready-spark")
    with connect("local[2]", tmp_path_factory.mktemp("spark")) as engine:
        yield engine


@pytest.fixture(scope="session")
def raw(duckdb: Engine, tmp_path_factory: pytest.TempPathFactory) -> Raw:
    """raw(rows, columns="user_id item_id time value"): a table of raw interactions in DuckDB."""
    folder, count = tmp_path_factory.mktemp("raw"), iter(range(10**9))

    def table(rows: list[tuple[Any, ...]], *columns: str) -> ir.Table:
        return duckdb.read(write_interactions(folder / f"{next(count)}.parquet", rows, *columns))

    return table
