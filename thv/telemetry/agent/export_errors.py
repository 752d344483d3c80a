"""Why something was not delivered, in sentences of ours.

The one place where an error becomes text. No header, and no path or user information of a URL, is ever in a sentence:
exceptions of HTTP and gRPC libraries quote them, so their texts are read here and never shown.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException
from typing import TYPE_CHECKING

from msgspec import Struct

from thv.core.net.url_redaction import redact_url
from thv.core.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thv.telemetry.frames import Signal


class Cause(Struct, frozen=True):
    """Why something was not delivered: each `kind` is reported once, `text` follows the endpoint in a sentence."""

    kind: str
    text: str


REFUSED = Cause("refused", "refuses connections: start the collector there, or correct the endpoint")
NO_ADDRESS = Cause("address", "has no address: correct the endpoint")
NO_TLS = Cause("no tls", "does not speak TLS: for plaintext set `insecure`, or write http:// before the endpoint")
ONLY_TLS = Cause("only tls", "speaks TLS: write https:// before the endpoint")
LATE = Cause("late", "did not answer before the session ended: see that a collector is there and can be reached")
BROKEN = Cause(
    "broken",
    "ends the connection without an answer: if it is a gRPC port, set `protocol` to grpc; if it speaks TLS, write "
    "https:// before the endpoint",
)
BROKEN_TLS = Cause(
    "broken",
    "ends the connection without an answer: if it is a gRPC port, set `protocol` to grpc; if it demands a client "
    "certificate, name its files in OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY",
)
NOT_HTTP = Cause("not http", "answers something that is not HTTP/1: if it is a gRPC port, set `protocol` to grpc")
NO_TUNNEL = Cause("proxy", "does not connect to it")
PROXY_LOGIN = Cause("proxy login", "asks for credentials (407), as http://USER:PASSWORD@HOST:PORT")
NO_PROXY_URL = Cause("proxy url", "has to be http://HOST:PORT")
BAD_HEADER = Cause("header", "is not asked: a name or a value in `headers` holds characters that cannot be sent")
UNAVAILABLE = Cause("unavailable", "is unavailable: is it a gRPC port, with TLS or without as configured?")
NO_CLIENT_CERTIFICATE = Cause(
    "client certificate",
    "demands a client certificate: name its files in OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and "
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
)

NOT_A_RECORD = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}
"""What OpenSSL calls an answer that is no TLS record."""

CERTIFICATE_DEMANDED = {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"}
"""How servers end a handshake in which they miss a client certificate, by version of TLS."""

TLS_ALERT = "\x15\x03"
"""The first bytes of a TLS record of type alert (RFC 8446, section 5.1)."""

ENCRYPTED_KEY = re.compile(rb"ENCRYPTED")
"""In the first lines of a key that needs a pass phrase, of either form (RFC 1421, RFC 7468)."""

REFUSED_TUNNEL = re.compile(r"(?:tunnel connection failed: |http proxy returned response code )(\d+)", re.IGNORECASE)
"""How `http.client` and gRPC's core library quote a proxy's answer to CONNECT."""

LONGEST_REMARK = 200
"""Characters of a collector's own words that are shown."""

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

UNTRUSTED_REMEDIES = {
    9: "wait until it is valid, or set this machine's clock",
    10: "renew it, or set this machine's clock",
    62: "write the endpoint with a name that the certificate is for",
    64: "write the endpoint with a name that the certificate is for",
}
"""By OpenSSL's numbers (X509_V_ERR_*): not yet valid, expired, another host, another address."""

REDIRECTION = range(300, 400)


class BadFileError(Exception):
    """A file of certificates or keys cannot be used."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.text)
        self.cause = cause


def internal(name: str) -> Cause:
    """An exception of this type, which means a bug."""
    return Cause("internal", f"was not sent a batch: internal error, {name}")


def rejected(count: int, unit: str) -> Cause:
    """A partial success: so many spans or points were not accepted."""
    return Cause(f"rejected {unit}", f"rejected {count} of the {unit} that it was sent")


def remark(warning: str) -> Cause:
    """What a collector remarked on something that it took. Remarks that differ in numbers and ids are of one kind."""
    text = one_line(warning)[:LONGEST_REMARK]
    kind = re.sub(r"\w*\d\w*", "0", text)
    return Cause(f"remark {kind}", f"remarks: {text}")


def slow(timeout_s: float) -> Cause:
    """No answer within `timeout_s` seconds."""
    return Cause("slow", f"does not answer within {timeout_s:g} s")


def untrusted(detail: str, code: int = 0) -> Cause:
    """A certificate that is not accepted; `detail` and `code` are OpenSSL's words and number for it, or empty."""
    why = f" ({detail.rstrip('.')})" if detail else ""
    remedy = UNTRUSTED_REMEDIES.get(code, "name its authority's file in OTEL_EXPORTER_OTLP_CERTIFICATE")
    return Cause("untrusted", f"shows a certificate that is not trusted{why}: {remedy}")


def unusable(path: str, error: OSError) -> Cause:
    """A file of certificates or keys that cannot be used."""
    if isinstance(error, ssl.SSLError):
        reason = "it holds no certificate or key in PEM form, or a key of another certificate"
    else:
        reason = os.strerror(error.errno) if error.errno else "it cannot be read"
    return Cause(f"file {path}", f"is not asked: {path}: {reason}")


def encrypted(path: str) -> Cause:
    """A key's file that needs a pass phrase."""
    remedy = "decrypt it with `openssl pkey`: thv cannot ask for its pass phrase"
    return Cause(f"file {path}", f"is not asked: {path}: the key is encrypted; {remedy}")


