"""Downloads over HTTP that resume, retry and verify the git blob id of the file."""

import hashlib
import os
import time
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from retrieval.errors import Problem

from tqdm import tqdm

ATTEMPTS = 5  # in a row without a new byte
TIMEOUT = 30.0  # seconds without a byte
PAUSE = 1.0  # seconds before the second attempt, doubled before each one after it
CHUNK = 1 << 20


def cache_path(name: str) -> Path:
    """The path of a download in the user's cache, which all clones and experiments share.

    The folder is $XDG_CACHE_HOME/two-tower-retrieval, by default under ~/.cache. `name` contains the file's hash.
    Raises `Problem` if the folder cannot be made.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "two-tower-retrieval"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"{folder}: no folder for downloads: {error.strerror}; name another in XDG_CACHE_HOME") from None
    return folder / name


def download(url: str, path: Path, blob: str) -> None:
    """Download `url` to `path` and verify that its git blob id is `blob`.

    A file at `path` is used if it has this id, whoever put it there, and refused otherwise; it is never removed. What
    has arrived waits beside it, in a file that ends in .part: if the download fails, the next call resumes at its end.
    Failed or early closed connections and the answers 408, 429 and 5xx are retried. Raises `Problem` after ATTEMPTS
    without a new byte, on any other error, and on a wrong blob id; a .part with a wrong blob id is removed.
    """
    if path.exists():
        if blob_id(path) != blob:
            raise Problem(
                f"{path}: has git blob id {blob_id(path)}, expected {blob}: this is another file, or only a part; "
                f"remove it, so that it is downloaded from {url}, or put the right one there"
            )
        return
    elsewhere = f"or fetch the file elsewhere and put it at {path}: it is checked like a download"
    part = path.with_name(f"{path.name}.part")
    _attempt(url, part, blob, elsewhere)
    actual = blob_id(part)
    if actual != blob:
        part.unlink()
        raise Problem(
            f"{url}: has git blob id {actual}, expected {blob}; the download was removed: run this again, {elsewhere}"
        )
    part.replace(path)


def _attempt(url: str, part: Path, blob: str, elsewhere: str) -> None:
    """Transfer what is missing of `part`, with retries."""
    failures = 0
    while not (part.exists() and blob_id(part) == blob):
        before = _size(part)
        try:
            return _transfer(url, part)
        except HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code not in (408, 429) and error.code < 500:
                raise Problem(f"{url}: {reason}; correct the address, {elsewhere}") from None
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
        except ValueError as error:
            raise Problem(f"{url}: {error}") from None
        failures = 1 if _size(part) > before else failures + 1
        if failures == ATTEMPTS:
            kept = "what has arrived is kept: " if _size(part) else ""
            raise Problem(f"{url}: {reason}, {ATTEMPTS} times in a row; {kept}run this again to resume, {elsewhere}")
        time.sleep(PAUSE * 2 ** (failures - 1))


def blob_id(path: Path) -> str:
    """The id of a file in git: the sha1 of "blob <length>", a zero byte, and the content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _transfer(url: str, path: Path) -> None:
    """Append the rest of the file to `path`, or write all of it if the server ignores the range."""
    start = _size(path)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if start and error.code == 416:  # nothing after `start`: the file is complete, or a different one
            return
        raise
    with response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        start = start if resumed else 0
        length = response.headers["Content-Length"]
        total = None if length is None else start + int(length)
        bar = tqdm(desc=path.name, total=total, initial=start, unit="B", unit_scale=True, disable=None)
        with path.open("ab" if resumed else "wb") as file, bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and _size(path) < total:
        raise ConnectionError(f"the connection ended after {_size(path):,} of {total:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
