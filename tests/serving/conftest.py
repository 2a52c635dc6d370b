"""A planted world, and the service over it without a process of its own."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

from retrieval.serving.app import create
from retrieval.serving.settings import Settings

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from worlds import write_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read. Its items have columns."""
    return write_world(tmp_path_factory.mktemp("serving") / "world", columns=True)


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    """A copy of the world, to do anything with."""
    return Path(shutil.copytree(world, tmp_path / "copy"))


@pytest.fixture(scope="session")
def app(world: Path) -> FastAPI:
    """The application with a token, and bodies of at most 20,000 bytes."""
    return create(Settings(models=world / "models", metrics=world / "metrics.json", token="secret", body=20_000))


@pytest.fixture(scope="session")
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client of the application."""
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


class Direct(httpx.BaseTransport):
    """Requests to the application as a server passes them on; Starlette's TestClient decodes a path twice."""

    def __init__(self, app: FastAPI) -> None:
        self._inner = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def ask() -> httpx.Response:
            answer = await self._inner.handle_async_request(request)
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

        return asyncio.run(ask())


@pytest.fixture(scope="session")
def text_app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The application over a world whose ids are text, and odd."""
    world = write_world(tmp_path_factory.mktemp("serving") / "text", text=True, columns=True)
    return create(Settings(models=world / "models", body=20_000))


@pytest.fixture(scope="session")
def text_client(text_app: FastAPI) -> Iterator[httpx.Client]:
    """A client of that application."""
    with httpx.Client(transport=Direct(text_app), base_url="http://test") as client:
        yield client
