"""What servers say about how to log in, and whether to believe it: challenges, metadata, and the rules for URLs.

Pure, without I/O. Everything here was written by a server that may be hostile: a URL is used only after
`check_endpoint`, a text is shown only after `printable.one_line`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

from msgspec import Struct
from msgspec.json import Decoder

from thv.core.net.loopback import is_loopback
from thv.core.net.url_redaction import redact_url
from thv.core.net.urls import DEFAULT_PORTS
from thv.core.printable import one_line
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

MAX_CHALLENGE: Final = 8192
"""Characters of `WWW-Authenticate` that are read; servers limit all headers together to about that."""

MAX_URL: Final = 2048
"""Characters of a URL that a server names; the longest that every browser takes."""

MAX_WORDS: Final = 200
"""Characters of a server's own words in an error."""

RESOURCE_WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
SERVER_WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"
OPENID_WELL_KNOWN: Final = "/.well-known/openid-configuration"

_CHALLENGE_PART: Final = re.compile(r"""([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+))?""", re.ASCII)
"""A scheme, or a parameter with its value (RFC 9110, section 11.2)."""

_SCOPE: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")
"""RFC 6749, section 3.3."""

_URL_CHARACTERS: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&()*+,;=%]+")
"""RFC 3986, section 2, without the apostrophe: a URL may pass through a shell on its way to a browser."""


class Challenge(Struct, frozen=True):
    """What a refusal says in its `Bearer` challenge (RFC 6750, section 3; RFC 9728, section 5.1)."""

    error: str | None = None
    resource_metadata: str | None = None
    scope: str | None = None


class ProtectedResource(Struct, frozen=True):
    """Protected resource metadata (RFC 9728, section 2)."""

    resource: str
    authorization_servers: list[str] | None = None
    scopes_supported: list[str] | None = None


class AuthorizationServer(Struct, frozen=True):
    """Authorization server metadata (RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    scopes_supported: list[str] | None = None
    code_challenge_methods_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    client_id_metadata_document_supported: bool | None = None
    authorization_response_iss_parameter_supported: bool | None = None


class Registration(Struct, frozen=True):
    """The reply to a dynamic registration (RFC 7591, section 3.2.1)."""

    client_id: str
    client_secret: str | None = None
    client_secret_expires_at: float | None = None
    token_endpoint_auth_method: str | None = None


class TokenReply(Struct, frozen=True):
    """The reply of a token endpoint (RFC 6749, section 5.1). Some servers write the number as a string."""

    access_token: str
    token_type: str
    expires_in: float | str | None = None
    refresh_token: str | None = None
    scope: str | None = None


class ErrorReply(Struct, frozen=True):
    """An error of a token or registration endpoint (RFC 6749, section 5.2)."""

    error: str
    error_description: str | None = None


PROTECTED_RESOURCE: Final = Decoder(ProtectedResource)
AUTHORIZATION_SERVER: Final = Decoder(AuthorizationServer)
REGISTRATION: Final = Decoder(Registration)
TOKEN_REPLY: Final = Decoder(TokenReply)
ERROR_REPLY: Final = Decoder(ErrorReply)


def decode(decoder: Decoder[T], body: bytes) -> T | None:
    """What the body says; None if it is not that."""
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError):
        return None


def read_challenge(values: Iterable[str]) -> Challenge:
    """The `Bearer` challenge among the values of `WWW-Authenticate`; an empty one if there is none."""
    found: dict[str, str] = {}
    in_bearer = False
    for match in _CHALLENGE_PART.finditer(", ".join(values)[:MAX_CHALLENGE]):
        name, value = match[1].lower(), match[2]
        if value is None:
            in_bearer = name == "bearer"
        elif in_bearer:
            text = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            found.setdefault(name, text)
    scope = found.get("scope")
    return Challenge(
        error=found.get("error"),
        resource_metadata=found.get("resource_metadata"),
        scope=scope if scope is not None and is_scope(scope) else None,
    )


def is_scope(text: str) -> bool:
    """Whether a text is a list of scopes."""
    return _SCOPE.fullmatch(text) is not None


def canonical_url(url: str) -> str:
    """A server's URL as a resource indicator: scheme and host in lower case, no user, default port or fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme.lower(), _authority(parts), parts.path, parts.query, ""))


