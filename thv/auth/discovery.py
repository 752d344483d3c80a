"""Finds out who gives tokens for a server (RFC 9728, RFC 8414, OpenID Connect Discovery; MCP 2025-11-25, "Discovery").

Promises: an authorization server's metadata is used only if it names itself as the issuer that was asked, and every
endpoint in it passed `check_endpoint` before anything is sent there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import httpx
from msgspec import Struct

from thv.auth.metadata import (
    AUTHORIZATION_SERVER,
    PROTECTED_RESOURCE,
    AuthorizationServer,
    canonical_url,
    check_endpoint,
    covers,
    decode,
    is_near,
    origin_of,
    quoted,
    resource_metadata_urls,
    same_issuer,
    server_metadata_urls,
)
from thv.core.net.url_redaction import redact_url
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msgspec.json import Decoder

    from thv.auth.metadata import Challenge, ProtectedResource
    from thv.auth.oauth_http import HttpReply, OAuthHttp

T = TypeVar("T")


class Discovered(Struct, frozen=True):
    """Who gives tokens, and for what.

    Attributes:
        resource: the resource indicator (RFC 8707).
        scopes: what the resource knows; None if it does not say.
        issuer: the authorization server, as its metadata names it.
        server: its metadata.
    """

    resource: str
    scopes: list[str] | None
    issuer: str
    server: AuthorizationServer


async def discover(
    http: OAuthHttp, server_url: str, challenge: Challenge, *, may_assume: bool = False
) -> Discovered | None:
    """Find out who gives tokens for the MCP server at `server_url`; None if it says nowhere how to log in.

    Args:
        http: for the requests.
        server_url: its canonical URL.
        challenge: what it refused a request with.
        may_assume: take the endpoints that MCP 2025-03-26 gives a server without metadata. Only if the user says that
            there is a log-in: a server that wants a token of another kind looks the same.

    Raises:
        LoginError: it cannot be found out, or what was found must not be used.
    """
    near = is_near(server_url)
    resource = await _protected_resource(http, server_url, challenge)
    issuers = [] if resource is None else resource.authorization_servers or []
    if issuers:
        issuer = check_endpoint(issuers[0], "authorization server", near=near)
        server = await _authorization_server(http, issuer)
        if server is None:
            raise LoginError(f"{redact_url(issuer)} says nowhere how to log in (RFC 8414)")
    else:
        # MCP 2025-03-26: the server's own origin is the authorization server.
        origin = origin_of(server_url)
        server = await _authorization_server(http, origin) or (_default_endpoints(origin) if may_assume else None)
        if server is None:
            return None
    _check_server(server, near=near)
    return Discovered(
        resource=canonical_url(server_url) if resource is None else resource.resource,
        scopes=None if resource is None else resource.scopes_supported,
        issuer=server.issuer,
        server=server,
    )


async def _protected_resource(http: OAuthHttp, server_url: str, challenge: Challenge) -> ProtectedResource | None:
    found = await _first(http, resource_metadata_urls(server_url, challenge.resource_metadata), PROTECTED_RESOURCE)
    if found is None:
        return None
    _, resource = found
    if not covers(resource.resource, server_url):
        raise LoginError(
            f"{redact_url(server_url)} says that it is {quoted(redact_url(resource.resource))}; "
            "the log-in was stopped, for its tokens could be used there"
        )
    return resource


async def _authorization_server(http: OAuthHttp, issuer: str) -> AuthorizationServer | None:
    found = await _first(http, server_metadata_urls(issuer), AUTHORIZATION_SERVER)
    if found is None:
        return None
    url, server = found
    if not same_issuer(server.issuer, issuer):
        raise LoginError(
            f"{redact_url(url)} names another issuer, {quoted(redact_url(server.issuer))}; the log-in was stopped"
        )
    return server


async def _first(http: OAuthHttp, urls: Iterable[str], decoder: Decoder[T]) -> tuple[str, T] | None:
    """The first of these URLs that has such a document, and the document; None if all say that they have none.

    Raises:
        LoginError: none has it, and at least one failed.
    """
    failed = None
    for url in urls:
        reply = await http.get(url)
        failed = failed or _failure(reply, url)
        document = decode(decoder, reply.body) if reply.is_success else None
        if document is not None:
            return url, document
    if failed is not None:
        raise failed
    return None


def _failure(reply: HttpReply, url: str) -> LoginError | None:
    """The error of a server that fails: it says nothing about whether there is metadata, so nothing else is assumed."""
    if reply.status >= httpx.codes.INTERNAL_SERVER_ERROR or reply.status == httpx.codes.TOO_MANY_REQUESTS:
        return LoginError(f"{redact_url(url)} fails ({reply.status}): try again later")
    return None


def _default_endpoints(origin: str) -> AuthorizationServer:
    """MCP 2025-03-26, "Fallbacks for Servers without Metadata Discovery"."""
    return AuthorizationServer(
        issuer=origin,
        authorization_endpoint=f"{origin}/authorize",
        token_endpoint=f"{origin}/token",
        registration_endpoint=f"{origin}/register",
        code_challenge_methods_supported=["S256"],
    )


def _check_server(server: AuthorizationServer, *, near: bool) -> None:
    check_endpoint(server.authorization_endpoint, "authorization endpoint", near=near)
    check_endpoint(server.token_endpoint, "token endpoint", near=near)
    if server.registration_endpoint is not None:
        check_endpoint(server.registration_endpoint, "registration endpoint", near=near)
    if server.revocation_endpoint is not None:
        check_endpoint(server.revocation_endpoint, "revocation endpoint", near=near)
    if "S256" not in (server.code_challenge_methods_supported or ()):
        # "MCP clients MUST refuse to proceed" (MCP 2025-11-25, "Authorization Code Protection").
        raise LoginError(
            f"{redact_url(server.issuer)} does not say that it supports PKCE with S256, which MCP requires"
        )
