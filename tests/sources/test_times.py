"""Times of many notations, worked out by hand."""

from datetime import UTC, date, datetime, timedelta, timezone

from retrieval.errors import Problem
from retrieval.sources.times import Times
from retrieval.sources.values import Invalid

import pyarrow as pa
import pytest

MOMENT = datetime(2020, 9, 13, 12, 29, 31)  # 1,600,000,171 seconds since 1970


@pytest.mark.parametrize(
    ("values", "times", "notation"),
    [
        (["2020-09-13"], [datetime(2020, 9, 13)], ""),
        (["2020-09-13 12:29"], [datetime(2020, 9, 13, 12, 29)], ""),
        (["2020-09-13T12:29:31", "2020-09-13 12:29:31.5"], [MOMENT, MOMENT + timedelta(seconds=0.5)], ""),
        (["2020-09-13 12:29:31.123456789"], [MOMENT + timedelta(microseconds=123456)], ""),
        ([" 2020-09-13 12:29:31 "], [MOMENT], ""),
        (["2020-09-13T12:29:31Z", "2020-09-13T12:29:31"], [MOMENT, MOMENT], "zones"),
        (["2020-09-13T15:29:31+03:00", "2020-09-13T12:29:31Z", "2020-09-13 12:29:31"], [MOMENT] * 3, "zones"),
        (["2020-09-13 06:59:31-0530", "2020-09-13 15:29:31+03", "2020-09-13 12:29:31 UTC"], [MOMENT] * 3, "zones"),
        (["2020-09-13 14:29:31,250000999+0200"], [MOMENT + timedelta(seconds=0.25)], "zones"),
        (["1600000171", "1600000171.0", "1.600000171e9"], [MOMENT] * 3, "unix seconds"),
        (["1600000171.25"], [MOMENT + timedelta(seconds=0.25)], "unix seconds"),
        (["1600000171000"], [MOMENT], "unix milliseconds"),
        (["1600000171000001"], [MOMENT + timedelta(microseconds=1)], "unix microseconds"),
        (["1600000171000001999"], [MOMENT + timedelta(microseconds=1)], "unix nanoseconds"),
        (["20200913", "20200229"], [datetime(2020, 9, 13), datetime(2020, 2, 29)], "dates such as 20210313"),
        (["Sun Sep 13 05:29:31 -0700 2020"], [MOMENT], "zones"),
        (["2099-12-31", "1970-01-01"], [datetime(2099, 12, 31), datetime(1970, 1, 1)], ""),
    ],
)  # fmt: skip
def test_text_is_recognised(values: list[str], times: list[datetime], notation: str) -> None:
    reader = Times("auto")
    column = reader.convert(pa.array(values))
    assert column.type == pa.timestamp("us")
    assert column.to_pylist() == times
    assert notation in reader.notation
    assert bool(notation) == bool(reader.notation)


@pytest.mark.parametrize(
    ("column", "notation"),
    [
        (pa.array([1600000171]), "unix seconds"),
        (pa.array([1600000171.0]), "unix seconds"),
        (pa.array([1600000171000], pa.uint64()), "unix milliseconds"),
        (pa.array([MOMENT], pa.timestamp("s")), ""),
        (pa.array([MOMENT], pa.timestamp("ns")), ""),
        (pa.array([MOMENT.replace(tzinfo=UTC)], pa.timestamp("ms", "Europe/Berlin")), "zones"),
        (pa.array([datetime(2020, 9, 13, 15, 29, 31, tzinfo=timezone(timedelta(hours=3)))]), "zones"),
    ],
)
def test_types_of_parquet_are_recognised(column: pa.Array, notation: str) -> None:
    reader = Times("auto")
    assert reader.convert(column).to_pylist() == [MOMENT]
    assert notation in reader.notation


def test_dates_of_parquet() -> None:
    column = pa.array([date(2020, 9, 13)])
    for kind in (pa.date32(), pa.date64()):
        assert Times("auto").convert(column.cast(kind)).to_pylist() == [datetime(2020, 9, 13)]


