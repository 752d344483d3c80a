"""A client that reaches the proxy by a tunnel with TLS is led back to the tunnel, and to nowhere else."""

from __future__ import annotations

import json

import pytest

from tests.http.proxied import LAST_CHUNK, Received, answering, as_json, chunk, proxied, run, stream_head
from thv.http.proxy.forwarded_headers import seen_origin

WHERE = "/.well-known/oauth-protected-resource"

SEEN: dict[str, tuple[dict[bytes, bytes], bytes | None]] = {
    "nothing in front": ({}, b"http://h:1"),
    "a tunnel with TLS": ({b"x-forwarded-proto": b"https"}, b"https://h:1"),
    "spelled otherwise": ({b"x-forwarded-proto": b" HTTPS "}, b"https://h:1"),
    "a tunnel without TLS": ({b"x-forwarded-proto": b"http"}, b"http://h:1"),
    "two in a row": ({b"x-forwarded-proto": b"https, http"}, b"https://h:1"),
    "TLS behind the first": ({b"x-forwarded-proto": b"http,https"}, b"http://h:1"),
    "another scheme": ({b"x-forwarded-proto": b"javascript"}, b"http://h:1"),
    "a whole origin": ({b"x-forwarded-proto": b"https://evil.example/"}, b"http://h:1"),
    "nothing said": ({b"x-forwarded-proto": b""}, b"http://h:1"),
    "the standard field": ({b"forwarded": b"for=1.2.3.4;proto=https;host=evil.example"}, b"https://h:1"),
    "its value quoted": ({b"forwarded": b'Proto="HTTPS" ; for=1.2.3.4'}, b"https://h:1"),
    "its second element": ({b"forwarded": b"for=1.2.3.4, for=5.6.7.8;proto=https"}, b"http://h:1"),
    "its other schemes": ({b"forwarded": b"proto=httpsx;xproto=https"}, b"http://h:1"),
    "both, of which one is in doubt": ({b"forwarded": b"proto=https", b"x-forwarded-proto": b"http"}, b"http://h:1"),
    "another host": ({b"x-forwarded-host": b"evil.example", b"x-forwarded-port": b"9"}, b"http://h:1"),
}


@pytest.mark.parametrize(("headers", "origin"), SEEN.values(), ids=SEEN)
def test_the_client_names_the_proxy_by_host_and_what_is_in_front_by_its_scheme(
    headers: dict[bytes, bytes], origin: bytes
) -> None:
    assert seen_origin({b"host": b"h:1", **headers}) == origin
    assert seen_origin(headers) is None


@pytest.mark.parametrize(
    ("header", "scheme"),
    [("X-Forwarded-Proto: https", "https"), ("Forwarded: proto=https", "https"), ("X-Forwarded-Proto: http", "http")],
)
def test_every_link_leads_to_the_tunnel(header: str, scheme: str) -> None:
    def answer(got: Received) -> bytes:
        own = f"http://{got.header('host')}"
        assert got.header("x-forwarded-proto") == "http"  # the protocol by which the request reached the proxy
        assert got.header("forwarded") is None
        if WHERE in got.line:
            return as_json({"resource": f"{own}/mcp"})
        if "/sse" in got.line:
            return stream_head() + chunk(f"event: endpoint\ndata: {own}/m\n\n".encode()) + LAST_CHUNK
        fields = f'WWW-Authenticate: Bearer resource_metadata="{own}/x"', f"Location: {own}/x"
        return as_json({}, *fields, status="401 Unauthorized")

    async def scenario() -> None:
        async with proxied(answering(answer)) as setup:
            us = f"{scheme}://127.0.0.1"
            refused = await setup.post({}, header)
            assert refused.header("www-authenticate") == f'Bearer resource_metadata="{us}/x"'
            assert refused.header("location") == f"{us}/x"
            assert json.loads((await setup.ask("GET", WHERE, b"", header)).body) == {"resource": f"{us}/mcp"}
            stream = await setup.ask("GET", "/sse", b"", header)
            assert stream.body == f"event: endpoint\ndata: {us}/m\n\n".encode()

    run(scenario())
