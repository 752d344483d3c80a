"""Every module that shows a URL leaves out what may be secret in it: user, password, query and fragment."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import thv
from tests.auth.scripted_site import RESOURCE, SERVER, Browser, Site, log_in, site, write
from tests.http.remotes import INITIALIZE, running, server
from thv.__main__ import main
from thv.auth.authorizer import Authorizer
from thv.auth.discovery import discover
from thv.auth.login import LoginFlow
from thv.auth.login_options import LoginOptions
from thv.auth.metadata import Challenge, check_endpoint
from thv.auth.oauth_http import OAuthHttp
from thv.auth.token_store import ClientRegistration, Login, Secrets, TokenStore
from thv.auth.tokens import refresh
from thv.cli import auth as auth_command
from thv.cli.refused_options import refusal
from thv.cli.run_options import parse
from thv.cli.run_remote import resolve_remote_request
from thv.errors import ThvError
from thv.http.client.http_client import HttpClient, RemoteError
from thv.http.client.legacy_sse import HttpSse
from thv.servers.remote_spec import resolve_remote
from thv.servers.resolve import resolve
from thv.telemetry.agent.export_errors import REFUSED, of_proxy, through_proxy
from thv.telemetry.agent.otlp_http_exporter import HttpAttempts
from thv.telemetry.frames import Signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tests.http.proxied import Received

    Change = Callable[[Site], object]
    Case = Callable[[Path], object]

QUERY = "?key=secret"
URL = f"https://user:secret@127.0.0.1:9/mcp{QUERY}#secret"
"""Nothing answers there."""

ELSEWHERE = URL.replace("127.0.0.1:9", "mcp.example.com")
"""Reached through a proxy, if there is one."""

PROXY = "user:secret@127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def answering(status: int, document: Any, *headers: str) -> Callable[[Received, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(_: Received, writer: asyncio.StreamWriter) -> None:
        write(writer, status, document, *headers)

    return answer


def play(scenario: Callable[[Site, Path], Coroutine[Any, Any, object]], *changes: Change) -> Case:
    """A scenario with a site that was changed; what it returns is shown."""

    async def run(folder: Path) -> object:
        async with site() as at:
            for change in changes:
                change(at)
            return await scenario(at, folder)

    return lambda folder: asyncio.run(run(folder))


def logging_in(*changes: Change, browser: Browser | None = None, **options: Any) -> Case:
    return play(lambda at, folder: log_in(at, folder, browser or Browser(), **options), *changes)


def server_has(**members: str | None) -> Change:
    """A change of the authorization server's metadata; paths stand for URLs on its origin."""
    return lambda at: at.server.update(
        {name: f"{at.origin}{value}" if value and value[0] in "/?" else value for name, value in members.items()}
    )


def issuer_has_query(at: Site) -> None:
    at.resource["authorization_servers"] = [f"{at.origin}/{QUERY}"]
    at.server["issuer"] = f"{at.origin}/{QUERY}"


def tokens_are(document: Any) -> Change:
    return lambda at: setattr(at, "tokens", [(200, document)])


def answers(path: str, status: int, document: Any, *headers: str) -> Change:
    return lambda at: at.answers.update({path: answering(status, document, *headers)})


async def discover_with_query(at: Site, _: Path) -> None:
    await discover(OAuthHttp({}), f"{at.url}{QUERY}", Challenge())


async def fail_to_discover(at: Site, _: Path) -> None:
    challenge = Challenge(resource_metadata=f"{at.origin}/metadata{QUERY}")
    await discover(OAuthHttp({}), at.url, challenge)


async def wait_for_no_one(at: Site, folder: Path) -> str:
    """What a log-in says when it begins and when the user has no time at all."""
    said: list[str] = []
    url = f"{at.url}{QUERY}"
    http = OAuthHttp({})
    found = await discover(http, url, Challenge())
    assert found is not None
    flow = LoginFlow(
        http,
        TokenStore(folder),
        LoginOptions(timeout=0.0, may_open_browser=False),
        announce=lambda line, _: said.append(line),
        open_url=said.append,
    )
    with pytest.raises(ThvError) as caught:
        await flow.log_in(url, found, Challenge())
    return f"{said}{caught.value}"


