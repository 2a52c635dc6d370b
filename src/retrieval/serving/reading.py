"""What a request says, in rows of the catalogue; or `HTTPException` with the reason why it says nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from retrieval.errors import Problem, choices
from retrieval.histories import VECTORS, Watched
from retrieval.matrices import Matrix
from retrieval.search.catalogue import Catalogue
from retrieval.search.filters import allowed
from retrieval.search.recommender import Own, Recommender, TopItems
from retrieval.serving import schemas
from retrieval.serving.additions import Cells
from retrieval.vocabulary import DATES

import numpy as np
from fastapi import HTTPException

NAIVE_EPOCH = datetime(1970, 1, 1)
EPOCH = NAIVE_EPOCH.replace(tzinfo=UTC)
NOTHING = np.zeros(0, np.int64)
SHOWN = ("title", "genres")  # columns that answers show, with release_year
MAX_IDS = 10  # of unknown items in a reason


@dataclass(frozen=True)
class Filters:
    """Rows of items: those that may be recommended, ascending, None for all; and of these, those that may not."""

    allowed: np.ndarray | None
    without: np.ndarray

    def best_of(
        self, recommender: Recommender, left: Matrix, seen: Sequence[np.ndarray], k: int, own: Own
    ) -> list[TopItems]:
        """The k best items for each row of left [n, d], but those in its `seen`; `own` as in `Recommender.best_of`."""
        excluded = [np.union1d(each, self.without) for each in seen] if len(self.without) else seen
        return recommender.best_of(left, excluded, k, self.allowed, own)


NO_FILTERS = Filters(None, NOTHING)


def refuse(status: int, reason: str) -> NoReturn:
    """Answer with an error status and the reason."""
    raise HTTPException(status, reason)


def filters_of(catalogue: Catalogue, choice: schemas.Choice) -> Filters:
    """Which items a profile or a batch allows."""
    only = None if choice.only is None else _rows(catalogue, choice.only, "only")
    try:
        return Filters(allowed(catalogue, only, NOTHING, choice.where), _rows(catalogue, choice.without, "without"))
    except Problem as problem:
        refuse(422, str(problem))


def _rows(catalogue: Catalogue, item_ids: list[int | str], what: str) -> np.ndarray:
    """The row of each id."""
    rows = catalogue.item_rows(item_ids)
    if (rows < 0).any():
        unknown = [str(item_ids[place]) for place in np.flatnonzero(rows < 0)[:MAX_IDS]]
        refuse(422, f"{what}: not in the catalogue: {', '.join(unknown)}")
    return rows


def cells_of(columns: Cells, catalogue: Catalogue) -> Cells:
    """The cells of a new item. Columns that are neither a feature nor shown nor a date are refused."""
    features = {name.removesuffix(VECTORS) for name in catalogue.spec["item_columns"]}
    for name in columns:
        if name not in features | {*SHOWN, *DATES}:
            known = sorted(features | _shown_in(catalogue))
            refuse(422, f"columns: unknown column {name!r}; {choices(name, known) if known else 'expected none'}")
    return columns


def _shown_in(catalogue: Catalogue) -> set[str]:
    """The columns that answers show, of those that the data have."""
    there = {"title": any(catalogue.titles), "genres": any(catalogue.genres), "release_year": any(catalogue.years)}
    return {column for column, value in there.items() if value}


def watched_of(catalogue: Catalogue, profile: schemas.Profile, repeats: bool) -> Watched:
    """Rows and times of a profile's history in time order. Of an item that appears twice, the last time counts, unless
    the model reads `repeats`.

    Without dates, or where the data have none, the items are `gap` seconds apart.
    """
    rows = _rows(catalogue, [visit.item_id for visit in profile.history], "history")
    dates = [visit.date for visit in profile.history if visit.date is not None]
    if dates and len(dates) < len(rows):
        refuse(422, "history: expected a date for every item or for none")
    since = [date - (EPOCH if date.tzinfo else NAIVE_EPOCH) for date in dates]
    time = np.array([int(each.total_seconds()) for each in since] or range(len(rows)), np.int64)
    order = np.argsort(time, kind="stable")
    if not (dates and catalogue.timed):
        time[order] = np.arange(len(rows)) * catalogue.gap
    rows, time = rows[order], time[order]
    if repeats:
        return rows, time
    _, from_end = np.unique(rows[::-1], return_index=True)
    last = np.sort(len(rows) - 1 - from_end)
    return rows[last], time[last]


def demographics_of(catalogue: Catalogue, profile: schemas.Profile) -> list[tuple[str, str]]:
    """(column, value) of all demographics of a profile."""
    pairs = []
    for column, values in profile.demographics.items():
        if column not in catalogue.user_columns:
            refuse(422, f"demographics: unknown column; {choices(column, catalogue.user_columns)}")
        for value in [values] if isinstance(values, str) else values:
            if value not in catalogue.user_columns[column]:
                refuse(422, f"demographics.{column}: unknown value; {choices(value, catalogue.user_columns[column])}")
            pairs.append((column, value))
    return pairs
