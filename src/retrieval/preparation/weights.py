"""The weight of an interaction: the bin of the share that was watched."""

import numpy as np
import pandas as pd

BINS = 21  # the notebook's n_bins + 1


def edges(share: np.ndarray) -> np.ndarray:
    """The edges [BINS + 1] float64 of BINS equally wide bins over `share` [n], those of `pandas.cut`."""
    return pd.cut(share, BINS, labels=False, retbins=True)[1]


def bins(share: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each share, [n] float32 from 0 to BINS - 1; shares outside the edges go into the outer bins.

    For the shares that the edges were computed from this equals `pandas.cut(share, BINS, labels=False)`.
    """
    return np.clip(np.searchsorted(edges, share, side="left") - 1, 0, BINS - 1).astype(np.float32)
