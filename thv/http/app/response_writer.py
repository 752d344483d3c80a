"""How one HTTP request is answered: a body at once, or a stream of events for as long as it lasts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thv.http.app.event_store import Send, Stream
    from thv.http.app.request_validation import Receive

    Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")

EVENTS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
)

NO_CONTENT = 204


class ResponseWriter:
    """The answer to one request.

    Args:
        receive, send: of the ASGI application.

    Attributes:
        headers: go with whatever is answered.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive = receive
        self._send = send
        self.headers: list[Header] = []

    async def json(self, status: int, body: bytes, *headers: Header) -> None:
        """Answer with a JSON body."""
        await self._whole(status, body, [JSON, *headers, *self.headers])

    async def empty(self, status: int, *headers: Header) -> None:
        """Answer without a body."""
        await self._whole(status, b"", [*headers, *self.headers])

    async def carry(self, stream: Stream, after: int = 0) -> None:
        """Answer with a stream, from the event after the first `after` ones, until it ends or the client is gone."""
        connection = stream.attach()
        watcher = asyncio.create_task(self._watch(stream, connection))
        try:
            headers = [*EVENTS, *self.headers]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await stream.carry(self._send, connection, after)
        finally:
            stream.detach(connection)
            watcher.cancel()

    async def left(self) -> None:
        """Wait until the client has closed its connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def _whole(self, status: int, body: bytes, headers: list[Header]) -> None:
        if status != NO_CONTENT:
            headers.append((b"content-length", b"%d" % len(body)))
        start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})

    async def _watch(self, stream: Stream, connection: int) -> None:
        await self.left()
        stream.detach(connection)
