"""Data sources, one per file. The parameter `data` names the source to fetch from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.sources import folder, kion, movielens, synthetic
from retrieval.sources.raw import Raw

# The columns that become features; those that the data do not have are skipped.
COLUMNS = {
    "user": ["age", "income", "sex", "kids_flg", "gender", "occupation"],
    "item": ["content_type", "for_kids", "age_rating", "studios", "countries", "genres", "decade"],
}


@dataclass(frozen=True)
class Source:
    """A source writes interactions.parquet and, if it has them, items.parquet and users.parquet, by `sources.raw`.

    fetch(params, out) writes them into the folder `out`; `params` are those of the stage `fetch`. split: the value of
    `split.kind` that `auto` stands for, if there are times. columns: what `columns.user` and `columns.item` stand for
    when they are `auto`; None: every usable column. check(params) runs before all other stages and raises `Problem` if
    the data cannot be fetched, such as from a missing folder.
    """

    fetch: Callable[[Any, Path], Raw]
    split: str
    columns: dict[str, list[str]] | None = None
    check: Callable[[Any], None] = lambda params: None


SOURCES = {
    "movielens-100k": Source(lambda params, out: movielens.fetch(params.movielens, out), "leave-last", COLUMNS),
    "kion": Source(lambda params, out: kion.fetch(params.kion, out), "days", COLUMNS),
    "kion-synthetic": Source(lambda params, out: synthetic.fetch(params.synthetic, params.seed, out), "days", COLUMNS),
    "folder": Source(
        lambda params, out: folder.fetch(Path(params.folder), params.mapping, out),
        "days",
        None,
        lambda params: folder.check(Path(params.folder), params.mapping),
    ),
}
