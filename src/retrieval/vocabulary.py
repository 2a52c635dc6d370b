"""New rows of users and items as features: encoded by the values, the bins and the words of those in train."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval.columns import VECTORS, decade
from retrieval.encode import Cells, Reading, matrix, of_ids, only, read
from retrieval.text import Words, encode_sentences, encode_text

import numpy as np
import pyarrow as pa
import scipy.sparse as sp


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
