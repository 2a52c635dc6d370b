"""The application: the routes over a service that is loaded before the first request."""

import asyncio
import gc
import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from retrieval.errors import Problem
from retrieval.serving.middleware import Guard, log_to_stderr
from retrieval.serving.routes import router
from retrieval.serving.service import Service
from retrieval.serving.settings import Settings

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

REASONS = 10  # in an answer

log = logging.getLogger("retrieval.service")


def create(settings: Settings) -> FastAPI:
    """The application. Models that are not fit to be served end the process with one line of log."""
    log_to_stderr()
    try:
        service = Service(settings)
    except Problem as problem:
        log.critical("not started: %s", problem)
        sys.exit(1)
    gc.collect()
    gc.freeze()  # what is loaded now stays: no later collection walks through it
    app = FastAPI(title="Recommendations", version="1", description=settings.__doc__ or "", lifespan=_lifespan)
    app.state.service = service
    app.add_middleware(Guard, body=settings.body, timeout=settings.timeout)
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(400, _unreadable)
    app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """SIGHUP reloads the models, where the application has the process to itself."""
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
        log.info("reloaded" if await service.reload() else "reloaded: nothing new")
    except Problem as problem:
        log.error("not reloaded: %s", problem)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """Where and why, without the input, which may hold what JSON cannot."""
    reasons = [".".join(map(str, one["loc"])) + ": " + one["msg"] for one in error.errors()[:REASONS]]
    text = "; ".join(reasons).encode("utf-8", "replace").decode()  # half a surrogate pair may be the name of a key
    return JSONResponse({"detail": text}, 422)


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the body is no JSON that can be read"}, 422)
