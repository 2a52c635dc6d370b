"""A client that sends many requests before it reads an answer: they wait in its connection, not in memory."""

import asyncio
import re
import socket
import threading
from types import SimpleNamespace

from retrieval.serving.protocol import PIECE, Protocol

import uvicorn
from service_process import start
from uvicorn.server import ServerState

REQUEST = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


def test_requests_that_wait_are_bounded_and_reading_stops():
    async def check() -> None:
        async def never(scope, receive, send):
            await asyncio.Event().wait()

        config = uvicorn.Config(never, log_config=None, http=Protocol, lifespan="off")
        config.load()
        calls: list[str] = []
        transport = SimpleNamespace(
            get_extra_info=lambda name: None,
            is_closing=lambda: False,
            pause_reading=lambda: calls.append("pause"),
            resume_reading=lambda: calls.append("resume"),
        )
        connection = Protocol(config, ServerState(), {}, asyncio.get_running_loop())
        connection.connection_made(transport)
        connection.data_received(REQUEST * 10_000)
        assert 0 < len(connection.pipeline) <= PIECE // len(REQUEST)
        assert calls[-1] == "pause"
        for task in connection.tasks:
            task.cancel()

    asyncio.run(check())


def test_all_are_answered_in_their_order(world):
    paths = [f"/reco/popular/{10 * (n % 60) + 5}?k=1" for n in range(2_000)]
    requests = b"".join(
        f"GET {path} HTTP/1.1\r\nhost: x\r\nx-request-id: {n}\r\n\r\n".encode() for n, path in enumerate(paths)
    )
    with start(world) as (_, url), socket.create_connection(("127.0.0.1", int(url.rsplit(":")[-1]))) as link:
        threading.Thread(target=link.sendall, args=(requests,)).start()
        text = b""
        while len(ids := re.findall(rb"x-request-id: (\d+)", text)) < len(paths):
            text += link.recv(65536)
    assert [int(number) for number in ids] == list(range(len(paths)))
    assert text.count(b"HTTP/1.1 200") == len(paths)
