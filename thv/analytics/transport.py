"""Sends one request over TLS and says what is certain about its delivery. One connection, no reuse.

Written on `socket` and `ssl` rather than on `http.client` because three promises depend on it: the whole exchange has
one deadline that a server cannot stretch by dripping bytes; it is known exactly when the first byte of the request may
have left; and nothing is sent that is not in the request. Proxies, cookies, netrc, redirects and client certificates
do not exist here. It reads no variable of the environment, and `clean_process` keeps OpenSSL from reading one.
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import TYPE_CHECKING

from thv.analytics.constants import TIMEOUT
from thv.analytics.report_delivery import DeliveryStatus, ReportDelivery
from thv.core.net.loopback import is_loopback
from thv.core.net.tls_context import create_tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    from thv.analytics.otlp import ReportRequest

    Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]

ANSWER_LIMIT = 8192
"""Bytes read in search of the final status line: what common servers accept as one header block."""

CHUNK = 1024

FINAL = 200
REDIRECTION = 300
TOO_MANY_REQUESTS = 429
UNAVAILABLE = 503


def post(request: ReportRequest, context: ssl.SSLContext, timeout: float = TIMEOUT) -> ReportDelivery:
    """Send `request` and read the status of its answer, in at most `timeout` seconds after the name lookup.

    Never raises for anything the network does. `NOT_TAKEN` is only said when no byte of the request was written, or
    the server answered 429 or 503 (OTLP/HTTP, "Retryable Response Codes"); 502 and 504 come from something between, so
    what became of it is unknown.
    """
    try:
        addresses = socket.getaddrinfo(absolute_name(request.host), request.port, type=socket.SOCK_STREAM)
        until = monotonic() + timeout
        with _connect(addresses, until) as connection:
            connection.settimeout(_left(until))
            secure = context.wrap_socket(connection, server_hostname=request.host.removesuffix(".").encode("ascii"))
    except (OSError, ValueError) as error:
        return ReportDelivery(DeliveryStatus.NOT_TAKEN, f"no connection: {error}")
    with secure:
        try:
            secure.settimeout(_left(until))
            secure.sendall(request.to_bytes())
            status = _read_status(secure, until)
        except (OSError, ValueError) as error:
            return ReportDelivery(DeliveryStatus.UNKNOWN, f"no answer: {error}")
    return ReportDelivery(_status_of(status), f"HTTP status {status}")


def create_ssl_context(ca_file: str | None = None) -> ssl.SSLContext:
    """The trust of `ssl.create_default_context()`, as it is in a process without environment variables.

    Args:
        ca_file: trust these certificates instead; only tests do.
    """
    return create_tls_context(ca_file, system=ca_file is None, environment=False)


def absolute_name(host: str) -> bytes:
    """The name to be looked up: with a final dot, so that no search domain of the machine's is tried behind it.

    As bytes, because for a text Python loads a codec of 1 MiB that ASCII does not need.
    """
    is_name = not is_loopback(host) and not host.replace(".", "").isdigit() and ":" not in host
    return (host.removesuffix(".") + "." if is_name else host).encode("ascii")


def final_status(received: bytes) -> int | None:
    """The status code of the final response in `received`; None if more bytes are needed.

    Interim responses (1xx; RFC 9110, 15.2) are passed over. Raises ValueError if this is not HTTP/1.
    """
    while True:
        line, newline, _ = received.partition(b"\r\n")
        if not newline:
            return None
        version, _, rest = line.partition(b" ")
        code = rest[:3]
        if not version.startswith(b"HTTP/1.") or len(code) != len(b"200") or not code.isdigit():
            raise ValueError("the answer is not HTTP/1")
        if int(code) >= FINAL:
            return int(code)
        _, blank, received = received.partition(b"\r\n\r\n")
        if not blank:
            return None


def _connect(addresses: Sequence[Address], until: float) -> socket.socket:
    failure: OSError = OSError("the name has no address")
    for position, address in enumerate(addresses):
        try:
            # A share for each address: one that swallows packets must not eat the time of those after it.
            return _connect_one(address, _left(until) / (len(addresses) - position))
        except OSError as error:
            failure = error
    raise failure


def _connect_one(address: Address, timeout: float) -> socket.socket:
    family, kind, protocol, _, where = address
    connection = socket.socket(family, kind, protocol)
    try:
        connection.settimeout(timeout)
        connection.connect(where)
    except OSError:
        connection.close()
        raise
    return connection


def _read_status(secure: ssl.SSLSocket, until: float) -> int:
    received = b""
    while (status := final_status(received)) is None:
        secure.settimeout(_left(until))
        chunk = secure.recv(CHUNK)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        received += chunk
        if len(received) > ANSWER_LIMIT:
            raise ValueError("the answer has no end")
    return status


def _left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError("out of time")
    return left


def _status_of(status: int) -> DeliveryStatus:
    if FINAL <= status < REDIRECTION:
        return DeliveryStatus.TAKEN
    return DeliveryStatus.NOT_TAKEN if status in {TOO_MANY_REQUESTS, UNAVAILABLE} else DeliveryStatus.UNKNOWN
