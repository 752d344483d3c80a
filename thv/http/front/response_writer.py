"""How one HTTP request is answered: with a body at once, or with a stream of events for as long as it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thv.core.message import Id
    from thv.http.front.event_store import EventStream
    from thv.http.server.request import HttpRequest

    Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")

EVENTS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
)

OK = 200


class ResponseWriter:
    """The answer to one request.

    Attributes:
        request: what is answered.
        headers: sent with any answer.
        id: of the JSON-RPC request in the body, once that is known to be a single one.
    """

    __slots__ = ("headers", "id", "request")

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.headers: list[Header] = []
        self.id: Id | None = None

    def json(self, status: int, body: bytes, *headers: Header) -> None:
        """Answer with a JSON body."""
        self.request.respond(status, (JSON, *headers, *self.headers), body)

    def empty(self, status: int, *headers: Header) -> None:
        """Answer without a body."""
        self.request.respond(status, (*headers, *self.headers))

    async def stream_to(self, stream: EventStream, after: int = 0) -> None:
        """Answer with a stream, from the event after the first `after` ones, until it ends or the client leaves."""
        request = self.request
        connection = stream.attach()
        request.on_disconnect = lambda: stream.detach(connection)
        if request.is_disconnected:
            stream.detach(connection)
        try:
            request.begin(OK, (*EVENTS, *self.headers))
            await stream.stream_to(request.write, connection, after)
            request.end()
        finally:
            stream.detach(connection)
