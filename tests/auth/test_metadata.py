"""What servers say about how to log in, and the rules of what is believed."""

from __future__ import annotations

import pytest

from thv.auth.metadata import (
    Challenge,
    canonical_url,
    covers,
    join_scopes,
    read_challenge,
    resource_metadata_urls,
    same_issuer,
    server_metadata_urls,
)


@pytest.mark.parametrize(
    ("values", "challenge"),
    [
        ([], Challenge()),
        (["Basic realm=x"], Challenge()),
        (["Bearer"], Challenge()),
        (['Bearer error="invalid_token"'], Challenge(error="invalid_token")),
        (["bearer scope=a"], Challenge(scope="a")),
        (['Bearer realm="a, scope=b", scope="c d"'], Challenge(scope="c d")),
        (['Basic realm="x", Bearer scope="a"'], Challenge(scope="a")),
        (['Basic realm="x"', 'Bearer resource_metadata="https://a/b"'], Challenge(resource_metadata="https://a/b")),
        (['Bearer scope="a", DPoP scope="b"'], Challenge(scope="a")),
        (['DPoP scope="b", Bearer error=x'], Challenge(error="x")),
        ([r'Bearer error="a\"b"'], Challenge(error='a"b')),
        (['Bearer scope="a" , error = "b"'], Challenge(error="b", scope="a")),
        (['Bearer scope="a  b"'], Challenge()),
        (['Bearer scope="a\\\\b"'], Challenge()),
        (['Bearer scope="a', "x"], Challenge()),
        (["Bearer " + "a=b, " * 100_000], Challenge()),
    ],
)
def test_a_challenge_is_read_as_rfc_9110_writes_it(values: list[str], challenge: Challenge) -> None:
    assert read_challenge(values) == challenge


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("HTTPS://MCP.Example.com:443/MCP?a=b#c", "https://mcp.example.com/MCP?a=b"),
        ("https://user:pw@h:8443/", "https://h:8443/"),
        ("https://h", "https://h"),
        ("http://[::1]:80/x", "http://[::1]/x"),
    ],
)
def test_a_url_has_one_spelling(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical


@pytest.mark.parametrize(
    ("resource", "url", "is_covered"),
    [
        ("https://h/mcp", "https://h/mcp", True),
        ("https://h", "https://h/mcp", True),
        ("https://h/", "https://h/mcp", True),
        ("https://h/mcp/", "https://h/mcp", True),
        ("https://h/m", "https://h/mcp", False),
        ("https://h/mcp/a", "https://h/mcp", False),
        ("https://g/mcp", "https://h/mcp", False),
        ("http://h/mcp", "https://h/mcp", False),
        ("https://h:1/mcp", "https://h/mcp", False),
        ("https://h:444444/mcp", "https://h/mcp", False),
        ("", "https://h/mcp", False),
    ],
)
def test_a_resource_is_the_server_or_a_parent_on_its_origin(resource: str, url: str, is_covered: bool) -> None:
    assert covers(resource, url) is is_covered


def test_metadata_is_looked_for_where_the_rfcs_put_it() -> None:
    well_known = "https://h/.well-known/oauth-protected-resource"
    assert resource_metadata_urls("https://h/mcp", None) == [f"{well_known}/mcp", well_known]
    assert resource_metadata_urls("https://h/mcp", "https://h/x") == ["https://h/x", f"{well_known}/mcp", well_known]
    assert resource_metadata_urls("https://h/", "https://evil/x") == [well_known]
    assert server_metadata_urls("https://h") == [
        "https://h/.well-known/oauth-authorization-server",
        "https://h/.well-known/openid-configuration",
    ]
    assert server_metadata_urls("https://h/tenant/") == [
        "https://h/.well-known/oauth-authorization-server/tenant",
        "https://h/.well-known/openid-configuration/tenant",
        "https://h/tenant/.well-known/openid-configuration",
    ]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("https://h", "https://h", True),
        ("https://h/", "https://h", True),
        ("https://h/a", "https://h/a", True),
        ("https://h/a/", "https://h/a", False),
        ("https://H", "https://h", False),
        ("https://h", "https://g", False),
        ("", "/", False),
    ],
)
def test_issuers_are_compared_as_texts(one: str, other: str, is_same: bool) -> None:
    assert same_issuer(one, other) is is_same


def test_scopes_are_joined_in_order_and_once() -> None:
    assert join_scopes("a b", None, "b c") == "a b c"
    assert join_scopes(None, "") is None
