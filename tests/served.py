"""The service in a process of its own, on loopback."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from folders import ROOT


@contextmanager
def served(world: Path, *flags: str, log: Path | None = None) -> Iterator[tuple[subprocess.Popen, str]]:
    """The service in a process of its own: the process, and its URL once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "retrieval.serving", "--models", str(world / "models"), "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "RETRIEVAL_TOKEN": "secret"}
    with (log or Path(os.devnull)).open("w") as stderr:
        process = subprocess.Popen([*command, *flags], env=environment, stderr=stderr, cwd=world)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url))
        yield process, url
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    """Whether the service is ready."""
    try:
        return urllib.request.urlopen(f"{url}/ready", timeout=5).status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to come true; fail if it does not."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
