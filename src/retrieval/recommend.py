"""Write a model's recommendations to a file: a row per user and item, in the ids of the data.

The ending of --out is the format: .parquet, .csv, .jsonl. From Python: `from retrieval.recommend import load`.
"""

import argparse
import csv
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval import ids
from retrieval.errors import Problem, choices
from retrieval.experiments.repository import command
from retrieval.search.catalogue import Catalogue
from retrieval.search.export import KINDS, write
from retrieval.search.recommendations import CatalogueModel, candidates, flatten, load, unknown
from retrieval.stage import end, read_table
from retrieval.torchrun import Processes

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ENDINGS = (".parquet", ".csv", ".txt")  # of files of ids
FILE = "a file: parquet or CSV with a column {}, or .txt with an id per line"


@dataclass(frozen=True)
class Users:
    """ids [n], in the type of the data, and the row of each, -1 for those that the data do not have."""

    ids: np.ndarray
    rows: np.ndarray


def main(arguments: list[str] | None = None) -> None:
    """Write the file and print what is in it."""
    options = _parser().parse_args(arguments)
    kind, out = _kind(options.out, options.format), options.out
    if options.k < 1:
        raise Problem(f"--k: {options.k} is not valid: expected 1 or more")
    model = load(options.models / options.model)
    fallback = load(options.models / options.fallback) if options.fallback else None
    if fallback is not None and fallback.model.kind != "constant":
        raise Problem(f"--fallback: {options.fallback} has no list for unknown users; expected a model such as popular")
    users = _users(options.users, model.catalogue.users, fallback is not None)
    items = _candidates(model, options.only, options.without, _where(options.where, model.catalogue))
    processes = Processes()
    lists = tables(model, users, options.k, not options.with_seen, items, fallback, processes)
    if not processes.first:
        deque(lists, maxlen=0)  # the first process writes
        return
    rows = write(out, kind, lists)
    print(f"{out}: {_counted(rows, 'row')} for {_counted(len(users.ids), 'user')}, by {_makers(options, users)}")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _makers(options: argparse.Namespace, users: Users) -> str:
    """The model that has made the lists, or the fallback, or both."""
    unknown = int((users.rows < 0).sum())
    if unknown == len(users.rows):
        return options.fallback
    return f"{options.model}, {unknown:,} of them by {options.fallback}" if unknown else options.model


def tables(
    model: CatalogueModel,
    users: Users,
    k: int,
    exclude_seen: bool = True,
    items: np.ndarray | None = None,
    fallback: CatalogueModel | None = None,
    processes: Processes | None = None,
) -> Iterator[pa.Table]:
    """The lists of the users, one part of them after the other; unknown users get that of the constant `fallback`.

    processes: see `ranking.rank`.
    """
    item_ids, start = pa.array(model.catalogue.items), 0
    for part, ranking in model.rank(np.maximum(users.rows, 0), k, exclude_seen, items, processes):
        stop = start + len(part)
        missing = users.rows[start:stop] < 0
        if fallback is not None and missing.any():
            _, best = next(fallback.rank(np.zeros(1, np.int64), k, False, items))
            ranking.items[missing], ranking.scores[missing] = best.items[0], best.scores[0]
        user, item, rank, score = flatten(ranking, np.arange(start, stop))
        columns = pa.array(users.ids[user]), item_ids.take(pa.array(item)), pa.array(rank), pa.array(score)
        yield pa.table(columns, ["user_id", "item_id", "rank", "score"])
        start = stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recommend", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--model", default="dssm", help="name of the model (default: dssm)")
    add("--k", type=int, default=10, help="maximum number of items per user (default: 10)")
    add(
        "--users",
        nargs="+",
        default=["all"],
        help=f"all, ids, or {FILE.format('user_id')}",
    )
    add(
        "--out",
        type=Path,
        default=Path("recommendations.parquet"),
        help="file (default: recommendations.parquet)",
    )
    add("--format", choices=KINDS, help="default: the ending of --out; kion: a line per user with a list of items")
    add("--with-seen", action="store_true", help="recommend what a user has watched or dislikes, too")
    add("--only", nargs="+", help=f"only these items: ids, or {FILE.format('item_id')}")
    add("--without", nargs="+", default=[], help="not these items: as for --only")
    add(
        "--where",
        nargs="+",
        default=[],
        metavar="COLUMN=VALUE",
        help="only items that have a value, such as genres=Drama,Comedy decade=1990: one of the values of each column",
    )
    add("--fallback", metavar="MODEL", help="model for users who are not in the data, such as popular")
    add("--models", type=Path, default=Path("models"), help="folder of the models (default: models)")
    return parser


