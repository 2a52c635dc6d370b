"""The filter against the notebook's own steps."""

from collections import Counter
from typing import Any

from retrieval.preparation.filters import Filter, active

from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import section


def stays(raw: Any, pairs: list[tuple[int, int]], test_users: list[int], users: int, items: int) -> list[bool]:
    """Whether each row is left; a row's tie is its place."""
    train = raw([(*pair, 1) for pair in pairs], "user_id item_id time")
    limits = Filter(**section("filter", enabled=True, user_interactions=users, item_interactions=items))
    chosen = train.filter(train.user_id.isin([*test_users, -1])).select("user_id").distinct()
    left = set(active(train, chosen, limits).to_pyarrow()["tie"].to_pylist())
    return [place in left for place in range(len(pairs))]


def test_active_users_keep_their_active_items_and_test_users_keep_all(raw: Any) -> None:
    pairs = [(1, 1), (1, 2), (2, 1), (3, 9)]  # user 1 has two rows and so has item 1; user 3 is of the test period
    assert stays(raw, pairs, [3], 1, 1) == [True, False, False, True]


@settings(max_examples=25)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40),
    test_users=st.lists(st.integers(0, 5), max_size=3),
    users=st.integers(0, 5),
    items=st.integers(0, 5),
)
def test_it_is_the_notebooks(
    raw: Any, pairs: list[tuple[int, int]], test_users: list[int], users: int, items: int
) -> None:
    user_count, item_count = Counter(u for u, _ in pairs), Counter(i for _, i in pairs)
    expected = [(user_count[u] > users and item_count[i] > items) or u in test_users for u, i in pairs]
    assert stays(raw, pairs, test_users, users, items) == expected
