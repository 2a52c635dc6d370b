"""Cells to sparse features: what the cells of a column say, and a matrix with one feature per value.

Everything is worked out once per distinct cell, so the cost of a column is that of its dictionary encoding.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

Vocabulary = dict[str, list[str]]  # the values of each column

MAX_FEATURES = 10_000  # of one column
SEPARATORS = (",", "|", ";")
SAMPLE = 20_000  # at most this many distinct cells decide about a separator
LONGEST = 1_000  # bytes; a longer cell is a text, no list
NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|^[-+]?inf(inity)?$"
DECIMAL = r"^[-+]?\d+,\d+$"  # 1,5
THOUSANDS = r"^[-+]?\d{1,3}(,\d{3})+(\.\d*)?$"  # 1,299
MISSING = r"^(nan|null|none|n/?a|-|\\n)$"
BRACKETS = r"(?s)^\[[^{]*\]$"  # ['a', 'b'], but no list of objects
QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,\s][^,]*)""")


@dataclass(frozen=True)
class Reading:
    """How the cells of a column are read. By default a cell is one value, without the space around it.

    separator: a cell holds several values. lower: spellings that differ in case are one value. bins: a cell is a
    number, and its value is the name of the first bin whose upper bound is not below it, or else of the last bin.
    """

    separator: str | None = None
    lower: bool = False
    bins: Mapping[str, float] = field(default_factory=dict)


def stack(features: Mapping[str, tuple[sp.csr_matrix, list[str]]], rows: int) -> tuple[sp.csr_matrix, Vocabulary]:
    """One matrix of those of the columns [rows, values], and the values of each; columns without one are left out."""
    features = {column: (matrix, values) for column, (matrix, values) in features.items() if values}
    parts = [sp.csr_matrix((rows, 0), dtype=np.float32), *(matrix for matrix, _ in features.values())]
    whole = sp.csr_matrix(sp.hstack(parts, format="csr", dtype=np.float32))
    return whole, {column: values for column, (_, values) in features.items()}


def of_ids(ids: np.ndarray, table: pa.Table, key: str) -> tuple[pa.Table, np.ndarray]:
    """The rows of `table` whose `key` is one of `ids`, and the place of each in `ids`, int32."""
    if ids.dtype == object:
        place = pc.index_in(table[key], value_set=pa.array(ids, pa.string())).fill_null(-1).to_numpy()
    else:
        values = table[key].to_numpy()
        place = np.searchsorted(ids, values).astype(np.int32)
        place[np.append(ids, 0)[place] != values] = -1
        place[place == len(ids)] = -1
    there = place >= 0
    return (table, place) if there.all() else (table.filter(pa.array(there)), place[there])


class Cells:
    """The cells of a column that are not empty, each distinct text once.

    text [distinct] strings; code [values] int32, the text of each cell, or of each element where cells are lists;
    cell [values], the cell that it is in; lists: whether cells are lists by type; count: how many are not empty.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        parent = None
        if self.lists:
            array = column.combine_chunks()
            parent, column = np.asarray(pc.list_parent_indices(array)), pa.chunked_array([pc.list_flatten(array)])
        chunks = column.cast(pa.large_string()).dictionary_encode().chunks  # they share one dictionary
        words = chunks[0].dictionary if chunks else pa.array([], pa.large_string())
        code = np.concatenate([np.zeros(0, np.int32), *(np.asarray(c.indices.fill_null(len(words))) for c in chunks)])
        text, place = pc.utf8_trim_whitespace(words), np.arange(len(words))
        if text.equals(words):
            text = words
        else:
            trimmed = text.dictionary_encode()
            text, place = trimmed.dictionary, np.asarray(trimmed.indices)
        empty = np.asarray(pc.equal(text, ""))
        number = np.where(empty, -1, np.cumsum(~empty) - 1).astype(np.int32)
        code = np.append(number[place], np.int32(-1))[code]  # the last one stands for null
        present = np.flatnonzero(code >= 0)
        self.text = text.filter(pa.array(~empty)) if empty.any() else text
        self.code = code[present]
        self.cell = present if parent is None else parent[present]
        self.count = len(present) if parent is None else len(np.unique(self.cell))


Values = tuple[np.ndarray, np.ndarray, pa.Array]


def matrix(cells: Cells, found: Values, row: np.ndarray, rows: int) -> tuple[sp.csr_matrix, list[str]]:
    """The features [rows, values] of a column, and its values. found: what `read` made of cells.text.

    row [cells] is the row of each cell.
    """
    start, place, values = found
    count = np.diff(start)
    if (count == 1).all():
        cell_row, code = row[cells.cell], place[cells.code]
    else:
        count = count[cells.code]
        cell_row = np.repeat(row[cells.cell], count)
        first = np.repeat(start[cells.code] - np.cumsum(count) + count, count)
        code = place[first + np.arange(len(first))]
    result = sp.csr_matrix((np.ones(len(code), np.float32), (cell_row, code)), shape=(rows, len(values)))
    result.data[:] = 1  # a value that appears twice in a cell counts once
    if len(values) > MAX_FEATURES:
        rare_last = np.argsort(-np.bincount(result.indices, minlength=len(values)), kind="stable")
        frequent = np.sort(rare_last[:MAX_FEATURES])
        result, values = result[:, frequent], values.take(pa.array(frequent))
    return result, values.to_pylist()


def read(text: pa.Array, reading: Reading) -> Values:
    """The values of distinct cells [n]: those of cell i are values[place[start[i]:start[i + 1]]].

    start [n + 1] and place are integers; values are sorted, bins from low to high, each with at least one cell.
    """
    if reading.bins:
        number, _ = numbers(text)
        valid = ~np.isnan(number)
        upper = np.fromiter(reading.bins.values(), float)
        used, place = np.unique(np.minimum(np.searchsorted(upper, number[valid]), len(upper) - 1), return_inverse=True)
        return np.append(0, np.cumsum(valid)), place, pa.array(list(reading.bins), pa.string()).take(pa.array(used))
    start = np.arange(len(text) + 1)
    if reading.separator:
        lists = split(text, reading.separator)
        start, text = np.asarray(lists.offsets).astype(np.int64), lists.values
    if reading.lower:
        text = pc.utf8_lower(text)
    codes = text.dictionary_encode()
    order = np.asarray(pc.sort_indices(codes.dictionary)).astype(np.int64)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    return start, rank[np.asarray(codes.indices)], codes.dictionary.take(pa.array(order))


def only(found: Values, values: list[str]) -> Values:
    """What `read` found, restricted to `values`, in their order: the others are left out of the cells."""
    start, place, there = found
    known = pc.index_in(there, value_set=pa.array(values, there.type)).fill_null(-1).to_numpy(zero_copy_only=False)
    place = known[place]
    return np.append(0, np.cumsum(place >= 0))[start], place[place >= 0], pa.array(values, there.type)


def split(text: pa.Array, separator: str) -> pa.ListArray:
    """The values in each cell of `text` [n], lists of strings without the space around them, none of them empty.

    A cell such as ['a', "b, c"] is a list in brackets: its values are separated by commas, whatever the `separator`.
    """
    parts = pc.split_pattern(text, separator)
    bracketed = pc.match_substring_regex(text, BRACKETS)
    if bracketed.true_count:
        python = parts.to_pylist()
        for i in np.flatnonzero(np.asarray(bracketed)):
            python[i] = ["".join(groups) for groups in QUOTED.findall(text[i].as_py()[1:-1])]
        parts = pa.array(python, pa.list_(pa.string()))
    values = pc.utf8_trim_whitespace(pc.list_flatten(parts))
    present = np.asarray(pc.not_equal(values, ""))
    count = np.bincount(np.asarray(pc.list_parent_indices(parts))[present], minlength=len(text))
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.filter(pa.array(present)))


def joined(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text; the values of a list are separated by commas."""
    return pc.binary_join(column, ", ") if pa.types.is_list(column.type) else column


