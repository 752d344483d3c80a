"""Servers, pages and programs that want to steal a log-in, or to keep thv busy: each is refused, with one sentence."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.auth.scripted_site import RESOURCE, SERVER, Browser, Site, fetch, log_in, site, write
from tests.ports import free_port
from thv.auth.discovery import discover
from thv.auth.metadata import Challenge
from thv.auth.oauth_http import MAX_BODY, OAuthHttp
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.http.proxied import Received


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def refused(
    folder: Path, change: Callable[[Site], None], browser: Browser | None = None, **options: Any
) -> tuple[str, Site, Browser]:
    """The sentence with which a log-in ends at a site that was changed."""
    browser = browser or Browser()

    async def scenario() -> tuple[str, Site]:
        async with site() as at:
            change(at)
            with pytest.raises(LoginError) as caught:
                await log_in(at, folder, browser, **options)
            return str(caught.value), at

    sentence, at = asyncio.run(scenario())
    assert "\n" not in sentence
    assert list(folder.glob("*.json")) == []
    return sentence, at, browser


def nothing(_: Site) -> None:
    """An honest site."""


BAD_URLS = [
    "javascript:alert(1)",
    "file:///etc/passwd",
    "http://login.example.com/authorize",
    "https://user:password@login.example.com/authorize",
    "https:///authorize",
    "https://login.example.com/a\nb",
    "https://login.example.com/$(id)' \"",
    "--help",
    "",
    "https://[::1",
    "https://login.example.com:99999/",
    "data:text/html,x",
    "https://login.example.com/#fragment",
    "https://login.example.com/" + "a" * 3000,
]


@pytest.mark.parametrize("url", BAD_URLS)
@pytest.mark.parametrize("field", ["authorization_endpoint", "token_endpoint", "registration_endpoint"])
def test_an_endpoint_that_is_no_https_url_is_never_opened_or_asked(tmp_path: Path, field: str, url: str) -> None:
    sentence, at, browser = refused(tmp_path, lambda at: at.server.update({field: url}))
    assert "the log-in was stopped" in sentence
    assert "password" not in sentence
    assert browser.addresses == []
    assert [each for each in at.requests if each.startswith("POST")] == []


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "http://login.example.com"])
def test_an_authorization_server_that_is_no_https_url_is_not_asked(tmp_path: Path, url: str) -> None:
    sentence, _, _ = refused(tmp_path, lambda at: at.resource.update(authorization_servers=[url]))
    assert "the authorization server" in sentence


def test_an_authorization_server_with_a_name_that_is_none_cannot_be_reached(tmp_path: Path) -> None:
    for name in ("xn--", "a..b", "a" * 64):
        sentence, _, _ = refused(
            tmp_path,
            lambda at, name=name: at.resource.update(authorization_servers=[f"https://{name}"]),  # type: ignore[misc]  # a default
        )
        assert "cannot be reached" in sentence


def test_a_server_elsewhere_names_nothing_on_this_machine() -> None:
    from thv.auth.metadata import check_endpoint, is_near

    assert not is_near("https://mcp.example.com/mcp")
    for url in ("http://127.0.0.1:8080/token", "https://localhost/token", "https://[::1]/token", "http://127.1/"):
        with pytest.raises(LoginError, match="is on this machine"):
            check_endpoint(url, "token endpoint", near=False)


def test_metadata_of_another_issuer_is_not_used(tmp_path: Path) -> None:
    sentence, _, browser = refused(tmp_path, lambda at: at.server.update(issuer="https://honest.example.com"))
    assert "names another issuer, 'https://honest.example.com'" in sentence
    assert browser.addresses == []


def test_a_browser_that_comes_back_from_another_issuer_brings_no_code(tmp_path: Path) -> None:
    sentence, at, _ = refused(tmp_path, nothing, Browser(iss="https://other.example.com"))
    assert "came back from 'https://other.example.com'" in sentence
    assert at.forms == []


def test_an_issuer_that_always_names_itself_has_to(tmp_path: Path) -> None:
    def change(at: Site) -> None:
        at.server["authorization_response_iss_parameter_supported"] = True

    sentence, at, _ = refused(tmp_path, change)
    assert "without saying that it is from" in sentence
    assert at.forms == []


def test_a_server_that_says_it_is_another_gets_no_tokens_for_that(tmp_path: Path) -> None:
    for other in ("https://honest.example.com/mcp", "http://127.0.0.1:1/mcp"):
        sentence, _, browser = refused(tmp_path, lambda at, other=other: at.resource.update(resource=other))  # type: ignore[misc]  # a default
        assert f"says that it is '{other}'" in sentence
        assert browser.addresses == []


def test_metadata_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    """A server must not make thv contact others: what it names counts on its own origin only."""

    async def scenario() -> None:
        async with site() as at, site() as other:
            named = f"{other.origin}/.well-known/oauth-protected-resource"
            await log_in(at, tmp_path, Browser(), challenge=Challenge(resource_metadata=named))
            assert other.requests == []

    asyncio.run(scenario())


@pytest.mark.parametrize("path", [RESOURCE, SERVER])
def test_a_redirect_to_another_origin_is_not_followed(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with site() as at, site() as other:

            async def away(_: Received, writer: asyncio.StreamWriter) -> None:
                write(writer, 302, {}, f"Location: {other.origin}{path}")

            at.answers[path] = away
            if path == SERVER:
                with pytest.raises(LoginError, match="says nowhere how to log in"):
                    await log_in(at, tmp_path, Browser())
            else:
                await log_in(at, tmp_path, Browser())  # the origin itself, as before RFC 9728
            assert other.requests == []

    asyncio.run(scenario())


def test_a_code_is_not_sent_where_the_token_endpoint_redirects(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site() as at, site() as other:

            async def away(_: Received, writer: asyncio.StreamWriter) -> None:
                write(writer, 307, {}, f"Location: {other.origin}/token")

            at.answers["/token"] = away
            with pytest.raises(LoginError, match="answers with status 307"):
                await log_in(at, tmp_path, Browser())
            assert other.requests == []

    asyncio.run(scenario())


@pytest.mark.parametrize("path", [RESOURCE, SERVER, "/register", "/token"])
def test_a_reply_without_end_is_cut(tmp_path: Path, path: str) -> None:
    sent = 0

    async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"issuer": "')
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    sentence, _, _ = refused(tmp_path, lambda at: at.answers.update({path: endless}))
    assert f"more than {MAX_BODY >> 10} KiB" in sentence
    assert sent < 64 << 20  # what the sockets between take, not what a server would send


@pytest.mark.parametrize("path", [RESOURCE, SERVER, "/register", "/token"])
def test_a_reply_that_drips_has_an_end(tmp_path: Path, path: str) -> None:
    async def drip(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    sentence, _, _ = refused(tmp_path, lambda at: at.answers.update({path: drip}), request_timeout=1.0)
    assert "did not answer in 1 s" in sentence


def test_a_compressed_reply_is_not_unpacked(tmp_path: Path) -> None:
    async def packed(_: Received, writer: asyncio.StreamWriter) -> None:
        write(writer, 200, {}, "Content-Encoding: gzip")

    sentence, _, _ = refused(tmp_path, lambda at: at.answers.update({SERVER: packed}))
    assert "Content-Encoding" in sentence


@pytest.mark.parametrize(
    "document",
    [[], None, 1, "x", {"issuer": 1}, {"issuer": "x"}, {"a": {"a": {}}}, {"issuer": None, "token_endpoint": []}],
)
def test_metadata_that_is_something_else_is_none(tmp_path: Path, document: Any) -> None:
    def change(at: Site) -> None:
        at.server = document

    sentence, _, _ = refused(tmp_path, change)
    assert "says nowhere how to log in" in sentence


@pytest.mark.parametrize("methods", [None, [], ["plain"]])
def test_a_server_without_pkce_is_not_used(tmp_path: Path, methods: list[str] | None) -> None:
    sentence, _, browser = refused(tmp_path, lambda at: at.server.update(code_challenge_methods_supported=methods))
    assert "PKCE" in sentence
    assert browser.addresses == []


@pytest.mark.parametrize(
    "tokens",
    [
        {"access_token": "a\r\nX-Evil: 1", "token_type": "Bearer"},
        {"access_token": "", "token_type": "Bearer"},
        {"access_token": "é", "token_type": "Bearer"},
        {"access_token": "a", "refresh_token": "a b", "token_type": "Bearer"},
        {"access_token": "a", "token_type": "mac"},
        {"access_token": "a"},
        {"error": "\x1b[2Jinvalid", "error_description": "x" * 5000},
        [],
    ],
)
def test_a_token_that_is_none_is_not_kept(tmp_path: Path, tokens: Any) -> None:
    sentence, _, _ = refused(
        tmp_path, lambda at: at.tokens.__setitem__(0, (200 if "error" not in tokens else 400, tokens))
    )
    assert "\x1b" not in sentence
    assert len(sentence) < 400


def test_a_refusal_says_the_servers_reason_and_never_the_code(tmp_path: Path) -> None:
    sentence, at, _ = refused(
        tmp_path, nothing, Browser(code=None, error="access_denied", error_description="not \x07you")
    )
    assert "refused the log-in: 'access_denied: not \\\\x07you'" in sentence
    assert at.forms == []
    for status in (400, 200):  # GitHub's refuses with 200
        answer = status, {"error": "invalid_grant"}
        sentence, _, _ = refused(tmp_path, lambda at, answer=answer: at.tokens.__setitem__(0, answer))  # type: ignore[misc]  # no type is inferred for it
        assert sentence.endswith("refuses: 'invalid_grant'")
        assert "the-code" not in sentence


# The port to which the browser comes back.


def test_others_that_reach_the_port_change_nothing(tmp_path: Path) -> None:
    statuses: list[int] = []

    def others(redirect_uri: str, state: str) -> None:
        origin = redirect_uri.removesuffix("/callback")
        urls = (
            f"{redirect_uri}?code=theirs&state=guessed",
            f"{redirect_uri}?code=theirs",
            f"{redirect_uri}?error=access_denied&state=",
            f"{redirect_uri}?code=theirs&code=other&state={state}",
            f"{redirect_uri}?state={state}&state={state}&code=theirs",
            f"{origin}/favicon.ico",
            f"{origin}/callback/../callback?code=theirs&state=x",
            f"{redirect_uri}?" + "&".join(f"a{n}=1" for n in range(100)),
        )
        statuses.extend(map(fetch, urls))
        statuses.append(fetch(f"{redirect_uri}?code=theirs&state={state}", method="POST"))
        port = int(origin.rpartition(":")[2])
        for junk in (
            b"",
            b"\x16\x03\x01\x02\x00",
            b"GET\r\n\r\n",
            b"GET /callback HTTP/1.1\r\n" + b"x" * 100_000,
            b"\xff\xfe\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port)) as connection, suppress(OSError):
                connection.sendall(junk)

    async def scenario() -> None:
        async with site() as at:
            login = await log_in(at, tmp_path, Browser(before=others))
            assert login.secrets is not None
            assert [form["code"] for form in at.forms] == ["the-code"]

    asyncio.run(scenario())
    assert statuses == [400, 400, 400, 400, 400, 404, 404, 400, 405]


def test_connections_that_say_nothing_do_not_keep_the_browser_out(tmp_path: Path) -> None:
    idle: list[socket.socket] = []

    def crowd(redirect_uri: str, _: str) -> None:
        port = int(redirect_uri.removesuffix("/callback").rpartition(":")[2])
        idle.extend(socket.create_connection(("127.0.0.1", port)) for _ in range(20))

    async def scenario() -> None:
        async with site() as at:
            assert (await log_in(at, tmp_path, Browser(before=crowd))).secrets is not None

    asyncio.run(scenario())
    for each in idle:
        each.close()


def test_the_port_listens_on_this_machine_only_and_the_page_repeats_nothing(tmp_path: Path) -> None:
    from thv.auth.callback import CallbackListener

    async def scenario() -> bytes:
        async with CallbackListener("the-state") as listener:
            assert [each.getsockname()[0] for each in listener._server.sockets] == ["127.0.0.1"]
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"GET /callback?code=<script>&state=the-state&error=<script> HTTP/1.1\r\n\r\n")
            page = await reader.read()
            writer.close()
            response = await listener.wait(60)
            assert "script" not in repr(response)
            return page

    page = asyncio.run(scenario())
    assert b"script" not in page
    assert b"Cache-Control: no-store" in page


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence, _, _ = refused(tmp_path, nothing, port=port)
    assert f"port {port}" in sentence


def test_a_user_who_never_comes_back_ends_the_wait(tmp_path: Path) -> None:
    class Closed(Browser):
        def __call__(self, url: str) -> None:
            self.addresses.append(url)

    sentence, at, browser = refused(tmp_path, nothing, Closed(), timeout=0.05)
    assert "no log-in at" in sentence
    assert len(browser.addresses) == 1
    assert at.forms == []


def test_a_server_that_is_down_is_not_taken_for_one_without_metadata(tmp_path: Path) -> None:
    async def down(_: Received, writer: asyncio.StreamWriter) -> None:
        write(writer, 503, {})

    for path in (RESOURCE, SERVER):
        sentence, _, _ = refused(tmp_path, lambda at, path=path: at.answers.update({path: down}))  # type: ignore[misc]  # a default
        assert "fails (503)" in sentence


def test_a_server_that_says_nowhere_how_to_log_in_has_no_login() -> None:
    async def missing(_: Received, writer: asyncio.StreamWriter) -> None:
        write(writer, 404, {})

    async def scenario() -> None:
        async with site() as at:
            at.answers = {RESOURCE: missing, SERVER: missing}
            assert await discover(OAuthHttp({}), at.url, Challenge()) is None

    asyncio.run(scenario())


def test_a_server_without_tls_is_said_to_be_one() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as plain:
            url = f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/token"
            with pytest.raises(LoginError, match=r"cannot be reached: TLS fails \(\w+\); is it an https server\?"):
                await OAuthHttp({}).get(url)

    asyncio.run(scenario())


@pytest.mark.parametrize("location", ["http://127.0.0.1:99999/", "//a.example:99999/"])
def test_a_redirect_to_what_cannot_exist_is_not_served_here(location: str) -> None:
    async def elsewhere(_: Received, writer: asyncio.StreamWriter) -> None:
        write(writer, 302, {}, f"Location: {location}")

    async def scenario() -> None:
        async with site() as at:
            at.answers = {RESOURCE: elsewhere, SERVER: elsewhere}
            assert await discover(OAuthHttp({}), at.url, Challenge()) is None

    asyncio.run(scenario())


def test_a_proxy_that_is_not_there_is_named() -> None:
    async def ask(proxy: str) -> str:
        with pytest.raises(LoginError) as caught:
            await OAuthHttp({"HTTPS_PROXY": proxy}).get("https://a.example/token")
        return str(caught.value)

    port = free_port()
    told = asyncio.run(ask(f"http://me:SECRET@127.0.0.1:{port}"))
    via = f"through the proxy http://127.0.0.1:{port}"
    assert told == f"https://a.example/token cannot be reached {via}: {os.strerror(errno.ECONNREFUSED)}"
    told = asyncio.run(ask("http://me:SECRET@127.0.0.1:99999"))
    assert told == "the proxy http://127.0.0.1:99999 cannot be used: it has to be http://HOST:PORT"


def test_a_proxy_that_refuses_is_told_from_the_server() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
            url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
            with pytest.raises(LoginError, match=f"cannot be reached through the proxy {url}: the proxy refuses"):
                await OAuthHttp({"HTTPS_PROXY": url}).get("https://a.example/token")

    asyncio.run(scenario())
