"""A folder with the user's own files, in the formats and with the names that they have. It is only read."""

import json
import sys
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources import raw
from retrieval.sources.commands import add_header
from retrieval.sources.files import Data, open_data
from retrieval.sources.finding import entries, find
from retrieval.sources.formats import SEPARATORS, looks_like_data
from retrieval.sources.mapping import Mapping, columns_of, described, key_of, listing, names_of, shown, without_type
from retrieval.sources.times import Times
from retrieval.sources.typed import NeedsText, check_ids, entities, interactions, text_columns

MANIFEST = Path("data/raw/manifest.json")
ROLE_OF = {"items": "item", "users": "user"}


def check(folder: Path, mapping: Mapping) -> None:
    """Raise `Problem` if the files or columns of the folder cannot be told apart.

    A folder that is missing is fine if data/raw has been fetched from it: a colleague has pulled it.
    """
    if folder.exists() or not _fetched(folder):
        _columns(_open(folder, mapping)["interactions"], mapping)
        return
    print(
        f"check: warning: {folder}: no such folder; data/raw has been fetched from it before: "
        "`dvc exp run --allow-missing` works with that",
        file=sys.stderr,
    )


def fetch(folder: Path, mapping: Mapping, out: Path) -> raw.Raw:
    """Validate the files of `folder` and write them, typed, into `out`. Only the interactions are required."""
    data = _open(folder, mapping)
    columns = _columns(data["interactions"], mapping)
    said = _Said()
    said.unread(folder, data)
    keys = {name: _key(data[name], ROLE_OF[name], columns) for name in data if name in ROLE_OF}
    text = {"user": False, "item": False}
    for name, key in keys.items():
        try:
            check_ids(data[name], key, ROLE_OF[name])
        except NeedsText as need:
            text[need.role] = said.text(need)
    rows, times = _write(data["interactions"], columns, text, mapping, out, said)
    counts = {"interactions.parquet": rows}
    said.file(data["interactions"], columns, times.notation)
    for name, key in keys.items():
        role = ROLE_OF[name]
        counts[f"{name}.parquet"] = raw.write_entities(out, name, entities(data[name], key, role, text[role]))
        skipped = len(data[name].columns) - 1 - len(text_columns(data[name], key))
        said.file(data[name], {role: key}, f"{skipped} columns of structs are left out" if skipped else "")
    if "time" not in columns:
        said.untimed(data["interactions"], mapping)
    return raw.Raw(counts, "time" in columns, said.lines)


class _Said:
    """The lines about what was found."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def text(self, need: NeedsText) -> bool:
        self.lines.append(need.why)
        return True

    def unread(self, folder: Path, data: dict[str, Data]) -> None:
        used = {each.path for each in data.values()}
        others = [path.name for path in entries(folder) if path not in used and path.suffix != ".txt"]
        if others and folder not in used:
            self.lines.append(f"not read: {', '.join(others[:6])}{', ...' if len(others) > 6 else ''}")

    def untimed(self, data: Data, mapping: Mapping) -> None:
        near = f"; to name a column: mapping.time=NAME; {listing(data.columns, names_of('time'))}"
        self.lines.append(f"no times: the order of the file is that of time{near if mapping.time == 'auto' else ''}")

    def file(self, data: Data, columns: dict[str, str], more: str) -> None:
        part = data.parts[0]
        parts = [f"{len(data.parts)} parts"] if len(data.parts) > 1 else []
        parts += [f"{SEPARATORS[part.separator]} separate the columns"] if part.separator != "," else []
        parts += [*described(columns), *([more] if more else [])]
        parts += [f"{data.missing:,} cells of NULL or \\N are missing values"] if data.missing else []
        if parts:
            self.lines.append(f"{data.path.name}: {', '.join(parts)}")


def _open(folder: Path, mapping: Mapping) -> dict[str, Data]:
    """The files, interactions first; refused if they have no header."""
    paths = find(folder, mapping)
    return {name: open_data(paths[name], name) for name in ("interactions", "items", "users") if name in paths}


def _columns(data: Data, mapping: Mapping) -> dict[str, str]:
    try:
        return columns_of(str(data.path), data.columns, mapping)
    except Problem:
        _require_header(data)
        raise


def _key(data: Data, role: str, columns: dict[str, str]) -> str:
    try:
        return key_of(str(data.path), data.columns, role, without_type(columns[role]))
    except Problem:
        _require_header(data)
        raise


def _require_header(data: Data) -> None:
    part = data.parts[0]
    if part.schema is None and looks_like_data(part.columns):
        row = ", ".join(map(shown, part.columns[:6]))
        command = add_header(part.path, part.columns, part.separator, data.name)
        raise Problem(f"{part.path}: no header: the first row is {row}; add one, with the right names: {command}")


def _write(
    data: Data, columns: dict[str, str], text: dict[str, bool], mapping: Mapping, out: Path, said: _Said
) -> tuple[int, Times]:
    """Write the interactions. Where an id turns out to be text, all ids of that role are: start again."""
    while True:
        times = Times(mapping.time_format)
        try:
            return raw.write_interactions(out, interactions(data, columns, text, times)), times
        except NeedsText as need:
            text[need.role] = said.text(need)


def _fetched(folder: Path) -> bool:
    try:
        return json.loads(MANIFEST.read_text(encoding="utf-8"))["folder"] == str(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False
