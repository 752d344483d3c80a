"""The `Authorization` header of requests to one remote server, kept valid: refreshed before its end, and after a 401.

Promises: of all processes of the user one refreshes or logs in at a time, and the others use what it got; the browser
opens at most once in a process unless the user logged in in between. A log-in goes on although the request that asked
for it was cancelled. Loaded with the remote client; the flow itself only when it is needed.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import httpx
from msgspec.structs import replace

from thv.auth.metadata import canonical_url, join_scopes, read_challenge
from thv.auth.token_store import LOCK_TIMEOUT_S, TokenStore, key_of
from thv.core.net.url_redaction import redact_url
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from thv.auth.login_options import LoginOptions
    from thv.auth.metadata import Challenge
    from thv.auth.oauth_http import OAuthHttp
    from thv.auth.token_store import Login

MAX_RENEWALS: Final = 2
"""Renewals for one request: a refresh whose token is refused, too, and a log-in."""

LOGIN_PAUSE_S: Final = 300.0
"""Seconds after a log-in in which a 401 opens no browser: a server that refuses what it gave would open one a call."""

MAX_ISSUERS: Final = 3
"""Authorization servers that one may move to in a session without that pause."""

MAX_STEP_UPS: Final = 10
"""Times that a server may ask for more scopes in one session."""

INSUFFICIENT_SCOPE: Final = "insufficient_scope"

INVALID_CLIENT: Final = "invalid_client"
"""The authorization server does not know the client, for it forgot it."""

REFRESH_ENDED: Final = frozenset({"invalid_grant", INVALID_CLIENT, "unauthorized_client", "bad_refresh_token"})
"""The errors after which a refresh token is of no use any more (RFC 6749, section 5.2, and GitHub's own); others may
pass."""


class Authorizer:
    """The tokens for one server.

    Args:
        server_url: as the user typed it.
        options: what the user set for a log-in.
        environ: where proxies and displays are named.
        ca_file: certificates of authorities to trust, too.
        warn: shows the user a line.
        store: None for the user's.
        open_url: opens a browser; None for the user's.
        clock: Unix time.
    """

    def __init__(
        self,
        server_url: str,
        options: LoginOptions,
        *,
        environ: Mapping[str, str],
        ca_file: str | None = None,
        warn: Callable[[str], None],
        store: TokenStore | None = None,
        open_url: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = canonical_url(server_url)
        self._place = redact_url(self._url)
        self._options = options
        self._environ = environ
        self._ca_file = ca_file
        self._warn = warn
        self._chosen_store = store
        self._open_url = open_url
        self._clock = clock
        self._login: Login | None = None
        self._was_read = False
        self._work: asyncio.Task[None] | None = None
        self._knows_login = True
        self._refusal: str | None = None
        self._logged_in_at: float | None = None
        self._issuers: set[str] = set()
        self._stepped_up: set[str] = set()

    @property
    def is_logged_in(self) -> bool:
        """Whether requests carry a token."""
        return _header(self._login) is not None

    async def authorization(self) -> str | None:
        """The header's value for a request now; None without a log-in."""
        if not self._was_read:
            await self._run_or_join(self._read_store)
        login = self._login
        if login is not None and login.refresh_at is not None and self._clock() >= login.refresh_at:
            try:
                await self._run_or_join(self._refresh_if_due)
            except LoginError as error:
                if login.expires_at is not None and self._clock() >= login.expires_at:
                    self._warn(str(error))  # the server will say 401; what follows is decided then
        return _header(self._login)

    async def renew(
        self, status: int, challenges: Sequence[str], used: str | None, *, attempt: int, may_log_in: bool
    ) -> bool:
        """Deal with a refused request; whether to send it again.

        Args:
            status: 401 or 403.
            challenges: the values of `WWW-Authenticate`.
            used: the header that was refused.
            attempt: how many renewals the request had already.
            may_log_in: whether the request is worth a browser.

        Raises:
            LoginError: the user has to log in, and did not, or cannot here.
        """
        challenge = read_challenge(challenges)
        is_step_up = status == httpx.codes.FORBIDDEN and challenge.error == INSUFFICIENT_SCOPE
        if attempt >= MAX_RENEWALS or not (is_step_up or status == httpx.codes.UNAUTHORIZED):
            return False
        if self._work is not None and not self._work.done():
            await asyncio.wait({self._work})  # the request was sent while this was going on
        if _header(self._login) != used:
            return _header(self._login) is not None
        if is_step_up:
            await self._run_or_join(lambda: self._step_up(challenge, used))
        else:
            await self._run_or_join(
                lambda: self._renew(challenge, used, may_refresh=attempt == 0, may_log_in=may_log_in)
            )
        return _header(self._login) not in {None, used}

    async def close(self) -> None:
        """Stop what is going on."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _run_or_join(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do it, or wait for what is being done already. It goes on if the caller is cancelled."""
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(work())
            self._work.add_done_callback(_retrieve)
        await asyncio.shield(self._work)

    async def _read_store(self) -> None:
        self._login = await asyncio.to_thread(self._store().find, self._url)
        self._was_read = True

    async def _refresh_if_due(self) -> None:
        login = self._login
        if login is not None and login.secrets is not None and login.secrets.refresh_token is not None:
            await self._refresh(login)

    async def _refresh(self, seen: Login) -> bool:
        """Use what another process got meanwhile, or refresh; whether there are other tokens now."""
        from thv.auth.oauth_http import OAuthError
        from thv.auth.tokens import refresh

        store = self._store()
        async with store.locked(seen.key):
            current = await asyncio.to_thread(store.get, seen.issuer, seen.resource)
            if current is None:
                self._login = None  # logged out
                return False
            if _header(current) != _header(seen):
                self._login = current
                return True
            if current.secrets is None or current.secrets.refresh_token is None:
                return False
            try:
                newer = await refresh(self._http(), current, self._clock())
            except OAuthError as error:
                if error.code not in REFRESH_ENDED:
                    raise
                client = current.client.doubted if error.code == INVALID_CLIENT else current.client
                secrets = replace(current.secrets, refresh_token=None)
                newer = replace(current, client=client, secrets=secrets, refresh_at=None)
            await asyncio.to_thread(store.put, newer)
            self._login = newer
            return _header(newer) != _header(seen)

    async def _renew(self, challenge: Challenge, used: str | None, *, may_refresh: bool, may_log_in: bool) -> None:
        if may_refresh and self._login is not None and await self._refresh(self._login):
            return
        if not may_log_in:
            return
        async with self._login_lock():
            if await self._adopt(used) is not None:
                return
            await self._log_in(challenge)

    async def _step_up(self, challenge: Challenge, used: str | None) -> None:
        """Log in for more scopes than the tokens have (MCP 2025-11-25, "Step-Up Authorization Flow")."""
        wanted = challenge.scope or ""
        async with self._login_lock():
            granted = self._login.scope if self._login is not None else None
            if await self._adopt(used) is not None:
                return
            if wanted not in self._stepped_up and len(self._stepped_up) < MAX_STEP_UPS:
                self._stepped_up.add(wanted)
                await self._log_in(challenge, granted=granted, is_step_up=True)

    def _login_lock(self) -> AbstractAsyncContextManager[None]:
        """Held while the user logs in: one process at a time opens a browser for a server."""
        return self._store().locked(key_of(self._url), self._options.timeout + LOCK_TIMEOUT_S)

    async def _adopt(self, used: str | None) -> Login | None:
        """What another process got by logging in meanwhile."""
        current = await asyncio.to_thread(self._store().find, self._url)
        if current is None or _header(current) == used:
            return None
        self._login, self._refusal = current, None
        return current

    async def _log_in(self, challenge: Challenge, *, granted: str | None = None, is_step_up: bool = False) -> None:
        from thv.auth.browser import can_open, open_browser
        from thv.auth.discovery import discover
        from thv.auth.login import LoginFlow, command

        if self._refusal is not None:
            raise LoginError(self._refusal)
        http = self._http()
        found = await discover(http, self._url, challenge) if self._knows_login else None
        if found is None:
            self._knows_login = False
            return
        is_pause = self._logged_in_at is not None and self._clock() < self._logged_in_at + LOGIN_PAUSE_S
        if is_pause and not is_step_up and (found.issuer in self._issuers or len(self._issuers) >= MAX_ISSUERS):
            return
        if not (self._options.may_open_browser and can_open(self._environ)):
            why = "asks for more permissions" if is_step_up else "asks you to log in"
            scope = join_scopes(granted, challenge.scope) if is_step_up else None
            raise LoginError(f"{self._place} {why}: run {command(self._place, scope)}")
        flow = LoginFlow(
            http,
            self._store(),
            self._options,
            announce=lambda line, _url: self._warn(f"{line}; if none opens: {command(self._place)}"),
            open_url=self._open_url or open_browser,
            clock=self._clock,
        )
        try:
            login = await flow.log_in(self._url, found, challenge, granted=granted)
            await keep(self._store(), login)
        except LoginError as error:
            self._refusal = str(error)  # the next request must not open the browser again
            raise
        self._login, self._logged_in_at = login, self._clock()
        self._issuers.add(login.issuer)
        self._warn(f"logged in at {self._place}")

    def _store(self) -> TokenStore:
        if self._chosen_store is None:
            from thv.auth.system_keyring import system_keyring

            self._chosen_store = TokenStore(keyring=system_keyring())
        return self._chosen_store

    def _http(self) -> OAuthHttp:
        from thv.auth.oauth_http import OAuthHttp

        return OAuthHttp(self._environ, self._ca_file)


async def keep(store: TokenStore, login: Login) -> None:
    """Keep a new log-in, under its lock.

    Raises:
        LoginError: it cannot be written.
    """
    async with store.locked(login.key):
        await asyncio.to_thread(store.put, login)


def _header(login: Login | None) -> str | None:
    return None if login is None or login.secrets is None else f"Bearer {login.secrets.access_token}"


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # it was raised to those who waited, if any did
