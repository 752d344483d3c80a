"""Requests to a token endpoint: a code for tokens, tokens for newer ones, tokens revoked.

Promises: what comes back is used only if it can stand in a header and is a bearer token. Keeps nothing.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from thv.auth.metadata import TOKEN_REPLY, decode, is_scope
from thv.auth.token_store import Secrets
from thv.core.net.url_redaction import redact_url
from thv.errors import LoginError

if TYPE_CHECKING:
    from thv.auth.metadata import TokenReply
    from thv.auth.oauth_http import OAuthHttp
    from thv.auth.token_store import ClientRegistration, Login

REFRESH_MARGIN_S: Final = 60.0
"""Seconds before its end at which a token is refreshed; clocks differ, and a request takes time."""

MARGIN_PART: Final = 0.2
"""The part of a short life that the margin may take at most."""

_TOKEN: Final = re.compile(r"[!-~]{1,65536}")
"""Visible ASCII characters: what RFC 6750 allows, and some more that issuers use. Nothing that ends a header."""


async def request_tokens(
    http: OAuthHttp,
    endpoint: str,
    client: ClientRegistration,
    client_secret: str | None,
    fields: dict[str, str],
) -> TokenReply:
    """POST one grant to a token endpoint; its checked reply.

    Raises:
        OAuthError: the server refused the grant.
        LoginError: it cannot be reached, or answers with something else than tokens.
    """
    fields, basic = _authenticated(client, client_secret, fields)
    reply = decode(TOKEN_REPLY, (await http.post_form(endpoint, fields, basic=basic)).body)
    if reply is None:
        raise LoginError(f"{redact_url(endpoint)} answers with something that is not a token")
    if reply.token_type.lower() != "bearer":
        raise LoginError(f"{redact_url(endpoint)} gives a token that is not a bearer token; thv cannot use it")
    for token in (reply.access_token, reply.refresh_token or None):  # some servers write "" for none
        if token is not None and not _TOKEN.fullmatch(token):
            raise LoginError(f"{redact_url(endpoint)} gives a token that no header can carry")
    return reply


def with_tokens(login: Login, reply: TokenReply, now: float) -> Login:
    """The log-in with the tokens of a reply; a refresh token or scope that the reply lacks stays.

    Args:
        login: the log-in; it has secrets already.
        reply: what the token endpoint said.
        now: Unix time at which it was asked.
    """
    old = login.secrets
    lifetime = _seconds(reply.expires_in)
    margin = 0.0 if lifetime is None else min(REFRESH_MARGIN_S, lifetime * MARGIN_PART)
    return replace(
        login,
        secrets=Secrets(
            access_token=reply.access_token,
            refresh_token=reply.refresh_token or (None if old is None else old.refresh_token),
            client_secret=None if old is None else old.client_secret,
        ),
        expires_at=None if lifetime is None else now + lifetime,
        refresh_at=None if lifetime is None else now + lifetime - margin,
        scope=reply.scope if reply.scope is not None and is_scope(reply.scope) else login.scope,
    )


async def refresh(http: OAuthHttp, login: Login, now: float) -> Login:
    """The log-in with newer tokens.

    Raises:
        OAuthError: the refresh token is not accepted any more.
        LoginError: the server cannot be reached, or there is no refresh token.
    """
    if login.secrets is None or login.secrets.refresh_token is None:
        raise LoginError(f"the log-in for {redact_url(login.resource)} cannot be refreshed")
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": login.secrets.refresh_token,
        "resource": login.resource,
    }
    reply = await request_tokens(http, login.token_endpoint, login.client, login.secrets.client_secret, fields)
    return with_tokens(login, reply, now)


async def revoke(http: OAuthHttp, login: Login) -> None:
    """Tell the issuer that the tokens are not used any more (RFC 7009), where it takes that.

    Raises:
        LoginError: it did not take it.
    """
    if login.revocation_endpoint is None or login.secrets is None:
        return
    token = login.secrets.refresh_token or login.secrets.access_token
    hint = "refresh_token" if login.secrets.refresh_token else "access_token"
    fields, basic = _authenticated(login.client, login.secrets.client_secret, {"token": token, "token_type_hint": hint})
    await http.post_form(login.revocation_endpoint, fields, basic=basic)


def _authenticated(
    client: ClientRegistration, secret: str | None, fields: dict[str, str]
) -> tuple[dict[str, str], tuple[str, str] | None]:
    """The fields and the credentials with which the client says who it is (RFC 6749, section 2.3.1)."""
    if client.auth_method == "client_secret_basic" and secret is not None:
        return fields, (client.id, secret)
    fields = {**fields, "client_id": client.id}
    if client.auth_method == "client_secret_post" and secret is not None:
        fields["client_secret"] = secret
    return fields, None


def _seconds(value: float | str | None) -> float | None:
    try:
        seconds = None if value is None else float(value)
    except ValueError:
        return None
    return None if seconds is None or not math.isfinite(seconds) else max(seconds, 0.0)
