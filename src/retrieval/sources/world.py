"""A simulation of users with tastes: who watches what on which day.

What is watched on a day follows the popularity of that day. A hit begins on one day, fades within weeks and keeps a
level. Items are divided into themes. A user has a favourite theme, and on each day watches within one theme, mostly the
favourite one or that of the time before. Who watches one thing on a day watches a hit; who watches several browses.
The constants are fitted to what is published of KION.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

DAYS = 163
# Views of the items of these ranks; those between are interpolated in logarithms.
RANKS = (1, 2, 4, 8, 15, 35, 75, 157, 350, 785, 1571, 3927, 7853, 11780, 14135, 15706)
VIEWS = (330000, 310000, 156000, 62000, 30500, 16000, 8400, 4380, 2040, 900, 388, 54, 6.1, 1.45, 0.58, 0.8)
STAY = 80.
NOISE = 1.0
SPREAD = 1.5
JOIN = (0.32, 0.92)
EARLY, NEED, MOST = 28.2, 0.27, 119.6
OFFSET = 0.793
LASTING = 0.088
FADE = (106.0,0.3)
LEVEL = (0.073,0.1)
PREMIERES = 0.3
FIRST = 0.6
STICK = 0.5
LIKE = 10.0
LEVELS = (0.8, 0.0, 0.2)
SHELF = 80


@dataclass(frozen=True)
class PlantedItems:
    """Items in the order of their shelves: shelf k has the items bounds[k] to bounds[k + 1] - 1."""

    bounds: np.ndarray
    shelves: int
    views: np.ndarray
    hit: np.ndarray
    fade: np.ndarray
    level: np.ndarray
    premiere: np.ndarray

    def shelf(self) -> np.ndarray:
        """[items] int64, the shelf of each item."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))


