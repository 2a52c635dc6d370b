"""Ids, numbers and texts of one column of a batch, from the text of a CSV file or the types of a parquet file."""

import re
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LONGEST_ID = 200  # characters
_INTEGER = re.compile(r"0|-?[1-9]\d*")
_CONTROL = r"\p{Cc}"


class Invalid(Exception):
    """A value that is refused: the row within the batch, and what is wrong with it."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(why)
        self.row = row
        self.why = why


class Empty(Invalid):
    """An id that is missing."""

    def __init__(self, row: int) -> None:
        super().__init__(row, "is empty; expected an id")


class NotInteger(Exception):
    """A valid id that is no 64-bit integer as `str` writes it, such as u17, 007 or 1.0."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


def ids(column: pa.Array, text: bool) -> pa.Array:
    """The ids [n] as int64, or as strings if `text`; strings are exactly those of the file.

    Raises `Invalid` for an id that is empty, longer than LONGEST_ID or has a control character; `NotInteger` for the
    first id that is no integer, unless `text`.
    """
    row = _first(pc.is_null(column))
    if row is not None:
        raise Empty(row)
    _require_single(column)
    column = _whole(column) if _is_fraction(column.type) else column
    if pa.types.is_integer(column.type) and first_invalid(column, pa.int64()) is None:
        return column.cast(pa.string() if text else pa.int64())
    column = to_text(column)
    if not text:
        numbers = _integers(column)
        if numbers is not None:
            return numbers
    distinct = column.dictionary_encode().dictionary
    _check_text(column, distinct)
    if not text:
        raise NotInteger(next(value for value in distinct.to_pylist() if not _is_int64(value)))
    return column


def _check_text(column: pa.Array, distinct: pa.Array) -> None:
    """Raise `Invalid` for an id of a wrong length or with a control character. distinct: each id once."""
    for wrong, why in (
        (pc.equal(distinct, ""), "is empty; expected an id"),
        (pc.match_substring_regex(distinct, _CONTROL), "has a control character"),
        (pc.greater(pc.utf8_length(distinct), LONGEST_ID), f"is longer than {LONGEST_ID} characters"),
    ):
        if pc.any(wrong).as_py():
            raise Invalid(pc.index(column, distinct.filter(wrong)[0]).as_py(), why)


def numbers(column: pa.Array) -> pa.Array:
    """The numbers [n] as float64, null where the file has none. Raises `Invalid` for text, nan and infinity."""
    if not (is_number(column.type) or pa.types.is_boolean(column.type)):
        column = pc.utf8_trim_whitespace(labels(column))
    row = first_invalid(column, pa.float64())
    if row is not None:
        value = str(column[row].as_py())
        comma = re.fullmatch(r"-?\d+,\d+", value) is not None
        raise Invalid(row, "has a decimal comma; expected a decimal point" if comma else "is not a number")
    column = column.cast(pa.float64(), safe=False)
    row = _first(pc.invert(pc.is_finite(column)))
    if row is not None:
        raise Invalid(row, "is not finite; leave unknown values empty")
    return column


def labels(column: pa.Array) -> pa.Array:
    """The values [n] as strings, null where the file has none; `Invalid` as in `to_text`, and for lists."""
    _require_single(column)
    return to_text(column)


def to_text(column: pa.Array) -> pa.Array:
    """The values [n] as strings, or lists of strings, null where the file has none; UUIDs in their usual notation.

    Raises `Invalid` for bytes that are not UTF-8, a NUL byte, and for structs and maps.
    """
    kind = column.type
    if not is_text(kind):
        raise Invalid(0, "is a struct; expected text")
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind == pa.uuid():
        distinct = column.dictionary_encode()
        names = pa.array([str(uuid.UUID(bytes=value)) for value in distinct.dictionary.to_pylist()], pa.string())
        return names.take(distinct.indices)
    target = pa.list_(pa.string()) if is_list(column.type) else pa.string()
    row = first_invalid(column, target)
    if row is not None:
        raise Invalid(row, "is no text in UTF-8")
    text = column.cast(target)
    row = None if target != pa.string() else _first(pc.match_substring(text, "\0"))
    if row is not None:
        raise Invalid(row, "has a NUL byte")
    return text


def is_number(kind: pa.DataType) -> bool:
    """Whether a type is integers, floats or decimals."""
    return pa.types.is_integer(kind) or _is_fraction(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether a type of parquet has several values per cell."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether `to_text` can convert a type: everything but structs, maps and lists of them."""
    return not pa.types.is_nested(kind.value_type if is_list(kind) else kind)


def first_invalid(column: pa.Array, kind: pa.DataType) -> int | None:
    """The first row whose value does not convert to `kind`, found by bisection; None if all convert."""
    if _converts(column, kind):
        return None
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _converts(column.slice(low, middle - low), kind) else (low, middle)
    return low


def _converts(column: pa.Array, kind: pa.DataType) -> bool:
    try:
        column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _integers(column: pa.Array) -> pa.Array | None:
    """The integers [n], None if one is not written as `str` writes it."""
    try:
        parsed = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    return parsed if parsed.cast(pa.string()).equals(column) else None


def _is_int64(value: str) -> bool:
    return _INTEGER.fullmatch(value) is not None and -(2**63) <= int(value) < 2**63


def _is_fraction(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _whole(column: pa.Array) -> pa.Array:
    """Ids that pandas has turned into floats, such as 7.0, as integers."""
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    broken = ~((values == np.floor(values)) & (np.abs(values) <= 2**53))
    if broken.any():
        raise Invalid(int(broken.argmax()), "is a fraction; expected an integer or text as an id")
    return pa.array(values.astype(np.int64))


def _require_single(column: pa.Array) -> None:
    if pa.types.is_nested(column.type):
        raise Invalid(0, "is a list or a struct; expected one value per row")


def _first(mask: pa.Array) -> int | None:
    row = pc.index(mask, True).as_py()
    return row if row >= 0 else None
