"""A world with planted tastes: who watches what on which day.

The catalogue is parted into groups and each group into niches; a user belongs to one niche, and which one follows age
and sex. What a user watches on a day is drawn by that day's popularity: mostly within the niche, else within its group
or the whole catalogue. Popularity is Zipf's law with an exponential cutoff, times a hit that begins on one day and
fades within weeks.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

DAYS = 163
LEVELS = (0.6, 0.25, 0.15)  # how often an item is drawn within the niche, the group, the whole catalogue
STAY = 40.0  # days between the first and the last interaction of a user, on average
FADE = 10.0  # days in which a hit fades to 1/e
BOOST = (3.0, 2.0)  # mean and deviation of the logarithm of how many times over a hit multiplies popularity
PREMIERES = 0.25  # items that nobody can watch before their hit begins
SPREAD = 1.2  # deviation of the logarithm of a history's length
LEAST_ITEMS = 50  # a niche
MOST_NICHES = 8  # a group


@dataclass(frozen=True)
class PlantedItems:
    """Items in the order of their niches: those of niche k are bounds[k] to bounds[k + 1].

    bounds [groups * niches + 1] int64; niches: a group; popularity [items] float64, 0 where nobody watches the item;
    hit [items] float64, the day on which the hit begins; boost [items] float64; premiere [items] bool.
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


def catalogue(rng: np.random.Generator, items: int, watched: int, groups: int) -> PlantedItems:
    """A catalogue of `items`, of which `watched` can be watched; all niches are about as popular."""
    niches = int(np.clip(items // (groups * LEAST_ITEMS), 1, MOST_NICHES))
    parts = groups * niches
    bounds = np.linspace(0, items, parts + 1).astype(np.int64)
    niche = np.repeat(np.arange(parts), np.diff(bounds))
    rank = ((np.arange(items) - bounds[niche]) * parts + rng.permutation(parts)[niche]).argsort().argsort()
    popularity = np.where(rank < watched, np.exp(-rank / (items / 3.5)) / (rank + 1.0), 0.0)
    hit = rng.uniform(-2 * FADE, DAYS, items)
    return PlantedItems(bounds, niches, popularity, hit, rng.lognormal(*BOOST, items), rng.random(items) < PREMIERES)


def histories(rng: np.random.Generator, users: int, total: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Users come at any time and stay for a while: user [total] int64, ascending, and day [total] int64.

    Log-normal lengths of 1 to `most`; the longer a user stays, the longer the history is, on the whole.
    """
    first = np.floor(np.maximum(rng.uniform(-STAY, DAYS, users), 0))
    stay = np.minimum(rng.exponential(STAY, users) + 1, DAYS - first)
    length = np.empty(users, dtype=np.int64)
    length[np.argsort(stay * rng.lognormal(0, 1, users))] = _lengths(users, total, most)
    day = np.repeat(first, length) + rng.random(total) * np.repeat(stay, length)
    return np.repeat(np.arange(users), length), day.astype(np.int64)


def _lengths(users: int, total: int, most: int) -> np.ndarray:
    """Quantiles of a log-normal distribution, ceiled and clipped to 1 to `most`, ascending, whose sum is `total`."""
    shape = np.exp(SPREAD * ndtri((np.arange(users) + 0.5) / users))
    low, high = 0.0, float(total)
    for _ in range(60):
        middle = (low + high) / 2
        fits = np.clip(np.ceil(middle * shape), 1, most).sum() <= total
        low, high = (middle, high) if fits else (low, middle)
    length = np.clip(np.ceil(low * shape), 1, most).astype(np.int64)
    free = np.flatnonzero(length < most)
    length[free[len(free) - (total - length.sum()) :]] += 1
    return length


def watch(
    rng: np.random.Generator, catalogue: PlantedItems, niche: np.ndarray, user: np.ndarray, day: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What each user watches on each day, no item twice: item [n] int64 and the level [n] int64 it was drawn at.

    niche [users] int64; user [n] int64, ascending; day [n] int64.
    """
    ladder = mass(catalogue)
    item, level = _draw(rng, catalogue, ladder, niche[user], day)
    rows = np.arange(len(user))
    while True:
        twice = pd.Series(user[rows] * len(catalogue.hit) + item[rows]).duplicated().to_numpy()
        again = rows[twice]
        if not len(again):
            return item, level
        item[again], level[again] = _draw(rng, catalogue, ladder, niche[user[again]], day[again])
        rows = rows[np.isin(user[rows], user[again])]


def mass(catalogue: PlantedItems) -> np.ndarray:
    """[DAYS, items + 1] float64: at [d, j] is d plus the share of the views of day d that the items before j have."""
    age = np.arange(DAYS)[:, None] - catalogue.hit
    trend = 1 + catalogue.boost * np.exp(-np.maximum(age, 0) / FADE) * (age >= 0)
    popularity = catalogue.popularity * trend * ~(catalogue.premiere & (age < 0))
    total = np.cumsum(popularity, axis=1)
    return np.arange(DAYS)[:, None] + np.pad(total / total[:, -1:], ((0, 0), (1, 0)))


def _draw(
    rng: np.random.Generator, catalogue: PlantedItems, ladder: np.ndarray, niche: np.ndarray, day: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One item a row, by the day's popularity within the range of items of a level that is drawn, too."""
    bounds, niches = catalogue.bounds, catalogue.niches
    group = niche // niches * niches
    level = rng.choice(len(LEVELS), len(niche), p=LEVELS)
    low = ladder[day, bounds[np.choose(level, (niche, group, np.int64(0)))]]
    high = ladder[day, bounds[np.choose(level, (niche + 1, group + niches, np.int64(len(bounds) - 1)))]]
    point = low + rng.random(len(niche)) * (high - low)
    column = np.searchsorted(ladder.ravel(), point, side="right") - 1 - day * ladder.shape[1]
    return np.clip(column, 0, ladder.shape[1] - 2), level
