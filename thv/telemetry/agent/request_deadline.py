"""A bound on a request as a whole, for the sessions of `requests`.

`requests` and urllib3 bound single reads: a collector that sends a byte now and then would be waited for without end.
Here the connection is shut down when the time is over, which ends every read, a TLS handshake's too. Only the search
for the host's addresses cannot be interrupted. The connections read on where `http.client` stops too early.
"""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProxyError

if TYPE_CHECKING:
    from collections.abc import Iterator

http.client._MAXHEADERS = 1000  # type: ignore[attr-defined]  # noqa: SLF001 - gateways pass on what they were given
"""Lines of an answer's head that are read. By itself the module takes one of more than 100 for no HTTP."""


class FinalResponse(HTTPResponse):
    """The final response to a request: `http.client` passes over 100 alone, and takes any other 1xx for it."""

    def begin(self) -> None:
        """Read the head (RFC 9110, section 15.2). A 101 is final, since nothing asks for another protocol."""
        super().begin()
        while self.status < HTTPStatus.OK and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment]  # so that `begin` reads the next head
            super().begin()


class RequestDeadline:
    """Bounds the requests of one session, which come one after the other over one connection at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._request = 0
        self._connection: HTTPConnection | None = None
        # A descriptor of our own: a TLS handshake takes the connection's away from its socket.
        self._socket: socket.socket | None = None
        self.passed = False
        """Whether the latest request was ended because its time was over."""
        self.is_open = False
        """Whether the latest connection is made, with its tunnel and TLS: before that, nothing of a request is sent."""

    @contextmanager
    def bound(self, seconds: float) -> Iterator[None]:
        """Shut the connection down if what is done here takes longer than so many seconds."""
        self.passed = False
        timer = threading.Timer(seconds, self._end, (self._request,))
        timer.daemon = True
        with suppress(RuntimeError):  # the system has no thread left; then single reads are bounded all the same
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._request += 1  # a timer that runs already comes too late
                if self._connection is not None and self._connection.sock is None:
                    self._forget()

    def watch(self, connection: HTTPConnection, new: socket.socket) -> None:
        """The connection was opened: this is its socket, before TLS."""
        with self._lock:
            self._forget()
            self._connection, self._socket = connection, new.dup()
            if self.passed:
                self._shut_down()

    def close(self) -> None:
        """Free the descriptor."""
        with self._lock:
            self._forget()

    def pool_classes(self) -> dict[str, type[HTTPConnectionPool]]:
        """For the `pool_classes_by_scheme` of a urllib3 pool manager: pools whose connections are watched."""
        deadline = self

        class WatchedHTTPConnection(HTTPConnection):
            response_class = FinalResponse

            def connect(self) -> None:
                deadline.is_open = False
                super().connect()
                deadline.is_open = True

            def _new_conn(self) -> socket.socket:
                new = super()._new_conn()
                deadline.watch(self, new)
                return new

        class WatchedHTTPSConnection(WatchedHTTPConnection, HTTPSConnection):
            def _tunnel(self) -> None:
                try:
                    super()._tunnel()  # of `http.client`, though not public
                except (OSError, HTTPException) as error:
                    raise ProxyError("no tunnel", error) from error  # as urllib3 does for what is earlier

        class HTTPPool(HTTPConnectionPool):
            ConnectionCls: Any = WatchedHTTPConnection

        class HTTPSPool(HTTPSConnectionPool):
            ConnectionCls: Any = WatchedHTTPSConnection

        return {"http": HTTPPool, "https": HTTPSPool}

    def _end(self, request: int) -> None:
        with self._lock:
            if request == self._request:
                self.passed = True
                self._shut_down()

    # What follows is called with the lock held.

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._connection = self._socket = None
