"""The notebook's filter of the train interactions: active users, popular items, and all users of the test period."""

from retrieval.params import NotNegative, Section

import numpy as np
import pandas as pd


class Filter(Section):
    """Users with more than `user_interactions` train rows are active, and items with more than `item_interactions`."""

    enabled: bool
    user_interactions: NotNegative
    item_interactions: NotNegative


def active(user: np.ndarray, item: np.ndarray, test_users: np.ndarray, limits: Filter) -> np.ndarray:
    """Mask [n] bool of the train rows to keep: the user and the item are active, or the user is in the test period.

    user, item [n] int64; test_users: ids. A user of the test period keeps every row, even if the item is not active, as
    in the notebook, where `&` binds tighter than `|`.
    """
    both = (_count(user) > limits.user_interactions) & (_count(item) > limits.item_interactions)
    return both | pd.Index(user).isin(test_users)


def _count(ids: np.ndarray) -> np.ndarray:
    """[n] int64, how many rows have the same id as each row."""
    code = pd.factorize(ids)[0]
    return np.bincount(code)[code]