def plant(rng: np.random.Generator, items: int, watchable: int, themes: int) -> PlantedItems:
    """Make `items` items, of which `watchable` can be watched; all shelves are about equally popular."""
    shelves = max(1, items // (themes * SHELF))
    bounds = np.linspace(0, items, themes * shelves + 1).astype(np.int64)
    place = np.arange(items) - np.repeat(bounds[:-1], np.diff(bounds))
    rank = np.lexsort((rng.random(items), place)).argsort()
    views = np.exp(np.interp(np.log(rank + 1), np.log(RANKS), np.log(VIEWS)))
    need = np.minimum(NEED * np.sqrt(views), MOST) + 1
    hit = -EARLY + (rank * 0.6180339887498949 + OFFSET) % 1 * (DAYS + EARLY - need)
    fade = FADE[0] * (views / VIEWS[0]) ** LASTING * np.exp(FADE[1] * rng.standard_normal(items))
    level = LEVEL[0] * np.exp(LEVEL[1] * rng.standard_normal(items))
    views = np.where(rank < watchable, views, 0.0)
    return PlantedItems(bounds, shelves, views, hit, fade, level, (hit > 0) & (rng.random(items) < PREMIERES))


def histories(rng: np.random.Generator, users: int, total: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Users who come at any time and stay for a while: user [total] int64 and day [total] int64, both ascending.

    Lengths are log-normal, from 1 to `longest`; users who stay longer tend to watch more.
    """
    stay = np.minimum(rng.exponential(STAY, users) + 1, DAYS)
    length = np.empty(users, dtype=np.int64)
    length[np.argsort(stay * rng.lognormal(0, NOISE, users), kind="stable")] = _lengths(users, total, longest)
    user = np.repeat(np.arange(users), length)
    starts = (rng.random(total) >= np.repeat(rng.uniform(*JOIN, users), length)) | np.append(True, user[1:] != user[:-1])
    of = user[starts]
    day = (rng.uniform(0, DAYS, users)[of] + rng.random(len(of)) * stay[of]).astype(np.int64) % DAYS
    day = np.sort(of * DAYS + day) - of * DAYS
    return user, day[np.cumsum(starts) - 1]


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
    rng: np.random.Generator, items: PlantedItems, favourite: np.ndarray, user: np.ndarray, day: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an item for each row, no item twice for a user: item [n] int64, level [n] int64: of shelf, theme, all."""
    session = np.cumsum((np.diff(user, prepend=-1) != 0) | (np.diff(day, prepend=-1) != 0)) - 1
    begin = np.flatnonzero(np.diff(session, prepend=-1))
    back = np.diff(user[begin], prepend=-1) == 0
    alone = (np.diff(begin, append=len(user)) == 1) & (back | (rng.random(len(begin)) < FIRST))
    ladder = ladders(daily(items), alone.sum() / len(user))
    shelf, fresh = _shelves(rng, items, ladder, favourite, user[begin], day[begin], alone)
    shelf, wide = shelf[session], (alone & ~fresh)[session]
    at = alone[session] * DAYS + day
    item, level = _draw(rng, items, ladder, shelf, at, wide)
    rows, tries = np.arange(len(user)), 0
    while True:
        twice = pd.Series(user[rows] * len(items.hit) + item[rows]).duplicated().to_numpy()
        again = rows[twice]
        if not len(again):
            return item, level
        tries += 1
        if tries > 8: at = day
        item[again], level[again] = _draw(rng, items, ladder, shelf[again], at[again], wide[again], tries > 8)
        rows = rows[np.isin(user[rows], user[again])]


def daily(items: PlantedItems) -> np.ndarray:
    """[DAYS, items] float64, each item's share of the day's views."""
    age = np.arange(DAYS)[:, None] - items.hit
    out = (age >= 0) | ~items.premiere
    rate = np.where(age >= 0, np.exp(-np.maximum(age, 0) / items.fade), 0) + items.level * out
    for _ in range(8):
        rate *= items.views / np.maximum(rate.sum(axis=0), 1e-300)
        rate /= rate.sum(axis=1, keepdims=True)
    return rate


def ladders(share: np.ndarray, alone: float) -> np.ndarray:
    """[2 * DAYS, items + 1] float64, ascending; row r is r plus cumulative shares: of browsing, then of single views."""
    low, high = np.zeros(DAYS), np.ones(DAYS)
    for _ in range(25):
        half = (low + high) / 2
        hits = share / (share + half[:, None])
        more = (hits * share).sum(axis=1) > alone
        low, high = np.where(more, half, low), np.where(more, high, half)
    both = np.concatenate([share * (1 - hits), share * hits])
    total = np.cumsum(both, axis=1)
    total /= total[:, -1:]
    return np.arange(2 * DAYS)[:, None] + np.pad(total, ((0, 0), (1, 0)))


def _shelves(rng, items, ladder, favourite, user, day, alone):
    """The shelf of each session, [sessions] int64: by the day's popularity and the user's taste, or as before."""
    shelves = len(items.bounds) - 1
    liked = np.diff(ladder[:, items.bounds], axis=1)  # [2 * DAYS, shelves]
    themes = shelves // items.shelves
    like = np.where(np.repeat(np.eye(themes), items.shelves, axis=1), LIKE, 1.0)  # [themes, shelves]
    row = alone * DAYS + day
    shelf = np.empty(len(row), dtype=np.int64)
    for theme in range(themes):
        of = np.flatnonzero(favourite[user] == theme)
        steps = np.cumsum(liked * like[theme], axis=1)
        steps = steps / steps[:, -1:] + np.arange(2 * DAYS)[:, None]
        shelf[of] = np.searchsorted(steps.ravel(), row[of] + rng.random(len(of)), side="right") - row[of] * shelves
    fresh = (rng.random(len(row)) >= STICK) | (np.diff(user, prepend=-1) != 0)
    return np.minimum(shelf, shelves - 1)[np.maximum.accumulate(np.where(fresh, np.arange(len(row)), 0))], fresh


def _draw(rng, items, ladder, shelf, row, alone, everywhere=False):
    """Draw a level for each row, and an item within its range by the popularity of the day."""
    bounds, per = items.bounds, items.shelves
    level = np.where(alone, 1, 0)
    u = rng.random(len(shelf))
    level = np.where(u < LEVELS[0], np.where(alone, 1, 0), np.where(u < LEVELS[0] + LEVELS[1], 1, 2))
    if everywhere:
        level[:] = 2
    theme = shelf // per * per
    low = ladder[row, bounds[np.choose(level, (shelf, theme, np.int64(0)))]]
    high = ladder[row, bounds[np.choose(level, (shelf + 1, theme + per, np.int64(len(bounds) - 1)))]]
    point = low + rng.random(len(shelf)) * (high - low)
    column = np.searchsorted(ladder.ravel(), point, side="right") - 1 - row * ladder.shape[1]
    return np.clip(column, 0, ladder.shape[1] - 2), level
