"""Groups of users: by each of their features, and by how much they watched."""

from collections.abc import Mapping

from retrieval.evaluation.metrics import rounded
from retrieval.histories import Features

import numpy as np
import scipy.sparse as sp

MOST = 100  # values of a column that is no number
_NO_KEY = str.maketrans(".:", "__")  # of a metric's name in DVC, a dot and a colon part the levels


def groups(data: Features, users: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """column -> value -> which of `users` [U] (rows) are in it, [U] bool; groups of nobody are left out.

    The columns are those of the users' features that have at most MOST values, and `activity`: thirds by the number of
    items watched in train, named by the least and the largest number; users with the same number are in the same third.
    """
    result: dict[str, dict[str, np.ndarray]] = {}
    matrix, start = sp.csc_matrix(data.users[users]), 0
    for column, values in data.spec["user_columns"].items():
        if len(values) <= MOST:
            result[column] = {}
            for place, value in enumerate(values, start):
                member = np.zeros(len(users), dtype=bool)
                member[matrix.indices[matrix.indptr[place] : matrix.indptr[place + 1]]] = True
                result[column][str(value).translate(_NO_KEY)] = member
        start += len(values)
    watched = np.diff(data.histories.indptr)[users]
    third = np.searchsorted(np.quantile(watched, [1 / 3, 2 / 3]), watched)
    members = [third == number for number in np.unique(third)]
    result["activity"] = {f"{watched[member].min()}-{watched[member].max()}": member for member in members}
    return {name: {v: m for v, m in column.items() if m.any()} for name, column in result.items()}


def by_group(
    models: Mapping[str, Mapping[str, np.ndarray]], groups: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, dict[str, dict[str, object]]]:
    """column -> value -> {"users": how many, model: {metric: mean over them}}, of metrics that have a value a user."""
    return {
        column: {
            value: {"users": int(member.sum())}
            | {
                name: {metric: rounded(each[member].mean()) for metric, each in metrics.items() if each.ndim}
                for name, metrics in models.items()
            }
            for value, member in members.items()
        }
        for column, members in groups.items()
    }
