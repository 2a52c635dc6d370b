"""Ids exactly as they are, numbers, texts."""

import uuid
from decimal import Decimal

from retrieval.sources import values
from retrieval.sources.values import Invalid, NotInteger

import pyarrow as pa
import pytest


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["0", "-5", "9223372036854775807", "-9223372036854775808"]),
        pa.array([0, -5, 2**63 - 1, -(2**63)]),
    ],
)
def test_integers_stay_integers(column: pa.Array) -> None:
    assert values.ids(column, text=False).to_pylist() == [0, -5, 2**63 - 1, -(2**63)]
    assert values.ids(column, text=True).to_pylist() == ["0", "-5", "9223372036854775807", "-9223372036854775808"]


@pytest.mark.parametrize(
    "value",
    [" 7", "7 ", "007", "+7", "-0", "1.0", "1e3", "0x10", "9223372036854775808",
     "Ünï/6 x", "e\u0301", "\u00e9", "a?b&c=7", "١٢"]
)  # fmt: skip
def test_other_ids_are_text_exactly_as_they_were(value: str) -> None:
    column = pa.array(["7", value])
    with pytest.raises(NotInteger) as caught:
        values.ids(column, text=False)
    assert caught.value.value == value
    assert values.ids(column, text=True).to_pylist() == ["7", value]


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize(
    ("column", "row", "why"),
    [
        (pa.array(["1", None]), 1, "is empty; expected an id"),
        (pa.array(["a", "b\tc"]), 1, "has a control character"),
        (pa.array(["a", "b\0"]), 1, "NUL"),
        (pa.array(["a", "b\x85"]), 1, "has a control character"),
        (pa.array(["a", "b", "ж" * 201]), 2, "is longer than 200 characters"),
        (pa.array([1.0, 2.5]), 1, "is a fraction"),
        (pa.array([1.0, float("nan")]), 1, "is a fraction"),
        (pa.array([b"a", b"\xff"]), 1, "is no text in UTF-8"),
    ],
)
def test_ids_that_are_refused(column: pa.Array, row: int, why: str, text: bool) -> None:
    with pytest.raises(Invalid, match=why) as caught:
        values.ids(column, text)
    assert caught.value.row == row


def test_types_of_parquet_as_ids() -> None:
    assert values.ids(pa.array([7.0, 8.0]), text=False).to_pylist() == [7, 8]
    assert values.ids(pa.array([Decimal("7"), Decimal("8")]), text=False).to_pylist() == [7, 8]
    assert values.ids(pa.array(["a", "b"]).dictionary_encode(), text=True).to_pylist() == ["a", "b"]
    assert values.ids(pa.array([b"a"]), text=True).to_pylist() == ["a"]
    assert values.ids(pa.array(["a"], pa.large_string()), text=True).type == pa.string()
    assert values.ids(pa.array([2**64 - 1], pa.uint64()), text=True).to_pylist() == ["18446744073709551615"]
    one = uuid.UUID("9531985d-5d9d-c9f8-1818-e811892f902b")
    assert values.ids(pa.array([one.bytes], pa.uuid()), text=True).to_pylist() == [str(one)]


def test_numbers() -> None:
    assert values.numbers(pa.array(["1", " 2.5 ", None, "-1e3"])).to_pylist() == [1, 2.5, None, -1000]
    assert values.numbers(pa.array([1, None], pa.int8())).to_pylist() == [1, None]
    assert values.numbers(pa.array([True, False])).to_pylist() == [1, 0]
    for column, row, why in (
        (["1", "4,5"], 1, "has a decimal comma"),
        (["1", "2", "much"], 2, "is not a number"),
        (["inf"], 0, "is not finite; leave unknown values empty"),
        (["1", "NaN"], 1, "is not finite"),
    ):
        with pytest.raises(Invalid, match=why) as caught:
            values.numbers(pa.array(column))
        assert caught.value.row == row


def test_texts() -> None:
    assert values.to_text(pa.array([1990, None])).to_pylist() == ["1990", None]
    assert values.to_text(pa.array([True, False])).to_pylist() == ["true", "false"]
    assert values.to_text(pa.array([["a", "b"], None, []])).to_pylist() == [["a", "b"], None, []]
    assert values.to_text(pa.array([[1, 2]], pa.large_list(pa.int8()))).to_pylist() == [["1", "2"]]
    long = "x" * 50_000
    assert values.to_text(pa.array([long])).to_pylist() == [long]
    assert not values.is_text(pa.struct([("a", pa.int8())]))
    assert not values.is_text(pa.list_(pa.struct([("a", pa.int8())])))
    with pytest.raises(Invalid, match="has a NUL byte"):
        values.to_text(pa.array(["a\0"]))