def separator(column: pa.ChunkedArray) -> str | None:
    """What separates the values in the cells of a column of text; None if a cell is one value.

    A list has values that recur in other places. So a separator counts if 5 % of the distinct cells have it, and a
    third of the values in these cells also stand elsewhere: in another cell at another place, or among more or fewer
    values. "New York, NY" is no list, as NY is always the second of two; nor are titles, texts and numbers (1,5).
    If several count, it is the one with most such values.
    """
    return separator_of(Cells(column).text)


def separator_of(text: pa.Array) -> str | None:
    """`separator` of distinct cells without the space around them."""
    short = text.filter(pc.less_equal(pc.binary_length(text), LONGEST))
    if 2 * len(short) < len(text) or len(text) == 0:
        return None
    short = short.take(pa.array(np.unique(np.linspace(0, len(short) - 1, min(SAMPLE, len(short))).astype(np.int64))))
    if numbers(short)[1]:
        return None
    recurring = {each: _recurring(short, each) for each in SEPARATORS}
    best = max(SEPARATORS, key=recurring.__getitem__)
    return best if recurring[best] > 0 else None


def _recurring(text: pa.Array, separator: str) -> int:
    """How many values of the cells with `separator` stand elsewhere, too; 0 if it does not separate lists."""
    lists = split(text, separator)
    count = np.diff(np.asarray(lists.offsets))
    cell = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(cell)) - np.asarray(lists.offsets)[cell]
    value = np.asarray(lists.values.dictionary_encode().indices).astype(np.int64)
    values = value.max(initial=-1) + 1
    _, first = np.unique(cell * values + value, return_index=True)  # a value twice in a cell is one
    cell, place, value = cell[first], place[first], value[first]
    where = place * (count.max(initial=0) + 1) + count[cell]
    least, most = np.full(values, np.iinfo(np.int64).max), np.full(values, -1)
    np.minimum.at(least, value, where)
    np.maximum.at(most, value, where)
    several = count[cell] > 1
    found = int((least < most)[value[several]].sum())
    enough = 20 * (count > 1).sum() >= len(count) and 3 * found >= several.sum()
    return found if enough else 0


def numbers(text: pa.Array) -> tuple[np.ndarray, bool]:
    """Cells as numbers, [n] float64, NaN where a cell is none; and whether all are, but for "NA", "null" and the like.

    1,299 is a thousand and more where each comma stands before three digits, 1,5 is one and a half.
    """
    with contextlib.suppress(pa.ArrowInvalid):  # much faster
        result = text.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return result, bool((~np.isnan(result)).any())
    comma = pc.match_substring(text, ",")
    if comma.true_count:
        if pc.all(pc.match_substring_regex(text.filter(comma), THOUSANDS)).as_py():
            text = pc.replace_substring(text, ",", "")
        elif pc.all(pc.match_substring_regex(text.filter(comma), DECIMAL)).as_py():
            text = pc.replace_substring(text, ",", ".")
    valid = pc.match_substring_regex(text, NUMBER, ignore_case=True)
    result = np.full(len(text), np.nan)
    result[np.asarray(valid)] = np.asarray(text.filter(valid).cast(pa.float64()))
    missing = pc.match_substring_regex(text.filter(pc.invert(valid)), MISSING, ignore_case=True)
    return result, bool(valid.true_count) and missing.false_count == 0
