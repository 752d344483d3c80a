"""The header of each request: valid, refreshed in time, and never at the price of a second browser."""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from tests.auth.scripted_site import Browser, Site, log_in, site, write
from thv.auth.authorizer import LOGIN_PAUSE_S, Authorizer
from thv.auth.login_options import LoginOptions
from thv.auth.token_store import Login, TokenStore
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.http.proxied import Received

BEARER = ["Bearer"]
LIFETIME = 1000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class User:
    """A user's store, browser and clock, and what they were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = TokenStore(folder)
        self.clock = Clock()
        self.browser = Browser()
        self.told: list[str] = []

    def authorizer(self, at: Site, *, environ: dict[str, str] | None = None, **options: Any) -> Authorizer:
        return Authorizer(
            at.url,
            LoginOptions(**{"timeout": 60.0, **options}),
            environ={"BROWSER": "a"} if environ is None else environ,
            warn=self.told.append,
            store=self.store,
            open_url=self.browser,
            clock=self.clock,
        )

    async def log_in(self, at: Site, *tokens: tuple[int, Any]) -> Login:
        """Log in by hand; then the token endpoint answers these."""
        at.tokens = [(200, token("first", "refresh-1"))]
        kept = await log_in(at, self.folder, Browser(), clock=self.clock)
        at.tokens = list(tokens) or at.tokens
        at.forms.clear()
        return kept


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def token(access: str, refresh: str | None = None, lifetime: float | None = LIFETIME) -> dict[str, Any]:
    made = {"access_token": access, "token_type": "Bearer", "refresh_token": refresh, "expires_in": lifetime}
    return {name: value for name, value in made.items() if value is not None}


def play(scenario: Callable[[Site], Awaitable[None]]) -> None:
    async def run() -> None:
        async with site() as at:
            await scenario(at)

    asyncio.run(run())


def test_a_token_is_refreshed_before_its_end(user: User) -> None:
    async def scenario(at: Site) -> None:
        await user.log_in(at, (200, token("second", "refresh-2")), (200, token("third")))
        authorizer = user.authorizer(at)
        assert await authorizer.authorization() == "Bearer first"
        user.clock.now += LIFETIME - 61
        assert await authorizer.authorization() == "Bearer first"
        user.clock.now += 2
        assert await authorizer.authorization() == "Bearer second"
        user.clock.now += LIFETIME
        assert await authorizer.authorization() == "Bearer third"
        assert [form["refresh_token"] for form in at.forms] == ["refresh-1", "refresh-2"]
        assert {form["resource"] for form in at.forms} == {at.url}
        kept = user.store.find(at.url)
        assert kept is not None
        assert kept.secrets is not None
        assert kept.secrets.refresh_token == "refresh-2"  # the third reply had none: it stays

    play(scenario)


def test_an_empty_refresh_token_is_none(user: User) -> None:
    async def scenario(at: Site) -> None:
        at.tokens = [(200, token("first", ""))]
        login = await log_in(at, user.folder, Browser(), clock=user.clock)
        assert login.secrets is not None
        assert login.secrets.refresh_token is None
        await user.log_in(at, (200, token("second", "")), (200, token("third", "")))
        authorizer = user.authorizer(at)
        user.clock.now += LIFETIME
        assert await authorizer.authorization() == "Bearer second"
        user.clock.now += LIFETIME
        assert await authorizer.authorization() == "Bearer third"
        assert [form["refresh_token"] for form in at.forms] == ["refresh-1", "refresh-1"]

    play(scenario)


def test_requests_at_once_refresh_once(user: User) -> None:
    async def scenario(at: Site) -> None:
        await user.log_in(at, (200, token("second", "refresh-2")))
        authorizer = user.authorizer(at)
        user.clock.now += LIFETIME
        assert set(await asyncio.gather(*(authorizer.authorization() for _ in range(20)))) == {"Bearer second"}
        assert len(at.forms) == 1
        renewed = await asyncio.gather(
            *(authorizer.renew(401, BEARER, "Bearer first", attempt=0, may_log_in=True) for _ in range(20))
        )
        assert set(renewed) == {True}
        assert len(at.forms) == 1

    play(scenario)


def test_what_another_process_refreshed_is_used(user: User) -> None:
    async def scenario(at: Site) -> None:
        await user.log_in(at, (200, token("second", "refresh-2")))
        ours, theirs = user.authorizer(at), user.authorizer(at)
        assert await ours.authorization() == await theirs.authorization() == "Bearer first"
        user.clock.now += LIFETIME
        assert await theirs.authorization() == "Bearer second"
        assert await ours.authorization() == "Bearer second"
        assert len(at.forms) == 1

    play(scenario)


def test_a_refresh_token_that_was_rotated_away_leads_to_one_login(user: User) -> None:
    async def scenario(at: Site) -> None:
        await user.log_in(at, (400, {"error": "invalid_grant"}), (200, token("new", "refresh-9")))
        authorizer = user.authorizer(at)
        user.clock.now += LIFETIME
        assert await authorizer.authorization() == "Bearer first"  # the server decides
        assert user.browser.addresses == []
        assert await authorizer.renew(401, BEARER, "Bearer first", attempt=0, may_log_in=True)
        assert await authorizer.authorization() == "Bearer new"
        assert len(user.browser.addresses) == 1
        assert [form["grant_type"] for form in at.forms] == ["refresh_token", "authorization_code"]

    play(scenario)


@pytest.mark.parametrize("error", ["invalid_grant", "bad_refresh_token"])  # the other is GitHub's
def test_a_refusal_with_a_status_of_success_is_one(user: User, error: str) -> None:
    async def scenario(at: Site) -> None:
        await user.log_in(at, (200, {"error": error}), (200, token("new", "refresh-9")))
        authorizer = user.authorizer(at)
        assert await authorizer.authorization() == "Bearer first"
        assert await authorizer.renew(401, BEARER, "Bearer first", attempt=0, may_log_in=True)
        assert await authorizer.authorization() == "Bearer new"
        assert len(user.browser.addresses) == 1

    play(scenario)


def test_a_server_that_forgot_the_client_leads_to_a_login_with_a_new_registration(user: User) -> None:
    async def scenario(at: Site) -> None:
        await user.log_in(at, (401, {"error": "invalid_client"}), (200, token("new", "refresh-9")))
        authorizer = user.authorizer(at)
        assert await authorizer.authorization() == "Bearer first"
        assert await authorizer.renew(401, BEARER, "Bearer first", attempt=0, may_log_in=True)
        assert await authorizer.authorization() == "Bearer new"
        assert [form["client_id"] for form in at.forms] == ["client-1", "client-2"]
        assert user.browser.asked["client_id"] == "client-2"

    play(scenario)


def test_a_token_endpoint_that_is_down_ends_no_login(user: User) -> None:
    async def scenario(at: Site) -> None:
        await user.log_in(at, (503, {}), (200, token("second")))
        authorizer = user.authorizer(at)
        user.clock.now += LIFETIME - 30
        assert await authorizer.authorization() == "Bearer first"  # it is valid for 30 s more
        assert user.told == []
        assert await authorizer.authorization() == "Bearer second"
        assert user.browser.addresses == []

    play(scenario)


def test_a_server_that_refuses_every_token_opens_one_browser(user: User) -> None:
    async def scenario(at: Site) -> None:
        at.tokens = [(200, token(f"token-{n}", f"refresh-{n}")) for n in range(100)]
        authorizer = user.authorizer(at)
        for _ in range(5):
            attempt = 0
            while await authorizer.renew(
                401, BEARER, await authorizer.authorization(), attempt=attempt, may_log_in=True
            ):
                attempt += 1
                assert attempt < 5
        assert len(user.browser.addresses) == 1
        user.clock.now += LOGIN_PAUSE_S
        await authorizer.renew(401, BEARER, await authorizer.authorization(), attempt=1, may_log_in=True)
        assert len(user.browser.addresses) == 2

    play(scenario)


def test_a_server_that_moves_to_another_issuer_may_open_the_browser_again(user: User) -> None:
    async def scenario(at: Site) -> None:
        async with site() as second, site() as third, site() as fourth:
            authorizer = user.authorizer(at)
            for n, issuer in enumerate((at, second, third, fourth, at)):
                issuer.tokens = [(200, token(f"token-{n}"))]
                at.resource["authorization_servers"] = [issuer.origin]
                used = await authorizer.authorization()
                renewed = await authorizer.renew(401, BEARER, used, attempt=1, may_log_in=True)
                assert renewed is (n < 3)
                user.clock.now += 1
            assert len(user.browser.addresses) == 3

    play(scenario)


def test_a_server_that_asks_for_the_same_scopes_again_gets_no_second_browser(user: User) -> None:
    challenge = ['Bearer error="insufficient_scope", scope="write"']

    async def scenario(at: Site) -> None:
        await user.log_in(at, *((200, token(f"token-{n}")) for n in range(20)))
        authorizer = user.authorizer(at)
        for _ in range(3):
            used = await authorizer.authorization()
            await authorizer.renew(403, challenge, used, attempt=0, may_log_in=True)
        assert len(user.browser.addresses) == 1
        for n in range(50):
            more = [f'Bearer error="insufficient_scope", scope="more-{n}"']
            await authorizer.renew(403, more, await authorizer.authorization(), attempt=0, may_log_in=True)
        assert len(user.browser.addresses) == 10

    play(scenario)


def test_a_refusal_without_a_challenge_for_scopes_is_no_reason_to_log_in(user: User) -> None:
    async def scenario(at: Site) -> None:
        await user.log_in(at)
        authorizer = user.authorizer(at)
        used = await authorizer.authorization()
        for challenges in ([], ["Basic"], ['Bearer error="invalid_token"']):
            assert not await authorizer.renew(403, challenges, used, attempt=0, may_log_in=True)
        assert user.browser.addresses == []

    play(scenario)


def test_a_login_that_failed_is_not_tried_again_until_the_user_logs_in(user: User) -> None:
    user.browser = Browser(code=None, error="access_denied")

    async def scenario(at: Site) -> None:
        authorizer = user.authorizer(at)
        for _ in range(3):
            with pytest.raises(LoginError, match="access_denied"):
                await authorizer.renew(401, BEARER, None, attempt=0, may_log_in=True)
        assert len(user.browser.addresses) == 1
        await user.log_in(at)
        assert await authorizer.renew(401, BEARER, None, attempt=0, may_log_in=True)
        assert await authorizer.authorization() == "Bearer first"

    play(scenario)


def test_a_login_goes_on_when_the_request_that_asked_for_it_is_cancelled(user: User) -> None:
    async def scenario(at: Site) -> None:
        started, may_go = asyncio.Event(), asyncio.Event()

        async def slow(_: Received, writer: asyncio.StreamWriter) -> None:
            started.set()
            await may_go.wait()
            write(writer, 200, token("late"))

        at.answers["/token"] = slow
        authorizer = user.authorizer(at)
        request = asyncio.create_task(authorizer.renew(401, BEARER, None, attempt=0, may_log_in=True))
        await started.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        next_one = asyncio.create_task(authorizer.renew(401, BEARER, None, attempt=0, may_log_in=True))
        await asyncio.sleep(0)
        may_go.set()
        assert await next_one
        assert await authorizer.authorization() == "Bearer late"
        assert len(user.browser.addresses) == 1

    play(scenario)


def test_no_browser_opens_for_a_stream_or_for_the_end_of_a_session(user: User) -> None:
    async def scenario(at: Site) -> None:
        authorizer = user.authorizer(at)
        assert not await authorizer.renew(401, BEARER, None, attempt=0, may_log_in=False)
        assert (user.browser.addresses, at.requests) == ([], [])

    play(scenario)


def test_closing_ends_a_login_that_is_waited_for(user: User) -> None:
    async def scenario(at: Site) -> None:
        opened = asyncio.Event()

        class Closed(Browser):
            def __call__(self, url: str) -> None:
                opened.set()

        user.browser = Closed()
        authorizer = user.authorizer(at)
        request = asyncio.create_task(authorizer.renew(401, BEARER, None, attempt=0, may_log_in=True))
        await opened.wait()
        await authorizer.close()
        with pytest.raises(asyncio.CancelledError):
            await request

    play(scenario)


def test_the_hint_can_be_pasted_into_a_shell(user: User) -> None:
    """Whatever scopes a server names."""

    async def scenario(at: Site) -> None:
        await user.log_in(at)
        authorizer = user.authorizer(at, environ={})
        used = await authorizer.authorization()
        challenge = ['Bearer error="insufficient_scope", scope="a\'$(touch x)`b`"']
        with pytest.raises(LoginError, match="asks for more permissions") as caught:
            await authorizer.renew(403, challenge, used, attempt=0, may_log_in=True)
        _, _, hint = str(caught.value).partition(": run ")
        assert shlex.split(hint) == ["thv", "auth", "login", at.url, "--scope", "a'$(touch x)`b`"]

    play(scenario)


def test_a_given_client_id_is_used_and_nothing_is_registered(user: User, tmp_path: Path) -> None:
    async def scenario(at: Site) -> None:
        await log_in(at, tmp_path, user.browser, client_id="mine")
        assert user.browser.asked["client_id"] == "mine"
        assert "POST /register" not in at.requests
        assert at.forms[0]["client_id"] == "mine"

    play(scenario)


def test_the_url_of_a_metadata_document_is_an_id_where_the_server_takes_it(user: User, tmp_path: Path) -> None:
    document = "https://app.example.com/client.json"

    async def scenario(at: Site) -> None:
        with pytest.raises(LoginError, match="does not take the URL of a client metadata document"):
            await log_in(at, tmp_path, user.browser, client_id=document)
        at.server["client_id_metadata_document_supported"] = True
        await log_in(at, tmp_path, user.browser, client_id=document)
        assert user.browser.asked["client_id"] == document
        assert "POST /register" not in at.requests

    play(scenario)


def test_a_second_login_uses_the_registration_of_the_first(user: User, tmp_path: Path) -> None:
    async def scenario(at: Site) -> None:
        first = await log_in(at, tmp_path, user.browser)
        second = await log_in(at, tmp_path, user.browser)
        assert first.client == second.client
        assert at.requests.count("POST /register") == 1

    play(scenario)


def test_a_server_that_changed_its_issuer_gets_a_registration_and_tokens_of_its_own(user: User, tmp_path: Path) -> None:
    async def scenario(at: Site) -> None:
        async with site() as other:
            await log_in(at, tmp_path, user.browser)
            at.resource["authorization_servers"] = [other.origin]
            moved = await log_in(at, tmp_path, user.browser)
            assert moved.issuer == other.origin
            assert other.requests.count("POST /register") == 1
            assert "client-1" in moved.client.id
            kept = user.store.find(at.url)
            assert kept is not None
            assert kept.issuer == other.origin

    play(scenario)
