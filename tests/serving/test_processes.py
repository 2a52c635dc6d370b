"""The service in real processes on loopback: load, reload, signals, workers."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

from retrieval import matrices
from retrieval.serving import processes

import httpx
import pytest
import uvicorn
from service_process import COMMAND, SECONDS, TOKEN, command_line, environment, start, wait_until, workers
from worlds import MODELS, ROOT, resave, train_models

HEAD = b"POST /reco/dssm HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n"


def reload(http: httpx.Client) -> httpx.Response:
    return http.post("/reload", headers={"authorization": f"Bearer {TOKEN}"})


def connect(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port(url)), timeout=SECONDS)


def port(url: str) -> int:
    return int(url.rsplit(":")[-1])


def is_refused(url: str) -> bool:
    try:
        connect(url).close()
    except ConnectionError:
        return True
    return False


def read_until(link: socket.socket, end: bytes) -> bytes:
    """What comes up to these bytes; all if they are empty."""
    text = b""
    while not (end and text.endswith(end)) and (more := link.recv(65536)):
        text += more
    return text


@pytest.mark.slow
def test_memory_stays_over_a_hundred_thousand_requests(world):
    paths = [f"/reco/{name}/{10 * user + 5}" for name in ("dssm", "ease", "popular") for user in range(60)]
    paths += ["/similar/dssm/10", "/users/15/history", "/items?query=film", "/reco/no/1", "/models"]

    def resident(process: subprocess.Popen) -> int:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    with start(world) as (process, url):

        def ask(count: int) -> None:
            link = http.client.HTTPConnection(url.removeprefix("http://"))
            for i in range(count):
                if i % 50:
                    link.request("GET", paths[i % len(paths)])
                else:
                    body = json.dumps({"history": [{"item_id": 10}], "demographics": {"age": "old"}})
                    link.request("POST", "/reco/dssm", body, {"content-type": "application/json"})
                answer = link.getresponse()
                answer.read()
                assert answer.status in (200, 404)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, [2_500] * 4))
            before = resident(process)
            list(pool.map(ask, [25_000] * 4))
        assert resident(process) - before < 8_000  # kilobytes; a leak of 100 bytes per request would be 10,000


def test_answers_under_32_clients_are_the_serial_answers(world):
    paths = [f"/reco/{name}/{10 * user + 5}?k=20" for name in MODELS for user in range(60)]
    limits = httpx.Limits(max_keepalive_connections=32, keepalive_expiry=None)  # else httpx closes some in use
    with start(world, "--workers", "2") as (_, url), httpx.Client(base_url=url, timeout=SECONDS, limits=limits) as http:
        serial = [http.get(path).json() for path in paths]
        with ThreadPoolExecutor(32) as pool:
            assert list(pool.map(lambda path: http.get(path).json(), paths * 2)) == serial * 2
        counts = re.findall(r'requests_total\{.*reco.*"200"\} (\S+)', http.get("/metrics").text)
        assert sum(map(float, counts)) == 3 * len(paths), "of both workers"


def test_reload_under_load_fails_no_request_and_refuses_broken_folders(world, copy, tmp_path):
    other = Path(shutil.copytree(world, tmp_path / "other"))
    train_models(other, seed=1)
    stop, statuses = threading.Event(), []

    def ask(url: str) -> None:
        with httpx.Client(base_url=url, timeout=SECONDS) as http:
            while not stop.is_set():
                statuses.append(http.get("/reco/dssm/15").status_code)

    def replace(source: Path) -> None:
        (copy / "models").rename(copy / f"old-{time.monotonic_ns()}")
        shutil.copytree(source / "models", copy / "models")

    def answer(http: httpx.Client) -> list[float]:
        return http.get("/reco/dssm/15").json()["scores"]

    log = tmp_path / "log"
    with (
        start(copy, log=log) as (process, url),
        httpx.Client(base_url=url, timeout=SECONDS) as http,
        ThreadPoolExecutor(4) as pool,
    ):
        clients = [pool.submit(ask, url) for _ in range(4)]
        old = answer(http)
        replace(other)
        assert answer(http) == old
        assert reload(http).json()["changed"]
        new = answer(http)
        assert new != old
        (copy / "models" / "dssm" / "right.npy").unlink()
        assert reload(http).status_code == 409
        assert "right.npy" in log.read_text(encoding="utf-8")
        assert answer(http) == new
        replace(world)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: answer(http) == old)
        wait_until(lambda: len(statuses) > 20)
        stop.set()
        for client in clients:
            client.result()
    assert set(statuses) == {200}
    for line in log.read_text(encoding="utf-8").splitlines():
        assert {"time", "level", "message"} <= set(json.loads(line))


def test_every_worker_reloads_and_a_killed_one_is_replaced(copy):
    with start(copy, "--workers", "2") as (process, url):

        def versions() -> set[str]:
            return {json.load(urllib.request.urlopen(f"{url}/models"))["version"] for _ in range(12)}

        before = versions()
        assert len(before) == 1
        path = copy / "models" / "ials"
        model = matrices.load(path)
        resave(path, model, right=model.right * 2)
        with httpx.Client(base_url=url, timeout=SECONDS) as http:
            assert reload(http).json()["changed"]
        wait_until(lambda: len(versions() | before) == 2 and before.isdisjoint(versions()))
        wait_until(lambda: len(workers(process)) == 2)
        killed = workers(process)[0]
        os.kill(killed, signal.SIGKILL)
        for _ in range(20):
            assert urllib.request.urlopen(f"{url}/reco/dssm/15", timeout=SECONDS).status == 200
        wait_until(lambda: killed not in workers(process) and len(workers(process)) == 2)


def test_a_worker_that_needs_20_seconds_before_it_answers_comes_up(world, tmp_path):
    """uvicorn's own parent gives it five."""
    slow = "import sys, time\nif 'spawn_main' in str(sys.orig_argv): time.sleep(20)\n"
    (tmp_path / "sitecustomize.py").write_text(slow, encoding="utf-8")
    path, log = f"{tmp_path}{os.pathsep}{ROOT / 'src'}", tmp_path / "log"
    begin = time.monotonic()
    with start(world, "--workers", "2", log=log, PYTHONPATH=path) as (_, url):
        assert time.monotonic() - begin > 20, "it has slept"
        assert urllib.request.urlopen(f"{url}/reco/dssm/15", timeout=SECONDS).status == 200
    assert "replaced" not in log.read_text(encoding="utf-8")


