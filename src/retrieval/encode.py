"""One-hot and multi-hot features of users and items, as sparse matrices."""

from collections.abc import Sequence

from retrieval.params import Section

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

Vocabulary = dict[str, list[str]]  # the values of each column


class Columns(Section):
    """The columns of users.csv and items.csv that become features; a column that the data lack is skipped.

    `multiple`: columns whose cells hold several values, separated by commas. `decade` is derived from release_year.
    """

    user: list[str]
    item: list[str]
    multiple: list[str]


def decade(items: pa.Table) -> pa.Table:
    """Add the column decade: "1990" for release_year 1994, null for a year that is no number.

    Returns `items` unchanged if there is no release_year or already a decade.
    """
    if "release_year" not in items.column_names or "decade" in items.column_names:
        return items
    year = pd.to_numeric(items["release_year"].to_pandas(), errors="coerce")
    text = (year // 10 * 10).astype("Int64").astype("string")
    return items.append_column("decade", pa.array(text, pa.string()))


def encode(
    ids: np.ndarray, table: pa.Table, key: str, columns: Sequence[str], multiple: Sequence[str]
) -> tuple[sp.csr_matrix, Vocabulary]:
    """A matrix with a row per id and a feature per value of `columns`: 1 where the id has the value.

    ids [n] int64, ascending; `key` is the id column of `table`. Returns [n, features] CSR float32, and the sorted
    values of each column in the order of the features, without columns that have no value. An id without a row in
    `table`, or with a missing value, has zeros there.
    """
    vocabulary: Vocabulary = {}
    parts = [sp.csr_matrix((len(ids), 0), dtype=np.float32)]
    table = table.filter(pa.array(np.isin(np.asarray(table[key]), ids)))
    row = np.searchsorted(ids, np.asarray(table[key]))
    for column in (c for c in columns if c in table.column_names):
        matrix, values = _encode_column(table[column], row, len(ids), column in multiple)
        if values:
            vocabulary[column] = values
            parts.append(matrix)
    return sp.csr_matrix(sp.hstack(parts, format="csr", dtype=np.float32)), vocabulary


def _encode_column(
    column: pa.ChunkedArray, row: np.ndarray, rows: int, multiple: bool
) -> tuple[sp.csr_matrix, list[str]]:
    """The features [rows, values] of a column, and its sorted values. row [len(column)] is the row of each cell."""
    text = pc.utf8_trim_whitespace(pc.cast(column, pa.string())).combine_chunks()
    if multiple:
        lists = pc.split_pattern(text, ",")
        row = row[np.asarray(pc.list_parent_indices(lists))]
        text = pc.utf8_trim_whitespace(pc.list_flatten(lists))
    present = np.asarray(pc.fill_null(pc.not_equal(text, ""), False))
    codes = text.filter(pa.array(present)).dictionary_encode()
    order = np.asarray(pc.sort_indices(codes.dictionary))
    code = np.argsort(order, kind="stable")[np.asarray(codes.indices)]
    matrix = sp.csr_matrix((np.ones(len(code), np.float32), (row[present], code)), shape=(rows, len(order)))
    matrix.data[:] = 1  # a value that appears twice in a cell counts once
    return matrix, codes.dictionary.take(pa.array(order)).to_pylist()