def origin_of(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{_authority(parts)}"


def _authority(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    return host if parts.port in {None, DEFAULT_PORTS.get(parts.scheme.lower())} else f"{host}:{parts.port}"


def is_near(url: str) -> bool:
    """Whether a server runs on this machine: only then may what it names be here, too, and be plain HTTP."""
    return is_loopback(urlsplit(url).hostname)


def check_endpoint(url: str, what: str, *, near: bool) -> str:
    """A URL that a server named, if it may be used: `https`, or `http` to this machine from a server on it.

    Args:
        url: what the server wrote.
        what: what it is, for the error.
        near: whether the server runs on this machine.

    Raises:
        LoginError: it is anything else, such as `javascript:`, `file:`, or a service of this machine.
    """
    shown = quoted(redact_url(url[:MAX_WORDS]))
    try:
        parts = urlsplit(url)
        is_well_formed = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        raise LoginError(f"the {what} {shown} is not a URL; the log-in was stopped") from None
    if (
        not is_well_formed
        or len(url) > MAX_URL
        or not _URL_CHARACTERS.fullmatch(url)
        or parts.username is not None
        or parts.fragment
        or parts.scheme not in {"https", "http"}
    ):
        raise LoginError(f"the {what} {shown} is not an https:// URL; the log-in was stopped")
    if is_loopback(parts.hostname):
        if not near:
            raise LoginError(f"the {what} {shown} is on this machine, and its server is not; the log-in was stopped")
    elif parts.scheme != "https":
        raise LoginError(f"the {what} {shown} is not encrypted: it must be https://; the log-in was stopped")
    return url


def quoted(text: str) -> str:
    """A server's words as they may be shown."""
    return repr(one_line(text[:MAX_WORDS]))


def resource_metadata_urls(url: str, named: str | None) -> list[str]:
    """Where a server's metadata may be, in order (RFC 9728, section 3.1; MCP 2025-11-25, "Discovery").

    What the server names is used only on its own origin: it must not make thv contact others.
    """
    origin, path = origin_of(url), urlsplit(url).path
    urls = [] if named is None or not _is_of_origin(named, origin) else [named]
    urls += [f"{origin}{RESOURCE_WELL_KNOWN}{path}"] if path not in {"", "/"} else []
    return list(dict.fromkeys([*urls, f"{origin}{RESOURCE_WELL_KNOWN}"]))


def _is_of_origin(url: str, origin: str) -> bool:
    try:
        return _URL_CHARACTERS.fullmatch(url) is not None and len(url) <= MAX_URL and origin_of(url) == origin
    except ValueError:
        return False


def server_metadata_urls(issuer: str) -> list[str]:
    """Where the metadata of an authorization server may be, in order (RFC 8414, sections 3.1 and 5)."""
    origin, path = origin_of(issuer), urlsplit(issuer).path.rstrip("/")
    urls = [f"{origin}{SERVER_WELL_KNOWN}{path}", f"{origin}{OPENID_WELL_KNOWN}{path}"]
    return [*urls, f"{origin}{path}{OPENID_WELL_KNOWN}"] if path else urls


def same_issuer(one: str, other: str) -> bool:
    """Whether two issuers are one: the same text; a root issuer may be written with its slash or without."""
    return one == other or (_root_issuer(one) == _root_issuer(other) and _root_issuer(one) is not None)


def _root_issuer(issuer: str) -> str | None:
    bare = issuer.removesuffix("/")
    return bare if bare.count("/") == len("//") else None


def covers(resource: str, url: str) -> bool:
    """Whether a resource is the server at `url`: the same, or a parent of its path on the same origin."""
    try:
        if origin_of(resource) != origin_of(url):
            return False
    except ValueError:
        return False
    above, path = urlsplit(resource).path.rstrip("/"), urlsplit(url).path.rstrip("/")
    return path == above or path.startswith(f"{above}/")


def join_scopes(*scopes: str | None) -> str | None:
    """The union of lists of scopes, in order; None if there are none."""
    return " ".join(dict.fromkeys(word for scope in scopes if scope for word in scope.split())) or None
