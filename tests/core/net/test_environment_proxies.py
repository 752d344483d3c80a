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
    ],
)
def test_the_environment_names_the_proxy(scheme: str, host: str, environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(scheme, host, 9, environ) == proxy
