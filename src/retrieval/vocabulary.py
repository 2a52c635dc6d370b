"""New rows of users and items as features, by the values, the bins and the words of those in train; ages of items."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieval.columns import decade
from retrieval.encode import Cells, Reading, matrix, of_ids, only, read
from retrieval.histories import VECTORS, Features
from retrieval.text import Words, encode_sentences, encode_text

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

# Columns of items with a date, most telling first, and the bounds of the buckets of an age, in days.
DATES = ("release_date", "released", "published_at", "publish_date", "published", "date", "release_year")
AGES = (1, 2, 4, 7, 14, 30, 90, 180, 365, 730, 1096, 1826, 3652, 7305, 14610, np.inf)


def encode_users(ids: np.ndarray, table: pa.Table, spec: Mapping[str, Any]) -> sp.csr_matrix:
    """The features [n, columns] of the users `ids` [n], ascending, CSR float32; `spec` as in `Features`.

    An id without a row in `table`, and values that no user in train has, are zeros.
    """
    readings = spec.get("user_readings", {})
    parts = [
        _categories(ids, table, "user_id", name, values, readings.get(name, {}))
        for name, values in spec["user_columns"].items()
    ]
    return sp.csr_matrix(sp.hstack([sp.csr_matrix((len(ids), 0), dtype=np.float32), *parts]))


def encode_items(ids: np.ndarray, table: pa.Table, spec: Mapping[str, Any]) -> sp.csr_matrix:
    """As `encode_users` for items. Raises `Problem` if the model of the texts cannot be read."""
    table, parts = decade(table), []
    idf, readings = spec.get("item_texts", {}), spec.get("item_readings", {})
    for name, values in spec["item_columns"].items():
        if name in idf:
            parts.append(encode_text(_texts(ids, table, name), Words(values, idf[name])))
        elif (column := name.removesuffix(VECTORS)) in idf:
            vectors = encode_sentences(_texts(ids, table, column), Path(spec["text_model"]))
            parts.append(sp.csr_matrix(vectors))
        else:
            parts.append(_categories(ids, table, "item_id", name, values, readings.get(name, {})))
    return sp.csr_matrix(sp.hstack([sp.csr_matrix((len(ids), 0), dtype=np.float32), *parts]))


def encode_ages(ids: np.ndarray, table: pa.Table, moment: int) -> sp.csr_matrix:
    """The age of the items `ids` [n] at a moment, in seconds since 1970: [n, buckets] CSR float32, one 1 per row.

    An item was new at the date in the first column of DATES that the table has, or on January 1 of its release_year. A
    row is empty where there is no date, or one after the moment; bucket b is an age of up to AGES[b] days.
    """
    days = np.full(len(ids), np.nan)
    name = next((name for name in DATES if name in table.column_names), None)
    if name is not None and pa.types.is_string(table[name].type):
        table, row = of_ids(ids, table, "item_id")
        text = table[name].to_pandas().astype("string").str.removesuffix(".0")
        date = pd.to_datetime(text, errors="coerce", utc=True, format="%Y" if name == "release_year" else "ISO8601")
        days[row] = (pd.Timestamp(moment, unit="s", tz="UTC") - date) / pd.Timedelta(days=1)
    there = np.flatnonzero(days >= 0)
    ones = np.ones(len(there), np.float32)
    return sp.csr_matrix((ones, (there, np.searchsorted(AGES, days[there]))), shape=(len(ids), len(AGES)))


def extend(data: Features, table: pa.Table) -> Features:
    """The features of a catalogue: the items of train, then those of `table` (item_id and columns), by ascending id."""
    new = np.sort(table["item_id"].to_numpy())
    items = sp.csr_matrix(sp.vstack([data.items, encode_items(new, table, data.spec)]))
    ages, disliked = data.ages, data.disliked
    if ages is not None:
        ages = sp.csr_matrix(sp.vstack([ages, encode_ages(new, table, data.spec["moment"])]))
    if disliked is not None:
        shape = disliked.shape[0], items.shape[0]
        disliked = sp.csr_matrix((disliked.data, disliked.indices, disliked.indptr), shape)
    return replace(data, items=items, item_ids=np.concatenate([data.item_ids, new]), disliked=disliked, ages=ages)


def _categories(
    ids: np.ndarray, table: pa.Table, key: str, name: str, values: list[str], reading: Mapping[str, Any]
) -> sp.csr_matrix:
    if name not in table.column_names:
        return sp.csr_matrix((len(ids), len(values)), dtype=np.float32)
    table, row = of_ids(ids, table, key)
    cells = Cells(table[name])
    return matrix(cells, only(read(cells.text, Reading(**reading)), values), row, len(ids))[0]


def _texts(ids: np.ndarray, table: pa.Table, name: str) -> list[Any]:
    texts: list[Any] = [None] * len(ids)
    if name in table.column_names:
        table, row = of_ids(ids, table, "item_id")
        for place, cell in zip(row.tolist(), table[name].to_pylist(), strict=True):
            texts[place] = cell
    return texts
