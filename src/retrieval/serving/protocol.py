"""HTTP/1.1 of uvicorn, for clients that send many requests before they read an answer."""

from asyncio import Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PIECE = 4096  # bytes that are parsed at once: at most some 200 requests wait


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which reads on only when the requests that it has read are answered.

    uvicorn itself reads on after every answer, and keeps all requests that it has read in memory.
    """

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        self._unread = b""
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, as far as no request waits."""
        self._unread += data
        self._parse()

    def on_response_complete(self) -> None:
        """Begin the next request."""
        super().on_response_complete()
        self._parse()

    def _parse(self) -> None:
        while self._unread and not self.pipeline and not self.transport.is_closing():
            piece, self._unread = self._unread[:PIECE], self._unread[PIECE:]
            super().data_received(piece)
        if self._unread:
            self.flow.pause_reading()
