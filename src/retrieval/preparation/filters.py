"""The notebook's filter of the train interactions: active users, popular items, and all users of the test period."""

from retrieval.params import NotNegative, Section

import ibis.expr.types as ir


class Filter(Section):
    """Users with more than `user_interactions` train rows are active, and items with more than `item_interactions`."""

    enabled: bool
    user_interactions: NotNegative
    item_interactions: NotNegative


def active(train: ir.Table, test_users: ir.Table, limits: Filter) -> ir.Table:
    """The train rows whose user and item are active, or whose user is in the test period.

    test_users: a table of user_id. A user of the test period keeps every row, even if the item is not active, as in the
    notebook, where `&` binds tighter than `|`.
    """
    users, items = (train.group_by(key).aggregate(rows=train.count()) for key in ("user_id", "item_id"))
    users = users.filter(users.rows > limits.user_interactions)
    items = items.filter(items.rows > limits.item_interactions)
    both = train.semi_join(users, "user_id").semi_join(items, "item_id").anti_join(test_users, "user_id")
    return train.semi_join(test_users, "user_id").union(both)
