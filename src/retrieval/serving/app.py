"""The FastAPI application: the routes, over a service that is loaded before the first request."""

import asyncio
import gc
import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from retrieval.errors import Problem
from retrieval.serving.middleware import Guard, log_to_stderr
from retrieval.serving.reference import page
from retrieval.serving.routes import router
from retrieval.serving.service import Service
from retrieval.serving.settings import Settings

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

MAX_REASONS = 10  # in an answer

log = logging.getLogger("retrieval.service")


def create(settings: Settings, shared: Path | None = None) -> FastAPI:
    """The application. Invalid model folders end the process with one log line. `shared`: a folder of all workers."""
    log_to_stderr(settings.log_level)
    try:
        service = Service(settings, shared)
    except (Problem, ModuleNotFoundError) as problem:  # pymilvus is not in the image
        log.critical("not started: %s", problem)
        sys.exit(1)
    gc.collect()
    gc.freeze()  # what is loaded stays: garbage collection need not visit it
    app = FastAPI(
        title="Recommendations",
        version="1",
        description=settings.__doc__ or "",
        lifespan=_lifespan,
        docs_url=None,  # those of FastAPI load scripts from a CDN
        redoc_url=None,
        redirect_slashes=False,  # a path that ends in a slash may be an id
        root_path=settings.root_path,
    )
    app.state.service = service
    app.add_middleware(Guard, body=settings.body, timeout=settings.timeout)
    if settings.origin:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origin,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["x-request-id"],
        )
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(400, _unreadable)
    app.include_router(router)
    app.state.reference = page(app.openapi())
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """SIGHUP reloads the models, unless the application runs in a thread, as in tests."""
    tasks: set[asyncio.Task[None]] = set()

    def on_hangup() -> None:
        task = asyncio.get_running_loop().create_task(_reload(app.state.service))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)
    yield


async def _reload(service: Service) -> None:
    try:
        log.info("reloaded" if await service.reload() else "reloaded: no change")
    except Problem as problem:
        log.error("not reloaded: %s", problem)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """Where and why, without the input: it may contain values that JSON cannot express."""
    reasons = [".".join(map(str, each["loc"])) + ": " + each["msg"] for each in error.errors()[:MAX_REASONS]]
    text = "; ".join(reasons).encode("utf-8", "replace").decode()  # a key may contain lone surrogates
    return JSONResponse({"detail": text}, 422)


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the body is not valid JSON"}, 422)