def of_proxy(cause: Cause, proxy: str) -> Cause:
    """What holds for the proxy before an endpoint, which is therefore not reached; the endpoint's remedies do not help.

    Args:
        cause: why, as if the proxy were the endpoint.
        proxy: its URL.
    """
    kind = cause.kind if cause.kind.startswith("proxy") else f"proxy {cause.kind}"
    why = cause.text.partition(": ")[0]
    remedy = (
        "correct the endpoint"
        if cause == NO_TUNNEL
        else "correct the variable that names it (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY)"
    )
    where = redact_url(proxy, origin_only=True)
    return Cause(kind, f"is not reached: the proxy {where} {why}: {remedy}, or name the endpoint's host in NO_PROXY")


def through_proxy(cause: Cause, proxy: str) -> Cause:
    """Holds for an endpoint or for the proxy before it: which one cannot be seen."""
    return Cause(cause.kind, f"{cause.text}, through the proxy {redact_url(proxy, origin_only=True)}")


def of_tunnel(words: str) -> Cause | None:
    """What a proxy's answer to CONNECT means, if `words` of a library quote one."""
    refused = REFUSED_TUNNEL.search(words)
    if refused is None:
        return None
    status = int(refused[1])
    return PROXY_LOGIN if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED else NO_TUNNEL


def underlying(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it was made from: libraries wrap what a socket or TLS reported in several layers."""
    seen: list[BaseException] = [error]
    for one in seen:
        yield one
        causes = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        seen.extend(cause for cause in causes if isinstance(cause, BaseException) and cause not in seen)


def of_error(error: Exception, signal: Signal) -> Cause:
    """What an exception of `requests` means."""
    for one in underlying(error):
        cause = of_tunnel(str(one)) or _of_one(one, signal)
        if cause is not None:
            return cause
    numbers = [one.errno for one in underlying(error) if isinstance(one, OSError) and one.errno is not None]
    if numbers:
        return Cause("unreached", f"is not reached: {os.strerror(numbers[0])}")
    if isinstance(error, OSError) and not isinstance(error, ValueError):
        return Cause("unreached", "is not reached")
    return BAD_HEADER


def _of_one(error: BaseException, signal: Signal) -> Cause | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return untrusted(error.verify_message, error.verify_code)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return BROKEN_TLS
    if isinstance(error, ssl.SSLError):
        return _of_tls(getattr(error, "reason", None) or "no reason given", signal)
    if isinstance(error, TimeoutError):
        return slow(signal.timeout_s)
    if isinstance(error, socket.gaierror):
        return NO_ADDRESS
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    if isinstance(error, ConnectionError):
        return BROKEN if signal.endpoint.startswith("http:") else BROKEN_TLS
    if isinstance(error, BadStatusLine) and str(error).startswith(TLS_ALERT):
        return ONLY_TLS
    return NOT_HTTP if isinstance(error, HTTPException) else None


def _of_tls(reason: str, signal: Signal) -> Cause:
    if reason in NOT_A_RECORD:
        return NO_TLS
    if reason in CERTIFICATE_DEMANDED and signal.certificate_file is None:
        return NO_CLIENT_CERTIFICATE
    return Cause("tls", f"fails the TLS handshake ({reason})")


def may_have_arrived(error: Exception) -> bool:
    """Whether the request was sent before this error of `requests`, so that it may have been taken."""
    for one in underlying(error):
        if isinstance(one, TimeoutError):
            return "handshake" not in str(one)
        if isinstance(one, (ssl.SSLError, socket.gaierror, ConnectionRefusedError)):
            return False
    return any(isinstance(one, (ConnectionError, HTTPException)) for one in underlying(error))


def of_status(status: int, body: bytes) -> Cause:
    """What an HTTP status other than success means."""
    if status == HTTPStatus.BAD_REQUEST and b"HTTPS" in body:  # as servers in Go and nginx explain themselves
        return ONLY_TLS
    try:
        known = HTTPStatus(status)
    except ValueError:
        return Cause(f"status {status}", f"answers {status}")
    remedy = ": redirects are not followed" if status in REDIRECTION else REMEDIES.get(known, "")
    return Cause(f"status {status}", f"answers {status} {known.phrase}{remedy}")


def of_rpc(code: str, details: str, signal: Signal, proxy: str | None = None) -> Cause:
    """What a gRPC status means; `details` are searched for the core library's account of a connection.

    Args:
        code: the status.
        details: what comes with it.
        signal: what was sent, and where to.
        proxy: the URL of the proxy before it.
    """
    cause = of_tunnel(details) or _of_rpc(code, details, signal)
    if proxy is None:
        return cause
    if cause in {PROXY_LOGIN, NO_TUNNEL, REFUSED, NO_ADDRESS}:
        return of_proxy(cause, proxy)
    return through_proxy(cause, proxy) if code == "DEADLINE_EXCEEDED" else cause


def _of_rpc(code: str, details: str, signal: Signal) -> Cause:
    if code == "DEADLINE_EXCEEDED":
        return slow(signal.timeout_s)
    if code == "INTERNAL" and details == "Invalid metadata":
        return BAD_HEADER
    if code != "UNAVAILABLE":
        return Cause(f"status {code}", f"answers {code}{RPC_REMEDIES.get(code, '')}")
    account = details.lower().replace("_", " ")
    if "certificate verify failed" in account:
        return untrusted("")
    if "wrong version number" in account:
        return NO_TLS
    if "certificate required" in account and signal.certificate_file is None:
        return NO_CLIENT_CERTIFICATE
    if "handshake" in account:
        return Cause("tls", "fails the TLS handshake: for plaintext set `insecure`")
    if "connection refused" in account:
        return REFUSED
    if any(words in account for words in ("address lookup failed", "domain name not found", "dns resolution failed")):
        return NO_ADDRESS
    return UNAVAILABLE
