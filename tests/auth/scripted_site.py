"""A server that says what a test wants it to say, and a browser that brings back what a test wants it to bring."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import ProxyHandler, build_opener

from tests.http.proxied import Behind
from thv.auth.discovery import discover
from thv.auth.login import LoginFlow
from thv.auth.login_options import LoginOptions
from thv.auth.metadata import Challenge
from thv.auth.oauth_http import OAuthHttp
from thv.auth.token_store import TokenStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.http.proxied import Received
    from thv.auth.token_store import Login

    Answer = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]

RESOURCE = "/.well-known/oauth-protected-resource/mcp"
SERVER = "/.well-known/oauth-authorization-server"
PATIENCE = 60


class Site:
    """An MCP server and its authorization server, with documents that a test may change.

    Attributes:
        resource, server: the two metadata documents.
        tokens: what the token endpoint answers, in turn; the last one for ever.
        answers: paths that are answered otherwise.
        requests: what came, as method and path.
        forms: what came to the token endpoint.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.resource: Any = {}
        self.server: Any = {}
        self.tokens: list[tuple[int, Any]] = [(200, {"access_token": "first", "token_type": "Bearer"})]
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.forms: list[dict[str, str]] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def fill(self) -> None:
        """Documents as an honest server has them."""
        self.resource = {"resource": self.url, "authorization_servers": [self.origin]}
        self.server = {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "code_challenge_methods_supported": ["S256"],
        }

    async def handle(self, received: Received, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _version = received.line.split(" ")
        path = target.partition("?")[0]
        self.requests.append(f"{method} {path}")
        if path in self.answers:
            await self.answers[path](received, writer)
        elif path == RESOURCE:
            write(writer, 200, self.resource)
        elif path == SERVER:
            write(writer, 200, self.server)
        elif path == "/register":
            write(writer, 201, {"client_id": f"client-{self.requests.count('POST /register')}"})
        elif path == "/token":
            self.forms.append({name: values[0] for name, values in parse_qs(received.body.decode()).items()})
            write(writer, *(self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]))
        else:
            write(writer, 404, {})


def write(writer: asyncio.StreamWriter, status: int, document: Any, *headers: str) -> None:
    body = json.dumps(document).encode()
    head = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A running site."""
    made = Site()
    behind = Behind(made.handle)
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(behind.serve(reader, writer))
        serving.add(task)
        await asyncio.wait({task})
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    made.fill()
    try:
        yield made
    finally:
        listening.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.sleep(0)  # their connections are closed


def fetch(url: str, *, method: str = "GET") -> int:
    """The status that a browser would get."""
    from urllib.request import Request

    try:
        with build_opener(ProxyHandler({})).open(Request(url, method=method), timeout=PATIENCE) as page:
            return int(page.status)
    except HTTPError as error:
        error.close()
        return error.code


class Browser:
    """Goes back to the redirect URI with these parameters instead of asking the authorization server.

    Args:
        parameters: besides a code and the right state; None takes one away.
        before: called with the redirect URI and the state, before it goes back.
    """

    def __init__(self, *, before: Callable[[str, str], None] | None = None, **parameters: str | None) -> None:
        self._parameters = parameters
        self._before = before
        self.addresses: list[str] = []

    @property
    def asked(self) -> dict[str, str]:
        """The parameters of the last authorization request."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.addresses[-1]).query).items()}

    def __call__(self, url: str) -> None:
        self.addresses.append(url)
        asked = self.asked
        parameters = {"code": "the-code", "state": asked["state"], **self._parameters}
        back = urlencode({name: value for name, value in parameters.items() if value is not None})

        def go() -> None:
            if self._before is not None:
                self._before(asked["redirect_uri"], asked["state"])
            fetch(f"{asked['redirect_uri']}?{back}")

        threading.Thread(target=go).start()


async def log_in(
    at: Site, folder: Path, browser: Browser, *, challenge: Challenge | None = None, **options: Any
) -> Login:
    """One log-in; raises what it raises."""
    http = OAuthHttp({}, timeout=options.pop("request_timeout", PATIENCE))
    granted = options.pop("granted", None)
    clock = options.pop("clock", time.time)
    store = TokenStore(folder)
    challenge = challenge or Challenge()
    found = await discover(http, at.url, challenge)
    assert found is not None
    flow = LoginFlow(
        http,
        store,
        LoginOptions(**{"timeout": PATIENCE, **options}),
        announce=lambda line, url: None,
        open_url=browser,
        clock=clock,
    )
    login = await flow.log_in(at.url, found, challenge, granted=granted)
    store.put(login)
    return login
