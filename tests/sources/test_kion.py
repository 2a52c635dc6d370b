"""The KION data set from a zip file on a local server: what is extracted, and what is refused."""

import hashlib
import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.sources import kion
from retrieval.sources.kion import Kion
from retrieval.sources.raw import Raw

import pyarrow.parquet as pq
import pytest
from worlds import section

FILES = {
    "data_original/interactions.csv": "user_id,item_id,last_watch_dt,total_dur,watched_pct\n"
    + "".join(f"{k},{k * 7919 % 1000},2021-03-13,{k * 31},{k % 100}.0\n" for k in range(2000)),
    "data_original/users.csv": "user_id,age,income,sex,kids_flg\n1,age_18_24,income_20_40,Ж,0\n",
    "data_original/items.csv": "item_id,title\n5,Фильм\n6,\n",
}


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in files.items():
            file.writestr(name, text)
    return buffer.getvalue()


def settings(server, data: bytes, **changes: Any) -> Kion:
    """The server serves `data`; the settings expect these bytes and the rows of FILES."""
    server.data = data
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return Kion(
        **section("kion", **{"url": server.url, "blob": blob, "interactions": 2000, "users": 1, "items": 2, **changes})
    )


def test_the_three_files_are_read(server, out: Path) -> None:
    raw = kion.fetch(settings(server, archive(FILES)), out)
    assert raw == Raw({"interactions.parquet": 2000, "users.parquet": 1, "items.parquet": 2})
    table = pq.read_table(out / "interactions.parquet")
    assert table.drop_columns(["tie"]).slice(1, 1).to_pylist() == [
        {"user_id": 1, "item_id": 919, "time": datetime(2021, 3, 13), "value": 1, "duration": 31}
    ]
    assert pq.read_table(out / "items.parquet").to_pylist() == [
        {"item_id": 5, "title": "Фильм"},
        {"item_id": 6, "title": None},
    ]
    assert pq.read_table(out / "users.parquet")["sex"].to_pylist() == ["Ж"]
    assert sorted(path.name for path in out.iterdir()) == ["interactions.parquet", "items.parquet", "users.parquet"]


def test_without_a_network_the_message_says_where_to_put_the_file(server, out: Path, cache: Path) -> None:
    expected = settings(server, archive(FILES))
    path = cache / "two-tower-retrieval" / f"kion-{expected.blob}.zip"
    offline = expected.model_copy(update={"url": "http://127.0.0.1:9/data_original.zip"})
    with pytest.raises(Problem, match=f"put it at {path}: it is checked like a download$"):
        kion.fetch(offline, out)
    path.write_bytes(server.data)
    assert kion.fetch(offline, out).rows["interactions.parquet"] == 2000


def test_a_second_fetch_needs_no_server(server, out: Path, cache: Path) -> None:
    expected = settings(server, archive(FILES))
    kion.fetch(expected, out)
    assert (cache / "two-tower-retrieval" / f"kion-{expected.blob}.zip").read_bytes() == server.data
    server.requests.clear()
    kion.fetch(expected, out)
    assert not server.requests


@pytest.mark.parametrize("data", [archive(FILES)[:-2000], b"<html>"])
def test_an_incomplete_zip_file_is_refused(server, out: Path, data: bytes) -> None:
    with pytest.raises(Problem, match=r"kion-[0-9a-f]{40}\.zip: not a complete zip file: "):
        kion.fetch(settings(server, data), out)


def test_a_zip_file_without_one_of_the_files_is_refused(server, out: Path) -> None:
    data = archive({name: text for name, text in FILES.items() if "users" not in name})
    with pytest.raises(Problem, match=r"kion-[0-9a-f]{40}\.zip: users\.csv is missing in the zip file"):
        kion.fetch(settings(server, data), out)


def test_nothing_is_extracted_outside_the_folder(server, out: Path) -> None:
    kion.fetch(
        settings(server, archive({"../../evil.csv": "x", "/tmp/../../users.csv/../evil.csv": "x", **FILES})), out
    )
    paths = [path for path in out.parents[1].rglob("*") if path.is_file()]
    assert sorted(path.name for path in paths) == ["interactions.parquet", "items.parquet", "users.parquet"]
    assert {path.parent for path in paths} == {out}


def test_an_unexpected_number_of_rows_is_refused(server, out: Path) -> None:
    with pytest.raises(Problem, match=r"kion\.items: the file has 2 rows, expected 15,963"):
        kion.fetch(settings(server, archive(FILES), items=15_963), out)
