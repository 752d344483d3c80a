"""The proxy that the environment or the system names for a request."""

from __future__ import annotations

import sys

from thv.core.net.loopback import is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_for(scheme: str, host: str, port: int | None, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy for requests to this host, or None for a direct connection.

    ``SCHEME_proxy``, ``all_proxy`` and ``no_proxy`` decide, in either case, the lower one first; where none of them is
    set, the settings of macOS and Windows do. No proxy can reach this machine's loopback addresses.

    Args:
        scheme: of the request: ``http`` or ``https``.
        host: where it goes, without brackets.
        port: None for the scheme's own.
        environ: where proxies are named.
    """
    if is_loopback(host):
        return None
    named = _named_proxies(environ)
    if not named and sys.platform not in {"darwin", "win32"}:
        return None
    from urllib.request import getproxies, proxy_bypass, proxy_bypass_environment  # type: ignore[attr-defined]  # no stub

    proxies = named or getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    where = host if port is None else f"{host}:{port}"
    if not proxy or (proxy_bypass_environment(where, named) if named else proxy_bypass(where)):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _named_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Scheme, `all` or `no` -> what the environment says of it."""
    named = {
        name.lower().removesuffix("_proxy"): value
        for name, value in sorted(environ.items())  # upper case sorts first: the lower case wins, even if empty
        if name.lower().endswith("_proxy")
    }
    if "REQUEST_METHOD" in environ and "http_proxy" not in environ:
        named.pop("http", None)  # in a CGI script HTTP_PROXY is a request's `Proxy` header ("httpoxy")
    return {name: value for name, value in named.items() if value}
