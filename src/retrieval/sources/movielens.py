"""MovieLens 100K (Harper and Konstan, 2015), from a Python package that ships it."""

import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from retrieval.errors import Problem
from retrieval.params import Section
from retrieval.sources import raw
from retrieval.sources.download import cache_path
from retrieval.stage import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

PREFIX = "recbole/dataset_example/ml-100k/ml-100k."  # of the three files in the wheel
MIN_AGES = (0, 18, 25, 35, 45, 55, 65)  # of the age bands


class MovieLens(Section):
    """The requirement, in pip's notation, of the package that ships the data set, and the sha256 of its wheel."""

    package: str
    sha256: str


def fetch(settings: MovieLens, out: Path) -> raw.Raw:
    """Write the 100,000 ratings of 943 users for 1,682 films.

    A rating of 1 to 5 stars becomes 20 to 100 percent watched. Every rating counts as watched, even one star. Times are
    in UTC; ages become bands like KION's.
    """
    wheel = cache_path(f"movielens-{settings.sha256}.whl")
    if not wheel.exists() or sha256(wheel) != settings.sha256:
        _download(settings, wheel)
    try:
        with zipfile.ZipFile(wheel) as archive:
            ratings, users, items = (_read(archive, name) for name in ("inter", "user", "item"))
    except (zipfile.BadZipFile, KeyError, pa.ArrowInvalid) as error:
        raise Problem(f"movielens: {settings.package} does not contain MovieLens 100K: {error}") from None
    return raw.write_tables(out, _interactions(ratings), _users(users), _items(items))


def _download(settings: MovieLens, path: Path) -> None:
    """Download the wheel to `path` if its hash is the expected one."""
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--retries", "2"]
    with TemporaryDirectory(dir=path.parent) as into:
        result = subprocess.run([*pip, "--dest", into, settings.package], capture_output=True, text=True, check=False)
        wheel = next(Path(into).glob("*.whl"), None)
        if wheel is None:
            reason = next(
                (line for line in reversed(result.stderr.splitlines()) if line.startswith("ERROR")), "no wheel"
            )
            raise Problem(
                f"movielens: pip cannot download {settings.package} from the package index ({reason}); "
                "data=kion-synthetic and data=folder need no network"
            )
        actual = sha256(wheel)
        if actual != settings.sha256:
            raise Problem(f"movielens.sha256: {wheel.name} has sha256 {actual}, expected {settings.sha256}")
        wheel.replace(path)


def _read(archive: zipfile.ZipFile, name: str) -> pa.Table:
    """Read a tab-separated file whose columns are named `name:type`; every column as text."""
    with archive.open(PREFIX + name) as file:
        names = [column.split(":")[0] for column in file.readline().decode().rstrip("\r\n").split("\t")]
        return csv.read_csv(
            file,
            csv.ReadOptions(column_names=names),
            csv.ParseOptions(delimiter="\t", quote_char=False),
            csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )


def _interactions(ratings: pa.Table) -> pa.Table:
    seconds = ratings["timestamp"].cast(pa.float64()).cast(pa.int64())
    return pa.table(
        {
            "user_id": ratings["user_id"].cast(pa.int64()),
            "item_id": ratings["item_id"].cast(pa.int64()),
            "last_watch_dt": seconds.cast(pa.timestamp("s")),
            "total_dur": np.zeros(len(ratings), dtype=np.int64),
            "watched_pct": pc.multiply(ratings["rating"].cast(pa.float64()), 20.0),
        }
    )


def _users(users: pa.Table) -> pa.Table:
    age = np.digitize(users["age"].cast(pa.int64()).to_numpy(), MIN_AGES) - 1
    bands = [f"age_{low}_{high - 1}" for low, high in pairwise(MIN_AGES)] + [f"age_{MIN_AGES[-1]}_inf"]
    return pa.table(
        {
            "user_id": users["user_id"].cast(pa.int64()),
            "age": pa.array(bands).take(pa.array(age)),
            "gender": users["gender"],
            "occupation": users["occupation"],
        }
    )


def _items(items: pa.Table) -> pa.Table:
    year, genres = items["release_year"], items["class"]
    return pa.table(
        {
            "item_id": items["item_id"].cast(pa.int64()),
            "title": items["movie_title"],
            "release_year": pc.if_else(pc.match_substring_regex(year, r"^\d{4}$"), year, None),
            "genres": pc.replace_substring(genres, " ", ","),
        }
    )
