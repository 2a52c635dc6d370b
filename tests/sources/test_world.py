"""The parts of the synthetic world: items, histories, popularity by day, and how near all of it is to KION."""

from retrieval.sources import synthetic, world

import numpy as np
import pytest


@pytest.mark.parametrize("total", [50, 51, 137, 200])
def test_histories_have_the_length_asked_for(total: int) -> None:
    user, day = world.histories(np.random.default_rng(0), 50, total, 9)
    length = np.bincount(user, minlength=50)
    assert (len(user), len(day)) == (total, total)
    assert (np.diff(user * world.DAYS + day) >= 0).all()  # in time order by user
    assert (length.min(), length.max() <= 9) == (1, True)
    assert (day.min() >= 0, day.max() < world.DAYS) == (True, True)


def test_a_hit_rises_and_fades_and_a_premiere_has_no_views_before_it() -> None:
    items = world.PlantedItems(
        bounds=np.array([0, 3]),
        shelves=1,
        views=np.array([100.0, 100.0, 1e9]),
        hit=np.array([100.0, 100.0, 0.0]),
        fade=np.array([10.0, 10.0, 1e9]),
        level=np.array([0.1, 0.1, 0.0]),
        premiere=np.array([False, True, False]),
    )
    share = world.daily(items)  # the third item has nearly all views, so the other two are as if alone
    assert share.sum(axis=1) == pytest.approx(1)
    hit, premiere = share[:, 0] / share[100, 0], share[:, 1] / share[100, 1]
    assert hit[99] == pytest.approx(0.1 / 1.1, rel=1e-3)
    assert premiere[99] == 0
    # ten days, which is `fade`, later the 1 of 1 + 0.1 is 1 / e = 0.368
    assert hit[110] == pytest.approx(0.468 / 1.1, rel=1e-3)
    assert premiere[110] == pytest.approx(hit[110], rel=1e-3)
    views = share.sum(axis=0) / share.sum()
    assert views[:2] / items.views[:2] == pytest.approx(1 / items.views.sum(), rel=1e-3)


def test_single_views_are_of_hits() -> None:
    """Shares 0.6, 0.3, 0.1; with half = 0.3 single views are 0.6 / 0.9, 0.3 / 0.6 and 0.1 / 0.4 of them: 0.4, 0.15 and
    0.025, together 0.575."""
    ladder = world.ladders(np.tile([0.6, 0.3, 0.1], (world.DAYS, 1)), 0.575)
    browsing, single = np.diff(ladder[0]), np.diff(ladder[world.DAYS])
    assert single == pytest.approx(np.array([0.4, 0.15, 0.025]) / 0.575, rel=1e-5)
    assert browsing == pytest.approx(np.array([0.2, 0.15, 0.075]) / 0.425, rel=1e-5)


def test_nobody_watches_an_item_twice_even_when_the_shelf_is_exhausted() -> None:
    rng = np.random.default_rng(0)
    items = world.plant(rng, 60, 60, 6)  # ten items per theme
    user = np.repeat(np.arange(5), 20)
    day = np.sort(rng.integers(0, world.DAYS, (5, 20)), axis=1).ravel()
    item, _ = world.watch(rng, items, np.arange(5), user, day)
    assert len(set(zip(user, item, strict=True))) == len(user)


def test_the_world_is_like_kion() -> None:
    """What is published of KION, at a quarter of its size. There the least watched half of its items is missing, which
    has 2 % of the views on all days and more on the last one, so shares are up to a tenth above KION's."""
    scale, rng = 0.25, np.random.default_rng(0)
    users, rows = round(962_179 * scale), round(5_476_251 * scale)
    items = world.plant(rng, 7982, 7853, synthetic.THEMES)
    user, day = world.histories(rng, users, rows, 7853 // 8)
    item, _ = world.watch(rng, items, rng.integers(0, synthetic.THEMES, users), user, day)

    views, last = np.bincount(item, minlength=7982), day == world.DAYS - 1
    today = np.bincount(item[last], minlength=7982)
    assert shares(views, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]) == pytest.approx(
        [0.037, 0.072, 0.135, 0.187, 0.240, 0.323, 0.399, 0.491, 0.641, 0.769, 0.890], rel=0.1
    )
    assert shares(today, [5, 10, 50, 100, 500]) == pytest.approx([0.064, 0.105, 0.243, 0.333, 0.643], rel=0.15)
    assert today.max() / last.sum() == pytest.approx(0.014, rel=0.5)
    assert len(set(top(views, 10)) & set(top(today, 10))) == pytest.approx(4, abs=3)
    assert len(set(top(views, 50)) & set(top(today, 50))) == pytest.approx(24, abs=4)

    visits = np.bincount(user[last])
    visits = visits[visits > 0]
    assert last.sum() / scale == pytest.approx(33_785, rel=0.05)
    assert len(visits) / scale == pytest.approx(16_584, rel=0.1)
    assert visits.mean() == pytest.approx(2.04, rel=0.1)
    assert (visits == 1).mean() == pytest.approx(0.5, abs=0.05)

    first = np.full(len(views), world.DAYS)
    np.minimum.at(first, item, day)
    assert (views[first >= world.DAYS - 14] > 100).sum() > 5  # items new in the last two weeks


def test_hits_rise_and_fade_as_in_kion() -> None:
    """Which share of an item's views falls on the last day, where it has more than 20 of 33,785; 1 / 163 = 0.6 % if
    nothing rose or faded."""
    share = world.daily(world.plant(np.random.default_rng(0), 15_963, 15_706, synthetic.THEMES))
    of_last = (share[-1] / np.maximum(share.sum(axis=0), 1e-9))[share[-1] * 33_785 > 20]
    assert of_last.mean() == pytest.approx(0.024, rel=0.25)
    assert np.median(of_last) == pytest.approx(0.010, rel=0.6)
    assert of_last.max() == pytest.approx(0.22, rel=0.5)


def top(views: np.ndarray, k: int) -> list[int]:
    return np.argsort(-views)[:k].tolist()


def shares(views: np.ndarray, ks: list[int]) -> np.ndarray:
    """The shares of all views of the k most watched items."""
    return np.cumsum(-np.sort(-views))[np.array(ks) - 1] / views.sum()
