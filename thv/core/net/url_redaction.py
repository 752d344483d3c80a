"""How a URL is shown: without the parts of it that may be a secret."""

from __future__ import annotations

from thv.core.net.urls import parse_port, split_url

OMITTED = "…"
"""Stands in a URL for what is not shown."""


def redact_url(url: str, *, origin_only: bool = False) -> str:
    """A URL as it may be shown: without user, password, query and fragment, any of which may be a secret.

    An authority whose port is no number may be a torn password (``https://user:pa/ss@host``) and is left out whole.

    Args:
        url: as the user wrote it; it need not be valid, and may lack a scheme.
        origin_only: leave out the path, too: in the address of a collector it may hold a token.
    """
    head, question, _ = url.partition("#")[0].partition("?")
    scheme, _, authority, path = split_url(head)
    port = authority.rpartition("]")[2].partition(":")[2]
    if port and parse_port(port, lowest=0) is None and not _is_bare_ipv6(authority):
        return f"{scheme}{OMITTED}"
    if origin_only:
        return f"{scheme}{authority}"
    return f"{scheme}{authority}{path}{'?' + OMITTED if question else ''}"


def _is_bare_ipv6(authority: str) -> bool:
    return all(character in "0123456789abcdefABCDEF:." for character in authority)
