"""The weight of an interaction: the bin of its value, such as of the share that was watched."""

import ibis
import ibis.expr.types as ir
import numpy as np

BINS = 21  # the notebook's n_bins + 1
HUGE = 1e307
NOISE = 1e-9  # relative: values that differ by less are one value


def edges(low: float, high: float) -> list[float]:
    """The edges [BINS + 1] of BINS equally wide bins of values from `low` to `high`, those of `pandas.cut`."""
    if max(abs(low), abs(high)) > HUGE:  # their difference may be infinite
        with np.errstate(over="ignore"):
            return (4 * np.array(edges(low / 4, high / 4))).tolist()
    if high - low <= NOISE * max(abs(low), abs(high)):
        margin = 0.001 * abs(low) or 0.001
        return np.linspace(low - margin, low + margin, BINS + 1).tolist()
    result = np.linspace(low, high, BINS + 1)
    result[0] -= 0.001 * (high - low)
    return result.tolist()


def bins(value: ir.NumericValue, edges: list[float]) -> ir.NumericValue:
    """The bin of each value, from 0 to BINS - 1; values outside the edges go into the outer bins."""
    return sum(((value > edge).cast("int8") for edge in edges[1:-1]), ibis.literal(0, "int8"))
