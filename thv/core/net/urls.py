"""URLs, hosts and ports: taken apart and checked, as text. Nothing is looked up."""

from __future__ import annotations

MAX_PORT = 65_535
"""The largest TCP port (RFC 9293, section 3.1: 16 bits)."""

DEFAULT_PORTS = {"http": 80, "https": 443}
"""RFC 9110, sections 4.2.1 and 4.2.2."""


def parse_port(text: str, *, lowest: int = 1) -> int | None:
    """The port that a text names: ASCII digits, from `lowest` to 65535; None for anything else.

    Args:
        text: what the user wrote.
        lowest: 0 where port 0, "any free port", makes sense.
    """
    if not (text.isascii() and text.isdigit() and len(text.lstrip("0")) <= len(str(MAX_PORT))):
        return None
    port = int(text)
    return port if lowest <= port <= MAX_PORT else None


def hostname_of(authority: str) -> str | None:
    """The host of a `Host` header or of an authority, in lower case and without brackets; None if there is none."""
    from urllib.parse import urlsplit

    try:
        return urlsplit(f"//{authority}").hostname or None
    except ValueError:
        return None


def is_http_url(text: str) -> bool:
    """Whether a text is a URL of HTTP or HTTPS whose host and port can exist. Nothing is looked up."""
    from urllib.parse import urlsplit

    from thv.core.net.loopback import inet_aton

    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port  # reading the port checks it
        host.encode("idna")  # refuses parts of a name that are empty or too long
    except ValueError:
        return False
    if host.replace(".", "").isdecimal() and inet_aton(host.removesuffix(".")) is None:  # as 256.0.0.1
        return False
    return parts.scheme in DEFAULT_PORTS and host != "" and port != 0 and not any(each <= " " for each in text)


def bare_host(host: str) -> str:
    """An address of IPv6 without the brackets that it has in a URL; any other host as it is."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") and ":" in host else host


def split_url(url: str) -> tuple[str, str, str, str]:
    """A URL's scheme with ``://``, user and password, host and port, and all that follows; "" for what it lacks.

    The four and the ``@`` between user and host make the text again: it need not be valid, and is taken as it is.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    user, _, host = rest[:end].rpartition("@")
    return f"{scheme}{separator}", user, host, rest[end:]
