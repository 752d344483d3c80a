"""Why something was not delivered, in sentences of ours.

The one place where an error becomes words. No word of a server, no header, and no path or user information of a URL is
ever in a sentence: exceptions of HTTP and gRPC libraries quote them, so their texts are read here and never shown.
"""

from __future__ import annotations

import os
import socket
import ssl
from http import HTTPStatus
from http.client import HTTPException

from msgspec import Struct


class Cause(Struct, frozen=True):
    """Why something was not delivered: `kind` is what is said only once, `text` follows the endpoint in a sentence."""

    kind: str
    text: str


REFUSED = Cause("refused", "refuses connections: start the collector there, or correct the endpoint")
NO_ADDRESS = Cause("address", "has no address: correct the endpoint")
NO_TLS = Cause("no tls", "does not speak TLS: for plaintext set `insecure`, or write http:// before the endpoint")
LATE = Cause("late", "did not answer before the session ended: see that a collector is there and can be reached")
BROKEN = Cause("broken", "ends the connection without an answer: if it is a gRPC port, set `protocol` to grpc")
NOT_HTTP = Cause("not http", "answers something that is not HTTP/1: if it is a gRPC port, set `protocol` to grpc")
NO_TUNNEL = Cause("proxy", "is not reached: the proxy does not connect to it")
BAD_HEADER = Cause("header", "is not asked: a name or a value in `headers` holds characters that cannot be sent")
UNAVAILABLE = Cause("unavailable", "is unavailable: is it a gRPC port, with TLS or without as configured?")

NOT_A_RECORD = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}
"""What OpenSSL calls an answer that is no TLS record."""

BY_TYPE: tuple[tuple[type[Exception], Cause], ...] = (
    (ssl.SSLEOFError, BROKEN),
    (ssl.SSLZeroReturnError, BROKEN),
    (socket.gaierror, NO_ADDRESS),
    (ConnectionRefusedError, REFUSED),
    (ConnectionError, BROKEN),
    (HTTPException, NOT_HTTP),
)
"""Exceptions that mean one thing, the narrower before the wider."""

REMEDIES = {
    HTTPStatus.UNAUTHORIZED: ": check `headers`",
    HTTPStatus.FORBIDDEN: ": check `headers`",
    HTTPStatus.NOT_FOUND: ": check the path of the endpoint",
    HTTPStatus.METHOD_NOT_ALLOWED: ": check the path of the endpoint",
}

RPC_REMEDIES = {
    "UNAUTHENTICATED": ": check `headers`",
    "PERMISSION_DENIED": ": check `headers`",
    "UNIMPLEMENTED": ": it does not take this signal by gRPC",
}

REDIRECTION = range(300, 400)


def slow(timeout_s: float) -> Cause:
    """No answer within `timeout_s` seconds."""
    return Cause("slow", f"does not answer within {timeout_s:g} s")


def untrusted(detail: str) -> Cause:
    """A certificate nobody vouches for; `detail` is OpenSSL's word for it, or empty."""
    why = f" ({detail})" if detail else ""
    remedy = "name its authority's file in OTEL_EXPORTER_OTLP_CERTIFICATE"
    return Cause("untrusted", f"shows a certificate that is not trusted{why}: {remedy}")


def unusable(path: str, error: OSError) -> Cause:
    """A file of certificates or keys that cannot be used."""
    if isinstance(error, ssl.SSLError):
        reason = "it holds no certificate or key in PEM form, or not one without a pass phrase"
    else:
        reason = os.strerror(error.errno) if error.errno else "it cannot be read"
    return Cause(f"file {path}", f"is not asked: {path}: {reason}")


def of_error(error: Exception, timeout_s: float) -> Cause:
    """What an exception of sockets, TLS or `http.client` means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return untrusted(error.verify_message)
    if isinstance(error, TimeoutError):
        return slow(timeout_s)
    for kind, cause in BY_TYPE:
        if isinstance(error, kind):
            return cause
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or "no reason given"
        return NO_TLS if reason in NOT_A_RECORD else Cause("tls", f"fails the TLS handshake ({reason})")
    if isinstance(error, OSError):
        # `http.client` reports a proxy's refusal without a number.
        return NO_TUNNEL if error.errno is None else Cause("unreached", f"is not reached: {os.strerror(error.errno)}")
    return BAD_HEADER


def of_status(status: int) -> Cause:
    """What an HTTP status other than success means."""
    try:
        known = HTTPStatus(status)
    except ValueError:
        return Cause(f"status {status}", f"answers {status}")
    remedy = ": redirects are not followed" if status in REDIRECTION else REMEDIES.get(known, "")
    return Cause(f"status {status}", f"answers {status} {known.phrase}{remedy}")


def of_rpc(code: str, details: str, timeout_s: float) -> Cause:
    """What a gRPC status means; `details` are looked through for the core library's account of a connection."""
    if code == "DEADLINE_EXCEEDED":
        return slow(timeout_s)
    if code == "INTERNAL" and details == "Invalid metadata":
        return BAD_HEADER
    if code != "UNAVAILABLE":
        return Cause(f"status {code}", f"answers {code}{RPC_REMEDIES.get(code, '')}")
    account = details.lower().replace("_", " ")
    if "certificate verify failed" in account:
        return untrusted("")
    if "wrong version number" in account:
        return NO_TLS
    if "handshake" in account:
        return Cause("tls", "fails the TLS handshake: for plaintext set `insecure`")
    if "connection refused" in account:
        return REFUSED
    if any(words in account for words in ("address lookup failed", "domain name not found", "dns resolution failed")):
        return NO_ADDRESS
    return UNAVAILABLE