async def need_a_browser(at: Site, folder: Path) -> None:
    options = LoginOptions(may_open_browser=False)
    store = TokenStore(folder)
    authorizer = Authorizer(f"{at.url}{QUERY}", options, environ={}, warn=print, store=store)
    await authorizer.renew(401, ["Bearer"], None, attempt=0, may_log_in=True)


async def get(at: Site, _: Path) -> None:
    await OAuthHttp({}).get(f"{at.url}{QUERY}")


async def post(at: Site, _: Path) -> None:
    await OAuthHttp({}).post_form(f"{at.url}{QUERY}", {})


def kept() -> Login:
    return Login(
        issuer="https://issuer.example.com",
        resource=URL,
        server_urls=(URL,),
        token_endpoint="https://issuer.example.com/token",
        client=ClientRegistration("client"),
        logged_in_at=1.0,
        secrets=Secrets("the-token"),
    )


def when_logged_in(*words: str) -> Case:
    def command(_: Path) -> None:
        TokenStore().put(kept())
        main(list(words))

    return command


async def log_in_by_command(at: Site, folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thv.auth.browser.open_browser", Browser())
        patch.setattr(auth_command, "_store", lambda: TokenStore(folder))
        await auth_command._login(f"{at.url}{QUERY}", LoginOptions(), None)


def refused_options(*words: str) -> Case:
    def shown(_: Path) -> object:
        request = parse([*words, URL])
        return refusal(request.unsuited(), request)

    return shown


async def ask_remote(url: str, **options: Any) -> object:
    async with running(url, **options) as session:
        return await session.ask(INITIALIZE), session.said


async def be_redirected() -> object:
    async def handler(_: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 307 X\r\nLocation: {URL}\r\nContent-Length: 0\r\n\r\n".encode())

    async with server(handler) as behind:
        return await ask_remote(f"http://127.0.0.1:{behind.port}/mcp{QUERY}")


async def be_sent_elsewhere() -> None:
    async def handler(_: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        writer.write(f"event: endpoint\ndata: {URL}\n\n".encode())
        writer.close()

    async def deliver(*_: object) -> None:
        """Nothing comes."""

    async with server(handler) as behind:
        http = HttpClient(resolve_remote(f"http://127.0.0.1:{behind.port}/sse{QUERY}", environ={}), {})
        sse = HttpSse(http, deliver, warn=print, debug=print)
        try:
            await sse.open()
        finally:
            await sse.close()
            await http.close()


CASES: dict[str, list[Case]] = {
    "thv/auth/authorizer.py": [play(need_a_browser)],
    "thv/auth/discovery.py": [
        play(discover_with_query, lambda at: at.resource.update(resource=URL)),
        logging_in(lambda at: at.resource.update(authorization_servers=[f"{at.origin}/none{QUERY}"])),
        logging_in(server_has(issuer=URL)),
        logging_in(issuer_has_query, server_has(code_challenge_methods_supported=None)),
        play(fail_to_discover, answers("/metadata", 503, {}), answers(RESOURCE, 404, {})),
    ],
    "thv/auth/login.py": [
        play(wait_for_no_one),
        logging_in(server_has(registration_endpoint=f"/register{QUERY}"), answers("/register", 201, {})),
        logging_in(
            server_has(registration_endpoint=f"/register{QUERY}"),
            answers("/register", 201, {"client_id": "x", "token_endpoint_auth_method": "odd"}),
        ),
        logging_in(issuer_has_query, server_has(registration_endpoint=None)),
        logging_in(issuer_has_query, client_id="https://127.0.0.1/client"),
        logging_in(browser=Browser(iss=URL)),
        logging_in(issuer_has_query, browser=Browser(error="access_denied")),
    ],
    "thv/auth/metadata.py": [lambda _: check_endpoint(URL, "token endpoint", near=False)],
    "thv/auth/oauth_http.py": [
        play(get, answers("/mcp", 302, {}, f"Location: /mcp{QUERY}")),
        play(get, answers("/mcp", 200, {}, "Content-Encoding: br")),
        play(post),
        play(post, answers("/mcp", 400, {"error": "invalid_grant"})),
        lambda _: asyncio.run(OAuthHttp({}).get(URL)),
        lambda _: asyncio.run(OAuthHttp({"https_proxy": f"socks9://{PROXY}"}).get(ELSEWHERE)),
        lambda _: asyncio.run(OAuthHttp({"https_proxy": f"http://{PROXY}"}).get(ELSEWHERE)),
    ],
    "thv/auth/tokens.py": [
        *(
            logging_in(server_has(token_endpoint=f"/token{QUERY}"), tokens_are(document))
            for document in (
                {},
                {"access_token": "first", "token_type": "mac"},
                {"access_token": "a b", "token_type": "Bearer"},
            )
        ),
        lambda _: asyncio.run(refresh(OAuthHttp({}), kept(), 0.0)),
    ],
    "thv/cli/auth.py": [
        lambda _: main(["auth", "logout", URL]),
        when_logged_in("auth", "logout", URL),
        when_logged_in("auth", "logout", "--all"),
        when_logged_in("auth", "list"),
        when_logged_in("auth", "list", "--format", "json"),
        play(log_in_by_command, answers("/mcp", 200, {})),
        play(log_in_by_command, answers(RESOURCE, 404, {}), answers(SERVER, 404, {})),
        play(log_in_by_command, answers("/mcp", 401, {})),
    ],
    "thv/cli/refused_options.py": [refused_options("--env", "A=b"), refused_options("--max-sessions", "5")],
    "thv/cli/run_remote.py": [lambda _: resolve_remote_request(parse([URL, "--", "x"]))],
    "thv/http/client/http_client.py": [
        lambda _: asyncio.run(ask_remote(ELSEWHERE, environ={"https_proxy": f"http://{PROXY}"})),
        lambda _: HttpClient(resolve_remote(ELSEWHERE, environ={}), {"https_proxy": f"socks9://{PROXY}"}),
        lambda _: asyncio.run(be_redirected()),
    ],
    "thv/http/client/legacy_sse.py": [lambda _: asyncio.run(be_sent_elsewhere())],
    "thv/servers/remote_spec.py": [
        lambda _: resolve_remote(URL, environ={}),
        lambda _: resolve_remote(URL, environ={}).place,
        lambda _: resolve_remote(URL.replace(":9", ":99999"), environ={}),
    ],
    "thv/servers/resolve.py": [lambda _: resolve(URL, (), environ={})],
    "thv/telemetry/agent/export_errors.py": [
        lambda _: of_proxy(REFUSED, URL).text,
        lambda _: through_proxy(REFUSED, URL).text,
    ],
    "thv/telemetry/agent/otlp_http_exporter.py": [lambda _: HttpAttempts(Signal(URL), "traces").endpoint],
}
"""By module, what makes it show a URL: an error, a line on stderr or stdout, or a text that it returns."""


def test_every_module_that_shows_urls_is_tested_here() -> None:
    package = Path(thv.__file__).parent
    modules = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and "redact_url" in [alias.name for alias in node.names]
    }
    assert modules == set(CASES)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{module}-{n}") for module, cases in CASES.items() for n, case in enumerate(cases)]
)
def test_what_may_be_secret_in_a_url_is_never_shown(
    case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        shown = repr(case(tmp_path / "auth"))
    except (ThvError, RemoteError) as error:
        shown = str(error)
    shown += "".join(capfd.readouterr())
    assert "127.0.0.1" in shown, "no URL was shown"
    assert "secret" not in shown
