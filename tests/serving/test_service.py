"""The service over HTTP: answers, bad questions, load, reload, signals. Real processes on loopback."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from retrieval import histories, matrices
from retrieval.ranking import rank
from retrieval.serving.app import create
from retrieval.serving.settings import Settings

import httpx
import numpy as np
import pytest
import schemathesis
from fastapi import FastAPI
from folders import ROOT, build, resave, train
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from served import served, wait_until
from starlette.testclient import TestClient

MODELS = ["dssm", "ease", "ials", "itemknn", "popular", "popular_7d", "userknn"]
HEAD = b"POST /reco/dssm HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def app(world: Path) -> FastAPI:
    return create(Settings(models=world / "models", metrics=world / "metrics.json", token="secret", body=20_000))


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_health_and_models(client):
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    models = client.get("/models").json()
    assert (models["default"], models["fallback"]) == ("dssm", "popular")
    assert models["demographics"] == {"age": ["old", "young"], "sex": ["F", "M"]}
    dssm = {model["name"]: model for model in models["models"]}["dssm"]
    assert dssm["metrics"] == {"map@10": 0.25}
    assert (dssm["users"], dssm["items"], dssm["dimensions"], dssm["profiles"], dssm["similar"]) == (60, 150, 9, 1, 1)


@pytest.mark.parametrize("name", MODELS)
def test_recommendations_are_the_ranking_of_evaluate(client, world, name):
    data = histories.load(world / "features")
    model = matrices.load(world / "models" / name)
    expected = rank(model.left, model.right, np.arange(60), 7, data.seen)
    for user, user_id in enumerate(data.user_ids):
        answer = client.get(f"/reco/{name}/{user_id}", params={"k": 7}).json()
        assert answer["items"] == data.item_ids[expected.items[user]].tolist()
        np.testing.assert_allclose(answer["scores"], expected.scores[user], rtol=1e-5, atol=1e-6)
        assert answer["personal"] == (not name.startswith("popular"))
        assert answer["seen"] == [False] * 7


def test_what_was_seen_comes_back_marked_when_asked_for(client):
    answer = client.get("/reco/popular/15", params={"k": 100, "exclude_seen": False}).json()
    history = {visit["item_id"] for visit in client.get("/users/15/history", params={"k": 100}).json()["history"]}
    assert history
    marked = {item for item, seen in zip(answer["items"], answer["seen"], strict=True) if seen}
    assert marked == history & set(answer["items"])
    assert marked


def test_an_unknown_user_is_refused_or_given_the_flagged_fallback(client):
    refused = client.get("/reco/dssm/999")
    assert refused.status_code == 404
    assert "fallback=true" in refused.json()["detail"]
    answer = client.get("/reco/dssm/999", params={"fallback": True, "k": 3}).json()
    assert (answer["model"], answer["personal"], answer["user_id"], len(answer["items"])) == ("popular", False, 999, 3)
    assert answer["scores"] == sorted(answer["scores"], reverse=True)
    assert client.get("/reco/dssm/15", params={"fallback": True}).json()["personal"]


@pytest.mark.parametrize("name", ["dssm", "ease", "itemknn"])
def test_a_profile_like_a_user_gets_what_the_user_gets(client, name):
    for user_id in (5, 15, 25, 595):
        user = client.get(f"/users/{user_id}/history", params={"k": 100}).json()
        watched = [{"item_id": visit["item_id"], "date": visit["date"]} for visit in reversed(user["history"])]
        shuffled = watched[1::2] + watched[::2]  # the dates say the order
        profile = {"history": shuffled, "demographics": user["demographics"], "k": 20}
        got, expected = client.post(f"/reco/{name}", json=profile).json(), client.get(f"/reco/{name}/{user_id}?k=20")
        assert got["items"] == expected.json()["items"]
        assert got["user_id"] is None


def test_a_profile_need_not_say_dates_nor_anything(client):
    empty = client.post("/reco/dssm", json={}).json()
    assert len(empty["items"]) == 10
    assert all(np.isfinite(empty["scores"]))
    assert not empty["personal"]
    one, other = ([{"item_id": 3 + 7 * item} for item in order] for order in ((1, 4, 7), (7, 4, 1)))
    answers = [client.post("/reco/dssm", json={"history": history}).json() for history in (one, other)]
    assert answers[0]["scores"] != answers[1]["scores"]  # the order counts
    assert answers[0]["personal"]


def test_an_item_that_stands_twice_counts_where_it_stands_last(client):
    twice, once = [10, 31, 10], [31, 10]
    bodies = [{"history": [{"item_id": item} for item in items]} for items in (twice, once)]
    got = [client.post("/reco/ease", json=body).json() for body in bodies]
    assert got[0] == got[1]
    assert not {10, 31} & set(got[0]["items"])


def test_similar_items_and_searches(client):
    answer = client.get("/similar/dssm/10?k=4").json()
    assert (answer["item_id"], len(answer["items"])) == (10, 4)
    assert 10 not in answer["items"]
    found = client.get("/items", params={"query": "film 14", "k": 3}).json()
    assert len(found) == 3
    assert all("Film 14" in item["title"] for item in found)
    assert client.get("/users?query=59&k=5").json() == [595]
    assert len(client.get("/users").json()) == 10


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/reco/dsm/15", 404, "did you mean 'dssm'"),
        ("/reco/dssm/16", 404, "user 16 is not in the data"),
        ("/reco/dssm/99999999999999999999", 422, "less than or equal to"),
        ("/reco/dssm/-99999999999999999999", 422, "greater than or equal to"),
        ("/reco/dssm/" + "9" * 5000, 422, "integer"),
        ("/reco/dssm/NaN", 422, "integer"),
        ("/reco/dssm/1.5", 422, "integer"),
        ("/reco/dssm/15?k=0", 422, "greater than or equal to 1"),
        ("/reco/dssm/15?k=101", 422, "less than or equal to 100"),
        ("/reco/dssm/15?k=inf", 422, "integer"),
        ("/reco/dssm/15?exclude_seen=perhaps", 422, "boolean"),
        ("/similar/dssm/4", 404, "item 4 is not in the catalogue"),
        ("/similar/popular/10", 422, "no vectors of items"),
        ("/users/16/history", 404, "user 16 is not in the data"),
        ("/users?query=1x", 422, "pattern"),
        ("/items?query=" + "a" * 201, 422, "at most 200"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_bad_questions_get_a_reason(client, path, status, reason):
    answer = client.get(path)
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "body", "status", "reason"),
    [
        ("dssm", '{"history": [{"item_id": 4}]}', 422, "history: not in the catalogue: 4"),
        ("dssm", '{"history": [{"item_id": 1e400}]}', 422, "finite"),
        ("dssm", '{"history": [{"item_id": 99999999999999999999}]}', 422, "less than or equal"),
        ("dssm", '{"history": [{"item_id": 10, "date": NaN}]}', 422, "date"),
        ("dssm", '{"history": [{"item_id": 10, "date": "1997-01-01"}, {"item_id": 31}]}', 422, "a date for every item"),
        ("dssm", '{"demographics": {"age": NaN}}', 422, "string"),
        ("dssm", '{"demographics": {"age": "\\ud800"}}', 422, ""),
        ("dssm", '{"demographics": {"age": "yung"}}', 422, "did you mean 'young'"),
        ("dssm", '{"demographics": {"ag": "young"}}', 422, "did you mean 'age'"),
        ("dssm", '{"k": NaN}', 422, "finite"),
        ("dssm", '{"k": 1000}', 422, "less than or equal to 100"),
        ("dssm", '{"kk": 1}', 422, "Extra inputs"),
        ("dssm", '{"history": [' + ",".join(['{"item_id": 10}'] * 1001) + "]}", 422, "at most 1000"),
        ("dssm", '{"history": ', 422, "JSON"),
        ("dssm", "[" * 9000, 422, ""),
        ("dssm", "\xff", 422, ""),
        ("ials", "{}", 422, "of a profile, ask dssm, ease"),
        ("nothing", "{}", 404, "no such model"),
        ("dssm", '{"k": ' + " " * 30_000 + "1}", 413, "more than 20000 bytes"),
    ],
)
def test_bad_profiles_get_a_reason(client, name, body, status, reason):
    answer = client.post(f"/reco/{name}", content=body.encode("latin1"), headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1997-01-01", 0, -1])
def test_dates_at_the_ends_of_time_are_dates(client, date):
    body = {"history": [{"item_id": 10, "date": date}, {"item_id": 31, "date": "1997-01-01T00:00:00"}]}
    assert client.post("/reco/dssm", json=body).status_code == 200


def test_every_answer_has_the_requests_id_and_no_answer_says_where_files_are(client, world):
    assert client.get("/health", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = client.get("/health", headers={"x-request-id": 'a"b'}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    for path in ("/models", "/reco/no/1", "/openapi.json", "/metrics", "/"):
        assert str(world) not in client.get(path).text


def test_an_error_of_ours_is_logged_with_its_id_and_says_nothing(app, client, monkeypatch, caplog):
    monkeypatch.setattr(app.state.service, "similar", lambda *_: {"items": [float("nan")]})
    answer = client.get("/similar/dssm/10", headers={"x-request-id": "broken"})
    assert (answer.status_code, answer.json()) == (500, {"detail": "internal error"})
    assert any(getattr(record, "fields", {}).get("request_id") == "broken" for record in caplog.records)


def test_prometheus_counts_requests_by_route(client):
    client.get("/reco/dssm/15")
    text = client.get("/metrics").text
    assert re.search(r'retrieval_requests_total\{method="GET",route="/reco/\{model\}/\{user_id\}",status="200"\}', text)
    assert "retrieval_request_seconds_bucket" in text


def test_reload_wants_the_token(client):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
        assert client.post("/reload", headers=headers).status_code == 401
    answer = client.post("/reload", headers={"authorization": "Bearer secret"})
    assert (answer.status_code, answer.json()["changed"]) == (200, False)


integers = st.integers() | st.integers(min_value=0, max_value=160).map(lambda i: 7 * i + 3) | st.just(15)
scalars = (
    st.none() | st.booleans() | integers | st.floats() | st.text(max_size=5) | st.sampled_from(["age", "old", "F"])
)
visits = st.fixed_dictionaries({"item_id": integers}, optional={"date": st.datetimes().map(str) | scalars})
profiles = st.fixed_dictionaries(
    {},
    optional={
        "history": st.lists(visits | scalars, max_size=5) | scalars,
        "demographics": st.dictionaries(st.sampled_from(["age", "sex", "x"]), scalars, max_size=3) | scalars,
        "k": scalars,
        "exclude_seen": scalars,
    },
)


def check_profiles(client: TestClient, count: int) -> None:
    """Ask for the recommendations of `count` drawn profiles: none is an error of ours."""

    @settings(max_examples=count, deadline=None)
    @given(st.sampled_from([*MODELS, "x", "%00"]), profiles | scalars)
    def try_out(name: str, profile: object) -> None:
        body = json.dumps(profile).encode("utf-8", "surrogatepass")
        answer = client.post(f"/reco/{name}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 404, 422), answer.text
        json.loads(answer.text, parse_constant=pytest.fail)

    try_out()


def test_no_profile_is_an_error_of_ours(client):
    check_profiles(client, 300)


@pytest.mark.slow
def test_none_of_ten_thousand_profiles_is(client):
    check_profiles(client, 10_000)


def check_openapi(app: FastAPI, count: int) -> None:
    """Send `count` requests that the OpenAPI page allows or forbids, over every route; check status and schema."""
    operations = [one.ok() for one in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()]
    assert len(operations) == 11
    wanted = [not_a_server_error, status_code_conformance, response_schema_conformance]
    bare = {"/health", "/ready", "/models", "/metrics"}  # nothing to get wrong
    tried = [(one, mode) for one in operations for mode in GenerationMode if mode.is_positive or one.path not in bare]

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(tried).flatmap(lambda way: way[0].as_strategy(generation_mode=way[1])))
    def try_out(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=wanted)

    try_out()


def test_the_answers_are_what_the_openapi_page_says(app):
    check_openapi(app, 300)


@pytest.mark.slow
def test_ten_thousand_answers_are(app):
    check_openapi(app, 10_000)


@pytest.mark.slow
def test_memory_stays_over_a_hundred_thousand_requests(world):
    paths = [f"/reco/{name}/{10 * user + 5}" for name in ("dssm", "ease", "popular") for user in range(60)]
    paths += ["/similar/dssm/10", "/users/15/history", "/items?query=film", "/reco/no/1", "/models"]

    def resident(process: subprocess.Popen) -> int:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    with served(world) as (process, url):

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
        assert resident(process) - before < 8_000  # kilobytes; a leak of 100 bytes a request would be 10,000


def test_answers_under_32_clients_are_the_serial_answers(world):
    paths = [f"/reco/{name}/{10 * user + 5}?k=20" for name in MODELS for user in range(60)]
    kept = httpx.Limits(max_keepalive_connections=32, keepalive_expiry=None)  # else httpx closes some in use
    with served(world, "--workers", "2") as (_, url), httpx.Client(base_url=url, timeout=60, limits=kept) as http:
        serial = [http.get(path).json() for path in paths]
        with ThreadPoolExecutor(32) as pool:
            assert list(pool.map(lambda path: http.get(path).json(), paths * 2)) == serial * 2
        counted = sum(float(n) for n in re.findall(r'requests_total\{.*reco.*"200"\} (\S+)', http.get("/metrics").text))
        assert counted == 3 * len(paths)  # of both workers


def test_reload_under_load_fails_no_request_and_refuses_what_is_broken(world, tmp_path):
    copy, other = (Path(shutil.copytree(world, tmp_path / name)) for name in ("copy", "other"))
    train(other, seed=1)
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

    def reload(http: httpx.Client) -> httpx.Response:
        return http.post("/reload", headers={"authorization": "Bearer secret"})

    log = tmp_path / "log"
    with (
        served(copy, log=log) as (process, url),
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
        broken = copy / "models" / "dssm" / "right.npy"
        broken.unlink()
        assert reload(http).status_code == 409
        assert "right.npy is missing" in log.read_text(encoding="utf-8")
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


def test_every_worker_reloads_and_a_killed_one_is_replaced(world, tmp_path):
    copy = Path(shutil.copytree(world, tmp_path / "copy"))
    with served(copy, "--workers", "2") as (process, url):

        def versions() -> set[str]:
            return {json.load(urllib.request.urlopen(f"{url}/models"))["version"] for _ in range(12)}

        before = versions()
        assert len(before) == 1
        path = copy / "models" / "ials"
        model = matrices.load(path)
        resave(path, model, right=model.right * 2)
        assert httpx.post(f"{url}/reload", headers={"authorization": "Bearer secret"}, timeout=60).json()["changed"]
        wait_until(lambda: len(versions() | before) == 2 and before.isdisjoint(versions()))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(20):
            assert urllib.request.urlopen(f"{url}/reco/dssm/15", timeout=60).status == 200


def test_killed_and_started_again_it_serves(world):
    with served(world) as (process, url):
        first = httpx.get(f"{url}/reco/dssm/15").json()
        process.kill()
    with served(world) as (_, url):
        assert httpx.get(f"{url}/reco/dssm/15").json() == first


def test_sigterm_answers_what_was_begun(world):
    """A request whose body is half sent when the signal comes is answered when the other half comes."""
    body = b'{"k": 3}'
    with served(world) as (process, url), socket.create_connection(("127.0.0.1", int(url.rsplit(":")[-1]))) as link:
        link.sendall(HEAD % len(body) + body[:4])
        time.sleep(0.3)
        process.terminate()
        time.sleep(0.3)
        link.sendall(body[4:])
        assert link.recv(65536).startswith(b"HTTP/1.1 200")
        process.wait(20)


def test_a_body_that_never_comes_is_given_up(world):
    with (
        served(world, "--timeout", "0.5") as (_, url),
        socket.create_connection(("127.0.0.1", int(url.rsplit(":")[-1]))) as link,
    ):
        link.sendall(
            b"POST /reco/dssm HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
        )
        assert link.recv(65536).startswith(b"HTTP/1.1 503")


def test_no_start_on_broken_folders_and_one_line_says_why(world, tmp_path):
    copy = Path(shutil.copytree(world, tmp_path / "copy"))
    (copy / "models" / "dssm" / "card.json").write_text("{}", encoding="utf-8")
    command = [sys.executable, "-m", "retrieval.serving", "--models", str(copy / "models"), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    for flags in ([], ["--workers", "2"]):
        done = subprocess.run([*command, *flags], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "not started" in json.loads(done.stderr)["message"]


@pytest.mark.parametrize(
    ("flags", "variables", "line"),
    [
        (["--port", "abc"], {}, "serving: port: 'abc' is not valid: "),
        (["--backend", "faiss"], {}, "serving: backend: 'faiss' is not valid: "),
        ([], {"RETRIEVAL_SERVE": "dssm,popular"}, "a list is written as JSON: "),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(flags, variables, line):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")} | variables
    command = [sys.executable, "-m", "retrieval.serving", *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
