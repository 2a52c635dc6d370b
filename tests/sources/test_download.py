"""Downloads from a server that cuts connections, fails and sends wrong bytes."""

import hashlib
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources import download as module
from retrieval.sources.download import ATTEMPTS, blob_id, cache_path, download

import numpy as np
import pytest

DATA = np.random.default_rng(0).bytes(20_000)


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.fixture
def path(out: Path) -> Path:
    return out / "data.zip"


@pytest.fixture
def part(path: Path) -> Path:
    """Where a download waits until it is complete."""
    return path.with_name("data.zip.part")


@pytest.fixture(autouse=True)
def serve_data(server) -> None:
    server.data = DATA


def test_a_file_arrives_whole(server, path: Path) -> None:
    download(server.url, path, git_blob(DATA))
    assert path.read_bytes() == DATA
    assert server.requests == [None]


def test_the_blob_id_is_that_of_git(tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert blob_id(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object


def test_the_cache_is_in_the_users_cache_folder(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_path("a.zip") == cache / "two-tower-retrieval" / "a.zip"
    assert cache_path("a.zip").parent.is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_path("a.zip") == tmp_path / ".cache" / "two-tower-retrieval" / "a.zip"


def test_a_cut_connection_is_resumed_where_it_broke_off(server, path: Path) -> None:
    server.cuts = [1000, 500]
    download(server.url, path, git_blob(DATA))
    assert server.requests == [None, "bytes=1000-", "bytes=1500-"]
    assert path.read_bytes() == DATA


def test_a_later_call_resumes_where_an_earlier_one_gave_up(server, path: Path, part: Path) -> None:
    server.cuts = [1000] + [0] * 10
    message = (
        r"data_original\.zip: the connection ended after 1,000 of 20,000 bytes, 5 times in a row; "
        r"what has arrived is kept: run this again to resume, or fetch the file elsewhere and put it at .*data\.zip: "
        "it is checked like a download$"
    )
    with pytest.raises(Problem, match=message):
        download(server.url, path, git_blob(DATA))
    assert part.read_bytes() == DATA[:1000]
    assert not path.exists()
    server.cuts, server.requests = [], []
    download(server.url, path, git_blob(DATA))
    assert server.requests == ["bytes=1000-"]
    assert path.read_bytes() == DATA
    assert not part.exists()


def test_many_cuts_are_fine_as_long_as_bytes_arrive(server, path: Path) -> None:
    server.cuts = [1000] * 15
    download(server.url, path, git_blob(DATA))
    assert len(server.requests) == 16


def test_a_server_without_ranges_is_read_from_the_start(server, path: Path) -> None:
    server.cuts, server.ranges = [1000], False
    download(server.url, path, git_blob(DATA))
    assert server.requests == [None, "bytes=1000-"]
    assert path.read_bytes() == DATA


def test_errors_of_the_server_are_retried_after_a_doubled_pause(server, path: Path, monkeypatch) -> None:
    pauses = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    server.codes = [500, 503, 429, 408]
    download(server.url, path, git_blob(DATA))
    assert len(server.requests) == 5
    assert pauses == [0.001, 0.002, 0.004, 0.008]


def test_an_error_that_persists_is_reported(server, path: Path) -> None:
    server.codes = [500] * 9
    with pytest.raises(Problem, match=r"data_original\.zip: the server answers 500 .*5 times in a row"):
        download(server.url, path, git_blob(DATA))
    assert len(server.requests) == ATTEMPTS


def test_not_found_is_not_retried(server, path: Path) -> None:
    server.codes = [404]
    with pytest.raises(
        Problem,
        match=r"data_original\.zip: the server answers 404 Not Found; .* or fetch the file elsewhere .*: it is",
    ):
        download(server.url, path, git_blob(DATA))
    assert len(server.requests) == 1


def test_no_server_and_no_url(server, path: Path) -> None:
    with pytest.raises(Problem, match=r"http://127\.0\.0\.1:9/x\.zip: .*Connection refused.*5 times in a row"):
        download("http://127.0.0.1:9/x.zip", path, "0" * 40)
    with pytest.raises(Problem, match=r"x\.zip: unknown url type"):
        download("x.zip", path, "0" * 40)


def test_a_wrong_byte_is_found_and_the_download_removed(server, path: Path, part: Path) -> None:
    server.data = DATA[:1000] + bytes([DATA[1000] ^ 1]) + DATA[1001:]
    message = f"has git blob id {git_blob(server.data)}, expected {git_blob(DATA)}; the download was removed: run"
    with pytest.raises(Problem, match=message):
        download(server.url, path, git_blob(DATA))
    assert not path.exists()
    assert not part.exists()
    server.data = DATA
    download(server.url, path, git_blob(DATA))
    assert path.read_bytes() == DATA


def test_a_partial_file_longer_than_the_file_is_removed(server, path: Path, part: Path) -> None:
    part.write_bytes(DATA + b"more")
    with pytest.raises(Problem, match="run this again"):
        download(server.url, path, git_blob(DATA))
    assert not path.exists()
    assert not part.exists()


def test_a_file_put_there_is_checked_and_never_removed(server, path: Path) -> None:
    path.write_bytes(DATA[:500])
    with pytest.raises(
        Problem, match=f"data.zip: has git blob id {git_blob(DATA[:500])}, expected .*remove it, so that"
    ):
        download(server.url, path, git_blob(DATA))
    assert path.read_bytes() == DATA[:500]
    assert server.requests == []


def test_a_complete_file_needs_no_server(server, path: Path) -> None:
    path.write_bytes(DATA)
    download(server.url, path, git_blob(DATA))
    assert server.requests == []


def test_a_cache_that_cannot_be_made_is_refused_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(Problem, match="no folder for downloads: Not a directory; name another in XDG_CACHE_HOME"):
        cache_path("name")
