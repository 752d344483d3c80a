"""Which proxy the environment names, as a table."""

from __future__ import annotations

import pytest

from thv.core.net.environment_proxies import proxy_for


@pytest.mark.parametrize(
    ("scheme", "host", "environ", "proxy"),
    [
        ("http", "a.example", {}, None),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("https", "a.example", {"https_proxy": "p:1"}, "http://p:1"),
        ("https", "a.example", {"ALL_PROXY": "socks5://p:1"}, "socks5://p:1"),
        ("https", "a.example", {"HTTP_PROXY": "http://p:1"}, None),
        ("https", "a.example", {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "http://lower:1"),
        ("https", "a.example", {"HTTPS_PROXY": "http://upper:1", "https_proxy": ""}, None),
        ("http", "a.example", {"HTTP_PROXY": ""}, None),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
        ("http", "a.example", {"http_proxy": "http://p:1", "REQUEST_METHOD": "GET"}, "http://p:1"),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example"}, None),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:9"}, None),
        ("http", "b.a.example", {"HTTP_PROXY": "http://p:1", "no_proxy": "x,.a.example"}, None),
        ("http", "127.0.0.1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http", "127.0.0.1.evil.example", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http", "localhost", {"ALL_PROXY": "http://p:1"}, None),
        ("http", "a.localhost.", {"ALL_PROXY": "http://p:1"}, None),
        ("http", "::1", {"ALL_PROXY": "http://p:1"}, None),
        ("http", "a.example", {"HTTP_PROXY": "HTTP://p:1"}, "http://p:1"),
        ("http", "a.example", {"HTTP_PROXY": " http://p:1 "}, "http://p:1"),
        ("http", "a.example", {"HTTP_PROXY": " "}, None),
    ],
)
def test_the_environment_names_the_proxy(scheme: str, host: str, environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(scheme, host, 9, environ) == proxy


@pytest.mark.parametrize(
    ("host", "port", "exceptions"),
    [
        ("10.1.2.3", 4318, "10.0.0.0/8"),
        ("10.1.2.3", 4318, "a.example, 10.9.9.9/8"),
        ("10.1.2.3", 4318, "10.1.2.3"),
        ("10.1.2.3", 4318, "10.1.2.3:4318"),
        ("fd00::17", 4318, "fd00::/8"),
        ("fd00::17", 4318, "fd00::17"),
        ("fd00::17", 4318, "[fd00::17]"),
        ("fd00::17", 4318, "[fd00::17]:4318"),
        ("a.example", None, "a.example:443"),
        ("a.example", 8443, "a.example:8443"),
        ("A.Example.", None, "a.eXample"),
        ("b.a.example", None, "*.a.example"),
        ("b.a.example", None, "x,, .a.example"),
        ("b.a.example", None, "x a.example"),
        ("b.a.example", None, "x, *"),
    ],
)
def test_a_host_that_no_proxy_holds_is_reached_directly(host: str, port: int | None, exceptions: str) -> None:
    assert proxy_for("https", host, port, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": exceptions}) is None


@pytest.mark.parametrize(
    ("host", "port", "exceptions"),
    [
        ("11.1.2.3", 4318, "10.0.0.0/8"),
        ("a.example", None, "10.0.0.0/8"),
        ("a.example", None, "a.example:80"),
        ("a.example", None, "example:443:443"),
        ("a.example", None, ", . *. / :443"),
        ("a.example", None, "10.0.0.0/99, a/8"),
        ("a.example", None, "(,[,\\"),
        ("xa.example", None, "a.example"),
        ("fd00::17", 17, "fd00:"),
        ("fd00::17", 17, "fe00::/8, 10.0.0.0/8"),
    ],
)
def test_a_host_that_no_proxy_does_not_hold_is_reached_by_the_proxy(
    host: str, port: int | None, exceptions: str
) -> None:
    assert proxy_for("https", host, port, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": exceptions}) == "http://p:1"
