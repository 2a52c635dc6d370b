"""Shares become bins as pandas.cut makes them."""

from retrieval.preparation.weights import BINS, bins, edges

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st


def test_percent_fall_into_21_bins() -> None:
    share = np.array([0.0, 4.7, 4.8, 50.0, 99.0, 100.0])
    # 100 / 21 = 4.762 wide: 4.7 is in the first bin, 4.8 in the second, 50 / 4.762 = 10.5, 99 / 4.762 = 20.8
    assert bins(share, edges(share)).tolist() == [0, 0, 1, 10, 20, 20]


def test_an_edge_belongs_to_the_bin_below() -> None:
    share = np.arange(22.0)  # of 0 to 21: bins are 1 wide
    assert bins(share, edges(share)).tolist() == [0, *range(21)]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_bins_are_those_of_pandas(values: list[float]) -> None:
    share = np.array(values)
    try:
        expected = pd.cut(share, BINS, labels=False)
    except ValueError:  # edges too near for floats
        return
    assert bins(share, edges(share)).tolist() == expected.tolist()


@pytest.mark.parametrize("share", [0.0, 100.0, -3.0])
def test_equal_shares_are_in_one_bin(share: float) -> None:
    same = np.full(5, share)
    assert set(bins(same, edges(same))) == {10.0}


def test_shares_outside_the_edges_are_in_the_outer_bins() -> None:
    assert bins(np.array([-5.0, 200.0]), edges(np.array([0.0, 100.0]))).tolist() == [0, BINS - 1]
