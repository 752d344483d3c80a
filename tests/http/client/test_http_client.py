"""HTTP towards a remote server: trust, credentials, proxies and redirects; and that no sentence holds a secret."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.http.proxied import Received, as_json, call, reply
from tests.http.remotes import INITIALIZE, Running, handshake, methods, remote, running, server, serving
from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

REPLY = serving(lambda got: as_json(reply(got.message["id"])))
TOKEN = "TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN"


@pytest.fixture(autouse=True)
def _nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def served_by(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_an_authority_of_ones_own_is_trusted_once_it_is_named(authority: trustme.CA, ca_file: str) -> None:
    async def scenario() -> None:
        async with remote(REPLY, tls=served_by(authority), ca_file=ca_file) as (session, _):
            await session.begin()
            assert await session.ask(call(1)) == reply(1)

    play(scenario)


@pytest.mark.parametrize("variable", [True, False])
def test_ssl_cert_file_names_one_as_well(
    variable: bool, authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)

    async def scenario() -> None:
        async with remote(REPLY, tls=served_by(authority)) as (session, _):
            answer = await session.ask(INITIALIZE)
            assert ("result" in answer) is variable
            if not variable:
                assert "its certificate is not trusted" in answer["error"]["message"]
                assert "--ca-file" in answer["error"]["message"]

    play(scenario)


def test_a_certificate_for_another_host_is_not_trusted(authority: trustme.CA, ca_file: str) -> None:
    async def scenario() -> None:
        async with remote(REPLY, tls=served_by(authority, "example.org"), ca_file=ca_file) as (session, behind):
            assert "its certificate is not trusted" in (await session.ask(INITIALIZE))["error"]["message"]
            assert behind.got == []

    play(scenario)


def test_https_to_a_server_without_tls_says_so() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        plain = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with plain, running(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/mcp") as session:
            assert "TLS fails" in (await session.ask(INITIALIZE))["error"]["message"]

    play(scenario)


def test_a_redirect_within_the_origin_is_followed_with_body_and_credentials() -> None:
    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.split(" ")[1] == "/mcp":
            writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /mcp/\r\nContent-Length: 0\r\n\r\n")
        else:
            await REPLY(got, reader, writer)

    async def scenario() -> None:
        async with remote(handler, header=["Authorization: Bearer x"]) as (session, behind):
            await session.begin()
            assert await session.ask(call(1)) == reply(1)
            assert {got.header("authorization") for got in behind.got} == {"Bearer x"}

    play(scenario)


@pytest.mark.parametrize("server_user", ["", "another:one@"])
def test_the_users_own_credentials_stay_where_a_redirect_names_the_whole_url(server_user: str) -> None:
    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.split(" ")[1] == "/mcp":
            to = f"http://{server_user}{got.header('host')}/mcp/"  # as frameworks redirect to the path with a slash
            writer.write(f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            await REPLY(got, reader, writer)

    async def scenario() -> None:
        async with server(handler) as behind, running(f"http://us%40er:p%3Aw@127.0.0.1:{behind.port}/mcp") as session:
            await session.begin()
            assert await session.ask(call(1)) == reply(1)
            assert {got.header("authorization") for got in behind.got} == {"Basic dXNAZXI6cDp3"}

    play(scenario)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_origin_never_hears_of_us(status: int) -> None:
    async def scenario() -> None:
        async with server(REPLY) as other:
            to = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{other.port}/mcp\r\nContent-Length: 0\r\n\r\n"

            async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(to.encode())

            async with remote(handler, header=["Authorization: Bearer x"]) as (session, _):
                assert "is not followed" in (await session.ask(INITIALIZE))["error"]["message"]
            assert other.got == []
            assert other.opened == 0

    play(scenario)


def test_credentials_come_from_the_environment_or_from_a_file_that_may_change(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")

    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.header("authorization") == "Bearer first" and got.body and got.message.get("method") == "tools/call":
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        else:
            await REPLY(got, reader, writer)

    async def scenario() -> None:
        async with remote(handler, bearer_token_file=str(path), environ={TOKEN: "unused"}) as (session, behind):
            await session.begin()
            told = (await session.ask(call(1)))["error"]["message"]
            assert "does not accept the credentials (401)" in told
            path.write_text("second")
            assert await session.ask(call(2)) == reply(2)
            assert behind.got[-1].header("authorization") == "Bearer second"
        async with remote(handler, environ={TOKEN: "third"}) as (session, behind):
            await session.begin()
            assert behind.got[0].header("authorization") == "Bearer third"

    play(scenario)


def test_every_request_that_was_under_way_with_the_old_token_is_sent_again_with_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    refused: list[int] = []
    both_came, one_was_renewed = asyncio.Event(), asyncio.Event()

    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_call = got.body and got.message.get("method") == "tools/call"
        if is_call and got.header("authorization") == "Bearer first":
            refused.append(got.message["id"])
            if len(refused) == 2:
                path.write_text("second\n")
                both_came.set()
            await both_came.wait()
            if got.message["id"] == refused[1]:
                await one_was_renewed.wait()
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            return
        if is_call:
            one_was_renewed.set()
        await REPLY(got, reader, writer)

    async def scenario() -> None:
        async with remote(handler, bearer_token_file=str(path)) as (session, _):
            await session.begin()
            session.send(call(1), call(2))
            assert [await session.message() for _ in range(2)] == [reply(refused[0]), reply(refused[1])]
            assert session.said == []

    play(scenario)


def test_headers_are_sent_with_every_request_and_netrc_with_none(home: Path, tmp_path: Path) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login me password SECRET\n")
    more = tmp_path / "headers"
    more.write_text("# ours\nX-One: 1\n\nX-Two=2\n")

    async def scenario() -> None:
        async with remote(REPLY, header=["X-Two: two", "User-Agent=mine"], header_file=[str(more)]) as (
            session,
            behind,
        ):
            await session.begin()
            await session.ask(call(1))
            await session.end()
            assert methods(behind)[-1] == "DELETE"
            for got in behind.got:
                assert (got.header("x-one"), got.header("x-two")) == ("1", "two")
                assert got.header("user-agent") == "mine"
                assert got.header("authorization") is None

    play(scenario)


def test_requests_go_through_the_proxy_and_its_password_into_no_sentence() -> None:
    async def scenario() -> None:
        async with server(REPLY) as proxy:
            environ = {"http_proxy": f"http://me:SECRET@127.0.0.1:{proxy.port}"}
            async with running("http://a.example:7/mcp", environ=environ) as session:
                assert "result" in await session.ask(INITIALIZE)
                assert proxy.got[0].line == "POST http://a.example:7/mcp HTTP/1.1"
                assert proxy.got[0].header("proxy-authorization") is not None
            port = proxy.port
        async with running("http://a.example:7/mcp", environ=environ) as session:
            told = (await session.ask(INITIALIZE))["error"]["message"]
            via = f"through the proxy http://127.0.0.1:{port}"
            assert told == f"http://a.example:7/mcp cannot be reached {via}: Connection refused"

    play(scenario)


def test_a_proxy_of_another_kind_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ThvError, match=r"the proxy socks9://p:1 cannot be used") as caught:
        Running("http://a.example/", environ={"ALL_PROXY": "socks9://me:SECRET@p:1"})
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "proxy", ["http://me:SECRET@127.0.0.1:99999", "http://", "two words", "http://me:SECRET@a..b:1"]
)
def test_a_proxy_that_cannot_exist_is_refused_before_anything_is_sent(proxy: str) -> None:
    with pytest.raises(ThvError, match=r"the proxy \S.* cannot be used: it has to be http://HOST:PORT") as caught:
        Running("http://a.example/", environ={"ALL_PROXY": proxy})
    assert "SECRET" not in str(caught.value)


def test_a_proxy_that_breaks_off_is_named() -> None:
    async def close(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def scenario() -> None:
        async with server(close) as proxy:
            environ = {"https_proxy": f"http://me:SECRET@127.0.0.1:{proxy.port}"}
            async with running("https://a.example:7/mcp", environ=environ) as session:
                told = (await session.ask(INITIALIZE))["error"]["message"]
        assert f"broke off through the proxy http://127.0.0.1:{proxy.port} before its answer was whole" in told

    play(scenario)


def test_a_host_nobody_knows_is_said_to_be_unknown() -> None:
    async def scenario() -> None:
        async with running("http://no-such-host.invalid/mcp") as session:
            assert "the name of its host is not known" in (await session.ask(INITIALIZE))["error"]["message"]

    play(scenario)


def test_a_status_that_needs_credentials_is_told_to_the_user_even_if_the_server_has_its_own_words() -> None:
    def answer(got: Received) -> bytes:
        error = {"jsonrpc": "2.0", "id": got.message["id"], "error": {"code": -32001, "message": "token expired"}}
        return as_json(error, status="401 Unauthorized")

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(handshake(got) or answer(got))

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            assert (await session.ask(call(1)))["error"]["message"] == "token expired"
            assert "asks for credentials (401)" in session.said[0]

    play(scenario)


ODD_REDIRECTS = {
    "no Location": ("", "without saying where to"),
    "an empty Location": ("Location: \r\n", "without saying where to"),
    "another kind of URL": ("Location: mailto:a@example.com\r\n", "redirects to what is no URL"),
    "a script": ("Location: javascript:alert(1)\r\n", "redirects to what is no URL"),
    "a name that is no IDNA": ("Location: http://xn--/mcp\r\n", "redirects to what is no URL"),
    "a port that is none": ("Location: http://127.0.0.1:x/\r\n", "redirects to what is no URL"),
}


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(("location", "said"), ODD_REDIRECTS.values(), ids=ODD_REDIRECTS)
def test_a_redirect_to_nowhere_is_said_to_be_one_and_asked_once(location: str, said: str, status: int) -> None:
    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Moved\r\n{location}Content-Length: 0\r\n\r\n".encode())

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            assert said in (await session.ask(INITIALIZE))["error"]["message"]
            assert len(behind.got) == 1

    play(scenario)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "X-GZip", "deflate", "identity"])
def test_a_body_is_decoded_as_it_says(coding: str) -> None:
    def answer(got: Received) -> bytes:
        body = json.dumps(reply(got.message["id"])).encode()
        if coding != "identity":
            body = zlib.compress(body) if coding == "deflate" else gzip.compress(body)
        return as_json(body, f"Content-Encoding: {coding}")

    async def scenario() -> None:
        async with remote(serving(answer)) as (session, _):
            await session.begin()
            assert await session.ask(call(1)) == reply(1)

    play(scenario)


def test_a_name_that_is_no_idna_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ThvError, match="http://xn--/mcp: not a URL of a server"):
        Running("http://xn--/mcp")
