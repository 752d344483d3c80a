"""How thv is known to the authorization server: registered once, and anew when that may be what does not work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.auth.scripted_site import Browser, Site, log_in, site, write
from tests.http.proxied import until
from thv.auth.token_store import TokenStore
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.auth.scripted_site import Answer
    from tests.http.proxied import Received

TOKENS = (200, {"access_token": "first", "token_type": "Bearer"})


class Closed(Browser):
    """A browser whose user sees a page that leads nowhere."""

    def __call__(self, url: str) -> None:
        self.addresses.append(url)


async def refuses_the_client(at: Site, folder: Path) -> None:
    at.tokens = [(401, {"error": "invalid_client"})]
    with pytest.raises(LoginError):
        await log_in(at, folder, Browser())


async def sends_the_browser_back(at: Site, folder: Path) -> None:
    with pytest.raises(LoginError, match="unauthorized_client"):
        await log_in(at, folder, Browser(code=None, error="unauthorized_client"))


async def shows_a_page(at: Site, folder: Path) -> None:
    with pytest.raises(LoginError, match="no log-in"):
        await log_in(at, folder, Closed(), timeout=0.1)


async def shows_a_page_and_is_interrupted(at: Site, folder: Path) -> None:
    closed = Closed()
    attempt = asyncio.create_task(log_in(at, folder, closed))
    await until(lambda: bool(closed.addresses))
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt


def play(scenario: Callable[[Site], Awaitable[None]]) -> None:
    async def run() -> None:
        async with site() as at:
            await scenario(at)

    asyncio.run(run())


FAILURES = [refuses_the_client, sends_the_browser_back, shows_a_page, shows_a_page_and_is_interrupted]


@pytest.mark.parametrize("server", FAILURES)
def test_after_a_login_that_failed_the_next_one_registers_anew(
    tmp_path: Path, server: Callable[[Site, Path], Awaitable[None]]
) -> None:
    async def scenario(at: Site) -> None:
        await log_in(at, tmp_path, Browser())
        await server(at, tmp_path)
        kept = TokenStore(tmp_path).find(at.url)
        assert kept is not None
        assert kept.secrets is not None
        assert kept.secrets.access_token == "first", "the tokens may be good all the same"
        at.tokens = [TOKENS]
        browser = Browser()
        await log_in(at, tmp_path, browser)
        assert browser.asked["client_id"] == "client-2"
        await log_in(at, tmp_path, browser)
        assert browser.asked["client_id"] == "client-2"

    play(scenario)


@pytest.mark.parametrize("methods", [None, ["client_secret_post"]])
def test_an_empty_client_secret_is_none(tmp_path: Path, methods: list[str] | None) -> None:
    async def answer(_: Received, writer: asyncio.StreamWriter) -> None:
        write(writer, 201, {"client_id": "public", "client_secret": ""})

    async def scenario(at: Site) -> None:
        at.answers["/register"] = answer
        at.server["token_endpoint_auth_methods_supported"] = methods
        login = await log_in(at, tmp_path, Browser())
        assert login.client.auth_method == "none"
        assert login.secrets is not None
        assert login.secrets.client_secret is None
        assert at.forms[-1]["client_id"] == "public"

    play(scenario)


@pytest.mark.parametrize("server", FAILURES)
def test_an_id_that_the_user_gave_stays(tmp_path: Path, server: Callable[[Site, Path], Awaitable[None]]) -> None:
    async def scenario(at: Site) -> None:
        await log_in(at, tmp_path, Browser(), client_id="mine")
        await server(at, tmp_path)
        at.tokens = [TOKENS]
        browser = Browser()
        await log_in(at, tmp_path, browser)
        assert browser.asked["client_id"] == "mine"
        assert "POST /register" not in at.requests

    play(scenario)


def test_an_issuer_that_answers_with_json_only_if_asked_to_is_asked_to(tmp_path: Path) -> None:
    """As GitHub's: its tokens come as a form otherwise."""

    def negotiating(status: int, document: dict[str, str]) -> Answer:
        async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
            write(writer, status, document if received.header("accept") == "application/json" else "as=a&form=")

        return answer

    async def scenario(at: Site) -> None:
        at.answers["/register"] = negotiating(201, {"client_id": "public"})
        at.answers["/token"] = negotiating(*TOKENS)
        login = await log_in(at, tmp_path, Browser())
        assert login.secrets is not None
        assert login.secrets.access_token == "first"
        assert login.client.id == "public"

    play(scenario)
