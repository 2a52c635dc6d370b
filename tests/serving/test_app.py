"""The application: it loads before the first request, and reloads for those who have the token."""

import ctypes
import json
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from retrieval.serving import store
from retrieval.serving.app import create
from retrieval.serving.settings import Settings

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """`create` replaces the handlers of all logs: put them back."""
    before = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = before


def test_a_reload_requires_the_token(client):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
        assert client.post("/reload", headers=headers).status_code == 401
    for scheme in ("bearer", "BEARER"):
        assert client.post("/reload", headers={"authorization": f"{scheme} secret"}).status_code == 200
    answer = client.post("/reload", headers={"authorization": "Bearer secret"})
    assert (answer.status_code, answer.json()["changed"]) == (200, False)


def test_without_a_token_nobody_can_reload(world):
    with TestClient(create(Settings(models=world / "models"))) as client:
        for headers in ({}, {"authorization": "Bearer "}):
            assert client.post("/reload", headers=headers).status_code == 401


def test_a_reload_of_broken_folders_is_refused_and_the_old_models_stay(copy, capsys):
    with TestClient(create(Settings(models=copy / "models", token="secret"))) as client:
        before = client.get("/reco/dssm/15").json()
        (copy / "models" / "dssm" / "right.npy").unlink()
        answer = client.post("/reload", headers={"authorization": "Bearer secret"})
        assert answer.status_code == 409
        assert str(copy) not in answer.text
        assert client.get("/reco/dssm/15").json() == before
    assert "right.npy" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["index.json", "space.npz", "hnsw.faiss"])
@pytest.mark.parametrize("rest", [0, 40])
def test_a_reload_of_an_index_that_is_cut_off_is_refused_and_the_old_one_stays(copy, capsys, file, rest):
    with TestClient(create(Settings(models=copy / "models", token="secret", backend="hnsw"))) as client:
        before = client.get("/reco/dssm/15").json()
        path = copy / "models" / "indexes" / "dssm" / file
        start = path.read_bytes()[:rest]
        path.unlink()
        path.write_bytes(start)
        assert client.post("/reload", headers={"authorization": "Bearer secret"}).status_code == 409
        assert client.get("/reco/dssm/15").json() == before
    assert f"dssm/{file}: does not" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library does not keep what is freed")
def test_after_a_reload_the_system_gets_the_freed_memory_back(world, monkeypatch):
    """glibc keeps 200 MB of small pieces if one after them is still in use."""
    load, in_use = store.load, []

    def wasteful(settings: Settings) -> store.Store:
        pieces = [bytes(2_000) for _ in range(100_000)]
        in_use.append(bytes(2_000))
        del pieces
        return load(settings)

    def megabytes() -> int:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) // 1000

    with TestClient(create(Settings(models=world / "models", token="secret"))) as client:
        before = megabytes()
        monkeypatch.setattr(store, "load", wasteful)
        for _ in range(2):
            assert client.post("/reload", headers={"authorization": "Bearer secret"}).status_code == 200
        assert megabytes() - before < 100


def test_a_reload_may_take_longer_than_other_requests(world, monkeypatch):
    with TestClient(create(Settings(models=world / "models", token="secret", timeout=0.1))) as client:
        load = store.load
        monkeypatch.setattr(store, "load", lambda settings: (time.sleep(0.3), load(settings))[1])
        assert client.post("/reload", headers={"authorization": "Bearer secret"}).status_code == 200


def test_broken_folders_end_the_start(copy, capsys):
    shutil.rmtree(copy / "models" / "catalogue")
    with pytest.raises(SystemExit) as ending:
        create(Settings(models=copy / "models"))
    assert ending.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "catalogue.json is missing" in json.loads(line)["message"]


def test_pages_of_the_origins_that_are_named_may_ask(world):
    with TestClient(create(Settings(models=world / "models", origin=["https://shop.example"]))) as client:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        for origin, allowed in (("https://shop.example", "https://shop.example"), ("https://evil.example", None)):
            for answer in (
                client.get("/reco/dssm/15", headers={"origin": origin}),
                client.get("/reco/dssm/15?k=0", headers={"origin": origin}),
                client.options("/reco/dssm", headers={"origin": origin} | asked),
            ):
                assert answer.headers.get("access-control-allow-origin") == allowed
    with TestClient(create(Settings(models=world / "models"))) as client:
        answer = client.get("/health", headers={"origin": "https://shop.example"})
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "ftp://shop.example", ""])
def test_an_origin_is_a_scheme_and_a_host(origin):
    with pytest.raises(ValidationError, match="origin"):
        Settings(origin=[origin])


def test_a_proxy_may_show_the_service_under_a_path_that_it_strips_or_not(world):
    with TestClient(create(Settings(models=world / "models", root_path="/reco-api", token="x"))) as client:
        for prefix in ("", "/reco-api"):
            assert client.get(f"{prefix}/reco/dssm/15").status_code == 200
            assert client.get(f"{prefix}/").status_code == 200
            assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/reco-api"}]
    for path in ("reco-api", "/reco-api/", "/a b"):
        with pytest.raises(ValidationError, match="root_path"):
            Settings(root_path=path)


def test_the_log_has_what_is_at_least_of_the_level(world, capfd):
    for level, count in (("info", 1), ("warning", 0)):
        with TestClient(create(Settings(models=world / "models", log_level=level))) as client:
            client.get("/health")
        assert capfd.readouterr().err.count('"path": "/health"') == count
