"""A protected MCP server and its authorization server, made of the official SDK's own parts, on loopback.

The 'browser' is a program that follows the redirects by itself; a test names it in `BROWSER`.
"""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    RefreshToken,
    TokenError,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCOPES = ["read", "write"]
FOLLOWER = Path(__file__).with_name("follow.py")
BROWSER = f"'{sys.executable}' -I '{FOLLOWER}' %s"
"""A browser whose user agrees to everything at once."""

START_LIMIT_S = 60.0


class Provider:
    """An authorization server in memory; every refresh token can be used once.

    Attributes:
        lifetime: seconds that access tokens last.
        authorizations: the authorization requests so far.
        refreshes: the refresh tokens that were used, in order.
        reused: the refresh tokens that came a second time.
        issued: every token, code and secret that was ever given out.
    """

    def __init__(self) -> None:
        self.lifetime = 3600
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.authorizations: list[AuthorizationParams] = []
        self.refreshes: list[str] = []
        self.reused: list[str] = []
        self.revoked: list[str] = []
        self.issued: list[str] = []

    def _secret(self, kind: str) -> str:
        secret = f"{kind}-SECRET-{secrets.token_hex(16)}"
        self.issued.append(secret)
        return secret

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        if client_info.client_secret:
            self.issued.append(client_info.client_secret)
        self.clients[str(client_info.client_id)] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        self.authorizations.append(params)
        code = AuthorizationCode(
            code=self._secret("code"),
            scopes=params.scopes or ["read"],
            expires_at=time.time() + 60,
            client_id=str(client.client_id),
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self.codes[authorization_code.code]
        return self._tokens(str(client.client_id), authorization_code.scopes, authorization_code.resource)

    def _tokens(self, client_id: str, scopes: list[str], resource: str | None) -> OAuthToken:
        access, refresh = self._secret("access"), self._secret("refresh")
        self.access[access] = AccessToken(
            token=access,
            client_id=client_id,
            scopes=scopes,
            expires_at=int(time.time()) + self.lifetime,
            resource=resource,
        )
        self.refresh[refresh] = RefreshToken(token=refresh, client_id=client_id, scopes=scopes, resource=resource)
        return OAuthToken(access_token=access, refresh_token=refresh, expires_in=self.lifetime, scope=" ".join(scopes))

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        if refresh_token in self.refreshes:
            # As RFC 9700, section 4.14.2, asks: every token of that client ends.
            self.reused.append(refresh_token)
            self.access.clear()
            self.refresh.clear()
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        if refresh_token.token not in self.refresh:
            raise TokenError("invalid_grant")
        del self.refresh[refresh_token.token]
        self.refreshes.append(refresh_token.token)
        return self._tokens(str(client.client_id), scopes, refresh_token.resource)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.revoked.append(token.token)
        self.access.pop(token.token, None)
        self.refresh.pop(token.token, None)

    def expire_access_tokens(self) -> None:
        """As if the server had forgotten them: a 401 before their time."""
        self.access.clear()


class StepUp:
    """Refuses a call of the tool `write` whose token lacks the scope of that name (RFC 6750, section 3.1)."""

    def __init__(self, app: ASGIApp, provider: Provider) -> None:
        self._app = app
        self._provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != "/mcp":
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
        body = b"".join(message.get("body", b"") for message in messages)
        header = dict(scope["headers"]).get(b"authorization", b"").decode()
        token = self._provider.access.get(header.removeprefix("Bearer "))
        if b'"name":"write"' in body.replace(b" ", b"") and token is not None and "write" not in token.scopes:
            challenge = 'Bearer error="insufficient_scope", scope="write"'
            await JSONResponse({}, 403, headers={"WWW-Authenticate": challenge})(scope, receive, send)
            return
        replay = iter(messages)

        async def received() -> Message:
            return next(replay, None) or await receive()

        await self._app(scope, received, send)


class Protected:
    """A running server: its URL, and what is behind it."""

    def __init__(self, url: str, provider: Provider) -> None:
        self.url = url
        self.origin = url.removesuffix("/mcp")
        self.provider = provider


@contextmanager
def protected_server() -> Iterator[Protected]:
    """A server whose tools `read` and `write` need a log-in, and its authorization server on the same port."""
    listening = socket.create_server(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
    provider: Any = Provider()
    server = MCPServer(
        name="protected",
        auth_server_provider=provider,
        auth=AuthSettings.model_validate(
            {
                "issuer_url": origin,
                "resource_server_url": f"{origin}/mcp",
                "required_scopes": ["read"],
                "validate_token_resource": True,
                "client_registration_options": ClientRegistrationOptions(
                    enabled=True, valid_scopes=SCOPES, default_scopes=SCOPES
                ),
                "revocation_options": RevocationOptions(enabled=True),
            }
        ),
    )

    @server.tool()
    def read() -> str:
        return "was read"

    @server.tool()
    def write() -> str:
        return "was written"

    app = StepUp(server.streamable_http_app(), provider)
    with serving(app, listening):
        yield Protected(f"{origin}/mcp", provider)


@contextmanager
def serving(app: ASGIApp, listening: socket.socket) -> Iterator[None]:
    """Serve an application on a socket, from a thread."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    deadline = time.monotonic() + START_LIMIT_S
    try:
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        yield
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
