"""The proxy that the environment or the system names for a request."""

from __future__ import annotations

import sys

from thv.core.net.loopback import is_loopback
from thv.core.net.urls import DEFAULT_PORTS, bare_host, is_http_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_for(scheme: str, host: str, port: int | None, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy for requests to this host, or None for a direct connection.

    ``SCHEME_proxy``, ``all_proxy`` and ``no_proxy`` decide, in either case, the lower one first; where none of them is
    set, the settings of macOS and Windows do. No proxy can reach this machine's loopback addresses. Its scheme is in
    lower case; whether the rest of it is a URL is not checked.

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
    from urllib.request import getproxies, proxy_bypass

    proxies = named or getproxies()
    proxy = (proxies.get(scheme) or proxies.get("all") or "").strip()
    port = port or DEFAULT_PORTS.get(scheme)
    if not proxy or (_is_exempt(host, port, named.get("no", "")) if named else proxy_bypass(f"{host}:{port}")):
        return None
    kind, separator, rest = proxy.partition("://")
    return f"{kind.lower()}://{rest}" if separator else f"http://{proxy}"


def checked_proxy(proxy: str) -> str:
    """The URL of a proxy.

    Raises:
        ValueError: its host or its port cannot exist.
    """
    if not is_http_url(f"http://{proxy.partition('://')[2]}"):
        raise ValueError("not the URL of a proxy")
    return proxy


def _is_exempt(host: str, port: int | None, exceptions: str) -> bool:
    """Whether a value of ``no_proxy`` holds this host.

    Its entries are names, each of which stands for the names below it, too (``example.com``, ``.example.com``,
    ``*.example.com``), addresses, networks (``10.0.0.0/8``), any of the first two with a port, and ``*``. Commas or
    blanks separate them, as for curl.
    """
    host = bare_host(host).lower().removesuffix(".")
    for entry in exceptions.lower().replace(",", " ").split():
        if entry == "*" or (("/" in entry) and _is_within(host, entry)):
            return True
        name, _, suffix = entry.rpartition(":")
        if name and suffix == str(port) and (":" not in name or name.startswith("[")):
            entry = name  # noqa: PLW2901 - without its port
        name = bare_host(entry).removeprefix("*").strip(".")
        if name and (host == name or host.endswith(f".{name}")):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:  # the host is a name, or the network is none
        return False


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
