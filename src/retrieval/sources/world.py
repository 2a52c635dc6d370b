"""A simulation of who watches what on which day, fitted to what is published of KION.

What is watched on a day follows the popularity of that day, multiplied by taste. A hit begins on one day, fades, and
keeps a lower level. Items stand on shelves, and shelves belong to themes. On a day a user watches mostly from one
shelf: one of the favourite theme more often than its popularity says, or that of the day before. Who watches a single
item on a day watches a hit; who watches several browses the shelf. So most views say little about the next hit.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

DAYS = 163

# Fitted to the shares of all views of the top 1 to 5,000 items, and to the quantiles of views per item.
RANKS = (1, 2, 4, 8, 15, 35, 75, 157, 350, 785, 1571, 3927, 7853, 11780, 14135, 15706)
VIEWS = (362000, 340000, 161000, 60000, 28700, 14800, 7800, 4080, 1910, 845, 367, 51, 5.9, 1.4, 0.56, 0.8)

# Fitted to the last day: the shares of its top 1 to 500 items, how many of them are in the top of all days, how many
# items it has, and which share of an item's views falls on it.
EARLY = 28.2  # days before the first day on which the first hits begin
NEED, MOST = 0.27, 119.6  # a hit with v views begins at least 3 + min(NEED * sqrt(v), MOST) days before the end
OFFSET = 0.793  # where the most viewed item begins, as a share of its possible time
FADE = (106.0, 0.3)  # days in which the most viewed item fades to 1/e, standard deviation of the logarithm
LASTING = 0.088  # exponent of the views by which the other items fade sooner
LEVEL = (0.073, 0.1)  # what remains of a hit, as a share of its peak; standard deviation of the logarithm
PREMIERES = 0.3  # share of the items that nobody can watch before their hit begins

# Fitted to the number of users on a day, the share of them with a single view, and the largest number of views.
STAY = 80.0  # mean number of days between a user's first and last interaction
SPREAD = 1.5  # standard deviation of the logarithm of a history's length
JOIN = (0.38, 0.84)  # lowest and highest probability, by user, that a view is on the day of the one before

# Fitted to the MAP@10 of popularity, EASE and LightFM.
FIRST = 0.2  # probability that a user's first view, if it is the only one of the day, is of a hit, too
STICK = 0.5  # probability that a user stays with the shelf of the time before
LIKE = 12.0  # a favourite theme is this many times as likely as its popularity says
INSIDE = 0.8  # share of the views that are from the shelf or theme of the day; the others are from all items
SHELF = 80  # items per shelf, at least
TRIES = 8  # draws of an item that the user has watched, before any other item will do


@dataclass(frozen=True)
class PlantedItems:
    """Items in the order of their shelves: shelf k has the items bounds[k] to bounds[k + 1] - 1.

    bounds [themes * shelves + 1] int64; shelves: number per theme; views [items] float64, relative to one another, 0 if
    nobody watches the item; hit [items] float64, the day on which the hit begins; fade [items] float64, in days; level
    [items] float64; premiere [items] bool.
    """

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
    """Make `items` items, of which `watchable` can be watched: each shelf has popular ones and others.

    The golden ratio spreads the days on which hits begin, so that no seed has all great hits in one month.
    """
    shelves = max(1, items // (themes * SHELF))
    bounds = np.linspace(0, items, themes * shelves + 1).astype(np.int64)
    place = np.arange(items) - np.repeat(bounds[:-1], np.diff(bounds))
    rank = np.lexsort((rng.random(items), place)).argsort()
    views = np.exp(np.interp(np.log(rank + 1), np.log(RANKS), np.log(VIEWS)))
    latest = DAYS - 3 - np.minimum(NEED * np.sqrt(views), MOST)
    hit = (rank * 0.6180339887498949 + OFFSET) % 1 * (latest + EARLY) - EARLY
    fade = FADE[0] * (views / VIEWS[0]) ** LASTING * rng.lognormal(0, FADE[1], items)
    level = LEVEL[0] * rng.lognormal(0, LEVEL[1], items)
    premiere = (hit > 0) & (rng.random(items) < PREMIERES)
    return PlantedItems(bounds, shelves, np.where(rank < watchable, views, 0.0), hit, fade, level, premiere)


def histories(rng: np.random.Generator, users: int, total: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Users who come at any time and stay for a while: user [total] int64 and day [total] int64, in time order by user.

    Lengths are log-normal, from 1 to `longest`; users who stay longer tend to watch more. A stay that passes the last
    day goes on at the first one, so that all days have equally many views.
    """
    stay = np.minimum(rng.exponential(STAY, users) + 1, DAYS)
    length = np.empty(users, dtype=np.int64)
    length[np.argsort(stay * rng.lognormal(0, 1, users), kind="stable")] = _lengths(users, total, longest)
    user = np.repeat(np.arange(users), length)
    join = np.repeat(rng.uniform(*JOIN, users), length)
    starts = (rng.random(total) >= join) | _changes(user)
    of = user[starts]
    day = (rng.uniform(0, DAYS, users)[of] + rng.random(len(of)) * stay[of]).astype(np.int64) % DAYS
    day = np.sort(of * DAYS + day) - of * DAYS
    return user, day[np.cumsum(starts) - 1]


