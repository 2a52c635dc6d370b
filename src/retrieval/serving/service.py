"""Answers requests that have passed the schema."""

import asyncio
import ctypes
import json
import logging
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from retrieval.errors import Problem, choices
from retrieval.ids import convert
from retrieval.search.catalogue import Catalogue, extended
from retrieval.search.recommender import Recommender, TopItems
from retrieval.serving import schemas, store
from retrieval.serving.about import about
from retrieval.serving.additions import Additions, Cells, own_id, table_of
from retrieval.serving.reading import (
    NO_FILTERS,
    NOTHING,
    Filters,
    cells_of,
    demographics_of,
    filters_of,
    refuse,
    watched_of,
)
from retrieval.serving.settings import Settings

import numpy as np

log = logging.getLogger("retrieval.service")

T = TypeVar("T")
LARGE = 20_000  # items, from which on a search may take more than some milliseconds


class Service:
    """Answers requests from a store, or raises `HTTPException` with the reason.

    A reload replaces `store` as a whole. A request takes the store once, at its start.
    """

    def __init__(self, settings: Settings, shared: Path | None = None) -> None:
        self.settings = settings
        self.store = self._loaded = store.load(settings)
        self.about = about(settings.revision)
        self._additions = Additions(shared)
        self._stamp: Hashable = None
        self._changing = asyncio.Lock()
        self._folding = threading.Lock()  # a tower holds the user that it computes

    async def current(self) -> store.Store:
        """The store, with all items that were added to any worker."""
        if self._additions.stamp(self._loaded.version) != self._stamp:
            async with self._changing:
                await asyncio.to_thread(self._refresh)
        return self.store

    def _refresh(self) -> None:
        stamp = self._additions.stamp(self._loaded.version)
        if stamp != self._stamp:
            table = table_of(self._additions.read(self._loaded.version), self._loaded.catalogue)
            self.store, self._stamp = self._loaded.with_items(table), stamp

    async def add(self, items: Sequence[schemas.NewItem]) -> dict[str, Any]:
        """Add items that the data do not have; those that they have stay as they are."""
        async with self._changing:
            return await asyncio.to_thread(self._add, items)

    def _add(self, items: Sequence[schemas.NewItem]) -> dict[str, Any]:
        loaded = self._loaded
        try:
            rows = {own_id(item.item_id, loaded.catalogue): cells_of(item.columns, loaded.catalogue) for item in items}
            if len(rows) < len(items):
                refuse(422, "items: an id appears twice")
            of_data = loaded.catalogue.item_rows(list(rows)) >= 0
            added = {each: cells for (each, cells), old in zip(rows.items(), of_data, strict=True) if not old}
            if added:
                extended(loaded.catalogue, table_of(added, loaded.catalogue))  # refuses what does not encode
                self._store(loaded.version, added)
        except Problem as problem:
            refuse(422, str(problem))
        self._refresh()
        catalogue = self.store.catalogue
        features = np.diff(catalogue.new.indptr)[catalogue.item_rows(list(added)) - catalogue.trained]
        old = [each for each in rows if each not in added]
        return {"added": list(added), "features": features.tolist(), "in_data": old, "version": loaded.version}

    def _store(self, version: str, added: Mapping[Any, Cells]) -> None:
        try:
            self._additions.add(version, added)
        except (Problem, OSError) as error:
            if isinstance(error, Problem) and not isinstance(error.__cause__, OSError):
                raise
            log.error("items not added: %s", error)
            refuse(503, "the items cannot be stored, see the log")

    async def call(self, function: Callable[..., T], current: store.Store, *arguments: Any) -> T:
        """function(current, *arguments), in a thread if it waits for a database or may keep others waiting.

        Exact search and FAISS in a catalogue that is not large are faster than handing over to a thread.
        """
        if self.settings.backend == "milvus" or len(current.catalogue.items) > LARGE:
            return await asyncio.to_thread(function, current, *arguments)
        return function(current, *arguments)

    async def reload(self) -> bool:
        """Read the folders again and return whether a model has changed: then items that were added are dropped.

        After a `Problem` the old models stay.
        """
        async with self._changing:
            new = await asyncio.to_thread(store.load, self.settings)
            changed = new.version != self._loaded.version
            self.store, self._loaded, self._stamp = new, new, None
            await asyncio.to_thread(self._refresh)
            await asyncio.to_thread(give_back_memory)
            return changed

    def recommend(
        self, current: store.Store, name: str, user_id: int | str, k: int, exclude: bool, fallback: bool
    ) -> dict[str, Any]:
        """The k best items of a user in the data; for an unknown user, those of the fallback model if allowed."""
        recommender, catalogue = _model(current, name), current.catalogue
        user = catalogue.user_row(user_id)
        if user is not None:
            return _for_users(recommender, catalogue, name, [user], k, exclude, NO_FILTERS)[0]
        if not fallback:
            refuse(404, f"user {user_id} is not in the data; use fallback=true to get popular items")
        recommender = current.models[self.settings.fallback]
        items = recommender.best(recommender.model.left[[0]], NOTHING, k)
        lists = _recommendations(catalogue, self.settings.fallback, items, NOTHING)
        return {"user_id": convert(user_id, catalogue.users), "personal": False, **lists}

    def recommend_to(self, current: store.Store, name: str, profile: schemas.Profile) -> dict[str, Any]:
        """The k best of the items that a profile allows, for a user of the data or any other."""
        recommender, catalogue = _model(current, name), current.catalogue
        filters = filters_of(catalogue, profile)
        if profile.user_id is not None:
            user = catalogue.user_row(profile.user_id)
            if user is None:
                refuse(404, f"user {profile.user_id} is not in the data; leave user_id out and describe the user")
            return _for_users(recommender, catalogue, name, [user], profile.k, profile.exclude_seen, filters)[0]
        fold_in = recommender.fold_in
        if fold_in is None:
            names = ", ".join(able for able, each in current.models.items() if each.fold_in is not None)
            why = f": {recommender.missing} is not installed" if recommender.missing else ""
            refuse(422, f"{name} cannot score new users{why}; models that accept profiles: {names}")
        watched = watched_of(catalogue, profile, repeats=recommender.repeats is not None)
        trained = watched[0] < catalogue.trained  # the models have not seen new items: only the lists leave them out
        pairs = demographics_of(catalogue, profile)
        seen, read = watched[0] if profile.exclude_seen else NOTHING, (watched[0][trained], watched[1][trained])
        with self._folding:
            left = fold_in(read, pairs)
        items = filters.best_of(recommender, left, [np.unique(seen)], profile.k, recommender.own_of(read))[0]
        personal = bool(
            (fold_in.reads_history and profile.history) or (fold_in.reads_demographics and profile.demographics)
        )
        return {"user_id": None, "personal": personal, **_recommendations(catalogue, name, items, watched[0])}

    def recommend_to_all(self, current: store.Store, name: str, batch: schemas.UserBatch) -> list[dict[str, Any]]:
        """What `recommend_to` gives each user of a batch, from one product; or why a user gets nothing."""
        recommender, catalogue = _model(current, name), current.catalogue
        filters = filters_of(catalogue, batch)
        rows = [catalogue.user_row(each) for each in batch.user_ids]
        users = [row for row in rows if row is not None]
        lists = iter(_for_users(recommender, catalogue, name, users, batch.k, batch.exclude_seen, filters))
        return [
            {"user_id": convert(each, catalogue.users), "detail": f"user {each} is not in the data"}
            if row is None
            else next(lists)
            for each, row in zip(batch.user_ids, rows, strict=True)
        ]

    def similar(self, current: store.Store, name: str, item_id: int | str, k: int) -> dict[str, Any]:
        """The k items most like an item."""
        recommender, catalogue = _model(current, name), current.catalogue
        item = catalogue.item_row(item_id)
        if item is None:
            refuse(404, f"item {item_id} is not in the catalogue")
        if not recommender.compares_items:
            refuse(422, f"{name} has no item vectors to compare")
        if item >= recommender.right.shape[0]:
            able = ", ".join(name for name, each in current.models.items() if each.has_new)
            refuse(422, f"{item_id} is not in train; models that know new items: {able or 'none'}")
        return {"item_id": convert(item_id, catalogue.items), **_items(catalogue, name, recommender.similar(item, k))}

    def find(self, current: store.Store, text: str, k: int) -> list[schemas.Item]:
        """Up to k items whose title contains the text, the most watched first."""
        catalogue = current.catalogue
        rows, counts = catalogue.find_items(text, k), catalogue.view_counts
        return [schemas.Item(**describe(catalogue, row), watched=int(counts[row])) for row in rows]

    def metrics(self) -> dict[str, Any]:
        """The metrics that `evaluate` wrote; empty if the file is missing or invalid."""
        try:
            return json.loads(self.settings.metrics.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}


