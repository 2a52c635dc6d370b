"""A file server on this machine that can cut connections and fail, and the folder that a source writes into."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from retrieval.sources import download

import pytest


@dataclass
class Server:
    """Serves `data`. Before that it answers the errors `codes`, one per request, and cuts bodies after `cuts` bytes.

    `ranges`: whether it can serve a part of the file; `requests`: the Range header of each request so far.
    """

    data: bytes = b""
    cuts: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    ranges: bool = True
    requests: list[str | None] = field(default_factory=list)
    url: str = ""


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            part = self.headers.get("Range")
            server.requests.append(part)
            if server.codes:
                return self.send_error(server.codes.pop(0))
            start = int(part.removeprefix("bytes=").removesuffix("-")) if part and server.ranges else 0
            if start >= len(server.data):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
            body = server.data[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of no data yet; retries do not wait."""
    monkeypatch.setattr(download, "PAUSE", 0.001)
    server = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(server))
    server.url = f"http://127.0.0.1:{http.server_port}/data_original.zip"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    http.shutdown()
    http.server_close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder, the only one in its parent."""
    path = tmp_path / "sources" / ".raw.partial"
    path.mkdir(parents=True)
    return path
