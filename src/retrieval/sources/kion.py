"""The MTS KION data set (Safilo et al., 2023), from the zip file in its repository at a pinned commit."""

import shutil
import zipfile
import zlib
from pathlib import Path

from retrieval.errors import Problem
from retrieval.params import Positive, Section
from retrieval.preparation.tables import read_interactions, read_items, read_users
from retrieval.sources.download import cache_path, download

READERS = {"interactions": read_interactions, "users": read_users, "items": read_items}


class Kion(Section):
    """The URL of the zip file, its git blob id, and the number of rows of each file in it."""

    url: str
    blob: str
    interactions: Positive
    users: Positive
    items: Positive


def fetch(settings: Kion, out: Path) -> dict[str, int]:
    """Download the zip file, extract the three files and check their rows. Returns the number of rows of each.

    The zip file stays in the user's cache: a later call resumes the download, or needs no network.
    """
    archive = cache_path(f"kion-{settings.blob}.zip")
    download(settings.url, archive, settings.blob)
    _extract(archive, out)
    rows = {name: len(read(out / f"{name}.csv")) for name, read in READERS.items()}
    for name, count in rows.items():
        if count != getattr(settings, name):
            raise Problem(f"kion.{name}: the file has {count:,} rows, expected {getattr(settings, name):,}")
    return {f"{name}.csv": count for name, count in rows.items()}


def _extract(archive: Path, out: Path) -> None:
    """Extract the three files by name, from whatever folder of the archive, and nothing else."""
    try:
        with zipfile.ZipFile(archive) as file:
            members = {Path(name).name: name for name in file.namelist()}
            for name in READERS:
                with file.open(members[f"{name}.csv"]) as source, (out / f"{name}.csv").open("wb") as target:
                    shutil.copyfileobj(source, target)
    except KeyError as missing:
        raise Problem(f"{archive}: {missing.args[0]} is missing in the zip file") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise Problem(f"{archive}: not a complete zip file: {error}") from None
