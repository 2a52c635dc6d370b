"""Times of any notation -> timestamp[us] in UTC."""

import re
from collections.abc import Iterator
from datetime import datetime

from retrieval.errors import Problem
from retrieval.sources.values import Invalid, first_invalid, is_number, labels

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

US = pa.timestamp("us")
LATEST = 7_258_118_400  # 2200-01-01, in seconds; the earliest time is 0, 1970-01-01
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "d": 1 / 86400}  # per second
NAMES = {
    **{"s": "unix seconds", "ms": "unix milliseconds", "us": "unix microseconds", "ns": "unix nanoseconds"},
    **{"d": "days since 1970", "ymd": "dates such as 20210313"},
}
MAGNITUDES = {"ymd": (19700101, 22001231), "s": (1e8, 1e10), "ms": (1e11, 1e13), "us": (1e14, 1e16), "ns": (1e17, 1e19)}
_EXPECTED = "a time such as 2021-03-13 or 2021-03-13 20:15:00"
_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?([eE]\+?\d+)?\s*")
_CTIME = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d [-+]\d{4} \d{4}")
_SLASHES = re.compile(r"(\d{1,4})([/.-])\d{1,2}\2(\d{1,4})")
_DAY = r"(?P<day>\d{4}-\d{2}-\d{2})"
_CLOCK = r"(?:[Tt ](?P<clock>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?P<fraction>\d{1,6})\d*)?)?"
_ZONE = r"(?P<zone>Z|z|UTC|GMT|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?"
_ISO = rf"^\s*{_DAY}{_CLOCK}\s*{_ZONE}\s*$"


class Times:
    """Converts the batches of one column. The first value decides how all are read, unless `format` says it.

    format: "auto", a unit of numbers (a key of UNITS), or a format of strptime. After the first batch, `notation` says
    what was found, in words, or is "" for dates without a zone.
    """

    def __init__(self, format: str) -> None:
        self.format = format
        self.unit = format if format in UNITS else ""
        self.zones = False
        self._kind = "" if format == "auto" else "number" if self.unit else "strptime"

    @property
    def notation(self) -> str:
        """What was found, for the user; "" if there is nothing to say."""
        if self.unit:
            return f"times are {NAMES[self.unit]}"
        return "times have zones and are turned into UTC" if self.zones else ""

    def convert(self, column: pa.Array) -> pa.Array:
        """[n] timestamp[us]. Raises `Invalid` with the first value that is missing, no time, or not of 1970 to 2199."""
        row = pc.index(pc.is_null(column), True).as_py()
        if row >= 0:
            raise Invalid(row, f"is empty; expected {_EXPECTED}; without times: mapping.time=none")
        if not len(column):
            return pa.array([], US)
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            zone = getattr(column.type, "tz", None)
            self.zones |= zone is not None
            return _in_range(column.cast(pa.timestamp("us", zone), safe=False).cast(US))
        if is_number(column.type):
            return self._numbers(column)
        column = labels(column)
        self._kind = self._kind or _kind(column[0].as_py())
        readers = {"number": self._numbers, "iso": self._iso, "ctime": self._strptime, "strptime": self._strptime}
        return readers[self._kind](column)

    def _numbers(self, column: pa.Array) -> pa.Array:
        numbers = _to_numbers(column)
        if not self.unit:
            self.unit = _unit(numbers)
        return _from_days(numbers) if self.unit == "ymd" else _from_unit(numbers, self.unit)

    def _iso(self, column: pa.Array) -> pa.Array:
        """Arrow's own parser reads most; with a final Z cut off, it reads most of the others."""
        for text in (column, pc.utf8_rtrim(column, "Z")):
            try:
                times = text.cast(US)
            except pa.ArrowInvalid:
                continue
            self.zones |= text is not column
            return _in_range(times)
        parts = pc.extract_regex(column, _ISO)
        row = pc.index(pc.is_null(parts), True).as_py()
        if row >= 0:
            raise Invalid(row, f"is not {_EXPECTED}")
        day, clock, fraction, zone = (pc.struct_field(parts, name) for name in ("day", "clock", "fraction", "zone"))
        clock = pc.if_else(pc.equal(clock, ""), "00:00", clock)
        text = pc.binary_join_element_wise(day, clock, "T")
        text = pc.if_else(pc.equal(fraction, ""), text, pc.binary_join_element_wise(text, fraction, "."))
        row = first_invalid(text, US)
        if row is not None:
            raise Invalid(row, f"is not {_EXPECTED}")
        zones = zone.dictionary_encode()
        offsets = pa.array([_offset(name) for name in zones.dictionary.to_pylist()], pa.int64())
        self.zones |= pc.any(pc.not_equal(zone, "")).as_py()
        shift = offsets.take(zones.indices)
        return _in_range(pc.subtract(text.cast(US).cast(pa.int64()), shift).cast(US))

    def _strptime(self, column: pa.Array) -> pa.Array:
        form = "%a %b %d %H:%M:%S %z %Y" if self._kind == "ctime" else self.format
        self.zones |= "%z" in form or "%Z" in form
        try:
            times = pd.to_datetime(column.to_pandas(), format=form, utc=True, errors="coerce", exact=True)
        except ValueError as error:
            raise Problem(f"mapping.time_format: {form!r} is no format of strptime: {error}") from None
        missing = times.isna().to_numpy()
        if missing.any():
            raise Invalid(int(missing.argmax()), f"is not a time of the format {form!r}")
        return _in_range(pa.array(times.dt.tz_localize(None).to_numpy().astype("datetime64[us]")))


