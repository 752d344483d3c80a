"""Who is let in: a table of hosts and origins."""

from __future__ import annotations

import pytest

from thv.errors import UsageError
from thv.http.host_policy import HostPolicy

LOCAL = HostPolicy("127.0.0.1", 8080, ["https://app.example.com", "http://rebound.example:80"])
OPEN = HostPolicy("0.0.0.0", 8080)


def headers(host: str | None, origin: str | None) -> list[tuple[bytes, bytes]]:
    found = []
    if host is not None:
        found.append((b"host", host.encode("latin-1")))
    if origin is not None:
        found.append((b"origin", origin.encode("latin-1")))
    return found


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8080", None),
        ("localhost", None),
        ("LOCALHOST:9000", None),  # a port may be forwarded
        ("[::1]:8080", None),
        ("127.0.0.2", "http://localhost:6274"),
        ("localhost:8080", "https://app.example.com"),
        ("localhost:8080", "https://APP.example.com:443"),
        ("app.example.com", "https://app.example.com"),
        ("localhost", "http://rebound.example"),
        ("localhost", "http://[::1]:3000"),
    ],
)
def test_this_machine_and_allowed_origins_are_let_in(host: str, origin: str | None) -> None:
    assert LOCAL.refusal(headers(host, origin)) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:8080", None),
        ("localhost.evil.example", None),
        ("127.0.0.1.evil.example", None),
        ("192.168.0.4:8080", None),
        ("localhost", "http://evil.example"),
        ("localhost", "http://localhost.evil.example"),
        ("localhost", "http://app.example.com"),  # another scheme is another origin
        ("localhost", "https://app.example.com:8443"),
        ("localhost", "https://app.example.com/path"),
        ("localhost", "null"),
        ("localhost", ""),
        ("localhost", "file://"),
        ("localhost", "http://[::1"),
        ("localhost", "http://\xfc.example"),
        ("localhost", "http://evil.example@localhost.evil"),
    ],
)
def test_everything_else_is_refused_with_403(host: str | None, origin: str | None) -> None:
    refusal = LOCAL.refusal(headers(host, origin))
    assert refusal is not None
    assert refusal[0] == 403


MALFORMED = [
    None,
    "",
    "loc\xfclhost",
    "[::1",
    "evil@localhost",
    "localhost@evil.example",
    "localhost/path",
    "localhost\\evil",
    "local\thost",
    "localhost\t",
    "localhost:80:80",
    "localhost:8o",
    "localhost?",
    "localhost#",
    "localhost, localhost",
    "local host",
    "a" * 300,
]


@pytest.mark.parametrize("policy", [LOCAL, OPEN, HostPolicy("127.0.0.1", 1, ["*"], ["*"])])
@pytest.mark.parametrize("host", MALFORMED)
def test_what_is_not_a_host_is_a_bad_request_whatever_is_allowed(host: str | None, policy: HostPolicy) -> None:
    refusal = policy.refusal(headers(host, None))
    assert refusal is not None
    assert refusal[0] == 400


def test_two_host_headers_are_refused() -> None:
    assert LOCAL.refusal([(b"host", b"localhost"), (b"host", b"localhost")]) is not None


def test_a_refused_host_says_which_option_allows_it_and_that_option_does() -> None:
    refusal = LOCAL.refusal(headers("mcp.example.com:8080", None))
    assert refusal is not None
    assert "--allowed-hosts mcp.example.com" in refusal[1]
    policy = HostPolicy("127.0.0.1", 8080, allowed_hosts=["mcp.example.com"])
    assert policy.refusal(headers("MCP.example.com:8080", None)) is None
    assert policy.refusal(headers("localhost:8080", None)) is None
    assert policy.refusal(headers("other.example.com", None)) is not None
    assert policy.refusal(headers("mcp.example.com", "https://mcp.example.com")) is not None, "a host is not an origin"


def test_named_hosts_are_the_only_ones_on_any_address() -> None:
    policy = HostPolicy("0.0.0.0", 8080, allowed_hosts=["mcp.example.com"])
    assert policy.refusal(headers("mcp.example.com", None)) is None
    assert policy.refusal(headers("other.example.com", None)) is not None
    assert HostPolicy("127.0.0.1", 1, allowed_hosts=["*"]).refusal(headers("other.example.com", None)) is None


@pytest.mark.parametrize("host", ["", "a b", "user@host", "host/path", "http://host"])
def test_what_is_not_a_host_name_is_a_usage_error(host: str) -> None:
    with pytest.raises(UsageError, match="--allowed-hosts"):
        HostPolicy("127.0.0.1", 1, allowed_hosts=[host])


def test_two_origins_must_both_be_allowed() -> None:
    both = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"origin", b"http://evil.example")]
    assert LOCAL.refusal(both) is not None


def test_an_endpoint_open_to_the_network_is_reached_by_any_name_but_not_from_any_page() -> None:
    assert OPEN.refusal(headers("mcp.example:8080", None)) is None
    assert OPEN.refusal(headers("mcp.example:8080", "http://mcp.example:8080")) is not None


def test_a_star_allows_every_origin() -> None:
    policy = HostPolicy("127.0.0.1", 1, ["*"])
    assert policy.refusal(headers("localhost", "http://evil.example")) is None
    assert policy.refusal(headers("evil.example", "http://evil.example")) is not None


def test_an_origin_of_any_scheme_can_be_allowed() -> None:
    policy = HostPolicy("127.0.0.1", 1, ["chrome-extension://abcdef", "vscode-webview://panel"])
    assert policy.refusal(headers("localhost", "chrome-extension://abcdef")) is None
    assert policy.refusal(headers("localhost", "vscode-webview://panel")) is None
    assert policy.refusal(headers("localhost", "chrome-extension://other")) is not None
    assert policy.refusal(headers("localhost", "chrome-extension://localhost")) is not None


@pytest.mark.parametrize("origin", ["app.example.com", "https://", "https://a.example/path", "https://a:x", "", "//a"])
def test_what_is_not_an_origin_is_a_usage_error(origin: str) -> None:
    with pytest.raises(UsageError, match="--allowed-origins"):
        HostPolicy("127.0.0.1", 1, [origin])
