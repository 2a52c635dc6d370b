"""The weight of an interaction: the bin of its value, such as of the share that was watched."""

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

BINS = 21  # the notebook's n_bins + 1
NOISE = 1e-9  # relative: values that differ by less are one value


def edges(low: float, high: float) -> list[float]:
    """The edges [BINS + 1] of BINS equally wide bins of values from `low` to `high`, those of `pandas.cut`."""
    if high - low <= NOISE * max(abs(low), abs(high)):
        high = low
    return pd.cut(np.array([low, high]), BINS, retbins=True)[1].tolist()


def bins(value: ir.NumericValue, edges: list[float]) -> ir.NumericValue:
    """The bin of each value, from 0 to BINS - 1; values outside the edges go into the outer bins."""
    return sum(((value > edge).cast("int8") for edge in edges[1:-1]), ibis.literal(0, "int8"))
