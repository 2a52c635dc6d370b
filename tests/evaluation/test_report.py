"""What a point of a map is coloured by."""

from retrieval.evaluation.report import _kinds

import numpy as np
import scipy.sparse as sp

COLUMNS = {"type": ["film", "series"], "genres": ["drama", "war"]}


def test_of_several_values_the_rarest_of_none_unknown() -> None:
    rows = sp.csr_matrix(np.array([[1, 0, 1, 0], [0, 1, 1, 1], [0, 1, 0, 0], [1, 0, 1, 0]], dtype=np.float32))
    name, values = _kinds(rows, COLUMNS, "genres")
    assert name == "genres"
    assert values.tolist() == ["drama", "war", "unknown", "drama"]
    assert _kinds(rows, COLUMNS)[1].tolist() == ["film", "series", "series", "film"]
    assert _kinds(rows, COLUMNS, "studios")[0] == "type"


def test_of_counts_the_value_of_which_a_row_has_most_of_all() -> None:
    rows = sp.csr_matrix(np.array([[0, 0, 9, 1], [0, 0, 4, 1], [0, 0, 7, 2]], dtype=np.float32))
    # shares of drama: 9/20, 4/20, 7/20; of war: 1/4, 1/4, 2/4
    assert _kinds(rows, COLUMNS, "genres")[1].tolist() == ["drama", "war", "war"]


def test_without_columns_all_are_unknown() -> None:
    assert _kinds(sp.csr_matrix((2, 0), dtype=np.float32), {})[1].tolist() == ["unknown", "unknown"]
