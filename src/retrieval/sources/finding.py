"""Which file of a folder has the interactions, the items and the users."""

from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources.formats import RECBOLE
from retrieval.sources.mapping import Mapping

ENDINGS = (
    *(".csv", ".tsv", ".txt", ".dat", ".data", ".parquet", ".pq", ".inter", ".item", ".user", ".json", ".jsonl"),
    *(".ndjson", ".xlsx", ".xls", ".zip", ".feather", ".arrow", ".orc", ".avro", ".sqlite", ".7z", ".xz"),
    *(".gz", ".zst", ".zstd", ".bz2"),
)
RARE = {".dat", ".data", ".txt", ".json", ".jsonl", ".ndjson", ".zip", ".xlsx", ".xls"}  # only where there is no other
# Names without endings, in lower case; those of an earlier group win over those of a later one.
STEMS = {
    "interactions": (
        "interactions",
        "ratings events reviews plays views listens transactions purchases orders clicks likes history behaviors logs",
    ),
    "items": ("items", "movies films books tracks songs products games articles recipes"),
    "users": ("users", "customers members readers listeners visitors"),
}


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
    files = _usual(entries(folder))
    if "interactions" not in found and len(files) == 1 and files[0].is_file():
        return {"interactions": files[0]}
    if "interactions" not in found:
        found["interactions"] = _only_file(folder, set(found.values()))
    return found


def _by_name(folder: Path, name: str) -> Path | None:
    """The file of the folder that is `name` by its own name."""
    files = entries(folder)
    ending = dict(zip(("interactions", "items", "users"), RECBOLE, strict=True))[name]
    for group in STEMS[name]:
        fits = _usual([p for p in files if p.name.split(".")[0].lower() in group.split() or ending in p.suffixes])
        if len(fits) > 1:
            names = " and ".join(path.name for path in fits[:3])
            raise Problem(f"{folder}: {names} may both be the {name}: set mapping.{name}=NAME")
        if fits:
            return fits[0]
    return None


def _only_file(folder: Path, others: set[Path]) -> Path:
    files = _usual([path for path in entries(folder) if path not in others])
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


def _usual(paths: list[Path]) -> list[Path]:
    """The paths without those of a rare ending, unless there are no others."""
    return [path for path in paths if not RARE & set(path.suffixes)] or paths


def entries(folder: Path) -> list[Path]:
    """Data files and folders, by name; also links to nothing, which are refused when they are read."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    return [path for path in paths if not path.is_file() or set(ENDINGS) & {s.lower() for s in path.suffixes}]
