"""HTTP as the remote client speaks it: one server, its headers and trust, and failures said in a sentence.

A redirect is followed only where method, body and origin stay, so credentials never reach another origin; proxies come
from the environment, and never stand before this machine. Neither netrc nor any other file adds credentials. What is
secret in a URL or a header is in no sentence. Knows nothing of MCP.
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import httpx

from thv import __version__
from thv.core.net.environment_proxies import checked_proxy, proxy_for
from thv.core.net.tls_context import create_tls_context, explain_tls_error
from thv.core.net.url_redaction import redact_url
from thv.core.shell_words import shell_word
from thv.errors import LoginError, ThvError
from thv.servers.remote_spec import TOKEN_VARIABLE, read_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from thv.auth.authorizer import Authorizer
    from thv.servers.remote_spec import RemoteSpec

CONNECT_TIMEOUT: Final = 20.0
"""Seconds to connect, TLS included. There is no other timeout: a tool may take as long as it takes."""

IDLE_LIMIT: Final = 4.0
"""Seconds an idle connection is kept: Node and uvicorn close theirs after 5, and a request on its way then is lost."""

MAX_BODY: Final = 256 << 20
"""Bytes of a body, decoded: as much as one message may have."""

MAX_REDIRECTS: Final = 5

CODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
"""The codings of a body that are undone, one at a time: with two, a few KiB could stand for all the memory there is."""

FOLLOWED: Final = {"POST": (307, 308), "GET": (301, 302, 303, 307, 308), "DELETE": (307, 308)}
"""The redirects that keep a method. For POST the others would turn it into GET."""

REFUSED: Final = frozenset({401, 403})
"""The statuses that other credentials may change."""

KEEPALIVE: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
        if hasattr(socket, name)
    ),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
]
"""A server that vanished without a word is noticed after two minutes, though a stream may be silent for days."""


class RemoteError(Exception):
    """A request that failed: a sentence that holds no secret, and the HTTP status if there was one."""

    def __init__(self, sentence: str, *, status: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


class HttpClient:
    """Requests to one remote server, any number at a time.

    Args:
        spec: where it is, and what to say with every request.
        environ: where proxies are named.
        authorizer: has the header of a log-in; None where the user gave credentials.

    Raises:
        ThvError: the proxy or the file of authorities cannot be used.
    """

    def __init__(self, spec: RemoteSpec, environ: Mapping[str, str], authorizer: Authorizer | None = None) -> None:
        self._spec = spec
        self._authorizer = authorizer
        try:
            self.url = httpx.URL(spec.url)
            host = self.url.host  # raises for a name that begins with `xn--` and is no IDNA
        except (httpx.InvalidURL, ValueError) as error:
            raise ThvError(f"{spec.place}: not a URL of a server: {error}") from None
        self._proxy = proxy_for(self.url.scheme, host, self.url.port, environ)
        headers = {"User-Agent": f"thv/{__version__}", "Accept-Encoding": "gzip, deflate", **dict(spec.headers)}
        if spec.token_file is not None:
            headers["Authorization"] = read_token(spec.token_file)
        try:
            transport = httpx.AsyncHTTPTransport(
                verify=_trust(spec, is_needed=self.url.scheme == "https"),
                trust_env=False,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=IDLE_LIMIT),
                proxy=None if self._proxy is None else httpx.Proxy(checked_proxy(self._proxy)),
                socket_options=KEEPALIVE,
            )
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            # Not the error's own words: they may repeat the proxy's password.
            raise ThvError(
                f"the proxy {redact_url(str(self._proxy))} cannot be used: it has to be http://HOST:PORT"
            ) from error
        self._client = httpx.AsyncClient(
            transport=transport,
            headers=headers,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
            trust_env=False,
            follow_redirects=False,
        )

    @property
    def place(self) -> str:
        """The server, as it may be shown."""
        return self._spec.place

    async def close(self) -> None:
        """End every connection."""
        if self._authorizer is not None:
            await self._authorizer.close()
        await self._client.aclose()

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        *,
        url: httpx.URL | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Send one request; its response, whose body has not been read. A response with any status is one.

        Args:
            method: POST, GET or DELETE.
            headers: besides those of every request.
            content: the body.
            url: another place of the same origin.
            on_sent: called once the request was handed to the system.

        Raises:
            RemoteError: there was no response, or a redirect that is not followed.
        """
        url = url or self.url
        renewals = 0
        for _ in range(MAX_REDIRECTS + 1):
            authorization = None if self._authorizer is None else await self._authorizer.authorization()
            sent_headers = headers if authorization is None else {**headers, "Authorization": authorization}
            response = await self._send(method, sent_headers, content, url, on_sent)
            try:
                if response.status_code in FOLLOWED[method] or response.has_redirect_location:
                    url = self._redirected(response, method)
                    continue
                if response.status_code in REFUSED and await self._renew(response, method, authorization, renewals):
                    renewals += 1
                    continue
                coding = response.headers.get("Content-Encoding", "").strip().lower()
                if coding not in CODINGS:
                    raise RemoteError(f"{self.place} answers in a Content-Encoding that was not asked for")
                if coding == "x-gzip":
                    response.headers["Content-Encoding"] = "gzip"  # the same (RFC 9110, 8.4.1.3), unknown to httpx
                yield response
            except httpx.HTTPError as error:
                raise RemoteError(self.explain(error)) from error
            finally:
                await response.aclose()
            return
        raise RemoteError(f"{self.place} redirects without end")

    async def _send(
        self,
        method: str,
        headers: Mapping[str, str],
        content: bytes | None,
        url: httpx.URL,
        on_sent: Callable[[], None] | None,
    ) -> httpx.Response:
        async def trace(event: str, _info: object) -> None:
            if on_sent is not None and event.endswith("send_request_body.complete"):
                on_sent()

        try:
            if url is not self.url:  # the server named it: the user's credentials stay, and it can give none
                url = url.copy_with(userinfo=self.url.userinfo)
            request = self._client.build_request(
                method, url, headers=dict(headers), content=content, extensions={"trace": trace}
            )
            return await self._client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise RemoteError(self.explain(error)) from error

    def _redirected(self, response: httpx.Response, method: str) -> httpx.URL:
        """Where a redirect leads, if it is one to follow."""
        location = response.headers.get("Location", "")
        if not location:
            raise RemoteError(
                f"{self.place} redirects ({response.status_code}) without saying where to", status=response.status_code
            )
        url = response.url.join(location)  # httpx has refused what is no URL
        where = redact_url(str(url))
        if response.status_code not in FOLLOWED[method] or not is_same_origin(url, self.url):
            raise RemoteError(
                f"{self.place} redirects to {where} ({response.status_code}), which is not followed; "
                "if that is the server you mean, use its URL",
                status=response.status_code,
            )
        return url

    async def _renew(self, response: httpx.Response, method: str, used: str | None, attempt: int) -> bool:
        """Whether there are other credentials than those that were refused.

        Raises:
            RemoteError: the user has to log in first.
        """
        if self._authorizer is None:
            refused = response.request.headers.get("Authorization")
            return attempt == 0 and response.status_code == httpx.codes.UNAUTHORIZED and self._reread_token(refused)
        try:
            return await self._authorizer.renew(
                response.status_code,
                response.headers.get_list("WWW-Authenticate"),
                used,
                attempt=attempt,
                may_log_in=method == "POST",  # no browser opens for a stream, or for the end of a session
            )
        except LoginError as error:
            raise RemoteError(str(error), status=response.status_code) from error

    def _reread_token(self, refused: str | None) -> bool:
        """Read the token's file again; whether requests carry another header now than the one that was refused.

        Another request may have read the file before, after this one was sent.
        """
        if self._spec.token_file is None:
            return False
        with suppress(ThvError):
            self._client.headers["Authorization"] = read_token(self._spec.token_file)
        return bool(self._client.headers.get("Authorization") != refused)

    async def body(self, response: httpx.Response, limit: int = MAX_BODY) -> bytes:
        """The whole body, decoded.

        Raises:
            RemoteError: it is too large, or broke off.
        """
        pieces = []
        size = 0
        try:
            async for piece in response.aiter_bytes():
                size += len(piece)
                if size > limit:
                    raise RemoteError(f"{self.place} answers with more than {limit >> 20} MiB")
                pieces.append(piece)
        except httpx.HTTPError as error:
            raise RemoteError(self.explain(error)) from error
        return b"".join(pieces)

    def refusal(self, status: int) -> str:
        """What an HTTP status means for the user, in a sentence."""
        place = self.place
        if status == httpx.codes.UNAUTHORIZED:
            if self._authorizer is not None and self._authorizer.is_logged_in:
                return f"{place} does not accept the log-in (401); to log in again: thv auth login {shell_word(place)}"
            if self._spec.has_authorization:
                return f"{place} does not accept the credentials (401): they are wrong or have expired"
            return f"{place} asks for credentials (401): give --bearer-token-file FILE, or set {TOKEN_VARIABLE}"
        if status == httpx.codes.FORBIDDEN:
            return f"{place} refuses (403): the credentials, if there are any, do not allow this"
        if status == httpx.codes.NOT_FOUND:
            return f"{place} is not found (404): is the path of the URL right?"
        if status == httpx.codes.METHOD_NOT_ALLOWED:
            return f"{place} takes no MCP messages (405): is the path of the URL right?"
        if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            return f"the proxy before {place} asks for credentials (407)"
        phrase = httpx.codes.get_reason_phrase(status)
        side = "fails" if status >= httpx.codes.INTERNAL_SERVER_ERROR else "refuses the request"
        return f"{place} {side} ({status}{' ' if phrase else ''}{phrase})"

    def explain(self, error: BaseException) -> str:
        """Why there was no response, or no whole one, in a sentence."""
        if isinstance(error, httpx.InvalidURL | UnicodeError):  # of a redirect: our own URL was checked
            return f"{self.place} redirects to what is no URL"
        via = "" if self._proxy is None else f" through the proxy {redact_url(self._proxy)}"
        unreached = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
        for cause in _causes(error):
            reason = _reason(cause)
            if reason is not None:
                return f"{self.place} {'cannot be reached' if unreached else 'broke off'}{via}: {reason}"
        if unreached:
            return f"{self.place} cannot be reached{via}"
        if isinstance(error, httpx.DecodingError):
            return f"{self.place} answers with a body that is not encoded as it says"
        if isinstance(error, httpx.RemoteProtocolError):  # nothing but its words tells the cases apart
            if "illegal" in str(error):
                return f"{self.place} does not speak HTTP"
            if "location header" in str(error):
                return f"{self.place} redirects to what is no URL"
        return f"{self.place} broke off{via} before its answer was whole"


