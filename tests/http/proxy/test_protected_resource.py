"""A client that logs in through the proxy sees the proxy's own URL, and the authorization server's URL unchanged."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.proxied import Received, as_json, chunk, event, proxied, run, stream_head
from thv.http.proxy.protected_resource import (
    MAX_METADATA,
    MAX_PLACES,
    METADATA_PATH,
    MetadataPlaces,
    challenge_for_client,
    is_metadata_path,
    metadata_for_client,
)
from thv.http.proxy.proxy_target import ProxyTarget

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = ProxyTarget("http", "localhost", 7301, "/mcp")
REMOTE = ProxyTarget("https", "mcp.example.com", 443, "/mcp")
PROXY = b"http://localhost:7303"

WHERE = "/.well-known/oauth-protected-resource/mcp"

CHALLENGES = {
    f'Bearer error="invalid_token", resource_metadata="http://localhost:7301{WHERE}"': (
        f'Bearer error="invalid_token", resource_metadata="http://localhost:7303{WHERE}"'
    ),
    f"Bearer resource_metadata=http://localhost:7301{WHERE}": f"Bearer resource_metadata=http://localhost:7303{WHERE}",
    f'Bearer Resource_Metadata = "HTTP://LOCALHOST:7301{WHERE}", scope="a b"': (
        f'Bearer Resource_Metadata = "http://localhost:7303{WHERE}", scope="a b"'
    ),
    f'Bearer resource_metadata="http://127.0.0.1:7301{WHERE}"': f'Bearer resource_metadata="http://localhost:7303{WHERE}"',
    'Basic realm="http://localhost:7301/", Bearer resource_metadata="http://localhost:7301/x"': (
        'Basic realm="http://localhost:7301/", Bearer resource_metadata="http://localhost:7303/x"'
    ),
}

KEPT_CHALLENGES = [
    'Bearer resource_metadata="http://localhost:73011/x"',
    'Bearer resource_metadata="https://localhost:7301/x"',
    'Bearer resource_metadata="http://localhost.evil.example:7301/x"',
    'Bearer resource_metadata="http://auth.example.com/x"',
    'Bearer realm="http://localhost:7301/x"',
    "Negotiate",
    "",
]


@pytest.mark.parametrize(("sent", "seen"), CHALLENGES.items())
def test_the_challenge_names_the_proxys_metadata(sent: str, seen: str) -> None:
    assert challenge_for_client(sent.encode(), TARGET, PROXY).decode() == seen


@pytest.mark.parametrize("challenge", KEPT_CHALLENGES)
def test_every_other_challenge_stays(challenge: str) -> None:
    assert challenge_for_client(challenge.encode(), TARGET, PROXY).decode() == challenge


@given(st.binary(max_size=100))
def test_no_challenge_and_no_document_raises(value: bytes) -> None:
    """Fails where rewriting raises."""
    challenge_for_client(value, TARGET, PROXY)
    metadata_for_client(value, TARGET, PROXY)


def test_the_resource_is_the_proxys_and_the_authorization_server_stays() -> None:
    document = (
        b'{\n  "authorization_servers": ["http://localhost:7301/", "http://localhost:7302/"],\n'
        b'  "resource" : "http:\\/\\/localhost:7301\\/mcp",\n  "resource_name": "http://localhost:7301/mcp"\n}\n'
    )
    assert metadata_for_client(document, TARGET, PROXY) == document.replace(
        b'"http:\\/\\/localhost:7301\\/mcp"', b'"http://localhost:7303/mcp"'
    )


def test_a_remote_servers_resource_is_the_proxys_too() -> None:
    document = b'{"resource":"https://mcp.example.com/mcp"}'
    assert metadata_for_client(document, REMOTE, PROXY) == b'{"resource":"http://localhost:7303/mcp"}'


@pytest.mark.parametrize(
    "document",
    [
        b'{"resource":"https://public.example.com/mcp"}',
        b'{"resource":["http://localhost:7301/mcp"]}',
        b'{"resource":"http://localhost:7301/a","resource":"http://localhost:7301/b"}',
        b'["http://localhost:7301/mcp"]',
        b'{"resource":"http://localhost:7301/mcp"',
        b"<html>http://localhost:7301/mcp</html>",
        b"",
    ],
)
def test_every_other_document_stays_byte_for_byte(document: bytes) -> None:
    assert metadata_for_client(document, TARGET, PROXY) == document


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        (METADATA_PATH, True),
        (METADATA_PATH + b"/mcp", True),
        (b"/mcp" + METADATA_PATH, True),
        (b"/a" + METADATA_PATH + b"/mcp", True),
        (METADATA_PATH + b"x", False),
        (METADATA_PATH[1:], False),
        (b"/.well-known/oauth-authorization-server", False),
        (b"/mcp", False),
    ],
)
def test_only_the_metadata_of_resources_is_looked_into(path: bytes, is_one: bool) -> None:
    assert is_metadata_path(path) is is_one


NAMED = {
    "https://mcp.example.com/oauth/prm": b"/oauth/prm",
    "https://mcp.example.com/oauth?for=%2Fmcp": b"/oauth?for=%2Fmcp",
    "HTTPS://MCP.example.com:443/oauth/prm#x": b"/oauth/prm",
    "https://mcp.example.com": b"/",
    "https://mcp.example.com?prm": b"/?prm",
}


@pytest.mark.parametrize(("url", "target"), NAMED.items())
def test_metadata_is_known_where_a_challenge_says_it_is(url: str, target: bytes) -> None:
    places = MetadataPlaces()
    assert target not in places
    places.note(f'Basic realm="a", Bearer resource_metadata="{url}"'.encode(), REMOTE)
    assert target in places
    assert target + b"x" not in places


def test_metadata_elsewhere_is_none_of_the_proxys() -> None:
    places = MetadataPlaces()
    places.note(b'Bearer resource_metadata="https://auth.example.com/prm", realm="https://mcp.example.com/r"', REMOTE)
    assert not [place for place in (b"/prm", b"/r", b"/") if place in places]


def test_only_so_many_places_of_metadata_are_remembered() -> None:
    places = MetadataPlaces()
    for number in range(MAX_PLACES + 1):
        places.note(b"Bearer resource_metadata=https://mcp.example.com/%d" % number, REMOTE)
    assert b"/0" not in places
    assert all(b"/%d" % number in places for number in range(1, MAX_PLACES + 1))


def test_a_stream_at_a_place_of_metadata_passes_event_by_event() -> None:
    async def server(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("POST"):
            own = f"http://{got.header('host')}/mcp"
            writer.write(as_json({}, f"WWW-Authenticate: Bearer resource_metadata={own}", status="401 Unauthorized"))
        else:
            writer.write(stream_head() + chunk(event({"n": 1})))

    async def scenario() -> None:
        async with proxied(server) as setup:
            await setup.post({})
            reader, writer = await setup.connect()
            writer.write(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: s\r\n\r\n")
            assert (await reader.readuntil(b"\n\n")).endswith(event({"n": 1}))
            writer.close()

    run(scenario())


@pytest.mark.parametrize("where", [WHERE, "/mcp/.well-known/oauth-protected-resource", "/oauth/prm", "/oauth?prm=1"])
def test_a_client_sees_one_server_from_the_challenge_to_the_metadata(where: str) -> None:
    async def server(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = f"http://{got.header('host')}"
        if got.line == f"GET {where} HTTP/1.1":
            assert got.header("accept-encoding") == "identity"
            writer.write(as_json({"resource": f"{own}/mcp", "authorization_servers": [f"{own}/"]}))
        else:
            challenge = f'WWW-Authenticate: Bearer resource_metadata="{own}{where}"'
            writer.write(as_json({}, challenge, status="401 Unauthorized"))

    async def scenario() -> None:
        async with proxied(server) as setup:
            us = f"http://localhost:{setup.proxy.port}"
            host = f"Host: localhost:{setup.proxy.port}"
            refused = await asked(setup, "POST", "/mcp", host)
            assert refused.header("www-authenticate") == f'Bearer resource_metadata="{us}{where}"'
            found = await asked(setup, "GET", where, host, "Accept-Encoding: gzip")
            document = json.loads(found.body)
            assert document["resource"] == f"{us}/mcp"
            assert document["authorization_servers"] == [f"http://127.0.0.1:{setup.behind.port}/"]
            assert found.header("content-length") == str(len(found.body))

    run(scenario())


@pytest.mark.parametrize("headers", [(), ("Accept-Encoding: gzip",), ("Accept-Encoding: br", "Accept-Encoding: gzip")])
def test_metadata_is_not_compressed_whatever_the_client_asks_for(headers: tuple[str, ...]) -> None:
    async def server(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        document = json.dumps({"resource": f"http://{got.header('host')}/mcp"}).encode()
        if got.header("accept-encoding") == "identity":
            writer.write(as_json(document))
        else:  # to ask for no coding allows every one
            writer.write(as_json(gzip.compress(document), "Content-Encoding: gzip"))

    async def scenario() -> None:
        async with proxied(server) as setup:
            found = await setup.ask("GET", WHERE, b"", *headers)
            assert json.loads(found.body) == {"resource": "http://127.0.0.1/mcp"}

    asyncio.run(scenario())


CODED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("resource", ["http://{host}/mcp", "http://other.example/mcp"])
def test_metadata_that_comes_compressed_all_the_same_names_the_proxy_too(coding: str, resource: str) -> None:
    sent = b""

    async def server(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        sent = CODED[coding](json.dumps({"resource": resource.format(host=got.header("host"))}).encode())
        writer.write(as_json(sent, f"Content-Encoding: {coding}", "X-Other: 1"))

    async def scenario() -> None:
        async with proxied(server) as setup:
            found = await setup.ask("GET", WHERE)
            assert found.header("content-length") == str(len(found.body))
            assert found.header("x-other") == "1"
            if "other" in resource:  # nothing is to be changed, so nothing is
                assert (found.header("content-encoding"), found.body) == (coding, sent)
            else:
                assert found.header("content-encoding") is None
                assert json.loads(found.body) == {"resource": "http://127.0.0.1/mcp"}

    run(scenario())


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"brotli", "br"),
        (b"no gzip", "gzip"),
        (gzip.compress(b'{"resource":"http://127.0.0.1/mcp"}')[:-12], "gzip"),
        (gzip.compress(b" " * MAX_METADATA + b"{}"), "gzip"),
        (b"", "gzip"),
    ],
    ids=["another coding", "none at all", "cut", "too large", "empty"],
)
def test_metadata_that_cannot_be_read_arrives_as_it_was(body: bytes, coding: str) -> None:
    async def server(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(as_json(body, f"Content-Encoding: {coding}"))

    async def scenario() -> None:
        async with proxied(server) as setup:
            found = await setup.ask("GET", WHERE)
            assert (found.header("content-encoding"), found.body) == (coding, body)

    run(scenario())


@pytest.mark.parametrize("size", [10, MAX_METADATA * 2])
def test_metadata_of_any_size_arrives_whole(size: int) -> None:
    body = json.dumps({"padding": "x" * size}).encode()

    async def server(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(as_json(body))

    async def scenario() -> None:
        async with proxied(server) as setup:
            assert (await setup.ask("GET", WHERE)).body == body

    asyncio.run(scenario())


async def asked(setup: Any, method: str, target: str, *headers: str) -> Any:
    lines = [f"{method} {target} HTTP/1.1", *headers, "Connection: close", "Content-Length: 0", "", ""]
    from tests.http.proxied import parse

    return parse(await setup.raw("\r\n".join(lines).encode()))