def _kind(out: Path, kind: str | None) -> str:
    """The format of the file. Raises `Problem` if it is unknown, or the file cannot be written."""
    found = kind or out.suffix.lower().removeprefix(".")
    if found not in KINDS:
        raise Problem(f"--out: {out}: unknown ending; {choices(found, ('parquet', 'csv', 'jsonl'))}; or use --format")
    if not out.parent.is_dir() or out.is_dir():
        raise Problem(f"--out: {out}: {'is a folder' if out.is_dir() else f'{out.parent} is not a folder'}")
    return found


def _users(given: list[str], all_ids: np.ndarray, fallback: bool) -> Users:
    """Raises `Problem` for unknown users unless there is a fallback for them."""
    if given == ["all"]:
        return Users(all_ids, np.arange(len(all_ids)))
    values = read_ids(given, "user_id", "--users")
    rows = ids.find(values, all_ids)
    if (rows < 0).any() and not fallback:
        raise Problem(f"--users: {unknown(values, rows)}; --fallback popular gives them the most popular items")
    found = [ids.convert(value, all_ids) for value in values]
    if all_ids.dtype != object and (texts := [each for each in found if isinstance(each, str)]):
        raise Problem(f"--users: {texts[0]!r} is not an integer, and the ids of the data are")
    users = np.array(found, dtype=all_ids.dtype)
    return Users(users, rows)


def _where(given: list[str], catalogue: Catalogue) -> dict[str, list[str]]:
    """Column -> values. Commas separate values, unless the whole text is a value."""
    where: dict[str, list[str]] = {}
    for text in given:
        column, equals, values = text.partition("=")
        if not equals:
            raise Problem(f"--where: {text!r} is not valid: expected COLUMN=VALUE, such as genres=Drama,Comedy")
        whole = values in catalogue.item_columns.get(column, ())
        where.setdefault(column, []).extend([values] if whole else values.split(","))
    return where


def _candidates(
    model: CatalogueModel, only: list[str] | None, without: list[str], where: dict[str, list[str]]
) -> np.ndarray | None:
    """Rows of the items to choose from. Items that are not in the data are passed over, which is said."""
    found = []
    for option, given in (("--only", only), ("--without", without)):
        values = read_ids(given, "item_id", option) if given else []
        rows = ids.find(values, model.catalogue.items)
        if (rows < 0).any():
            print(f"recommend: {option}: {unknown(values, rows)}; passed over", file=sys.stderr)
        found.append(rows[rows >= 0])
    return candidates(model.catalogue, found[0] if only else None, found[1], where)


def read_ids(given: list[str], column: str, option: str) -> list[Any]:
    """Ids, each once: those given, or those in the one file that is. Raises `Problem` for a file that has none."""
    path = Path(given[0])
    if len(given) > 1 or path.suffix.lower() not in ENDINGS:
        return list(dict.fromkeys(given))
    try:
        if path.suffix.lower() == ".txt":
            values: list[Any] = [line.removesuffix("\r") for line in path.read_text(encoding="utf-8").split("\n")]
        else:
            values = _column(path, column, option)
    except (OSError, ValueError, pa.ArrowException, csv.Error) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
        raise Problem(f"{option}: {path}: {reason}") from None
    values = list(dict.fromkeys(value for value in values if value not in (None, "")))
    if not values:
        raise Problem(f"{option}: {path}: has no ids")
    return values


def _column(path: Path, column: str, option: str) -> list[Any]:
    is_parquet = path.suffix.lower() == ".parquet"
    if not path.stat().st_size:
        raise Problem(f"{option}: {path}: is empty; expected a column {column}")
    if is_parquet:
        names = pq.read_schema(path).names
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    if column not in names:
        listed = f"its columns: {', '.join(names) or 'none':.300}"
        raise Problem(f"{option}: {path}: no column {column}; {listed}; ids alone go into a .txt file")
    if is_parquet:
        return read_table(path, [column])[column].to_pylist()
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


if __name__ == "__main__":
    command(main)
    end()