def _kind(value: str) -> str:
    """How the first value is to be read."""
    if _NUMBER.fullmatch(value):
        return "number"
    if re.match(r"\s*\d{4}-\d{2}-\d{2}", value):
        return "iso"
    if _CTIME.fullmatch(value):
        return "ctime"
    slashes = _SLASHES.match(value)
    if slashes:
        fits = [form for form in _forms(slashes[2]) if _fits(value.strip(), form)]
        if fits:
            ways = "needs its format" if len(fits) == 1 else "may be read in more than one way"
            raise Invalid(0, f"{ways}; set mapping.time_format={' or '.join(fits)}")
    raise Invalid(0, f"is not {_EXPECTED}; other formats: mapping.time_format, such as %d.%m.%Y; mapping.time=none")


def _forms(separator: str) -> Iterator[str]:
    """Formats of dates with a separator, with and without a clock."""
    days = [f"{a}-{b}-{year}" for year in ("%Y", "%y") for a, b in (("%d", "%m"), ("%m", "%d"))]
    for day in ["%Y-%m-%d", *days]:
        for clock in ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p"):
            yield day.replace("-", separator) + clock


def _fits(value: str, form: str) -> bool:
    try:
        datetime.strptime(value, form)
    except ValueError:
        return False
    return True


def _to_numbers(column: pa.Array) -> np.ndarray:
    """[n] int64 where all are integers, else float64."""
    if pa.types.is_string(column.type):
        column = pc.utf8_trim_whitespace(column)
    for kind in (pa.int64(), pa.float64()):
        try:
            return column.cast(kind).to_numpy(zero_copy_only=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    row = first_invalid(column, pa.float64())
    raise Invalid(row or 0, "is not a number of seconds like the first value")


def _unit(numbers: np.ndarray) -> str:
    """The unit of a first batch, from the magnitude of its first value; the others must agree."""
    value = numbers[0]
    unit = next((name for name, (low, high) in MAGNITUDES.items() if low <= value < high), None)
    if unit is None:
        raise Invalid(
            0, "does not look like unix time or a date; mapping.time_format=s (or ms, us, ns, d) or mapping.time=none"
        )
    low, high = MAGNITUDES[unit]
    outside = ~((numbers >= low) & (numbers < high))
    if outside.any():
        raise Invalid(
            int(outside.argmax()),
            f"does not look like {NAMES[unit]}, as the first value does; if it is right: mapping.time_format={unit}",
        )
    return unit


def _from_unit(numbers: np.ndarray, unit: str) -> pa.Array:
    per_second = UNITS[unit]
    outside = ~((numbers >= 0) & (numbers < LATEST * per_second))
    if outside.any():
        raise Invalid(int(outside.argmax()), f"is not a time of 1970 to 2199 in {NAMES[unit]}")
    if numbers.dtype == np.int64 and unit in ("s", "ms", "us", "ns"):
        micro = numbers // 1000 if unit == "ns" else numbers * int(1e6 / per_second)
    else:
        micro = np.rint(numbers * (1e6 / per_second)).astype(np.int64)
    return pa.array(micro.astype(np.int64)).cast(US)


def _from_days(numbers: np.ndarray) -> pa.Array:
    """Numbers such as 20210313."""
    whole = numbers.astype(np.int64)
    year, month, day = whole // 10000, whole // 100 % 100, whole % 100
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("datetime64[M]") == months) & (whole == numbers)
    if not valid.all():
        raise Invalid(int(valid.argmin()), "is not a date such as 20210313, as the first value is")
    return _in_range(pa.array(days.astype("datetime64[us]")))


def _offset(zone: str) -> int:
    """Microseconds east of UTC."""
    if zone[:1] not in ("+", "-"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return (1 if zone[0] == "+" else -1) * (int(digits[:2]) * 60 + int(digits[2:])) * 60_000_000


def _in_range(times: pa.Array) -> pa.Array:
    micro = times.cast(pa.int64()).to_numpy()
    outside = (micro < 0) | (micro >= LATEST * 1_000_000)
    if outside.any():
        raise Invalid(int(outside.argmax()), "is not of the years 1970 to 2199")
    return times