@pytest.mark.parametrize(
    ("format", "value", "time"),
    [
        ("%d/%m/%Y", "03/04/2021", datetime(2021, 4, 3)),
        ("%m/%d/%Y", "03/04/2021", datetime(2021, 3, 4)),
        ("%m %d, %Y", "03 4, 2021", datetime(2021, 3, 4)),
        ("%Y-%m-%dT%H:%M:%S%z", "2020-09-13T14:29:31+0200", MOMENT),
        ("s", "86400", datetime(1970, 1, 2)),
        ("d", "18518.5", datetime(2020, 9, 13, 12)),
        ("ms", "86400000", datetime(1970, 1, 2)),
    ],
)
def test_a_format_or_a_unit_may_be_given(format: str, value: str, time: datetime) -> None:
    assert Times(format).convert(pa.array([value])).to_pylist() == [time]


@pytest.mark.parametrize(
    ("format", "values", "row", "why"),
    [
        ("auto", ["2020-09-13", None], 1, "is empty; expected a time such as 2021-03-13"),
        ("auto", ["2020-09-13", "soon"], 1, "is not a time such as 2021-03-13"),
        ("auto", ["2020-09-13", "2020-02-30"], 1, "is not a time such as"),
        ("auto", ["2020-09-13Z", "2020-09-31+03:00"], 1, "is not a time such as"),
        ("auto", ["2020-09-13Z", "2020-09-13 12:291+03:00"], 1, "is not a time such as"),
        ("auto", ["2020-09-13Z", "2020-09-13 12:29.5+03:00"], 1, "is not a time such as"),
        ("auto", ["2020-09-13 12:29:31+99:00"], 0, "is not a time such as"),
        ("auto", ["soon"], 0, "mapping.time_format"),
        ("auto", ["03/04/2021"], 0, "mapping.time_format=%d/%m/%Y or %m/%d/%Y"),
        ("auto", ["13.03.2021 20:15"], 0, "needs its format; set mapping.time_format=%d.%m.%Y %H:%M"),
        ("auto", ["02/28/21"], 0, "needs its format; set mapping.time_format=%m/%d/%y"),
        ("auto", ["02/03/2021"], 0, "more than one way; set mapping.time_format=%d/%m/%Y or %m/%d/%Y"),
        ("auto", ["02/03/2021 8:15:00 PM"], 0, "mapping.time_format=%d/%m/%Y %I:%M:%S %p or %m/%d/%Y %I:%M:%S %p"),
        ("auto", ["2021/03/13"], 0, "mapping.time_format=%Y/%m/%d"),
        ("auto", ["1600-01-01"], 0, "is not of the years 1970 to 2199"),
        ("auto", ["2020-09-13", "0001-01-01"], 1, "is not of the years"),
        ("auto", ["2020-09-13", "9999-12-31 23:59:59"], 1, "is not of the years"),
        ("auto", ["2020-09-13", "0000-00-00"], 1, "is not a time such as"),
        ("auto", ["17"], 0, "mapping.time_format=s .* or mapping.time=none"),
        ("auto", ["1600000171", "0"], 1, "does not look like unix seconds, as the first value does"),
        ("auto", ["1600000171", "1600000171000"], 1, "does not look like unix seconds"),
        ("auto", ["1600000171", "2020-09-13"], 1, "is not a number"),
        ("auto", ["1600000171", "nan"], 1, "does not look like"),
        ("auto", ["20210313", "20211301"], 1, "is not a date such as 20210313"),
        ("auto", ["20210313", "20210229"], 1, "is not a date such as 20210313"),
        ("s", ["1", "1600000171000"], 1, "is not a time of 1970 to 2199 in unix seconds"),
        ("ns", ["-1"], 0, "is not a time of 1970 to 2199"),
        ("%d/%m/%Y", ["13/03/2021", "2021-03-13"], 1, "is not a time of the format '%d/%m/%Y'"),
    ],
)
def test_what_is_no_time_is_refused_with_its_row(format: str, values: list[str], row: int, why: str) -> None:
    with pytest.raises(Invalid, match=why) as caught:
        Times(format).convert(pa.array(values, pa.string()))
    assert caught.value.row == row


def test_later_batches_are_read_like_the_first() -> None:
    reader = Times("auto")
    reader.convert(pa.array(["1600000171"]))
    with pytest.raises(Invalid, match="is not a time of 1970 to 2199 in unix seconds"):
        reader.convert(pa.array(["1600000171000"]))
    assert reader.convert(pa.array(["5"])).to_pylist() == [datetime(1970, 1, 1, 0, 0, 5)]


def test_a_format_that_strptime_does_not_have() -> None:
    with pytest.raises(Problem, match=r"mapping\.time_format: '%Q' is no format of strptime"):
        Times("%Q").convert(pa.array(["1"]))
