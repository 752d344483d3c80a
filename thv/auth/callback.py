"""The address on this machine to which the browser brings the authorization code (RFC 8252, section 7.3).

Promises: only a request with the right `state` ends the wait; anything else that reaches the port, however much of it,
is answered with an error and changes nothing. Listens on 127.0.0.1 alone. What the page says holds nothing of what was
received.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from thv.errors import LoginError

if TYPE_CHECKING:
    from typing import Self

HOST: Final = "127.0.0.1"
"""A literal, as RFC 8252, section 8.3, asks: what `localhost` means can be changed."""

PATH: Final = "/callback"

MAX_HEAD: Final = 16 << 10
"""Bytes of a request's head; a browser sends its cookies for this address, too."""

HEAD_TIMEOUT_S: Final = 10.0
"""Seconds in which a request's head has to come: browsers open connections that they do not use."""

MAX_CONNECTIONS: Final = 64
"""Connections at a time; more are closed at once."""

_PAGE: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>thv</title>"
    "<body style='font:1.1em system-ui,sans-serif;max-width:32em;margin:20vh auto;padding:0 1em'><p>{}</p>"
)

DONE: Final = "You are logged in. You can close this window."
DENIED: Final = "The log-in was refused. The terminal, or your client's log, says why. You can close this window."
NOT_OURS: Final = "This address expects the end of a log-in, and this is not it."


class AuthorizationResponse(Struct, frozen=True):
    """What the browser brought. Never shown: the code is a secret until it was exchanged."""

    code: str | None
    iss: str | None
    error: str | None
    error_description: str | None

    def __repr__(self) -> str:
        return "AuthorizationResponse(…)"


class CallbackListener:
    """Listens for the end of one log-in; a context manager.

    Args:
        state: what the request must repeat.
        ports: the ports to try, in order; 0 is any free one.

    Raises:
        LoginError: on entering, none of the ports is free.
    """

    def __init__(self, state: str, ports: tuple[int, ...] = (0,)) -> None:
        self._state = state.encode()
        self._ports = ports
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def redirect_uri(self) -> str:
        """Where the browser is to be sent."""
        return f"http://{HOST}:{self.port}{PATH}"

    async def __aenter__(self) -> Self:
        self._received: asyncio.Future[AuthorizationResponse] = asyncio.get_running_loop().create_future()
        for port in self._ports:
            try:
                self._server = await asyncio.start_server(self._accept_connection, HOST, port, limit=MAX_HEAD)
            except OSError:
                continue
            self.port = self._server.sockets[0].getsockname()[1]
            return self
        raise LoginError(f"port {self._ports[0]}, to which the browser is to come back, is in use")

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._received.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait(self, timeout: float) -> AuthorizationResponse:  # noqa: ASYNC109  the user's own bound
        """What the browser brings.

        Raises:
            TimeoutError: it brought nothing in that many seconds.
        """
        async with asyncio.timeout(timeout):
            return await asyncio.shield(self._received)

    def offer(self, url: str) -> bool:
        """Take the address at which a browser on another machine ended; whether it ends the log-in."""
        target = urlsplit(url.strip())
        _, _, response = self._read(f"GET {target.path}?{target.query} HTTP/1.1\r\n".encode())
        return self._accept(response)

    def _accept(self, response: AuthorizationResponse | None) -> bool:
        if response is None or self._received.done():
            return False
        self._received.set_result(response)
        return True

    def _accept_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        response = None
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                status, text, response = self._read(await reader.readuntil(b"\r\n\r\n"))
                writer.write(_page(status, text))
                writer.write_eof()
                await writer.drain()
                writer.close()
                await writer.wait_closed()  # before the login goes on, and this process perhaps ends
        except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            writer.close()
            self._accept(response)

    def _read(self, head: bytes) -> tuple[str, str, AuthorizationResponse | None]:
        """Status, text and result of a request."""
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        try:
            target = urlsplit(rest.partition(" ")[0])
            found = parse_qs(target.query, keep_blank_values=True, max_num_fields=32)
        except ValueError:
            return "400 Bad Request", NOT_OURS, None
        if target.path != PATH or target.netloc:
            return "404 Not Found", NOT_OURS, None
        if method != "GET":
            return "405 Method Not Allowed", NOT_OURS, None
        state = found.get("state", [])
        if (
            len(state) != 1
            or not hmac.compare_digest(state[0].encode("utf-8", "replace"), self._state)
            # RFC 6749, section 3.1: a parameter that occurs twice is an error, and who added the second is unknown.
            or any(len(values) != 1 for values in found.values())
        ):
            return "400 Bad Request", NOT_OURS, None
        one = {name: values[0] for name, values in found.items()}
        response = AuthorizationResponse(
            one.get("code"), one.get("iss"), one.get("error"), one.get("error_description")
        )
        return "200 OK", DONE if response.code and not response.error else DENIED, response


def _page(status: str, text: str) -> bytes:
    body = _PAGE.format(text).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
