"""A simulation of users with known tastes: who watches what on which day.

Items are divided into groups and groups into niches. A user belongs to one niche, which depends on age and sex. What a
user watches on a day is drawn by the popularity of that day: mostly within the niche, otherwise within its group or
among all items. Popularity follows Zipf's law with an exponential cutoff, multiplied while an item is a hit; a hit
begins on one day and fades within weeks.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

DAYS = 163
LEVELS = (0.6, 0.25, 0.15)  # share of the views drawn within the niche, the group, all items
STAY = 40.0  # mean number of days between a user's first and last interaction
FADE = 10.0  # days in which a hit fades to 1/e
BOOST = (3.0, 2.0)  # mean and standard deviation of the logarithm of a hit's boost, which multiplies popularity
PREMIERES = 0.25  # share of the items that nobody can watch before their hit begins
SPREAD = 1.2  # standard deviation of the logarithm of a history's length
MIN_ITEMS = 50  # per niche
MAX_NICHES = 8  # per group


@dataclass(frozen=True)
class PlantedItems:
    """Items in the order of their niches: niche k has the items bounds[k] to bounds[k + 1] - 1.

    bounds [groups * niches + 1] int64; niches: number per group; popularity [items] float64, 0 if nobody watches the
    item; hit [items] float64, the day on which the hit begins; boost [items] float64; premiere [items] bool.
    """

    bounds: np.ndarray
    niches: int
    popularity: np.ndarray
    hit: np.ndarray
    boost: np.ndarray
    premiere: np.ndarray

    def niche(self) -> np.ndarray:
        """[items] int64, the niche of each item."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))


def plant(rng: np.random.Generator, items: int, watchable: int, groups: int) -> PlantedItems:
    """Make `items` items, of which `watchable` can be watched; all niches are about equally popular."""
    niches = int(np.clip(items // (groups * MIN_ITEMS), 1, MAX_NICHES))
    parts = groups * niches
    bounds = np.linspace(0, items, parts + 1).astype(np.int64)
    niche = np.repeat(np.arange(parts), np.diff(bounds))
    rank = (np.arange(items) - bounds[niche]) * parts + rng.permutation(parts)[niche]
    rank = rank.argsort(kind="stable").argsort(kind="stable")
    popularity = np.where(rank < watchable, np.exp(-rank / (items / 3.5)) / (rank + 1.0), 0.0)
    hit = rng.uniform(-2 * FADE, DAYS, items)
    return PlantedItems(bounds, niches, popularity, hit, rng.lognormal(*BOOST, items), rng.random(items) < PREMIERES)


def histories(rng: np.random.Generator, users: int, total: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Users who come at any time and stay for a while: user [total] int64, ascending, and day [total] int64.

    Lengths are log-normal, from 1 to `longest`; users who stay longer tend to watch more.
    """
    first = np.floor(np.maximum(rng.uniform(-STAY, DAYS, users), 0))
    stay = np.minimum(rng.exponential(STAY, users) + 1, DAYS - first)
    length = np.empty(users, dtype=np.int64)
    length[np.argsort(stay * rng.lognormal(0, 1, users), kind="stable")] = _lengths(users, total, longest)
    day = np.repeat(first, length) + rng.random(total) * np.repeat(stay, length)
    return np.repeat(np.arange(users), length), day.astype(np.int64)


def _lengths(users: int, total: int, longest: int) -> np.ndarray:
    """[users] int64, ascending: quantiles of a log-normal distribution, from 1 to `longest`, with the sum `total`."""
    shape = np.exp(SPREAD * ndtri((np.arange(users) + 0.5) / users))
    low, high = 0.0, float(total)
    for _ in range(60):
        middle = (low + high) / 2
        fits = np.clip(np.ceil(middle * shape), 1, longest).sum() <= total
        low, high = (middle, high) if fits else (low, middle)
    length = np.clip(np.ceil(low * shape), 1, longest).astype(np.int64)
    free = np.flatnonzero(length < longest)
    length[free[len(free) - (total - length.sum()) :]] += 1
    return length


def watch(
    rng: np.random.Generator, items: PlantedItems, niche: np.ndarray, user: np.ndarray, day: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an item for each row, no item twice for a user: item [n] int64, and its index in LEVELS, level [n] int64.

    niche [users] int64; user [n] int64, ascending; day [n] int64.
    """
    ladder = mass(items)
    item, level = _draw(rng, items, ladder, niche[user], day)
    rows = np.arange(len(user))
    while True:
        twice = pd.Series(user[rows] * len(items.hit) + item[rows]).duplicated().to_numpy()
        again = rows[twice]
        if not len(again):
            return item, level
        item[again], level[again] = _draw(rng, items, ladder, niche[user[again]], day[again])
        rows = rows[np.isin(user[rows], user[again])]


def mass(items: PlantedItems) -> np.ndarray:
    """[DAYS, items + 1] float64, ascending: [d, j] is d plus the share of day d's views of the items before j."""
    age = np.arange(DAYS)[:, None] - items.hit
    trend = 1 + items.boost * np.exp(-np.maximum(age, 0) / FADE) * (age >= 0)
    popularity = items.popularity * trend * ~(items.premiere & (age < 0))
    total = np.cumsum(popularity, axis=1)
    return np.arange(DAYS)[:, None] + np.pad(total / total[:, -1:], ((0, 0), (1, 0)))


def _draw(
    rng: np.random.Generator, items: PlantedItems, ladder: np.ndarray, niche: np.ndarray, day: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a level for each row, and an item within the range of the level by the popularity of the day."""
    bounds, niches = items.bounds, items.niches
    group = niche // niches * niches
    level = rng.choice(len(LEVELS), len(niche), p=LEVELS)
    low = ladder[day, bounds[np.choose(level, (niche, group, np.int64(0)))]]
    high = ladder[day, bounds[np.choose(level, (niche + 1, group + niches, np.int64(len(bounds) - 1)))]]
    point = low + rng.random(len(niche)) * (high - low)
    column = np.searchsorted(ladder.ravel(), point, side="right") - 1 - day * ladder.shape[1]
    return np.clip(column, 0, ladder.shape[1] - 2), level