def _changes(values: np.ndarray) -> np.ndarray:
    """[n] bool: whether a value differs from the one before; the first one does."""
    return np.append(True, values[1:] != values[:-1])


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
    """Draw an item for each row, no item twice for a user.

    favourite [users] int64, a theme; user [n] int64 and day [n] int64, in time order by user. Returns item [n] int64
    and inside [n] bool, whether it was drawn from the shelf or theme of the day.
    """
    begins = _changes(user * DAYS + day)
    session, begin = np.cumsum(begins) - 1, np.flatnonzero(begins)
    new = _changes(user[begin])  # the user's first session
    single = (np.diff(begin, append=len(user)) == 1) & (~new | (rng.random(len(begin)) < FIRST))
    ladder = ladders(daily(items), single.sum() / len(user))
    row = single * DAYS + day[begin]
    shelf = _shelves(rng, items, ladder, favourite[user[begin]], row)
    stays = ~new & (rng.random(len(begin)) < STICK)
    shelf = shelf[np.maximum.accumulate(np.where(stays, 0, np.arange(len(begin))))]
    wide = single & stays  # of the same theme: the shelf's own hits have mostly been watched
    theme = shelf // items.shelves * items.shelves
    low = items.bounds[np.where(wide, theme, shelf)][session]
    high = items.bounds[np.where(wide, theme + items.shelves, shelf + 1)][session]
    row = row[session]
    item, inside = _draw(rng, ladder, row, low, high)
    rows, tries = np.arange(len(user)), 0
    while True:
        again = rows[_seen_before(user[rows] * len(items.hit) + item[rows])]
        if not len(again):
            return item, inside
        tries += 1
        if tries == TRIES:
            row, low, high = day, np.zeros_like(low), np.full_like(high, len(items.hit))
        item[again], inside[again] = _draw(rng, ladder, row[again], low[again], high[again])
        concerned = np.zeros(len(favourite), dtype=bool)
        concerned[user[again]] = True
        rows = rows[concerned[user[rows]]]


def _seen_before(values: np.ndarray) -> np.ndarray:
    """[n] bool: whether a value has an equal one before it."""
    order, found = np.argsort(values, kind="stable"), np.zeros(len(values), dtype=bool)
    found[order] = ~_changes(values[order])
    return found


def daily(items: PlantedItems) -> np.ndarray:
    """[DAYS, items] float64, each item's share of the day's views; all days together have `items.views`."""
    age = np.arange(DAYS)[:, None] - items.hit
    out = (age >= 0) | ~items.premiere
    share = np.exp(-np.maximum(age, 0) / items.fade) * (age >= 0) + items.level * out
    for _ in range(8):
        share *= items.views / np.maximum(share.sum(axis=0), 1e-300)
        share /= share.sum(axis=1, keepdims=True)
    return share


def ladders(share: np.ndarray, single: float) -> np.ndarray:
    """[2 * DAYS, items + 1] float64, ascending: row r is r plus the shares of the items before. First the days' shares
    when browsing, then those of single views.

    Of the views of an item with the share p of the day, p / (p + half) are single views; `half` is such that of all
    views `single` are.
    """
    low, high = np.zeros((DAYS, 1)), np.ones((DAYS, 1))
    for _ in range(25):
        half = (low + high) / 2
        more = (share**2 / (share + half)).sum(axis=1, keepdims=True) > single
        low, high = np.where(more, half, low), np.where(more, high, half)
    hits = share**2 / (share + half)
    total = np.cumsum(np.concatenate([share - hits, hits]), axis=1)
    return np.arange(2 * DAYS)[:, None] + np.pad(total / total[:, -1:], ((0, 0), (1, 0)))


def _shelves(
    rng: np.random.Generator, items: PlantedItems, ladder: np.ndarray, favourite: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """Draw a shelf, [n] int64, by the shares in the row of the ladder and the favourite theme."""
    mass = np.diff(ladder[:, items.bounds], axis=1)
    shelf = np.empty(len(row), dtype=np.int64)
    for theme in range(mass.shape[1] // items.shelves):
        liked = mass.copy()
        liked[:, theme * items.shelves : (theme + 1) * items.shelves] *= LIKE
        steps = np.cumsum(liked, axis=1)
        steps = np.arange(len(steps))[:, None] + np.pad(steps / steps[:, -1:], ((0, 0), (1, 0)))
        fans = np.flatnonzero(favourite == theme)
        shelf[fans] = _find(steps, row[fans], row[fans] + rng.random(len(fans)))
    return shelf


def _draw(
    rng: np.random.Generator, ladder: np.ndarray, row: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an item by the shares in the row of the ladder: mostly one of low to high - 1, which is inside, or any."""
    inside = rng.random(len(row)) < INSIDE
    start = ladder[row, np.where(inside, low, 0)]
    end = ladder[row, np.where(inside, high, ladder.shape[1] - 1)]
    return _find(ladder, row, start + rng.random(len(row)) * (end - start)), inside


def _find(ladder: np.ndarray, row: np.ndarray, point: np.ndarray) -> np.ndarray:
    """[n] int64, the last column of each row whose number is not above `point`."""
    order, place = np.argsort(point), np.empty(len(point), dtype=np.int64)
    place[order] = np.searchsorted(ladder.ravel(), point[order], side="right")  # in order: the ladder exceeds a cache
    return np.clip(place - 1 - row * ladder.shape[1], 0, ladder.shape[1] - 2)
