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
SECONDS = 300  # an upper bound of every wait, even on slow and busy machines


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, with the library on the path."""
    return os.environ | {"PYTHONPATH": str(ROOT / "src")} | variables


@contextmanager
def start(
    world: Path, *flags: str, log: Path | None = None, **variables: str
) -> Iterator[tuple[subprocess.Popen, str]]:
    """Run the service over the models of `world`: the process, and its URL once it answers. stderr goes to `log`."""
    port = free_port()
    command = [*COMMAND, "--models", str(world / "models"), "--port", str(port), *flags]
    with (log or Path(os.devnull)).open("w") as stderr:
        process = subprocess.Popen(
            command, env=environment(RETRIEVAL_TOKEN=TOKEN, **variables), stderr=stderr, cwd=world
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_ready(url, process))
        yield process, url
    finally:
        process.terminate()
        process.wait(SECONDS)


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(url: str, process: subprocess.Popen) -> bool:
    """Whether the service answers. Its process must not have ended."""
    assert process.poll() is None, f"the service ended with exit code {process.returncode}"
    try:
        return urllib.request.urlopen(f"{url}/ready", timeout=SECONDS).status == 200
    except (urllib.error.URLError, ConnectionError):
        return False


def workers(process: subprocess.Popen) -> list[int]:
    """The ids of the worker processes of a service."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if "spawn_main" in command_line(int(pid))]


def command_line(pid: int) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until the condition is true; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not true within {seconds} seconds"
        time.sleep(0.05)
