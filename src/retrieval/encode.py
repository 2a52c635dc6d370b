"""One-hot and multi-hot columns of users and items, as sparse matrices."""

from collections.abc import Sequence

from retrieval.params import Section

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

Blocks = dict[str, list[str]]


class Columns(Section):
    """The columns of users.csv and items.csv that models read; those that a source does not have are passed over.

    `multiple`: columns whose cells hold several values with commas between them. `decade` is made of release_year.
    """

    user: list[str]
    item: list[str]
    multiple: list[str]


def decade(items: pa.Table) -> pa.Table:
    """`items` with a column decade, "1990" for release_year 1994; unchanged without release_year or with a decade."""
    if "release_year" not in items.column_names or "decade" in items.column_names:
        return items
    year = pd.to_numeric(items["release_year"].to_pandas(), errors="coerce")
    text = (year // 10 * 10).astype("Int64").astype("string")
    return items.append_column("decade", pa.array(text, pa.string()))


def encode(
    ids: np.ndarray, table: pa.Table, key: str, columns: Sequence[str], multiple: Sequence[str]
) -> tuple[sp.csr_matrix, Blocks]:
    """One row an id and one column a value: 1 where the id's row in `table` has the value.

    ids [n] int64, ascending. Returns [n, values] CSR float32 and the values by column, each list sorted, in the order
    of the matrix's columns; a column without any value is left out. An id without a row, or a value that is missing,
    has zeros there.
    """
    blocks: Blocks = {}
    parts = [sp.csr_matrix((len(ids), 0), dtype=np.float32)]
    table = table.filter(pa.array(np.isin(np.asarray(table[key]), ids)))
    row = np.searchsorted(ids, np.asarray(table[key]))
    for column in (c for c in columns if c in table.column_names):
        matrix, values = _column(table[column], row, len(ids), column in multiple)
        if values:
            blocks[column] = values
            parts.append(matrix)
    return sp.csr_matrix(sp.hstack(parts, format="csr", dtype=np.float32)), blocks


def _column(column: pa.ChunkedArray, row: np.ndarray, rows: int, multiple: bool) -> tuple[sp.csr_matrix, list[str]]:
    text = pc.utf8_trim_whitespace(pc.cast(column, pa.string())).combine_chunks()
    if multiple:
        lists = pc.split_pattern(text, ",")
        row = row[np.asarray(pc.list_parent_indices(lists))]
        text = pc.utf8_trim_whitespace(pc.list_flatten(lists))
    known = np.asarray(pc.fill_null(pc.not_equal(text, ""), False))
    coded = text.filter(pa.array(known)).dictionary_encode()
    order = np.asarray(pc.sort_indices(coded.dictionary))
    code = np.argsort(order)[np.asarray(coded.indices)]
    matrix = sp.csr_matrix((np.ones(len(code), np.float32), (row[known], code)), shape=(rows, len(order)))
    matrix.data[:] = 1  # a value that stands twice in a cell counts once
    return matrix, coded.dictionary.take(pa.array(order)).to_pylist()
