"""What every request gets: an id, limits on size and time, a log line, counters. Plain ASGI."""

import asyncio
import json
import logging
import re
import sys
import time
import uuid
from datetime import UTC, datetime

from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Counter("retrieval_requests", "Requests by route, model and status", ["route", "model", "method", "status"])
SECONDS = Histogram(
    "retrieval_request_seconds", "Seconds per request", ["route", "model"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10),
)  # fmt: skip
HEADERS = ((b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"))  # of every answer
ID = re.compile(rb"[\w.\-]{1,64}")

log = logging.getLogger("retrieval.service")


class JSONFormatter(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": moment, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def log_to_stderr(level: str) -> None:
    """Log all of this process from `level` on, as JSON lines. `Guard` logs requests in place of uvicorn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.access").propagate = False


class Guard:
    """Wraps the app and limits requests to `body` bytes and `timeout` seconds. A reload has no time limit."""

    def __init__(self, app: ASGIApp, body: int, timeout: float) -> None:
        self.app, self.body, self.timeout = app, body, timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, request_id, status = time.perf_counter(), _request_id(scope), 0
        method, is_head = scope["method"], scope["method"] == "HEAD"
        if is_head:  # answered as GET, without the body
            scope = {**scope, "method": "GET"}

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *HEADERS]
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        try:
            async with asyncio.timeout(None if _path(scope) == "/reload" else self.timeout):
                await self.app(scope, self._limit(receive), send_with_id)
        except TimeoutError:
            if not status:  # an answer that has started cannot be replaced
                await _answer(send_with_id, 503, f"no answer within {self.timeout:g} seconds")
        except Exception:
            log.exception("request failed", extra={"fields": {"request_id": request_id}})
            if not status:
                await _answer(send_with_id, 500, "internal error")
        _record({**scope, "method": method}, request_id, status, time.perf_counter() - start)

    def _limit(self, receive: Receive) -> Receive:
        """`receive`, except that a body larger than the limit is answered with 413."""
        size = 0

        async def receive_within_limit() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.body:
                raise HTTPException(413, f"the body is larger than {self.body} bytes")
            return message

        return receive_within_limit


def _path(scope: Scope) -> str:
    """The path below that of a proxy."""
    return scope["path"].removeprefix(scope.get("root_path", ""))


def _request_id(scope: Scope) -> str:
    """The client's X-Request-ID if it is well formed, else a new one."""
    header = dict(scope["headers"]).get(b"x-request-id", b"")
    return header.decode() if ID.fullmatch(header) else uuid.uuid4().hex


async def _answer(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _record(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    """Count the request and log it. What has no route or model shares one label: clients cannot invent labels."""
    route = getattr(scope.get("route"), "path_format", "none")
    model = _model(scope)
    REQUESTS.labels(route, model, scope["method"] if route != "none" else "any", status).inc()
    SECONDS.labels(route, model).observe(seconds)
    fields = {"request_id": request_id, "method": scope["method"], "path": scope["path"], "route": route}
    log.info("request", extra={"fields": {**fields, "status": status, "ms": round(1000 * seconds, 2)}})


def _model(scope: Scope) -> str:
    """The model that the path names; "none" if there is none."""
    name = scope.get("path_params", {}).get("model")
    return name if name and name in scope["app"].state.service.store.models else "none"
