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

from worlds import ROOT

COMMAND = (sys.executable, "-m", "retrieval.serving")
TOKEN = "secret"


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, with the library on the path."""
    return os.environ | {"PYTHONPATH": str(ROOT / "src")} | variables


@contextmanager
def start(world: Path, *flags: str, log: Path | None = None) -> Iterator[tuple[subprocess.Popen, str]]:
    """Run the service over the models of `world`: the process, and its URL once it answers. stderr goes to `log`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*COMMAND, "--models", str(world / "models"), "--port", str(port), *flags]
    with (log or Path(os.devnull)).open("w") as stderr:
        process = subprocess.Popen(command, env=environment(RETRIEVAL_TOKEN=TOKEN), stderr=stderr, cwd=world)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_ready(url))
        yield process, url
    finally:
        process.terminate()
        process.wait(20)


def is_ready(url: str) -> bool:
    """Whether the service answers."""
    try:
        return urllib.request.urlopen(f"{url}/ready", timeout=5).status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until the condition is true; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not true within {seconds} seconds"
        time.sleep(0.05)
