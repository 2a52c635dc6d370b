"""The parts of the synthetic world: items, histories, popularity by day."""

from retrieval.sources import world

import numpy as np
import pytest


@pytest.mark.parametrize("total", [50, 51, 137, 200])
def test_histories_have_the_length_asked_for(total: int) -> None:
    user, day = world.histories(np.random.default_rng(0), 50, total, 9)
    length = np.bincount(user, minlength=50)
    assert (len(user), len(day)) == (total, total)
    assert (np.diff(user) >= 0).all()
    assert (length.min(), length.max() <= 9) == (1, True)
    assert (day.min() >= 0, day.max() < world.DAYS) == (True, True)


def test_a_hit_rises_and_fades_and_a_premiere_has_no_views_before_it() -> None:
    items = world.PlantedItems(
        bounds=np.array([0, 3]),
        niches=1,
        popularity=np.ones(3),
        hit=np.array([100.0, 100.0, 500.0]),
        boost=np.array([9.0, 0.0, 0.0]),
        premiere=np.array([False, True, False]),
    )
    share = np.diff(world.mass(items), axis=1)
    assert share[99] == pytest.approx([1 / 2, 0, 1 / 2])  # the premiere is not out
    assert share[100] == pytest.approx([10 / 12, 1 / 12, 1 / 12])  # the hit is 1 + 9 times as popular
    # ten days, which is FADE, later the 9 are 9 / e = 3.311
    assert share[110] == pytest.approx([4.311 / 6.311, 1 / 6.311, 1 / 6.311], rel=1e-3)


def test_nobody_watches_an_item_twice_even_when_the_niche_is_exhausted() -> None:
    rng = np.random.default_rng(0)
    items = world.plant(rng, 60, 60, 6)  # ten items per niche
    user = np.repeat(np.arange(5), 20)
    item, _ = world.watch(rng, items, np.arange(5), user, rng.integers(0, world.DAYS, len(user)))
    assert len(set(zip(user, item, strict=True))) == len(user)
