"""Groups of users, by each of their features, by how much they watched and how popular that is; metrics per group."""

from collections.abc import Mapping

from retrieval.histories import Features
from retrieval.stage import rounded

import numpy as np
import scipy.sparse as sp

MAX_VALUES = 100  # of a column; one with more, such as a name, makes no groups
TASTES = ("niche", "diverse", "blockbuster")
_ESCAPE = str.maketrans(".:", "__")  # in the name of a metric DVC splits levels at dots and colons


def groups(data: Features, users: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """column -> value -> mask [U] bool of the `users` [U] (rows) in the group; empty groups are left out.

    The columns are those of the users' features with at most MAX_VALUES values, and two of thirds; users with equal
    numbers are in the same third. `activity` is by the number of items watched in train, named "lowest-highest";
    `taste` is by the mean popularity of these items, as in Abdollahpouri et al. (2019), "The Unfairness of Popularity
    Bias in Recommendation".
    """
    matrix, start = sp.csc_matrix(data.users[users]), 0
    result: dict[str, dict[str, np.ndarray]] = {}
    for column, values in data.spec["user_columns"].items():
        if len(values) <= MAX_VALUES:
            result[column] = {
                str(value).translate(_ESCAPE): _members(matrix, place) for place, value in enumerate(values, start)
            }
        start += len(values)
    seen = data.seen[users]
    counts = np.diff(seen.indptr)
    members = [each for each in _thirds(counts) if each.any()]
    result["activity"] = {f"{counts[member].min()}-{counts[member].max()}": member for member in members}
    popularity = seen @ np.bincount(data.seen.indices, minlength=seen.shape[1]) / np.maximum(counts, 1)
    result["taste"] = dict(zip(TASTES, _thirds(popularity), strict=True))
    return {name: {v: m for v, m in column.items() if m.any()} for name, column in result.items()}


def _thirds(values: np.ndarray) -> list[np.ndarray]:
    """Masks [U] bool of the lowest, the middle and the highest third of `values` [U]; equal ones are in the same."""
    third = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)
    return [third == number for number in range(3)]


def _members(matrix: sp.csc_matrix, column: int) -> np.ndarray:
    """Mask [rows] bool of the rows with an entry in the column."""
    mask = np.zeros(matrix.shape[0], dtype=bool)
    mask[matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]] = True
    return mask


def by_group(
    models: Mapping[str, Mapping[str, np.ndarray]], groups: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, dict[str, dict[str, object]]]:
    """column -> value -> {"users": number of users, model: {metric: mean}}, for metrics with one value per user."""
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
