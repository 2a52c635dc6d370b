"""What an item's score has beside its vector, bias and prior, estimated for new items from their features."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import lsqr

PENALTY = 10.0  # as that many items whose value is the mean: a feature of few items says little


def estimate(features: sp.csr_matrix, values: np.ndarray) -> np.ndarray:
    """Ridge regression of `values` [items, t] on `features` [items, columns]: [1 + columns, t] float64, the first row
    the mean. An item with features x is estimated as coefficients[0] + x @ coefficients[1:].

    Hoerl and Kennard 1970, "Ridge regression"; solved by LSQR (Paige and Saunders 1982).
    """
    mean = values.mean(axis=0, dtype=np.float64)
    matrix = features.astype(np.float64)
    solved = [
        lsqr(matrix, column, damp=PENALTY**0.5, atol=1e-13, btol=1e-13, iter_lim=10_000)[0]
        for column in (values - mean).T
    ]
    return np.vstack([mean, np.array(solved).reshape(len(mean), features.shape[1]).T])
