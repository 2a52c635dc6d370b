"""Which items may be recommended: only these, without those, only where a column has a value."""

from collections.abc import Iterable, Mapping
from typing import Any

from retrieval.errors import Problem, choices
from retrieval.search.catalogue import Catalogue

import numpy as np

MAX_LISTED = 100  # values of a column that are listed

Where = Mapping[str, Any]  # column -> a value, or several of which an item needs one; an item must match all columns


def allowed(catalogue: Catalogue, only: np.ndarray | None, without: np.ndarray, where: Where) -> np.ndarray | None:
    """Rows of the items that may be recommended, ascending; None for all.

    `only` (None: all), `without` are rows. Raises `Problem` for an unknown column or value of `where`.
    """
    if only is None and not len(without) and not where:
        return None
    chosen = np.ones(len(catalogue.items), bool)
    if only is not None:
        chosen[:] = False
        chosen[only] = True
    chosen[without] = False
    for column, values in where.items():
        chosen &= _having(catalogue, column, several(values))
    return np.flatnonzero(chosen)


def several(values: Any) -> list[str]:
    """The values of a column as texts; a single one is a list of one."""
    found = [values] if isinstance(values, str) or not isinstance(values, Iterable) else values
    return [str(value) for value in found]


def _having(catalogue: Catalogue, column: str, values: list[str]) -> np.ndarray:
    """[items], whether each has one of the values."""
    columns = catalogue.item_columns
    if column not in columns:
        listed = choices(column, columns) if columns else "the items have no columns to filter by"
        raise Problem(f"where: unknown column {column!r}; {listed}")
    first = catalogue.first_value[column]
    position = {value: first + place for place, value in enumerate(columns[column])}
    if (unknown := next((value for value in values if value not in position), None)) is not None:
        raise Problem(f"where.{column}: unknown value {unknown!r}; {choices(unknown, columns[column])}")
    found = np.zeros(len(catalogue.items), bool)
    of_values = catalogue.items_of_values
    for place in map(position.__getitem__, values):
        found[of_values.indices[of_values.indptr[place] : of_values.indptr[place + 1]]] = True
    return found


def frequent_values(catalogue: Catalogue, column: str) -> list[str]:
    """The MAX_LISTED values of a column that most items have, the most frequent first."""
    values, first = catalogue.item_columns[column], catalogue.first_value[column]
    count = np.diff(catalogue.items_of_values.indptr)[first : first + len(values)]
    return [values[i] for i in np.argsort(-count, kind="stable")[:MAX_LISTED]]
