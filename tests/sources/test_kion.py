"""The loader of KION against a server on this machine that cuts, lies and fails."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.sources import download, kion
from retrieval.sources.kion import Kion

import pytest

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


ZIP = archive(FILES)


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Server:
    """What the server does: `cut` the body after so many bytes or answer `codes`, one a request, then serve `data`."""

    data: bytes = ZIP
    cut: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    plan = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            plan.asked.append(asked)
            if plan.codes:
                return self.send_error(plan.codes.pop(0))
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and plan.ranges else 0
            if start >= len(plan.data):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(plan.data) - 1}/{len(plan.data)}")
            body = plan.data[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: plan.cut.pop(0)] if plan.cut else body)

        def log_message(self, *arguments: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    plan.url = f"http://127.0.0.1:{http.server_port}/data_original.zip"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield plan
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.001)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / ".raw.partial"
    path.mkdir()
    return path


def settings(server: Server, **changes: Any) -> Kion:
    whole = {"url": server.url, "blob": git_blob(ZIP), "interactions": 2000, "users": 1, "items": 2}
    return Kion(**{**whole, **changes})


def test_the_three_files_come_out(server: Server, out: Path) -> None:
    assert kion.fetch(settings(server), out) == {"interactions.csv": 2000, "users.csv": 1, "items.csv": 2}
    assert {f"data_original/{path.name}": path.read_text() for path in out.iterdir()} == FILES
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_git_agrees_on_the_blob_id(tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert download.blob_id(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object


def test_a_cut_connection_is_taken_up_where_it_broke(server: Server, out: Path) -> None:
    server.cut = [1000, 500]
    kion.fetch(settings(server), out)
    assert server.asked == [None, "bytes=1000-", "bytes=1500-"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: Server, out: Path) -> None:
    server.cut, server.codes = [1000], []
    server.cut += [0] * 10
    with pytest.raises(Problem, match=r"ended after 1,000 of [\d,]+ bytes, 5 times in a row; what came so far is kept"):
        kion.fetch(settings(server), out)
    assert not list(out.iterdir())
    server.cut, server.asked = [], []
    kion.fetch(settings(server), out)
    assert server.asked == ["bytes=1000-"]


def test_many_cuts_are_fine_as_long_as_bytes_come(server: Server, out: Path) -> None:
    server.cut = [len(ZIP) // 20] * 15
    kion.fetch(settings(server), out)
    assert len(server.asked) == 16


def test_a_server_without_ranges_is_read_from_the_start(server: Server, out: Path) -> None:
    server.cut, server.ranges = [1000], False
    assert kion.fetch(settings(server), out)["interactions.csv"] == 2000


def test_errors_of_the_server_are_tried_again(server: Server, out: Path) -> None:
    server.codes = [500, 503, 429]
    kion.fetch(settings(server), out)
    assert len(server.asked) == 4


def test_an_error_that_stays(server: Server, out: Path) -> None:
    server.codes = [500] * 9
    with pytest.raises(Problem, match=r"data_original\.zip: the server answers 500 .*5 times in a row"):
        kion.fetch(settings(server), out)
    assert len(server.asked) == download.ATTEMPTS


def test_not_found_is_not_tried_again(server: Server, out: Path) -> None:
    server.codes = [404]
    with pytest.raises(Problem, match=r"data_original\.zip: the server answers 404 Not Found$"):
        kion.fetch(settings(server), out)
    assert len(server.asked) == 1


def test_no_server_at_all(out: Path) -> None:
    nobody = Kion(url="http://127.0.0.1:9/x.zip", blob="0" * 40, interactions=1, users=1, items=1)
    with pytest.raises(Problem, match="5 times in a row"):
        kion.fetch(nobody, out)
    with pytest.raises(Problem, match="unknown url type"):
        kion.fetch(nobody.model_copy(update={"url": "x.zip"}), out)


def test_a_wrong_byte_is_found_and_the_file_removed(server: Server, out: Path) -> None:
    server.data = ZIP[:1000] + bytes([ZIP[1000] ^ 1]) + ZIP[1001:]
    with pytest.raises(Problem, match=f"has the git blob id {git_blob(server.data)}, expected {git_blob(ZIP)}"):
        kion.fetch(settings(server), out)
    assert not download.kept(f"kion-{git_blob(ZIP)}.zip").exists()
    server.data = ZIP
    kion.fetch(settings(server), out)


def test_a_leftover_longer_than_the_file_is_removed(server: Server, out: Path) -> None:
    download.kept(f"kion-{git_blob(ZIP)}.zip").write_bytes(ZIP + b"more")
    with pytest.raises(Problem, match="run this again"):
        kion.fetch(settings(server), out)
    kion.fetch(settings(server), out)


def test_a_second_fetch_needs_no_server(server: Server, out: Path) -> None:
    kion.fetch(settings(server), out)
    server.asked.clear()
    kion.fetch(settings(server), out)
    assert not server.asked


@pytest.mark.parametrize("data", [ZIP[:-2000], b"<html>"])
def test_a_truncated_zip_that_has_the_right_id(server: Server, out: Path, data: bytes) -> None:
    server.data = data
    with pytest.raises(Problem, match=r"kion-[0-9a-f]{40}\.zip: is no whole zip file"):
        kion.fetch(settings(server, blob=git_blob(data)), out)


def test_a_zip_without_a_file(server: Server, out: Path) -> None:
    server.data = archive({name: text for name, text in FILES.items() if "users" not in name})
    with pytest.raises(Problem, match=r"holds no users\.csv"):
        kion.fetch(settings(server, blob=git_blob(server.data)), out)


def test_nothing_leaves_the_archive_for_another_folder(server: Server, out: Path) -> None:
    server.data = archive({"../../evil.csv": "x", "/tmp/../../users.csv/../evil.csv": "x", **FILES})
    kion.fetch(settings(server, blob=git_blob(server.data)), out)
    assert sorted(path.name for path in out.parent.rglob("*") if path.is_file()) == [
        "interactions.csv",
        "items.csv",
        "users.csv",
    ]


def test_another_number_of_rows(server: Server, out: Path) -> None:
    with pytest.raises(Problem, match=r"kion\.items: the file has 2 rows, expected 15,963"):
        kion.fetch(settings(server, items=15_963), out)
