"""Encode the prepared tables as histories in time order and sparse feature matrices of users and items."""

import json
from pathlib import Path

from retrieval import ids
from retrieval.columns import Columns, decade, features_of, say_missing, texts_of
from retrieval.histories import Features, read, save
from retrieval.params import Section
from retrieval.stage import folder, read_table, run
from retrieval.vocabulary import encode_ages

import numpy as np
import scipy.sparse as sp


class FeaturesParams(Section):
    """The parameters that `features` reads."""

    columns: Columns


def main(params: FeaturesParams, prepared: Path, out: Path) -> None:
    """data/prepared -> data/features."""
    histories, user_ids, item_ids = read(prepared / "train.parquet")
    users = read_table(prepared / "users.parquet")
    items = decade(read_table(prepared / "items.parquet"))
    stats = json.loads((prepared / "stats.json").read_text(encoding="utf-8"))
    columns = params.columns
    named = stats.get("columns") or {"user": None, "item": None}
    if columns.multiple != "auto":
        say_missing("items and users", columns.multiple, [*items.column_names, *users.column_names])
    user_matrix, user_columns, user_readings = features_of(
        user_ids, users, "user_id", columns.user, named["user"], columns.multiple
    )
    texts = [column for column in items.column_names if column in columns.text]
    item_matrix, item_columns, item_readings = features_of(
        item_ids, items.drop_columns(texts), "item_id", columns.item, named["item"], columns.multiple
    )
    spec = {name: stats[name] for name in ("split", "moment", "days", "repeats", "timed") if name in stats}
    spec |= {"user_columns": user_columns, "user_readings": user_readings}
    spec |= {"item_columns": item_columns, "item_readings": item_readings}
    if columns.text:
        text_matrix, words, spec["item_texts"] = texts_of(item_ids, items, "item_id", columns.text, columns.text_model)
        item_matrix = sp.csr_matrix(sp.hstack([item_matrix, text_matrix]))
        spec |= {"item_columns": item_columns | words, "text_model": columns.text_model}
    ages = encode_ages(item_ids, items, spec["moment"])
    disliked = _disliked(prepared / "disliked.parquet", user_ids, item_ids)
    with folder(out) as aside:
        save(aside, Features(histories, user_matrix, item_matrix, user_ids, item_ids, spec, disliked, ages))


def _disliked(path: Path, user_ids: np.ndarray, item_ids: np.ndarray) -> sp.csr_matrix | None:
    """[users, items] of ones, from a table of user_id and item_id; None without the file."""
    if not path.exists():
        return None
    table = read_table(path)
    user, item = ids.rows_of(table["user_id"].to_numpy(), user_ids), ids.rows_of(table["item_id"].to_numpy(), item_ids)
    both = (user >= 0) & (item >= 0)
    shape = len(user_ids), len(item_ids)
    return sp.csr_matrix((np.ones(both.sum(), np.float32), (user[both], item[both])), shape=shape)


if __name__ == "__main__":
    run(main)
