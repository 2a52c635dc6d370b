"""Draw maps of a model's vectors: the most watched items, and random test users."""

from pathlib import Path

from retrieval import histories, ids, matrices
from retrieval.drawing.maps import write_maps
from retrieval.encode import joined
from retrieval.evaluation.options import Evaluation
from retrieval.params import Section, Seed
from retrieval.stage import read_table, run

import numpy as np


class MapsParams(Section):
    """The parameters that `maps` reads."""

    seed: Seed
    evaluate: Evaluation


def main(params: MapsParams, prepared: Path, features: Path, path: Path, plots: Path) -> None:
    """data/prepared, data/features, a model of vectors -> plots/items.png, plots/users.png."""
    data = histories.load(features)
    test = read_table(prepared / "test.parquet", columns=["user_id"])["user_id"].to_numpy()
    users = np.unique(ids.rows_of(test, data.user_ids))
    titles = _titles(prepared / "items.parquet", data)
    write_maps(plots, matrices.load(path), data, users, titles, params.evaluate, params.seed)


def _titles(path: Path, data: histories.Features) -> np.ndarray:
    """[items], the title of each item, "" if it has none; the values of a list are separated by commas."""
    table = read_table(path)
    titles = np.full(len(data.item_ids), "", dtype=object)
    if "title" in table.column_names:
        row = ids.rows_of(table["item_id"].to_numpy(), data.item_ids)
        titles[row[row >= 0]] = joined(table["title"]).fill_null("").to_numpy()[row >= 0]
    return titles


if __name__ == "__main__":
    run(main)
