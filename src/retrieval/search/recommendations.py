"""A model's recommendations from Python: tables with the ids and titles of the data.

    from retrieval.recommend import load
    model = load("models/dssm")
    model.recommend([15, 25], k=10)

Lists are those of the service with exact search, and those that `evaluate` judges: one ranking, one order of ties.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

from retrieval import ids
from retrieval.errors import Problem, choices
from retrieval.matrices import Model
from retrieval.ranking import Ranking, rank, widened
from retrieval.search.catalogue import Catalogue
from retrieval.search.catalogue import load as load_catalogue
from retrieval.search.filters import Where, allowed
from retrieval.search.recommender import Recommender, load_model
from retrieval.torchrun import Processes

import numpy as np
import pandas as pd

CHUNK_ROWS = 2**20  # rows of the lists that are in memory at once
MAX_IDS = 10  # of unknown ids in a message
NOTHING = np.zeros(0, np.int64), np.zeros(0, np.float32)


class CatalogueModel:
    """A model with the catalogue of its users and items."""

    def __init__(self, path: Path, model: Model, catalogue: Catalogue) -> None:
        self.path, self.model, self.catalogue = path, model, catalogue

    @cached_property
    def recommender(self) -> Recommender:
        """The model with the new items of the catalogue, searched exactly."""
        return Recommender(self.path, self.model, None).with_items(self.catalogue.new)

    def recommend(
        self,
        users: Iterable[Any] | None = None,
        k: int = 10,
        exclude_seen: bool = True,
        only: Iterable[Any] | None = None,
        without: Iterable[Any] = (),
        where: Where | None = None,
    ) -> pd.DataFrame:
        """The k best items of each user: user_id, item_id, rank (from 1), score, title; best first, users as given.

        users: their ids, None for all. exclude_seen: leave out what a user has watched or dislikes. only, without: ids
        of the items that may, and may not, be recommended. where: {column: value or values} that they must have; one
        of the values of each column. Raises `Problem` for unknown ids, columns and values.
        """
        c = self.catalogue
        rows = np.arange(len(c.users)) if users is None else rows_of(users, c.users, "users")
        chosen = None if only is None else rows_of(only, c.items, "only")
        items = candidates(c, chosen, rows_of(without, c.items, "without"), where or {})
        user, item, place, score = (
            np.concatenate(part)
            for part in zip(*(flatten(each, of) for of, each in self.rank(rows, k, exclude_seen, items)), strict=True)
        )
        titles = np.array(c.titles, dtype=object)
        return pd.DataFrame(
            {"user_id": c.users[user], "item_id": c.items[item], "rank": place, "score": score, "title": titles[item]}
        )

    def similar(self, items: Iterable[Any], k: int = 10) -> pd.DataFrame:
        """The k items most like each of `items`: item_id, similar_id, rank, score, title (of the similar item).

        Raises `Problem` for unknown ids, and for models that do not compare items, such as popularity.
        """
        c, recommender, k = self.catalogue, self.recommender, _positive(k)
        if not recommender.compares_items:
            raise Problem(f"{self.model.name} has no item vectors to compare")
        rows = rows_of(items, c.items, "items")
        if (rows >= recommender.right.shape[0]).any():
            raise Problem(f"{self.model.name} knows only items of train")
        lists = [recommender.similar(row, k) for row in rows.tolist()]
        counts = np.array([len(each) for each, _ in lists], dtype=np.int64)
        similar, score = (np.concatenate(part) for part in zip(NOTHING, *lists, strict=True))
        return pd.DataFrame(
            {
                "item_id": np.repeat(c.items[rows], counts),
                "similar_id": c.items[similar],
                "rank": np.arange(1, len(similar) + 1) - np.repeat(np.cumsum(counts) - counts, counts),
                "score": score,
                "title": np.array(c.titles, dtype=object)[similar],
            }
        )

    def rank(
        self,
        users: np.ndarray,
        k: int,
        exclude_seen: bool = True,
        items: np.ndarray | None = None,
        processes: Processes | None = None,
    ) -> Iterator[tuple[np.ndarray, Ranking]]:
        """(rows of users, their `Ranking`) for one part of `users` [U] (rows) after the other, at least one.

        items: the rows that may be recommended, ascending; None for all. processes: see `ranking.rank`.
        """
        model, right, own = self.model, self.recommender.right, self.model.own
        exclusions, count = self.catalogue.exclusions if exclude_seen else None, right.shape[0]
        k = min(_positive(k), count)
        if items is None and count < len(self.catalogue.items):
            items = np.arange(count)
        if items is not None:
            items = items[items < count]
            if not len(items):
                raise Problem(f"{model.name} knows only items of train, and none of them is left to recommend")
            right, exclusions = right[items], None if exclusions is None else exclusions[:, items]
            own = None if own is None else widened(own, count)[:, items]
        constant, size = model.kind == "constant", max(1, CHUNK_ROWS // k)
        for start in range(0, max(len(users), 1), size):
            part = users[start : start + size]
            ranking = rank(model.left, right, part, k, exclusions, constant, model.name, own, processes)
            if items is not None:
                places = np.where(ranking.items < 0, -1, items[ranking.items])
                ranking = Ranking(places.astype(np.int32), ranking.scores)
            yield part, ranking


def load(path: str | Path) -> CatalogueModel:
    """Load a model folder, with the catalogue beside it. Raises `Problem` if there is none, or files have changed."""
    path = Path(path)
    names = sorted(card.parent.name for card in path.parent.glob("[!.]*/card.json"))
    if path.name not in names:
        raise Problem(f"{path}: no such model; {choices(path.name, names) if names else 'run dvc repro first'}")
    catalogue = load_catalogue(path.parent / "catalogue")
    return CatalogueModel(path, load_model(path, catalogue), catalogue)


def candidates(catalogue: Catalogue, only: np.ndarray | None, without: np.ndarray, where: Where) -> np.ndarray | None:
    """As `filters.allowed`. Raises `Problem` also if no item is left."""
    rows = allowed(catalogue, only, without, where)
    if rows is not None and not len(rows):
        raise Problem("only, without, where: no item is left to recommend")
    return rows


def rows_of(values: Iterable[Any], all_ids: np.ndarray, what: str) -> np.ndarray:
    """The rows of ids, each once, in the order given. Raises `Problem` for unknown ones; `what` names the argument."""
    if np.isscalar(values):
        raise Problem(f"{what}: {values!r} is not valid: expected a list of ids")
    values = list(dict.fromkeys(values))
    rows = ids.find(values, all_ids)
    if (rows < 0).any():
        raise Problem(f"{what}: {unknown(values, rows)}")
    return rows


def unknown(values: list[Any], rows: np.ndarray) -> str:
    """How many ids have no row, and the first of them."""
    named = [repr(values[i]) if isinstance(values[i], str) else str(values[i]) for i in np.flatnonzero(rows < 0)]
    more = ", ..." if len(named) > MAX_IDS else ""
    return f"{len(named)} of {len(values)} ids are not in the data: {', '.join(named[:MAX_IDS])}{more}"


def flatten(ranking: Ranking, users: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """user, item, rank from 1, score of each place in the lists of `users` [U]; places without an item left out."""
    row, place = np.nonzero(ranking.items >= 0)
    return users[row], ranking.items[row, place], (place + 1).astype(np.int32), ranking.scores[row, place]


def _positive(k: Any) -> int:
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise Problem(f"k: {k!r} is not valid: expected a whole number, 1 or more")
    return int(k)