def is_same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Whether two URLs have the same scheme, host and port. For a host that is no IDNA `httpx.URL.host` raises."""
    return (one.scheme, one.raw_host, one.port) == (other.scheme, other.raw_host, other.port)


def _reason(cause: BaseException) -> str | None:
    """What one error says of the network, in words that hold nothing secret."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({cause.verify_message}); "
            "if an authority of your own signed it, name that with --ca-file"
        )
    if isinstance(cause, ssl.SSLError):
        return explain_tls_error(cause)
    if isinstance(cause, socket.gaierror):
        return "the name of its host is not known"
    if isinstance(cause, httpx.ConnectTimeout):
        return f"no answer in {CONNECT_TIMEOUT:.0f} s"
    if isinstance(cause, httpx.ProxyError):
        return "the proxy refuses"
    if isinstance(cause, OSError) and cause.errno is not None:
        return os.strerror(cause.errno)
    return None


def _trust(spec: RemoteSpec, *, is_needed: bool) -> ssl.SSLContext | bool:
    """The system's authorities (or those of SSL_CERT_FILE and SSL_CERT_DIR), and those of ``--ca-file``."""
    if not is_needed:
        return False  # no TLS is spoken; reading the system's authorities takes 20 ms
    try:
        return create_tls_context(spec.ca_file)
    except OSError as error:
        raise ThvError(f"--ca-file {spec.ca_file} holds no certificates in PEM form") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, the innermost first."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is None or each in found:
            continue
        found.append(each)
        todo += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            todo += each.exceptions
    return reversed(found)
