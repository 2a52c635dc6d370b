"""Data sources, one per file. The parameter `data` names the source to fetch from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.sources import folder, kion, movielens, synthetic


@dataclass(frozen=True)
class Source:
    """A source writes interactions.csv, items.csv and, if it has features of users, users.csv, in the KION schema.

    fetch(params, out) writes them into the folder `out` and returns the number of rows of each file; `params` are
    those of the stage `fetch`. split: the value of `split.kind` that `auto` stands for. check(params) runs before all
    other stages and raises `Problem` if the data cannot be fetched, such as from a missing folder.
    """

    fetch: Callable[[Any, Path], dict[str, int]]
    split: str
    check: Callable[[Any], None] = lambda params: None


SOURCES = {
    "movielens-100k": Source(lambda params, out: movielens.fetch(params.movielens, out), "leave-last"),
    "kion": Source(lambda params, out: kion.fetch(params.kion, out), "days"),
    "kion-synthetic": Source(lambda params, out: synthetic.fetch(params.synthetic, params.seed, out), "days"),
    "folder": Source(
        lambda params, out: folder.fetch(Path(params.folder), out),
        "days",
        lambda params: folder.check(Path(params.folder)),
    ),
}
