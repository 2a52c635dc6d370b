"""The MTS KION data set (Safilo et al., 2023), from the zip file in its repository at a pinned commit."""

import shutil
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from retrieval.errors import Problem
from retrieval.params import Positive, Section
from retrieval.sources import folder
from retrieval.sources.download import cache_path, download
from retrieval.sources.mapping import AUTO, Mapping
from retrieval.sources.raw import Raw

FILES = ("interactions", "users", "items")


class Kion(Section):
    """The URL of the zip file, its git blob id, and the number of rows of each file in it."""

    url: str
    blob: str
    interactions: Positive
    users: Positive
    items: Positive


def fetch(settings: Kion, out: Path) -> Raw:
    """Download the zip file, read the three files in it and check their rows.

    The zip file stays in the user's cache: a later call resumes the download, or needs no network.
    """
    archive = cache_path(f"kion-{settings.blob}.zip")
    download(settings.url, archive, settings.blob)
    with TemporaryDirectory(dir=out) as extracted:
        _extract(archive, Path(extracted))
        raw = folder.fetch(Path(extracted), Mapping(**AUTO), out)
    for name in FILES:
        count = raw.rows[f"{name}.parquet"]
        if count != getattr(settings, name):
            raise Problem(f"kion.{name}: the file has {count:,} rows, expected {getattr(settings, name):,}")
    return raw


def _extract(archive: Path, out: Path) -> None:
    """Extract the three files by name, from whatever folder of the archive, and nothing else."""
    try:
        with zipfile.ZipFile(archive) as file:
            members = {Path(name).name: name for name in file.namelist()}
            for name in FILES:
                with file.open(members[f"{name}.csv"]) as source, (out / f"{name}.csv").open("wb") as target:
                    shutil.copyfileobj(source, target)
    except KeyError as missing:
        raise Problem(f"{archive}: {missing.args[0]} is missing in the zip file") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise Problem(f"{archive}: not a complete zip file: {error}") from None
