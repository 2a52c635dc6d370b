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
from pathlib import Path

from retrieval import matrices

import httpx
import pytest
from service_process import COMMAND, TOKEN, environment, start, wait_until
from worlds import resave, train_models

MODELS = ["dssm", "ease", "ials", "itemknn", "popular", "popular_7d", "userknn"]
HEAD = b"POST /reco/dssm HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def reload(http: httpx.Client) -> httpx.Response:
    return http.post("/reload", headers={"authorization": f"Bearer {TOKEN}"})


def connect(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rsplit(":")[-1])))


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
    with start(world, "--workers", "2") as (_, url), httpx.Client(base_url=url, timeout=60, limits=limits) as http:
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
        with httpx.Client(base_url=url, timeout=60) as http:
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
        httpx.Client(base_url=url, timeout=60) as http,
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
        stop.set()
        for client in clients:
            client.result()
    assert len(statuses) > 20
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
        with httpx.Client(base_url=url, timeout=60) as http:
            assert reload(http).json()["changed"]
        wait_until(lambda: len(versions() | before) == 2 and before.isdisjoint(versions()))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(20):
            assert urllib.request.urlopen(f"{url}/reco/dssm/15", timeout=60).status == 200


def test_after_a_kill_a_new_start_gives_the_same_answers(world):
    with start(world) as (process, url):
        first = httpx.get(f"{url}/reco/dssm/15").json()
        process.kill()
    with start(world) as (_, url):
        assert httpx.get(f"{url}/reco/dssm/15").json() == first


def test_after_sigterm_requests_that_have_begun_are_answered(world):
    """Half of the body is sent before the signal, the other half after it."""
    body = b'{"k": 3}'
    with start(world) as (process, url), connect(url) as link:
        link.sendall(HEAD % len(body) + body[:4])
        time.sleep(0.3)
        process.terminate()
        time.sleep(0.3)
        link.sendall(body[4:])
        assert link.recv(65536).startswith(b"HTTP/1.1 200")
        process.wait(20)


def test_a_body_that_never_arrives_times_out(world):
    with start(world, "--timeout", "0.5") as (_, url), connect(url) as link:
        link.sendall(HEAD % 9 + b"{")
        answer = link.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"no answer within 0.5 seconds" in answer


@pytest.mark.parametrize("flags", [[], ["--workers", "2"]])
def test_broken_folders_end_the_start_with_one_line(copy, flags):
    (copy / "models" / "dssm" / "card.json").write_text("{}", encoding="utf-8")
    command = [*COMMAND, "--models", str(copy / "models"), "--port", "0", *flags]
    process = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 1
    assert len(process.stderr.splitlines()) == 1
    assert "not started" in json.loads(process.stderr)["message"]
