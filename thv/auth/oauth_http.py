"""Requests to authorization servers: few, small, and bounded in time and size, whatever the server does.

No redirect leads to another origin, none of a POST is followed. Neither netrc nor cookies; proxies come from the
environment. No token, code or secret is in any error.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, Final

import httpx

from thv import __version__
from thv.auth.metadata import ERROR_REPLY, decode, origin_of, quoted
from thv.core.net.environment_proxies import checked_proxy, proxy_for
from thv.core.net.tls_context import create_tls_context, explain_tls_error
from thv.core.net.url_redaction import redact_url
from thv.core.revisions import WITH_SESSIONS
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST_TIMEOUT_S: Final = 20.0
"""Seconds for one request with its whole reply. An authorization server does nothing slow."""

MAX_BODY: Final = 256 << 10
"""Bytes of a reply. Metadata documents have a few KiB; tokens of the largest issuers 16 KiB."""

MAX_REDIRECTS: Final = 3

ANSWER_TYPE: Final = "application/json"
"""What is asked for. Some issuers answer with a form otherwise, as GitHub's."""

INITIALIZE: Final = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"%b","capabilities":{},'
    b'"clientInfo":{"name":"thv","version":"%b"}}}' % (WITH_SESSIONS[-1].encode(), __version__.encode())
)
"""What a client sends first: a server that needs a log-in answers it with its challenge."""


class OAuthError(LoginError):
    """An authorization server answered with an error; `code` is the OAuth error code, if it gave one."""

    def __init__(self, sentence: str, *, status: int, code: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code


class HttpReply:
    """One whole reply."""

    def __init__(self, status: int, headers: httpx.Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def is_success(self) -> bool:
        """Whether the status is one of success."""
        return httpx.codes.is_success(self.status)


class OAuthHttp:
    """An HTTP client for the requests of a log-in.

    Args:
        environ: where proxies are named.
        ca_file: certificates of authorities to trust on top of the system's.
        timeout: seconds for one request.
    """

    def __init__(
        self, environ: Mapping[str, str], ca_file: str | None = None, *, timeout: float = REQUEST_TIMEOUT_S
    ) -> None:
        self._environ = environ
        self._ca_file = ca_file
        self._timeout = timeout
        self._tls: ssl.SSLContext | None = None

    async def get(self, url: str) -> HttpReply:
        """GET a document; a redirect is followed on the same origin, and one to another is the reply.

        Raises:
            LoginError: there is no whole reply in time, or one that is too large.
        """
        origin = origin_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            reply = await self._send("GET", url, {"Accept": ANSWER_TYPE}, None)
            location = reply.headers.get("Location")
            if not httpx.codes.is_redirect(reply.status) or location is None:
                return reply
            target = _joined(url, location)
            if target is None or origin_of(target) != origin:
                return reply  # not served here
            url = target
        raise LoginError(f"{redact_url(url)} redirects without end")

    async def post_form(
        self, url: str, fields: Mapping[str, str], *, basic: tuple[str, str] | None = None
    ) -> HttpReply:
        """POST a form, as token endpoints want it.

        Raises:
            OAuthError: the server refused.
            LoginError: there is no whole reply in time, or one that is too large.
        """
        from urllib.parse import quote, urlencode

        headers = {"Accept": ANSWER_TYPE, "Content-Type": "application/x-www-form-urlencoded"}
        if basic is not None:
            from binascii import b2a_base64

            # Encoded before they are joined (RFC 6749, section 2.3.1).
            pair = ":".join(quote(each, safe="") for each in basic).encode()
            headers["Authorization"] = "Basic " + b2a_base64(pair, newline=False).decode()
        return self._checked(url, await self._send("POST", url, headers, urlencode(fields).encode()))

    async def post_json(self, url: str, body: bytes) -> HttpReply:
        """POST a document.

        Raises:
            OAuthError: the server refused.
            LoginError: there is no whole reply in time, or one that is too large.
        """
        headers = {"Accept": ANSWER_TYPE, "Content-Type": "application/json"}
        return self._checked(url, await self._send("POST", url, headers, body))

    async def probe(self, url: str) -> HttpReply:
        """The status and the headers that an MCP server answers a first message with; the body is not read.

        Raises:
            LoginError: it does not answer in time.
        """
        accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        return await self._send("POST", url, accept, INITIALIZE, wants_body=False)

    def _checked(self, url: str, reply: HttpReply) -> HttpReply:
        error = decode(ERROR_REPLY, reply.body)
        if reply.is_success and (error is None or not error.error):  # some servers refuse with 200, as GitHub's
            return reply
        place = redact_url(url)
        if error is None:
            raise OAuthError(f"{place} answers with status {reply.status}", status=reply.status)
        words = f"{error.error}: {error.error_description}" if error.error_description else error.error
        raise OAuthError(f"{place} refuses: {quoted(words)}", status=reply.status, code=error.error)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, *, wants_body: bool = True
    ) -> HttpReply:
        place = redact_url(url)
        via = ""
        try:
            parsed = httpx.URL(url)
            proxy = proxy_for(parsed.scheme, parsed.raw_host.decode("ascii"), parsed.port, self._environ)
            via = "" if proxy is None else f" through the proxy {redact_url(proxy)}"
            async with asyncio.timeout(self._timeout), self._client(parsed.scheme, proxy) as client:
                request = client.build_request(method, url, headers=dict(headers), content=content)
                response = await client.send(request, stream=True)
                try:
                    body = await self._read(response, place) if wants_body else b""
                finally:
                    await response.aclose()
                return HttpReply(response.status_code, response.headers, body)
        except TimeoutError:
            raise LoginError(f"{place} did not answer{via} in {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise LoginError(f"{place} cannot be reached{via}: {_reason(error)}") from None

    async def _read(self, response: httpx.Response, place: str) -> bytes:
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise LoginError(f"{place} answers in a Content-Encoding that was not asked for")
        body = b""
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > MAX_BODY:
                raise LoginError(f"{place} answers with more than {MAX_BODY >> 10} KiB; the log-in was stopped")
        return body

    def _client(self, scheme: str, proxy: str | None) -> httpx.AsyncClient:
        if scheme == "https" and self._tls is None:
            self._tls = create_tls_context(self._ca_file)
        try:
            transport = httpx.AsyncHTTPTransport(
                verify=self._tls or False,
                trust_env=False,
                proxy=None if proxy is None else httpx.Proxy(checked_proxy(proxy)),
            )
        except (httpx.InvalidURL, ValueError, ImportError):
            raise LoginError(
                f"the proxy {redact_url(str(proxy))} cannot be used: it has to be http://HOST:PORT"
            ) from None
        return httpx.AsyncClient(
            transport=transport,
            headers={"User-Agent": f"thv/{__version__}", "Accept-Encoding": "identity"},
            timeout=None,  # noqa: S113  `asyncio.timeout` bounds the whole
            trust_env=False,
            follow_redirects=False,
        )


def _joined(url: str, location: str) -> str | None:
    try:
        joined = str(httpx.URL(url).join(location))
        origin_of(joined)  # refuses a port that there is not
    except (httpx.InvalidURL, ValueError):
        return None
    return joined


def _reason(error: BaseException) -> str:
    """Why there is no reply, in words that hold nothing secret."""
    cause: BaseException | None = error
    for _ in range(10):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, socket.gaierror):
            return "the name of its host is not known"
        if isinstance(cause, ssl.SSLError):
            return explain_tls_error(cause)
        if isinstance(cause, httpx.ProxyError):
            return "the proxy refuses"
        if isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno)
        if cause is None:
            break
        cause = cause.__cause__ or cause.__context__
    return "the connection failed"