def give_back_memory() -> None:
    """Give freed memory back to the system. glibc keeps that of the old models, so that reloads look like a leak."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)


def demographics(catalogue: Catalogue, user: int) -> dict[str, str | list[str]]:
    """Column -> value of a user, or a list if there are several."""
    values: dict[str, list[str]] = {}
    for column, value in catalogue.demographics(user):
        values.setdefault(column, []).append(value)
    return {column: each[0] if len(each) == 1 else each for column, each in values.items()}


def describe(catalogue: Catalogue, row: int) -> dict[str, Any]:
    """Id, title, year and genres of an item, and whether it is not in train."""
    about = {"title": catalogue.titles[row], "year": catalogue.years[row], "genres": catalogue.genres[row]}
    return {"item_id": catalogue.items.item(row), **about, "new": row >= catalogue.trained}


def _model(current: store.Store, name: str) -> Recommender:
    if name not in current.models:
        refuse(404, f"unknown model; {choices(name[:50], current.models)}")
    return current.models[name]


def _for_users(
    recommender: Recommender, catalogue: Catalogue, name: str, users: list[int], k: int, exclude: bool, filters: Filters
) -> list[dict[str, Any]]:
    """The k best items of each of the users in the rows `users`."""
    excluded = [catalogue.excluded(user) if exclude else NOTHING for user in users]
    found = filters.best_of(recommender, recommender.model.left[users], excluded, k, recommender.own(users))
    return [
        {
            "user_id": catalogue.users.item(user),
            "personal": recommender.is_personal,
            **_recommendations(catalogue, name, items, catalogue.history(user)[0]),
        }
        for user, items in zip(users, found, strict=True)
    ]


def _items(catalogue: Catalogue, name: str, items: TopItems) -> dict[str, Any]:
    rows = items[0].tolist()
    return {
        "model": name,
        "items": catalogue.items[items[0]].tolist(),
        "scores": items[1].tolist(),
        "titles": [catalogue.titles[row] for row in rows],
        "years": [catalogue.years[row] for row in rows],
        "genres": [catalogue.genres[row] for row in rows],
        "new": (items[0] >= catalogue.trained).tolist(),
    }


def _recommendations(catalogue: Catalogue, name: str, items: TopItems, seen: np.ndarray) -> dict[str, Any]:
    return {**_items(catalogue, name, items), "seen": np.isin(items[0], seen).tolist()}
