"""The filter against the notebook's own steps."""

from collections import Counter

from retrieval.preparation.filters import Filter, active

import numpy as np
from hypothesis import given
from hypothesis import strategies as st


def stays(
    pairs: list[tuple[int, int]], test_users: list[int], user_interactions: int, item_interactions: int
) -> list[bool]:
    user, item = (np.array(column) for column in zip(*pairs, strict=True))
    limits = Filter(enabled=True, user_interactions=user_interactions, item_interactions=item_interactions)
    return active(user, item, np.array(test_users, dtype=np.int64), limits).tolist()


def test_active_users_keep_their_active_items_and_test_users_keep_all() -> None:
    pairs = [(1, 1), (1, 2), (2, 1), (3, 9)]  # user 1 has two rows and so has item 1; user 3 is of the test period
    assert stays(pairs, [3], 1, 1) == [True, False, False, True]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40),
    st.lists(st.integers(0, 5), max_size=3),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_it_is_the_notebooks(pairs: list[tuple[int, int]], test_users: list[int], users: int, items: int) -> None:
    user_count, item_count = Counter(u for u, _ in pairs), Counter(i for _, i in pairs)
    expected = [(user_count[u] > users and item_count[i] > items) or u in test_users for u, i in pairs]
    assert stays(pairs, test_users, users, items) == expected
