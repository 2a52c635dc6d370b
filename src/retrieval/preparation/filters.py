"""The notebook's filter of the train interactions: active users, popular items, and whoever the test asks about."""

from retrieval.params import NotNegative, Section

import numpy as np
import pandas as pd


class Filter(Section):
    """`enabled` switches it on; a user or an item is active with more than so many train interactions."""

    enabled: bool
    user_interactions: NotNegative
    item_interactions: NotNegative


def active(user: np.ndarray, item: np.ndarray, hot: np.ndarray, limits: Filter) -> np.ndarray:
    """Which train rows stay: [n] bool, (active user and active item) or a user of the test period.

    user, item [n] int64; hot: the ids of the users of the test period. A hot user keeps all rows, also those of
    items that are not active: in the notebook `&` binds before `|`.
    """
    valid = (_count(user) > limits.user_interactions) & (_count(item) > limits.item_interactions)
    return valid | pd.Index(user).isin(hot)


def _count(ids: np.ndarray) -> np.ndarray:
    """How many rows have the id of each row, [n] int64."""
    code = pd.factorize(ids)[0]
    return np.bincount(code)[code]
