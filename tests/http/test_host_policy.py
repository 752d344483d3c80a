"""Who is let in: a table of hosts and origins."""

from __future__ import annotations

import pytest

from thv.errors import UsageError
from thv.http.host_policy import HostPolicy

LOCAL = HostPolicy("127.0.0.1", 8080, ["https://app.example.com", "http://rebound.example:80"])
OPEN = HostPolicy("0.0.0.0", 8080)


def refusal_of(policy: HostPolicy, host: str | None, origin: str | None = None) -> tuple[int, str] | None:
    return policy.decide(
        None if host is None else host.encode("latin-1"), None if origin is None else origin.encode("latin-1")
    )


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
    assert refusal_of(LOCAL, host, origin) is None


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
    refusal = refusal_of(LOCAL, host, origin)
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
    refusal = refusal_of(policy, host)
    assert refusal is not None
    assert refusal[0] == 400


def test_two_host_headers_are_refused() -> None:
    assert refusal_of(LOCAL, "localhost, localhost") is not None


def test_a_refused_host_says_which_option_allows_it_and_that_option_does() -> None:
    refusal = refusal_of(LOCAL, "mcp.example.com:8080")
    assert refusal is not None
    assert "--allowed-hosts mcp.example.com" in refusal[1]
    policy = HostPolicy("127.0.0.1", 8080, allowed_hosts=["mcp.example.com"])
    assert refusal_of(policy, "MCP.example.com:8080") is None
    assert refusal_of(policy, "localhost:8080") is None
    assert refusal_of(policy, "other.example.com") is not None
    assert refusal_of(policy, "mcp.example.com", "https://mcp.example.com") is not None, "a host is not an origin"


def test_named_hosts_are_the_only_ones_on_any_address() -> None:
    policy = HostPolicy("0.0.0.0", 8080, allowed_hosts=["mcp.example.com"])
    assert refusal_of(policy, "mcp.example.com") is None
    assert refusal_of(policy, "other.example.com") is not None
    assert refusal_of(HostPolicy("127.0.0.1", 1, allowed_hosts=["*"]), "other.example.com") is None


@pytest.mark.parametrize("host", ["", "a b", "user@host", "host/path", "http://host", "*.example.com"])
def test_what_is_not_a_host_name_is_a_usage_error(host: str) -> None:
    with pytest.raises(UsageError, match="--allowed-hosts"):
        HostPolicy("127.0.0.1", 1, allowed_hosts=[host])


def test_two_origins_must_both_be_allowed() -> None:
    assert refusal_of(LOCAL, "localhost", "http://localhost, http://evil.example") is not None


def test_an_endpoint_open_to_the_network_is_reached_by_any_name_but_not_from_any_page() -> None:
    assert refusal_of(OPEN, "mcp.example:8080") is None
    assert refusal_of(OPEN, "mcp.example:8080", "http://mcp.example:8080") is not None


def test_a_star_allows_every_origin() -> None:
    policy = HostPolicy("127.0.0.1", 1, ["*"])
    assert refusal_of(policy, "localhost", "http://evil.example") is None
    assert refusal_of(policy, "evil.example", "http://evil.example") is not None


def test_an_origin_of_any_scheme_can_be_allowed() -> None:
    policy = HostPolicy("127.0.0.1", 1, ["chrome-extension://abcdef", "vscode-webview://panel"])
    assert refusal_of(policy, "localhost", "chrome-extension://abcdef") is None
    assert refusal_of(policy, "localhost", "vscode-webview://panel") is None
    assert refusal_of(policy, "localhost", "chrome-extension://other") is not None
    assert refusal_of(policy, "localhost", "chrome-extension://localhost") is not None


@pytest.mark.parametrize(
    "origin", ["app.example.com", "https://", "https://a.example/path", "https://a:x", "", "//a", "https://*.a.example"]
)
def test_what_is_not_an_origin_is_a_usage_error(origin: str) -> None:
    with pytest.raises(UsageError, match="--allowed-origins"):
        HostPolicy("127.0.0.1", 1, [origin])
