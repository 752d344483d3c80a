"""Logs the user in: registers at the authorization server, sends the browser, and exchanges the code.

Authorization code with PKCE S256 and a resource indicator (MCP 2025-11-25, "Authorization"; RFC 9207 against mix-up).
Promises: everything is bounded in time; no message contains a secret. Keeps no log-in: the caller does that.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from binascii import b2a_base64
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from msgspec.json import encode
from msgspec.structs import replace

from thv.auth.callback import CallbackListener
from thv.auth.metadata import REGISTRATION, check_endpoint, decode, is_near, join_scopes, quoted
from thv.auth.token_store import ClientRegistration, Login, Secrets
from thv.auth.tokens import request_tokens, with_tokens
from thv.core.net.url_redaction import redact_url
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from thv.auth.callback import AuthorizationResponse
    from thv.auth.discovery import Discovered
    from thv.auth.login_options import LoginOptions
    from thv.auth.metadata import AuthorizationServer, Challenge
    from thv.auth.oauth_http import OAuthHttp
    from thv.auth.token_store import TokenStore

OFFLINE: Final = "offline_access"
"""The scope that brings a refresh token (OpenID Connect Core 1.0, section 11), where the server knows it."""

CLIENT_URI: Final = "https://docs.toolhive.dev"


class LoginFlow:
    """Logs in at servers.

    Args:
        http: for all requests.
        store: where an earlier registration may be; it is marked there if the log-in fails with it.
        options: what the user set.
        announce: shows the user a line, and the URL to open.
        open_url: opens a browser.
        on_listening: told of the listener that waits for the browser.
        clock: Unix time.
    """

    def __init__(
        self,
        http: OAuthHttp,
        store: TokenStore,
        options: LoginOptions,
        *,
        announce: Callable[[str, str], None],
        open_url: Callable[[str], None],
        on_listening: Callable[[CallbackListener], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._store = store
        self._options = options
        self._announce = announce
        self._open_url = open_url
        self._on_listening = on_listening
        self._clock = clock

    async def log_in(
        self, server_url: str, found: Discovered, challenge: Challenge, *, granted: str | None = None
    ) -> Login:
        """Log the user in at the MCP server at `server_url`.

        Args:
            server_url: its canonical URL.
            found: who gives tokens for it.
            challenge: what it refused a request with.
            granted: the scope of the tokens so far, when they lack one: both are asked for.

        Raises:
            LoginError: it failed; the sentence says why, and holds no secret.
        """
        known = await asyncio.to_thread(self._store.get, found.issuer, found.resource)
        scope = self._scope(found, challenge, granted)
        state = secrets.token_urlsafe(32)
        async with self._doubting(known), CallbackListener(state, self._ports(known)) as listener:
            client, client_secret = await self._client(found, known, listener, near=is_near(server_url))
            verifier = secrets.token_urlsafe(64)
            url = _authorization_url(
                found,
                client_id=client.id,
                redirect_uri=listener.redirect_uri,
                state=state,
                verifier=verifier,
                scope=scope,
            )
            response = await self._ask_user(redact_url(server_url), url, listener)
            code = _checked_code(response, found.server)
            fields = {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": listener.redirect_uri,
                "code_verifier": verifier,
                "resource": found.resource,
            }
            now = self._clock()
            reply = await request_tokens(self._http, found.server.token_endpoint, client, client_secret, fields)
        others = () if known is None else known.server_urls
        login = Login(
            issuer=found.issuer,
            resource=found.resource,
            server_urls=tuple(dict.fromkeys((server_url, *others))),
            token_endpoint=found.server.token_endpoint,
            revocation_endpoint=found.server.revocation_endpoint,
            client=client,
            logged_in_at=now,
            scope=scope,
            secrets=Secrets(access_token=reply.access_token, client_secret=client_secret),
        )
        return with_tokens(login, reply, now)

    def _ports(self, known: Login | None) -> tuple[int, ...]:
        if self._options.port is not None:
            return (self._options.port,)
        port = None if known is None else known.client.redirect_port
        return (0,) if port is None else (port, 0)

    def _scope(self, found: Discovered, challenge: Challenge, granted: str | None) -> str | None:
        """What to ask for (MCP 2025-11-25, "Scope Selection Strategy")."""
        wanted = self._options.scope or challenge.scope or (None if found.scopes is None else " ".join(found.scopes))
        scope = join_scopes(granted, wanted)
        if scope is not None and self._options.scope is None and OFFLINE in (found.server.scopes_supported or ()):
            scope = join_scopes(scope, OFFLINE)
        return scope

    async def _ask_user(self, place: str, url: str, listener: CallbackListener) -> AuthorizationResponse:
        self._announce(f"{place} asks you to log in; waiting {self._options.timeout:g} s for your browser", url)
        if self._options.may_open_browser:
            try:
                self._open_url(url)
            except OSError as error:
                raise LoginError(f"the browser cannot be opened ({error.strerror}); run {command(place)}") from error
        if self._on_listening is not None:
            self._on_listening(listener)
        try:
            return await listener.wait(self._options.timeout)
        except TimeoutError:
            raise LoginError(
                f"no log-in at {place} within {self._options.timeout:g} s; to try again: {command(place)}"
            ) from None

    # How thv is known to the authorization server.

    @asynccontextmanager
    async def _doubting(self, known: Login | None) -> AsyncIterator[None]:
        """If this fails, the next log-in registers anew.

        Servers forget clients, and some say so only to the user, on a page in the browser that never leads back here.
        """
        try:
            yield
        except BaseException:  # the user who sees that page may interrupt
            if known is not None and not known.client.is_given:
                with suppress(LoginError):
                    await self._doubt(known)
            raise

    async def _doubt(self, known: Login) -> None:
        async with self._store.locked(known.key):
            current = await asyncio.to_thread(self._store.get, known.issuer, known.resource)
            if current is not None and current.client == known.client:
                await asyncio.to_thread(self._store.put, replace(current, client=current.client.doubted))

    async def _client(
        self, found: Discovered, known: Login | None, listener: CallbackListener, *, near: bool
    ) -> tuple[ClientRegistration, str | None]:
        """The client id to use, and its secret (MCP 2025-11-25, "Client Registration Approaches")."""
        given = self._options.client_id
        if given is not None:
            if urlsplit(given).scheme in {"https", "http"}:
                check_endpoint(given, "client metadata document", near=near)
                if not found.server.client_id_metadata_document_supported:
                    raise LoginError(
                        f"{redact_url(found.issuer)} does not take the URL of a client metadata document as --client-id"
                    )
            secret = self._options.client_secret
            if secret is None and known is not None and known.client.id == given:
                return known.client, None if known.secrets is None else known.secrets.client_secret
            method = "none" if secret is None else _secret_method(found.server)
            return ClientRegistration(given, method, redirect_port=self._options.port, is_given=True), secret
        if known is not None and self._is_usable(known.client, listener):
            return known.client, None if known.secrets is None else known.secrets.client_secret
        if found.server.registration_endpoint is None:
            raise LoginError(
                f"{redact_url(found.issuer)} registers no clients by itself: "
                "register thv there, and give its id with --client-id"
            )
        return await self._register(found.server, found.server.registration_endpoint, listener)

    def _is_usable(self, client: ClientRegistration, listener: CallbackListener) -> bool:
        is_current = client.expires_at is None or client.expires_at > self._clock()
        return is_current and not client.is_doubtful and client.redirect_port in {None, listener.port}

    async def _register(
        self, server: AuthorizationServer, endpoint: str, listener: CallbackListener
    ) -> tuple[ClientRegistration, str | None]:
        """Dynamic client registration (RFC 7591)."""
        methods = server.token_endpoint_auth_methods_supported
        # A program on the user's machine keeps no secret of its own (RFC 8252, section 8.5), if the server lets it.
        preferred = ("none", "client_secret_post", "client_secret_basic")
        method = "none" if methods is None else next((each for each in preferred if each in methods), "none")
        reply = await self._http.post_json(
            endpoint,
            encode(
                {
                    "client_name": "thv",
                    "client_uri": CLIENT_URI,
                    "redirect_uris": [listener.redirect_uri],
                    "grant_types": ["authorization_code", "refresh_token"],
                    "response_types": ["code"],
                    "token_endpoint_auth_method": method,
                    "application_type": "native",
                }
            ),
        )
        made = decode(REGISTRATION, reply.body)
        if made is None or not made.client_id:
            raise LoginError(f"{redact_url(endpoint)} answers with something that is not a registration")
        secret = made.client_secret or None  # some servers write "" for none
        method = made.token_endpoint_auth_method or (method if secret is not None else "none")
        if method not in preferred or (method != "none" and secret is None):
            raise LoginError(f"{redact_url(endpoint)} registers thv for {quoted(method)}, which thv cannot use")
        return (
            ClientRegistration(
                made.client_id,
                auth_method=method,
                redirect_port=listener.port,
                expires_at=made.client_secret_expires_at or None,  # 0 means never
            ),
            secret,
        )


def command(place: str, scope: str | None = None) -> str:
    """What to type to log in, safe to be pasted into a shell."""
    import shlex

    return shlex.join(["thv", "auth", "login", place, *([] if scope is None else ["--scope", scope])])


def _secret_method(server: AuthorizationServer) -> str:
    """How a secret is shown: as RFC 6749, section 2.3.1, prefers it, unless the server takes it only in the body."""
    methods = server.token_endpoint_auth_methods_supported
    basic, post = "client_secret_basic", "client_secret_post"
    return post if methods is not None and post in methods and basic not in methods else basic


def _authorization_url(
    found: Discovered, *, client_id: str, redirect_uri: str, state: str, verifier: str, scope: str | None
) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = b2a_base64(digest, newline=False).decode().translate({ord("+"): "-", ord("/"): "_", ord("="): None})
    fields = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "state": state,
        "resource": found.resource,
    }
    if scope is not None:
        fields["scope"] = scope
        if OFFLINE in scope.split():
            fields["prompt"] = "consent"  # OpenID Connect Core 1.0, section 11
    endpoint = found.server.authorization_endpoint
    return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(fields)}"


def _checked_code(response: AuthorizationResponse, server: AuthorizationServer) -> str:
    """The code, if it came from the server that was asked (RFC 9207, section 2.4)."""
    place = redact_url(server.issuer)
    if response.iss is not None and response.iss != server.issuer:
        raise LoginError(
            f"the browser came back from {quoted(redact_url(response.iss))}, not from {place}; the log-in was stopped"
        )
    if response.iss is None and server.authorization_response_iss_parameter_supported:
        raise LoginError(f"the browser came back without saying that it is from {place}; the log-in was stopped")
    if response.error is not None:
        words = f"{response.error}: {response.error_description}" if response.error_description else response.error
        raise LoginError(f"{place} refused the log-in: {quoted(words)}")
    if not response.code:
        raise LoginError(f"the browser came back from {place} without a code")
    return response.code
