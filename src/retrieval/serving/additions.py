"""Items that clients add over HTTP, by their features, until a reload brings other models."""

import fcntl
import hashlib
import json
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from retrieval.errors import Problem
from retrieval.ids import convert
from retrieval.search.catalogue import Catalogue
from retrieval.stage import write_json

import numpy as np
import pyarrow as pa

MAX_ADDED = 10_000  # items, until a reload

Cell: TypeAlias = str | int | float | bool | list[Any] | None
Cells: TypeAlias = Mapping[str, Cell]  # of an item, by column


class Additions:
    """The items added to one version of the models: in memory, or in a folder that the workers share.

    Each version has a file of its own, so that a worker that has not reloaded yet loses nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[str, list[tuple[Any, Cells]]] = {}
        self._changes = 0

    def stamp(self, version: str) -> Hashable:
        """Changes whenever an item is added; cheap."""
        if self._folder is None:
            return self._changes if version in self._memory else None
        try:
            found = os.stat(self._file(version))
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self, version: str) -> dict[Any, Cells]:
        """Id -> cells."""
        if self._folder is None:
            return dict(self._memory.get(version, ()))
        file = self._file(version)
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}

    def add(self, version: str, items: Mapping[Any, Cells]) -> None:
        """Add items, or replace them. Raises `Problem` if there would be more than MAX_ADDED."""
        if self._folder is None:
            self._memory = {version: self._merged(version, items)}
            self._changes += 1
            return
        with (self._folder / "items.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_json(self._file(version), self._merged(version, items))

    def _merged(self, version: str, items: Mapping[Any, Cells]) -> list[tuple[Any, Cells]]:
        merged = self.read(version) | dict(items)
        if len(merged) > MAX_ADDED:
            raise Problem(f"items: {len(merged):,} in all, expected at most {MAX_ADDED:,} until a reload")
        return list(merged.items())

    def _file(self, version: str) -> Path:
        assert self._folder is not None
        return self._folder / f"items-{hashlib.sha256(version.encode()).hexdigest()[:16]}.json"


def table_of(items: Mapping[Any, Cells], catalogue: Catalogue) -> pa.Table:
    """The rows of items that the catalogue does not have: item_id, and the columns as texts or lists of texts."""
    new = [each for each, row in zip(items, catalogue.item_rows(list(items)), strict=True) if row < 0]
    columns = {"item_id": pa.array(np.array(new, dtype=catalogue.items.dtype))}
    for name in dict.fromkeys(name for each in new for name in items[each]):
        columns[name] = _column([items[each].get(name) for each in new])
    return pa.table(columns)


def _column(cells: list[Cell]) -> pa.Array:
    if not any(isinstance(cell, list) for cell in cells):
        return pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())
    lists = [cell if isinstance(cell, list) or cell is None else [cell] for cell in cells]
    return pa.array([None if cell is None else [_text(each) for each in cell] for cell in lists], pa.list_(pa.string()))


def _text(value: Any) -> str:
    """As a CSV file has it: 2021.0 is 2021, true is true."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def own_id(item_id: int | str, catalogue: Catalogue) -> int | str:
    """An id in the type of the catalogue. Raises `Problem` if it has none there."""
    found = convert(item_id, catalogue.items)
    if isinstance(found, str) and catalogue.items.dtype != object:
        raise Problem(f"item_id: {found!r} is not an integer, and the ids of the data are")
    return found
