"""The CSV files of the KION schema: what is read, and the one line about what is invalid."""

from datetime import datetime
from pathlib import Path

from retrieval.errors import Problem
from retrieval.preparation.tables import read_interactions, read_items, read_users

import pytest

HEADER = "user_id,item_id,last_watch_dt,total_dur,watched_pct\n"


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_interactions_are_typed_and_empty_shares_are_null(tmp_path: Path) -> None:
    rows = "7,1,2021-03-13,60,72.0\n5,2,2021-03-14 20:15:01,60,\n5,3,2021-03-14T20:15:01.5,60,1e1\n"
    table = read_interactions(write(tmp_path / "interactions.csv", HEADER + rows))
    assert table.column_names == ["user_id", "item_id", "last_watch_dt", "watched_pct"]
    assert table["user_id"].to_pylist() == [7, 5, 5]
    assert table["watched_pct"].to_pylist() == [72.0, None, 10.0]
    assert table["last_watch_dt"].to_pylist() == [
        datetime(2021, 3, 13),
        datetime(2021, 3, 14, 20, 15, 1),
        datetime(2021, 3, 14, 20, 15, 1, 500_000),
    ]


def test_columns_may_be_in_any_order_beside_others(tmp_path: Path) -> None:
    text = "\ufeffnote,watched_pct,item_id,last_watch_dt,user_id\nx,1,2,2021-03-13,3\n"
    table = read_interactions(write(tmp_path / "interactions.csv", text))
    assert table.to_pylist() == [
        {"user_id": 3, "item_id": 2, "last_watch_dt": datetime(2021, 3, 13), "watched_pct": 1.0}
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,item,last_watch_dt,watched_pct\n", "column 'item_id' is missing; .*did you mean 'item'"),
        (HEADER.replace("total_dur", "user_id"), "column 'user_id' appears twice in the header"),
        ("", "column 'user_id' is missing"),
        (HEADER, "no rows; expected at least one interaction"),
        (HEADER + "1,1,2021-03-13,1,1\n2.0,1,2021-03-13,1,1\n", "column 'user_id', row 2: '2.0' is not an integer"),
        (HEADER + "1,film,2021-03-13,1,1\n", "column 'item_id', row 1: 'film' is not an integer"),
        (HEADER + "1,99999999999999999999,2021-03-13,1,1\n", "column 'item_id', row 1: .* is not an integer"),
        (HEADER + "1,1,2021-03-13,1,1\n,1,2021-03-13,1,1\n", "column 'user_id', row 2 is empty; expected an integer"),
        (HEADER + "1,1,13.03.2021,1,1\n", "column 'last_watch_dt', row 1: '13.03.2021' is not a date such as 2021-"),
        (HEADER + "1,1,2021-02-30,1,1\n", "column 'last_watch_dt', row 1: '2021-02-30' is not a date"),
        (HEADER + "1,1,,1,1\n", "column 'last_watch_dt', row 1 is empty; expected a date"),
        (HEADER + "1,1,2021-03-13,1,1\n1,2,2021-03-13,1,NaN\n", "column 'watched_pct', row 2: nan is not finite"),
        (HEADER + "1,1,2021-03-13,1,-inf\n", "column 'watched_pct', row 1: -inf is not finite"),
        (HEADER + "1,1,2021-03-13,1,much\n", "column 'watched_pct', row 1: 'much' is not a number"),
        (
            HEADER + "1,1,2021-03-13,1,1\n1,1\n",
            "not a CSV file in UTF-8 with commas: .*Row #3.*Expected 5 columns, got 2",
        ),
        (HEADER.replace(",", ";") + "1;1;2021-03-13;1;1\n", "column 'user_id' is missing"),
    ],
)
def test_bad_interactions_end_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "interactions.csv", text)
    with pytest.raises(Problem, match=message) as caught:
        read_interactions(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_the_first_invalid_value_is_named_wherever_it_is(tmp_path: Path) -> None:
    rows = [f"{k},1,2021-03-13,1,1\n" for k in range(1000)]
    rows[617] = "x,1,2021-03-13,1,1\n"
    rows[803] = "y,1,2021-03-13,1,1\n"
    with pytest.raises(Problem, match="row 618: 'x'"):
        read_interactions(write(tmp_path / "interactions.csv", HEADER + "".join(rows)))


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    path = tmp_path / "interactions.csv"
    with pytest.raises(Problem, match=r"interactions\.csv: no such file"):
        read_interactions(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Problem, match="not a CSV file in UTF-8"):
        read_interactions(path)


def test_items_keep_every_column_as_text_and_texts_may_have_line_breaks(tmp_path: Path) -> None:
    text = 'item_id,title,release_year,for_kids\n3,"A ""film"",\nin two lines",2002.0,\n1,Б,,0.0\n'
    table = read_items(write(tmp_path / "items.csv", text))
    assert table.to_pylist() == [
        {"item_id": 3, "title": 'A "film",\nin two lines', "release_year": "2002.0", "for_kids": None},
        {"item_id": 1, "title": "Б", "release_year": None, "for_kids": "0.0"},
    ]


def test_other_columns_of_interactions_may_have_line_breaks(tmp_path: Path) -> None:
    """Arrow reads blocks of 8 MB; by default it assumes that a block ends where a line does."""
    text = '"good,\nnot ""great"""'
    rows = "".join(f"{k},1,2021-03-13,{text},1\n" for k in range(300_000))
    path = write(tmp_path / "interactions.csv", HEADER.replace("total_dur", "review") + rows)
    assert path.stat().st_size > 1 << 23
    assert read_interactions(path)["user_id"].to_pylist() == list(range(300_000))


def test_items_without_an_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="column 'item_id', row 2 is empty; expected an integer"):
        read_items(write(tmp_path / "items.csv", "item_id,title\n3,A\n,B\n"))
    with pytest.raises(Problem, match="column 'item_id' is missing; expected one of id, title"):
        read_items(write(tmp_path / "items.csv", "id,title\n3,A\n"))


def test_users_may_be_absent(tmp_path: Path) -> None:
    assert read_users(tmp_path / "users.csv").num_rows == 0
    table = read_users(write(tmp_path / "users.csv", "user_id,sex\n8,Ж\n"))
    assert table.to_pylist() == [{"user_id": 8, "sex": "Ж"}]
