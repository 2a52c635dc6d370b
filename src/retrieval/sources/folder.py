"""A folder with the user's own files, in the formats and with the names that they have. It is only read."""

import json
import sys
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources import raw
from retrieval.sources.files import ENDINGS, Data, open_data
from retrieval.sources.formats import RECBOLE, SEPARATORS, add_header, looks_like_data
from retrieval.sources.mapping import Mapping, columns_of, described, key_of, without_type
from retrieval.sources.times import Times
from retrieval.sources.typed import NeedsText, check_ids, entities, interactions, text_columns

MANIFEST = Path("data/raw/manifest.json")
# Names without endings, in lower case; those of an earlier group win over those of a later one.
STEMS = {
    "interactions": (
        "interactions",
        "ratings events reviews plays views listens transactions purchases orders clicks likes history behaviors logs",
    ),
    "items": ("items", "movies films books tracks songs products games articles recipes"),
    "users": ("users", "customers members readers listeners visitors"),
}
ROLE_OF = {"items": "item", "users": "user"}
_HEADERS = {"interactions": ["user_id", "item_id", "rating", "timestamp"], "items": ["item_id"], "users": ["user_id"]}


def check(folder: Path, mapping: Mapping) -> None:
    """Raise `Problem` if the files or columns of the folder cannot be told apart.

    A folder that is missing is fine if data/raw has been fetched from one before: a colleague has pulled it.
    """
    if folder.exists() or not _fetched():
        _columns(_open(folder, mapping)["interactions"], mapping)
        return
    print(
        f"check: warning: {folder}: no such folder; data/raw has been fetched from one before: "
        "`dvc exp run --allow-missing` works with that",
        file=sys.stderr,
    )


def fetch(folder: Path, mapping: Mapping, out: Path) -> raw.Raw:
    """Validate the files of `folder` and write them, typed, into `out`. Only the interactions are required."""
    data = _open(folder, mapping)
    columns = _columns(data["interactions"], mapping)
    said = _Said()
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
        said.lines.append("no times: the order of the file is the order of time (mapping.time=NAME names a column)")
    return raw.Raw(counts, "time" in columns, said.lines)


def find(folder: Path, mapping: Mapping) -> dict[str, Path]:
    """The paths of interactions and, if there are any, items and users. Raises `Problem` where a name is missing."""
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder"
        raise Problem(f"{folder}: {what}; data=folder reads one: set folder=PATH to the folder with your files")
    found = {}
    for name in ("items", "users", "interactions"):
        wanted = getattr(mapping, name)
        if wanted == "none" and name != "interactions":
            continue
        if wanted != "auto":
            found[name] = folder / wanted
        elif mapping.interactions != "." or name == "interactions":
            path = _by_name(folder, name)
            found |= {name: path} if path else {}
    if "interactions" not in found:
        found["interactions"] = _only_file(folder, set(found.values()))
    return found


class _Said:
    """The lines about what was found."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def text(self, need: NeedsText) -> bool:
        self.lines.append(need.why)
        return True

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
    return {name: open_data(paths[name]) for name in ("interactions", "items", "users") if name in paths}


def _columns(data: Data, mapping: Mapping) -> dict[str, str]:
    try:
        return columns_of(str(data.path), data.columns, mapping)
    except Problem:
        _require_header(data, "interactions")
        raise


def _key(data: Data, role: str, columns: dict[str, str]) -> str:
    try:
        return key_of(str(data.path), data.columns, role, without_type(columns[role]))
    except Problem:
        _require_header(data, f"{role}s")
        raise


def _require_header(data: Data, name: str) -> None:
    part = data.parts[0]
    if part.schema is None and looks_like_data(part.columns):
        row = ", ".join(f"{cell:.30}" for cell in part.columns[:6])
        raise Problem(f"{part.path}: no header: the first row is {row}; add one: {add_header(part, _HEADERS[name])}")


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


def _by_name(folder: Path, name: str) -> Path | None:
    """The file of the folder that is `name` by its own name."""
    entries = _entries(folder)
    ending = dict(zip(("interactions", "items", "users"), RECBOLE, strict=True))[name]
    for group in STEMS[name]:
        fits = [p for p in entries if p.name.split(".")[0].lower() in group.split() or ending in p.suffixes]
        if len(fits) > 1:
            names = " and ".join(path.name for path in fits[:3])
            raise Problem(f"{folder}: {names} may both be the {name}: set mapping.{name}=NAME")
        if fits:
            return fits[0]
    return None


def _only_file(folder: Path, others: set[Path]) -> Path:
    files = [path for path in _entries(folder) if path not in others]
    if not files:
        beside = f" beside {', '.join(sorted(path.name for path in others))}" if others else ""
        raise Problem(
            f"{folder}: no data files{beside}; data=folder expects interactions.csv (or .parquet, ...) and optionally "
            "items.csv and users.csv: set folder=PATH to the folder with your files"
        )
    if len(files) > 1:
        names = ", ".join(path.name for path in files[:6])
        raise Problem(
            f"{folder}: which of {names}{', ...' if len(files) > 6 else ''} has the interactions? "
            "Set mapping.interactions=NAME, or . if all files are parts of one table"
        )
    return files[0]


def _entries(folder: Path) -> list[Path]:
    """Data files and folders, by name."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    return [path for path in paths if path.is_dir() or set(ENDINGS) & {s.lower() for s in path.suffixes}]


def _fetched() -> bool:
    try:
        return json.loads(MANIFEST.read_text(encoding="utf-8"))["source"] == "folder"
    except (OSError, ValueError, KeyError, TypeError):
        return False
