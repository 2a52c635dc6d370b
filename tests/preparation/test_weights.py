"""Values become bins as pandas.cut makes them."""

from typing import Any

from retrieval.preparation.weights import BINS, bins, edges

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def bins_of(raw: Any, values: list[float], bounds: list[float] | None = None) -> list[int]:
    rows = raw([(0, 0, 1, value) for value in values])
    bounds = bounds or edges(min(values), max(values))
    return rows.select("tie", bin=bins(rows.value, bounds)).order_by("tie").to_pyarrow()["bin"].to_pylist()


def test_percent_fall_into_21_bins(raw: Any) -> None:
    # 100 / 21 = 4.762 wide: 4.7 is in the first bin, 4.8 in the second, 50 / 4.762 = 10.5, 99 / 4.762 = 20.8
    assert bins_of(raw, [0.0, 4.7, 4.8, 50.0, 99.0, 100.0]) == [0, 0, 1, 10, 20, 20]


def test_an_edge_belongs_to_the_bin_below(raw: Any) -> None:
    assert bins_of(raw, [float(n) for n in range(22)]) == [0, *range(21)]  # of 0 to 21: bins are 1 wide


@settings(max_examples=25)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_bins_are_those_of_pandas(raw: Any, values: list[float]) -> None:
    if 0 < max(values) - min(values) < 1e-3:  # noise, or edges too near for floats
        return
    assert bins_of(raw, values) == pd.cut(pd.Series(values), BINS, labels=False).tolist()


@pytest.mark.parametrize("value", [0.0, 100.0, -3.0])
def test_equal_values_are_in_one_bin(raw: Any, value: float) -> None:
    assert set(bins_of(raw, [value] * 5)) == {10}


def test_values_that_differ_by_rounding_are_in_one_bin(raw: Any) -> None:
    assert set(bins_of(raw, [100.0, 100.00000000000001, 99.99999999999999])) == {10}


def test_values_outside_the_edges_are_in_the_outer_bins(raw: Any) -> None:
    assert bins_of(raw, [-5.0, 200.0], edges(0.0, 100.0)) == [0, BINS - 1]


@pytest.mark.parametrize(
    ("low", "high"), [(-1.7e308, 1.7e308), (0.0, 1.7e308), (1e308, 1e308), (0.0, 5e-324), (1e-308, 1e-308)]
)
@pytest.mark.filterwarnings("error")
def test_huge_and_tiny_values_have_bins(low: float, high: float) -> None:
    bounds = edges(low, high)
    assert len(bounds) == BINS + 1
    assert bounds == sorted(bounds)
    assert bounds[0] <= low <= high <= bounds[-1]
