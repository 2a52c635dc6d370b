"""What happens to every request: an id, limits of size and time, a line of log, counters. Plain ASGI."""

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

REQUESTS = Counter("retrieval_requests", "Requests by route and status", ["route", "method", "status"])
SECONDS = Histogram(
    "retrieval_request_seconds", "Seconds of a request", ["route"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10),
)  # fmt: skip
ID = re.compile(rb"[\w.\-]{1,64}")

log = logging.getLogger("retrieval.service")


class Lines(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": moment, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def log_to_stderr() -> None:
    """All logs of this process as lines of JSON; uvicorn's line of a request is left to `Guard`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn.access").propagate = False


class Guard:
    """Wraps the app; `body` bytes and `timeout` seconds are the limits of a request."""

    def __init__(self, app: ASGIApp, body: int, timeout: float) -> None:
        self.app, self.body, self.timeout = app, body, timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), 0
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request = given if ID.fullmatch(given) else uuid.uuid4().hex.encode()

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request)]
            await send(message)

        try:
            async with asyncio.timeout(self.timeout):
                await self.app(scope, self._limited(receive), sent)
        except TimeoutError:
            await _answer(sent, status, 503, f"no answer within {self.timeout:g} seconds")
        except Exception:
            log.exception("request failed", extra={"fields": {"request_id": request.decode()}})
            await _answer(sent, status, 500, "internal error")
        seconds = time.perf_counter() - started
        route = getattr(scope.get("route"), "path", "none")
        REQUESTS.labels(route, scope["method"] if route != "none" else "any", status).inc()
        SECONDS.labels(route).observe(seconds)
        fields = {"request_id": request.decode(), "method": scope["method"], "path": scope["path"], "route": route}
        log.info("request", extra={"fields": {**fields, "status": status, "ms": round(1000 * seconds, 2)}})

    def _limited(self, receive: Receive) -> Receive:
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.body:
                raise HTTPException(413, f"the body has more than {self.body} bytes")
            return message

        return limited


async def _answer(send: Send, sent: int, status: int, detail: str) -> None:
    if sent:  # an answer has begun: nothing better can be said
        return
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
