"""Which columns of users and items become features, and how their cells are read. What is found is said on stderr."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from retrieval.encode import (
    MAX_FEATURES,
    MISSING,
    Cells,
    Reading,
    Vocabulary,
    matrix,
    numbers,
    of_ids,
    read,
    separator_of,
    stack,
)
from retrieval.histories import VECTORS
from retrieval.params import AUTO, Line, Section
from retrieval.text import MIN_ITEMS, encode_sentences, encode_text, fit, library

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from pydantic import AfterValidator, Field, model_validator

MAX_VALUES = 20  # more numbers than this become bins; a column of more values may be unique per row
BINS = 10
NAMES = 20  # in one line
STRAYS = 3  # cells of a column in one line
FIRST_YEAR, LAST_YEAR = 1800, 2100
UNIQUE = "nearly every row has a value of its own"
BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"on", "off"})


def _names_of(key: str) -> AfterValidator:
    def check(names: list[str]) -> list[str]:
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} appears twice")
        if key in names:
            raise ValueError(f"{key!r} is the id, not a feature")
        return names

    return AfterValidator(check)


Name = Annotated[str, Field(min_length=1)]


class Columns(Section):
    """The columns of users and items that become features.

    `user` and `item`: names; auto: those that the source names, else every column but those that tell nothing.
    `multiple`: columns whose cells hold several values; auto: found. `text`: columns of items whose words become
    features; they are then none of `item`. `text_model`: a folder that adds a vector of each text (see `text`).
    """

    user: Annotated[list[Name], _names_of("user_id"), AUTO]
    item: Annotated[list[Name], _names_of("item_id"), AUTO]
    multiple: Annotated[list[Name], _names_of(""), AUTO]
    text: Annotated[list[Name], _names_of("item_id")]
    text_model: Line | None

    @model_validator(mode="after")
    def _text(self) -> "Columns":
        both = next((name for name in self.text if self.item != "auto" and name in self.item), None)
        if both is not None:
            raise ValueError(f"{both!r} appears in item and in text: expected one of them")
        if self.text_model is not None:
            if not self.text:
                raise ValueError("text_model has no column to read: expected names in text")
            library(Path(self.text_model))
        return self


def decade(items: pa.Table) -> pa.Table:
    """Add the column decade: "1990" for release_year 1994, null for what is no year from 1800 to 2100.

    Returns `items` unchanged if there is no release_year or already a decade.
    """
    if "release_year" not in items.column_names or "decade" in items.column_names:
        return items
    if pa.types.is_nested(items.schema.field("release_year").type):
        return items
    given = items["release_year"].to_pandas()
    year = pd.to_numeric(given, errors="coerce")
    year = year.where(year.between(FIRST_YEAR, LAST_YEAR))
    odd = given[given.notna() & year.isna() & (given.astype(str).str.strip() != "")]
    if len(odd):
        _say(
            f"items: release_year is no year from {FIRST_YEAR} to {LAST_YEAR} in {len(odd):,} of {len(items):,} rows, "
            f"such as {str(odd.iloc[0])!r:.40}; their decade is unknown"
        )
    text = (year // 10 * 10).astype("Int64").astype("string")
    return items.append_column("decade", pa.array(text, pa.string()))


def features_of(
    ids: np.ndarray,
    table: pa.Table,
    key: str,
    names: Sequence[str] | Literal["auto"],
    of_source: Sequence[str] | None,
    multiple: Sequence[str] | Literal["auto"],
) -> tuple[sp.csr_matrix, Vocabulary, dict[str, dict[str, Any]]]:
    """Features of `ids` [n], ascending: matrix, vocabulary, and the readings other than the default.

    names: `columns.user` or `columns.item`; with auto, `of_source` are the source's own columns, and None stands for
    every usable column. A named column is used whatever it holds; the whole numbers in it are codes, each a value of
    its own. Other numbers are binned if there are more than MAX_VALUES: fractions, numbers of which most appear only
    once, and all numbers of columns that nobody named. The id is never a feature.
    """
    there = [column for column in table.column_names if column != key]
    kind = key.removesuffix("_id") + "s"
    if names != "auto":
        say_missing(kind, names, there)
    table, row = of_ids(ids, table, key)
    if not len(table):
        return sp.csr_matrix((len(ids), 0), dtype=np.float32), {}, {}
    named = of_source if names == "auto" else names
    if named is None:
        chosen = [column for column in there if column != "release_year" or "decade" not in there]
    else:
        chosen = [column for column in named if column in there]
    features: dict[str, tuple[sp.csr_matrix, list[str]]] = {}
    readings: dict[str, Reading] = {}
    said: dict[str, list[str]] = {}
    for column in chosen:
        cells = Cells(table[column])
        reading = _reading(cells, column, named is not None or column == "decade", multiple)
        reason = _useless(cells, reading) if named is None else None
        if reason is None:
            found = read(cells.text, reading)
            features[column], readings[column] = matrix(cells, found, row, len(ids)), reading
        if strays := _strays(cells, reading, named is not None or column == "decade"):
            said.setdefault("text, as not all cells are numbers", []).append(f"{column!r:.60} ({strays})")
        for line, what in _notes(reason, reading, 0 if reason else len(found[2]), multiple == "auto"):
            said.setdefault(line, []).append(f"{column!r:.60}{what}")
    for line, columns in said.items():
        more = f" and {len(columns) - NAMES} more" if len(columns) > NAMES else ""
        _say(f"{kind}: {line}: {', '.join(columns[:NAMES])}{more}")
    whole, vocabulary = stack(features, len(ids))
    return whole, vocabulary, {c: asdict(r) for c, r in readings.items() if r != Reading() and c in vocabulary}


def texts_of(
    ids: np.ndarray, table: pa.Table, key: str, names: Sequence[str], model: str | None = None
) -> tuple[sp.csr_matrix, Vocabulary, dict[str, Sequence[float]]]:
    """TF-IDF features of `ids` [n], ascending: matrix [n, words], the words of each column `names`, and their idf.

    `text.Words` of a column's words and idf encodes new rows. Columns that hold only numbers are passed over. With the
    folder `model` a column NAME is followed by a column "NAME (vectors)", whose values are the dimensions.
    """
    table, row = of_ids(ids, table, key)
    kind = key.removesuffix("_id") + "s"
    there = [column for column in table.column_names if column != key]
    say_missing(kind, names, there)
    features: dict[str, tuple[sp.csr_matrix, list[str]]] = {}
    idf: dict[str, Sequence[float]] = {}
    for column in (name for name in names if name in there):
        distinct = Cells(table[column]).text
        if len(distinct) and numbers(distinct)[1]:
            _say(f"{kind}: passed over, as it holds numbers, no text: {column!r:.60}; columns.item reads it")
            continue
        texts: list[Any] = [None] * len(ids)
        for place, cell in zip(row.tolist(), table[column].to_pylist(), strict=True):
            texts[place] = cell
        fitted = fit(texts)
        features[column], idf[column] = (encode_text(texts, fitted), list(fitted.words)), fitted.idf
        _say(f"{kind}: text, by the words that {MIN_ITEMS} or more share: {column!r:.60} ({len(fitted.words):,} words)")
        if model is not None:
            vectors = encode_sentences(texts, Path(model))
            features[f"{column}{VECTORS}"] = sp.csr_matrix(vectors), [str(i) for i in range(vectors.shape[1])]
    whole, vocabulary = stack(features, len(ids))
    return whole, vocabulary, {column: idf[column] for column in vocabulary if column in idf}


def say_missing(kind: str, names: Sequence[str], there: Sequence[str]) -> None:
    """A line for each of the `names` that no column has, with the nearest that is `there`. kind: whose columns."""
    for name in names:
        if name not in there:
            near = get_close_matches(name, there, n=1)
            _say(f"{kind} have no column {name!r:.60}" + (f"; did you mean {near[0]!r}?" if near else ""))


def _notes(reason: str | None, reading: Reading, values: int, found: bool) -> Iterator[tuple[str, str]]:
    """What is said of a column: a line that it shares with others, and what follows its name there."""
    if reason:
        yield f"passed over, as {reason}", ""
    elif reading.bins:
        yield "numbers, in bins of about equal size", ""
    elif reading.separator and found:
        yield "lists, by their separators", f" ({reading.separator!r})"
    if values > MAX_FEATURES:
        yield f"more than {MAX_FEATURES:,} values, the rarest of which are left out", f" ({values - MAX_FEATURES:,})"


def _reading(cells: Cells, column: str, named: bool, multiple: Sequence[str] | Literal["auto"]) -> Reading:
    """How to read the cells of a column, as `features_of` says."""
    if cells.lists:
        return Reading()
    separator = separator_of(cells.text) if multiple == "auto" or column in multiple else None
    if separator or (multiple != "auto" and column in multiple):
        return Reading(separator=separator or ",")
    if set(pc.utf8_lower(cells.text[: 2 * MAX_VALUES]).to_pylist()) in BOOLEANS:
        return Reading(lower=True)
    if len(cells.text) > MAX_VALUES and numbers(cells.text[: 2 * MAX_VALUES])[1]:
        number, only_numbers = numbers(cells.text)
        if only_numbers and _many(number, cells, named):
            return Reading(bins=bins(number, np.bincount(cells.code)))
    return Reading()


def _many(number: np.ndarray, cells: Cells, named: bool) -> bool:
    """Whether the numbers of a column are too many for a value of each, and no codes."""
    finite = number[np.isfinite(number)]
    codes = named and 2 * len(cells.text) <= cells.count and (finite == np.floor(finite)).all()
    return len(np.unique(finite)) > MAX_VALUES and not codes


def _strays(cells: Cells, reading: Reading, named: bool) -> str:
    """The most frequent of the cells that keep a column from being numbers in bins; "" if most cells are no numbers."""
    if cells.lists or reading != Reading() or np.isnan(numbers(cells.text[: 2 * MAX_VALUES])[0]).all():
        return ""
    number, _ = numbers(cells.text)
    is_text = np.isnan(number) & ~np.asarray(pc.match_substring_regex(cells.text, MISSING, ignore_case=True))
    times = np.bincount(cells.code, is_text[cells.code])
    if 2 * times.sum() >= cells.count or not is_text.any() or not _many(number, cells, named):
        return ""
    most = np.argsort(-times, kind="stable")[: min(STRAYS, int(is_text.sum()))]
    return ", ".join(f"{cells.text[i].as_py()!r:.20}" for i in most)


def _useless(cells: Cells, reading: Reading) -> str | None:
    """Why a column that nobody named tells nothing; None if it does."""
    if reading.bins:
        number, _ = numbers(cells.text) if len(cells.text) == cells.count else (np.array([0.5]), False)
        return UNIQUE if (number == np.floor(number)).all() else None
    values = len(cells.text)
    if reading.separator or reading.lower:
        values = len(read(cells.text, reading)[2])
    if values < 1:
        return "they have no value"
    return UNIQUE if values > MAX_VALUES and 2 * values > cells.count else None


def bins(number: np.ndarray, times: np.ndarray) -> dict[str, float]:
    """Up to BINS bins of about as many cells each, from low to high: name and upper bound. Number i has times[i] cells.

    A bin ends at a number that is there, so equal numbers are in one bin, and none is empty. Its name is its lowest and
    its highest number, with as many digits as tell them apart. NaN is left out; infinity is in the last bin.
    """
    finite = np.isfinite(number)
    value, place = np.unique(number[finite], return_inverse=True)
    count = np.bincount(place, times[finite]).astype(np.int64)
    total = np.cumsum(count)
    last = np.unique(np.searchsorted(total * BINS, np.arange(1, BINS + 1) * total[-1]))
    low, high = value[np.append(0, last[:-1] + 1)], value[last]
    for digits in range(3, 18):
        text = [(_number(a, digits), _number(b, digits)) for a, b in zip(low, high, strict=True)]
        if len({float(each) for pair in text for each in pair}) == len({*low, *high}):
            break
    dash = " to " if any("-" in each for pair in text for each in pair) else "-"
    return {a if a == b else f"{a}{dash}{b}": float(bound) for (a, b), bound in zip(text, high, strict=True)}


def _number(value: float, digits: int) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.{digits}g}"


def _say(line: str) -> None:
    print(f"features: {line}", file=sys.stderr)
