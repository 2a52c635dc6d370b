"""A synthetic data set with the shape of KION and planted tastes; at scale 1 its files have KION's row counts."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from retrieval.params import Section
from retrieval.sources import raw, world

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

FIRST_DAY = np.datetime64("2021-03-13")
# The values of the categorical columns and their relative frequencies, those of KION in percent where they are known.
AGES = {"age_18_24": 14, "age_25_34": 25, "age_35_44": 23, "age_45_54": 16, "age_55_64": 13, "age_65_inf": 5}
INCOMES = {"0_20": 3, "20_40": 56, "40_60": 28, "60_90": 7, "90_150": 1.2, "150_inf": 0.4}
SEXES = {"Ж": 49, "М": 48}  # noqa: RUF001 (KION's own letters)
KIDS = {"0": 72, "1": 28}
TYPES = {"film": 75, "series": 25}
AGE_RATINGS = {"0.0": 8, "6.0": 9, "12.0": 20, "16.0": 38, "18.0": 24.9, "21.0": 0.1}
FOR_KIDS = {"0.0": 89, "1.0": 11}
THEMES = len(AGES) // 2 * len(SEXES)
GENRES = 8 * THEMES
STUDIOS = {f"studio {k}": 1 / k for k in range(1, 39)}
COUNTRIES = {f"country {k}": 1 / k for k in range(1, 57)}
COMPLETION = np.array([0.3, 0.55])  # share of complete views, outside and inside the shelf or theme of the day


class Synthetic(Section):
    """`scale` multiplies KION's users and interactions, its square root KION's items."""

    scale: Annotated[float, Field(ge=1e-4)]


def fetch(settings: Synthetic, seed: int, out: Path) -> raw.Raw:
    """Write the three files; equal seeds write equal bytes.

    As in KION, some users are missing in users.csv, others are there but watched nothing, some items were watched by
    nobody, and a few rows have no watched_pct.
    """
    rng = np.random.default_rng(seed)
    scale, root = settings.scale, settings.scale**0.5
    active, strangers = round(962_179 * scale), round(95_909 * scale)
    items = world.plant(rng, round(15_963 * root), round(15_706 * root), THEMES)
    age, sex = (_choose(rng, shares, active + strangers) for shares in (AGES, SEXES))
    user_id, item_id = _ids(rng, active + strangers), _ids(rng, len(items.hit))
    favourite = _favourites(rng, age[:active], sex[:active])
    user_rows = np.append(rng.choice(active, round(744_288 * scale), replace=False), active + np.arange(strangers))
    interactions = _interactions(rng, items, favourite, user_id, item_id, round(5_476_251 * scale))
    users = _users(rng, user_id, age, sex).take(pa.array(rng.permutation(user_rows)))
    return raw.write_tables(
        out, interactions, users, _items(rng, items, item_id).take(pa.array(rng.permutation(len(item_id))))
    )


def _favourites(rng: np.random.Generator, age: np.ndarray, sex: np.ndarray) -> np.ndarray:
    """The favourite theme of each user, [users] int64. Each pair of ages and each sex has one, which most of them like;
    others like that of a neighbouring age or of the other sex."""
    theme_age, theme_sex = np.divmod(np.arange(THEMES), len(SEXES))
    middle = theme_age * 2 + 0.5
    taste = np.exp(-np.abs(np.arange(len(AGES))[:, None] - middle))[:, None, :]
    taste = taste * np.where(np.arange(len(SEXES))[:, None] == theme_sex, 3.0, 1.0)  # [ages, sexes, themes]
    edges = np.cumsum(taste / taste.sum(axis=2, keepdims=True), axis=2)
    return np.minimum((edges[age, sex] < rng.random(len(age))[:, None]).sum(axis=1), THEMES - 1)


def _interactions(
    rng: np.random.Generator,
    items: world.PlantedItems,
    favourite: np.ndarray,
    user_id: np.ndarray,
    item_id: np.ndarray,
    rows: int,
) -> pa.Table:
    watchable = np.flatnonzero(items.views)
    user, day = world.histories(rng, len(favourite), rows, len(watchable) // 8)
    item, inside = world.watch(rng, items, favourite, user, day)
    seen, first = np.unique(item, return_index=True)
    unseen = np.setdiff1d(watchable, seen)  # each replaces a view that is not the first of its item
    item[rng.choice(np.setdiff1d(np.arange(rows), first), len(unseen), replace=False)] = unseen
    share = np.where(rng.random(rows) < COMPLETION[inside.astype(np.int64)], 100, rng.integers(0, 100, rows))
    duration = rng.lognormal(8.5, 0.5, len(item_id))[item] * share / 100
    missing = np.zeros(rows, dtype=bool)
    missing[rng.choice(rows, round(828 / 5_476_251 * rows), replace=False)] = True
    columns = {
        "user_id": user_id[user],
        "item_id": item_id[item],
        "last_watch_dt": FIRST_DAY + day,
        "total_dur": duration.astype(np.int64) + 1,
        "watched_pct": pa.array(share, mask=missing),
    }
    return pa.table(columns).take(pa.array(rng.permutation(rows)))


def _users(rng: np.random.Generator, user_id: np.ndarray, age: np.ndarray, sex: np.ndarray) -> pa.Table:
    n = len(user_id)
    income = _text([f"income_{band}" for band in INCOMES], _choose(rng, INCOMES, n), rng.random(n) < 0.04)
    return pa.table(
        {
            "user_id": user_id,
            "age": _text(AGES, age, rng.random(n) < 0.04),
            "income": income,
            "sex": _text(SEXES, sex, rng.random(n) < 0.03),
            "kids_flg": _text(KIDS, _choose(rng, KIDS, n)),
        }
    )


def _items(rng: np.random.Generator, items: world.PlantedItems, item_id: np.ndarray) -> pa.Table:
    n = len(item_id)
    kind = _text(TYPES, _choose(rng, TYPES, n))
    title = _join(" ", kind, pa.array(item_id).cast(pa.string()))
    year = np.where(items.premiere, 2021, 2020 - rng.exponential(12, n)).clip(1900).astype(np.int64)
    words = _themes(rng, items, "keyword")
    return pa.table(
        {
            "item_id": item_id,
            "content_type": kind,
            "title": title,
            "title_orig": pc.utf8_upper(title),
            "release_year": _join("", pa.array(year).cast(pa.string()), ".0"),
            "genres": _themes(rng, items, "genre"),
            "countries": _countries(rng, n),
            "for_kids": _text(FOR_KIDS, _choose(rng, FOR_KIDS, n), rng.random(n) > 0.035),
            "age_rating": _text(AGE_RATINGS, _choose(rng, AGE_RATINGS, n)),
            "studios": _text(STUDIOS, _choose(rng, STUDIOS, n), rng.random(n) > 0.067),
            "directors": _join(" ", "director", pa.array(rng.integers(n // 2, size=n)).cast(pa.string())),
            "actors": _join(" ", "actor", pa.array(rng.integers(n, size=n)).cast(pa.string())),
            "description": _join(" ", "A", kind, "of", words),
            "keywords": words,
        }
    )


def _themes(rng: np.random.Generator, items: world.PlantedItems, word: str) -> pa.Array:
    """One to three of GENRES words per item: one of its shelf, mostly another of its theme, sometimes a random one."""
    theme, shelf = np.divmod(items.shelf(), items.shelves)
    each, n = GENRES // THEMES, len(theme)
    own, near, any_one = (
        theme * each + shelf % each,
        theme * each + rng.integers(each, size=n),
        rng.integers(GENRES, size=n),
    )
    names = [f"{word} {k}" for k in range(1, GENRES + 1)]
    near = _text(names, near, (near == own) | (rng.random(n) < 0.4))
    any_one = _text(names, any_one, (any_one // each == theme) | (rng.random(n) < 0.5))
    return _join(", ", _text(names, own), near, any_one)


def _countries(rng: np.random.Generator, n: int) -> pa.Array:
    """One or two countries per item."""
    first, second = _choose(rng, COUNTRIES, n), _choose(rng, COUNTRIES, n)
    return _join(", ", _text(COUNTRIES, first), _text(COUNTRIES, second, (second == first) | (rng.random(n) < 0.88)))


def _ids(rng: np.random.Generator, n: int) -> np.ndarray:
    """[n] int64, distinct ids with gaps between them, in random order."""
    return rng.permutation(n + n // 25)[:n]


def _choose(rng: np.random.Generator, shares: Mapping[str, float] | np.ndarray, n: int) -> np.ndarray:
    """[n] int64, indices drawn in proportion to `shares`."""
    share = np.array(list(shares.values()) if isinstance(shares, Mapping) else shares)
    return rng.choice(len(share), n, p=share / share.sum())


def _text(names: Iterable[str], code: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """[n] text, names[code], null where `missing`."""
    return pa.array(list(names)).take(pa.array(code, mask=missing))


def _join(separator: str, *parts: pa.Array | str) -> pa.Array:
    """Join the parts of each row with the separator, without missing parts."""
    return pc.binary_join_element_wise(*parts, separator, null_handling="skip")
