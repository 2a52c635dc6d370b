"""Answers of the models that are loaded, to questions that have passed the schema."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from retrieval.dssm.newcomer import Watched
from retrieval.errors import choices
from retrieval.search.catalogue import Catalogue
from retrieval.search.recommender import Found, Recommender
from retrieval.serving import schemas, store
from retrieval.serving.settings import Settings

import numpy as np
from fastapi import HTTPException

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING = np.zeros(0, np.int64)

T = TypeVar("T")


class Service:
    """The answers to questions that have passed the schema. Raises `HTTPException` with the reason where there is
    none. `store` is replaced whole: a question is answered by the one that it began with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = store.load(settings)
        self._reloading = asyncio.Lock()

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Exact search and FAISS take less time than a thread would; a database is waited for in one."""
        if self.settings.backend == "milvus":
            return await asyncio.to_thread(function, *arguments)
        return function(*arguments)

    async def reload(self) -> bool:
        """Read the folders again and serve what is there; whether it is something new. A `Problem` changes nothing."""
        async with self._reloading:
            new = await asyncio.to_thread(store.load, self.settings)
            changed, self.store = new.version != self.store.version, new
            return changed

    def recommend(
        self, current: store.Store, name: str, user_id: int, k: int, exclude: bool, fallback: bool
    ) -> dict[str, Any]:
        """The k best items of a user who is in the data, or the fallback's for one who is not."""
        recommender, known = _model(current, name), current.catalogue
        user = known.user(user_id)
        if user is not None:
            seen = known.history(user)[0]
            found = recommender.best(recommender.model.left[[user]], seen if exclude else NOTHING, k)
            return {"user_id": user_id, "personal": recommender.is_personal, **_marked(known, name, found, seen)}
        if not fallback:
            refuse(404, f"user {user_id} is not in the data; ask with fallback=true for what is popular")
        name = self.settings.fallback
        model = current.models[name].model
        found = current.models[name].best(model.left[[0]], NOTHING, k)
        return {"user_id": user_id, "personal": False, **_marked(known, name, found, NOTHING)}

    def recommend_to(self, current: store.Store, name: str, profile: schemas.Profile) -> dict[str, Any]:
        """The k best items of a profile, whose user need not be in the data."""
        recommender, known = _model(current, name), current.catalogue
        if recommender.row_of is None:
            able = ", ".join(n for n, r in current.models.items() if r.row_of is not None)
            refuse(422, f"{name} knows only the users that it was trained on; of a profile, ask {able}")
        watched = _watched(known, profile)
        _check_demographics(known, profile.demographics)
        left = recommender.row_of(watched, profile.demographics)
        found = recommender.best(left, watched[0] if profile.exclude_seen else NOTHING, profile.k)
        personal = recommender.is_personal and bool(profile.history or profile.demographics)
        return {"user_id": None, "personal": personal, **_marked(known, name, found, watched[0])}

    def similar(self, current: store.Store, name: str, item_id: int, k: int) -> dict[str, Any]:
        """The k items most like an item."""
        recommender, known = _model(current, name), current.catalogue
        item = known.item_row(item_id)
        if item is None:
            refuse(404, f"item {item_id} is not in the catalogue")
        if not recommender.compares_items:
            refuse(422, f"{name} has no vectors of items to compare")
        return {"item_id": item_id, **_items(known, name, recommender.similar(item, k))}

    def metrics(self) -> dict[str, Any]:
        """The table that `evaluate` wrote, empty where there is none."""
        try:
            return json.loads(self.settings.metrics.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}


def refuse(status: int, reason: str) -> NoReturn:
    """Answer with an error and the reason."""
    raise HTTPException(status, reason)


def _model(current: store.Store, name: str) -> Recommender:
    if name not in current.models:
        refuse(404, f"no such model; {choices(name[:50], current.models)}")
    return current.models[name]


def _items(known: Catalogue, name: str, found: Found) -> dict[str, Any]:
    rows = found[0].tolist()
    return {
        "model": name,
        "items": known.items[found[0]].tolist(),
        "scores": found[1].tolist(),
        "titles": [known.titles[row] for row in rows],
        "years": [known.years[row] for row in rows],
        "genres": [known.genres[row] for row in rows],
    }


def _marked(known: Catalogue, name: str, found: Found, seen: np.ndarray) -> dict[str, Any]:
    return {**_items(known, name, found), "seen": np.isin(found[0], seen).tolist()}


def describe(known: Catalogue, row: int) -> dict[str, Any]:
    """An item's id and what is known of it."""
    about = {"title": known.titles[row], "year": known.years[row], "genres": known.genres[row]}
    return {"item_id": int(known.items[row]), **about}


def _watched(known: Catalogue, profile: schemas.Profile) -> Watched:
    """Rows and times of a profile's history, each item at the last time that it was watched."""
    rows = [known.item_row(visit.item_id) for visit in profile.history]
    strange = [visit.item_id for visit, row in zip(profile.history, rows, strict=True) if row is None]
    if strange:
        refuse(422, f"history: not in the catalogue: {', '.join(map(str, strange[:10]))}")
    dates = [visit.date for visit in profile.history if visit.date is not None]
    if dates and len(dates) < len(rows):
        refuse(422, "history: expected a date for every item, or for none")
    aware = (date if date.tzinfo else date.replace(tzinfo=UTC) for date in dates)
    time = [int((date - EPOCH).total_seconds()) for date in aware] or [i * known.gap for i in range(len(rows))]
    order = np.argsort(time, kind="stable")
    last = {rows[i]: time[i] for i in order}
    for i in order:  # a dict keeps the first place of a key: take it to the end each time
        last[rows[i]] = last.pop(rows[i])
    return np.array(list(last), np.int64), np.array(list(last.values()), np.int64)


def _check_demographics(known: Catalogue, given: dict[str, str]) -> None:
    for column, value in given.items():
        if column not in known.user_columns:
            refuse(422, f"demographics: no such column; {choices(column, known.user_columns)}")
        if value not in known.user_columns[column]:
            refuse(422, f"demographics.{column}: no such value; {choices(value, known.user_columns[column])}")