def test_workers_end_with_their_parent_and_free_the_port(world):
    with start(world, "--workers", "2") as (process, url):
        wait_until(lambda: len(workers(process)) == 2)
        orphans = workers(process)
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(command_line, orphans)))
        with socket.socket() as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            link.bind(("127.0.0.1", port(url)))


def test_after_a_kill_a_new_start_gives_the_same_answers(world):
    with start(world) as (process, url):
        first = httpx.get(f"{url}/reco/dssm/15", timeout=SECONDS).json()
        process.kill()
    with start(world) as (_, url):
        assert httpx.get(f"{url}/reco/dssm/15", timeout=SECONDS).json() == first


def test_after_sigterm_requests_that_have_begun_are_answered(world):
    """A request has begun when the service asks for its body. That is sent once new connections are refused."""
    body = b'{"k": 3}'
    with start(world, "--timeout", str(SECONDS)) as (process, url), connect(url) as link:
        link.sendall(HEAD % (len(body), b"expect: 100-continue\r\n"))
        assert read_until(link, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        process.terminate()
        wait_until(lambda: is_refused(url))
        link.sendall(body)
        assert read_until(link, b"").startswith(b"HTTP/1.1 200")
        process.wait(SECONDS)


def test_a_body_that_never_arrives_times_out(world):
    with start(world, "--timeout", "0.5") as (_, url), connect(url) as link:
        link.sendall(HEAD % (9, b"") + b"{")
        answer = read_until(link, b"}")
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"no answer within 0.5 seconds" in answer


@pytest.mark.parametrize("flags", [[], ["--workers", "2"]])
def test_broken_folders_end_the_start_with_one_line(copy, flags):
    (copy / "models" / "dssm" / "card.json").write_text("{}", encoding="utf-8")
    command = [*COMMAND, "--models", str(copy / "models"), "--port", "0", *flags]
    process = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert process.returncode == 1
    (line,) = [line for line in map(json.loads, process.stderr.splitlines()) if line["level"] != "info"]
    assert line["message"].startswith("not started: ")


class FakeWorker:
    """Stands for uvicorn's `Process`: a worker that does only what the test says."""

    numbers = count(1)

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        self.parent_conn, self.child_conn = Pipe()
        self.pid, self.exitcode = next(self.numbers), None
        self.process = SimpleNamespace(is_alive=lambda: self.exitcode is None)

    def start(self) -> None:
        pass

    def join(self) -> None:
        assert self.exitcode is not None

    def kill(self) -> None:
        self.exitcode = -9 if self.exitcode is None else self.exitcode

    def answer(self, ready: bool) -> None:
        assert self.child_conn.poll(), "pinged"
        self.child_conn.recv()
        self.child_conn.send(ready)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that the parent sees."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def hangups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the processes that got SIGHUP."""
    found: list[int] = []

    def kill(pid: int, number: int) -> None:
        assert number == signal.SIGHUP
        found.append(pid)

    monkeypatch.setattr(processes, "os", SimpleNamespace(kill=kill))
    return found


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> processes.Supervisor:
    """A parent of two fake workers, the first of which has just been started. It waits 120 seconds for an answer."""
    monkeypatch.setattr(processes, "Process", FakeWorker)
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    parent = processes.Supervisor(uvicorn.Config("", workers=2, timeout_worker_healthcheck=120), [])
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    parent.init_processes()
    parent.keep_subprocess_alive()
    return parent


def test_the_other_workers_start_when_the_first_one_is_ready(parent):
    (first,) = parent.processes
    first.answer(False)
    parent.keep_subprocess_alive()
    parent.keep_subprocess_alive()
    assert parent.processes == [first], "still loading"
    first.answer(True)
    parent.keep_subprocess_alive()
    assert len(parent.processes) == 2


def test_a_dead_worker_is_replaced_at_once_and_a_hung_one_after_the_timeout(parent, clock):
    parent.processes[0].answer(True)
    parent.keep_subprocess_alive()
    parent.keep_subprocess_alive()
    first, hung = parent.processes
    first.exitcode = -9
    parent.keep_subprocess_alive()
    assert first not in parent.processes
    assert hung in parent.processes, "the parent does not wait for its answer"
    clock.now = 119
    parent.keep_subprocess_alive()
    parent.processes[0].answer(True)
    parent.keep_subprocess_alive()
    assert hung in parent.processes
    clock.now = 121
    parent.keep_subprocess_alive()
    assert hung.exitcode == -9
    assert hung not in parent.processes
    assert len(parent.processes) == 2
    assert not parent.should_exit.is_set()


def test_the_service_ends_if_the_first_worker_does_before_it_is_ready(parent):
    parent.processes[0].exitcode = 1
    parent.keep_subprocess_alive()
    assert parent.failed
    assert parent.should_exit.is_set()


def test_a_worker_that_is_still_loading_reloads_later(parent, hangups):
    parent.processes[0].answer(True)
    parent.keep_subprocess_alive()
    parent.keep_subprocess_alive()
    first, second = parent.processes
    parent.handle_hup()
    assert hangups == [first.pid]
    second.answer(True)
    parent.keep_subprocess_alive()
    assert hangups == [first.pid, second.pid]


@pytest.mark.parametrize(("alive", "expected"), [(True, [123]), (False, [])])
def test_a_reload_signals_the_parent_unless_it_has_ended(monkeypatch, hangups, alive, expected):
    """The parent of an orphan is process 1."""
    parent = SimpleNamespace(pid=123, is_alive=lambda: alive)
    monkeypatch.setattr(processes.multiprocessing, "parent_process", lambda: parent)
    processes.reload_all()
    assert hangups == expected
