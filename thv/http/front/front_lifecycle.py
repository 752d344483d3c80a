"""`thv run SERVER --proxy-port N` from listening to the end; the instrumentation is an argument.

A signal ends it in an orderly way: no new connections are accepted, open requests get an error, servers are asked to
end (SIGTERM) and killed if they do not. A second signal ends thv at once, and its watchdogs end the servers. stdout
stays empty.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from thv.core.net.loopback import is_loopback
from thv.core.net.urls import MAX_PORT, bare_host, parse_port
from thv.errors import UsageError
from thv.http.bearer_auth import bearer_auth
from thv.http.front.health import Health
from thv.http.front.session_manager import Limits, SessionManager
from thv.http.front.streamable_http_app import StreamableHttpApp
from thv.http.host_policy import HostPolicy
from thv.http.server.listener import Listener
from thv.http.signals import install_signal_handlers
from thv.servers.server_environment import PROXY_TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thv.core.interfaces import Instrumentation
    from thv.http.front.backend_connection import StoppableBackend
    from thv.http.front.health import HealthCheck

MAX_SESSIONS = 256
"""Each is a process: enough for a team, and few enough for a laptop to survive a client that forgets its sessions."""

SESSION_TTL = 1800.0
"""Seconds: longer than a pause for thought, shorter than lunch."""

DRAIN_TIMEOUT_S = 5.0
"""For calls that are open when a pod begins to end; the clients' own patience is longer."""

DRAIN_POLL_S = 0.02

DRAINING = "thv is about to stop"

DESCRIPTORS_PER_SESSION = 8
"""Two pipes to its server, one to its watchdog, one that tells of its exit, and the connections of its client."""

DESCRIPTORS = 256
"""For everything else."""


class FrontOptions:
    """What the command line says of the front, checked.

    Args:
        port: the port to listen on, as text; 0 for one that is free.
        host: the address, or None for 127.0.0.1.
        shared: all sessions share one server.
        max_sessions, session_ttl: as text, or None for the defaults.
        allowed_origins, allowed_hosts: see `HostPolicy`.
        auth_token_file: the file that holds the bearer token which clients have to present.
        no_auth: serve without a token on any address.
        exit_with_server: end with the server's exit code if it ends before it ever answered.
        environ: where the token may stand, too.

    Raises:
        UsageError: one of them cannot be used, or a token is needed.
    """

    def __init__(
        self,
        port: str,
        *,
        host: str | None = None,
        shared: bool = False,
        max_sessions: str | None = None,
        session_ttl: str | None = None,
        allowed_origins: Sequence[str] = (),
        allowed_hosts: Sequence[str] = (),
        auth_token_file: str | None = None,
        no_auth: bool = False,
        exit_with_server: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        number = parse_port(port, lowest=0)
        if number is None:
            raise UsageError(f"--proxy-port: {port!r} is not a port, which is a number up to {MAX_PORT}")
        count = str(MAX_SESSIONS) if max_sessions is None else max_sessions
        if not (count.isascii() and count.isdecimal() and int(count) > 0):
            raise UsageError(f"--max-sessions: {count!r} is not a number of sessions, which is at least 1")
        self.port = number
        self.host = bare_host(host or "127.0.0.1")
        self.allowed_origins = tuple(allowed_origins)
        self.allowed_hosts = tuple(allowed_hosts)
        self.exit_with_server = exit_with_server
        self.limits = Limits(int(count), _seconds(session_ttl), shared=shared)
        if no_auth and auth_token_file is not None:
            raise UsageError("--no-auth and --auth-token-file exclude each other")
        self.auth = None if no_auth else bearer_auth(auth_token_file, os.environ if environ is None else environ)
        if self.auth is None and not no_auth and not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host} can be reached from other machines: give --auth-token-file FILE "
                f"or set {PROXY_TOKEN_VARIABLE}, so that clients need a token, or say --no-auth"
            )


def _seconds(text: str | None) -> float:
    try:
        seconds = SESSION_TTL if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--session-ttl: {text!r} is not a number of seconds above 0")
    return seconds


class Service:
    """One front, from start to end.

    Args:
        name: what the user calls the server.
        make_backend: makes what reaches a new server.
        options: where and how to serve it.
        instrumentation: instruments every session.
        health: whether the server can be used; by default one that starts a server to find out.
        warn: called with lines for the user.
        debug: call it with more of them.
    """

    def __init__(
        self,
        name: str,
        make_backend: Callable[[], StoppableBackend],
        options: FrontOptions,
        instrumentation: Instrumentation,
        *,
        health: HealthCheck | None = None,
        warn: Callable[[str], None],
        debug: bool = False,
    ) -> None:
        self._name = name
        self._make_backend = make_backend
        self._health = health
        self._options = options
        self._instrumentation = instrumentation
        self._warn = warn
        self._debug = warn if debug else _discard
        self._app: StreamableHttpApp | None = None

    def activity(self) -> int:
        """A number that changes whenever something passes."""
        return 0 if self._app is None else self._app.passed

    async def run(self) -> int:
        """Serve until a signal comes; returns the exit code.

        Raises:
            ThvError: the address cannot be listened on, or the server is not there.
        """
        _allow_descriptors(self._options.limits.max_sessions * DESCRIPTORS_PER_SESSION + DESCRIPTORS)
        asked_to_end = install_signal_handlers()
        options = self._options
        policy = HostPolicy(options.host, options.port, options.allowed_origins, options.allowed_hosts)
        failed_start: list[int] = []

        def end_with_server(exit_code: int) -> None:
            failed_start.append(exit_code)
            asked_to_end.set()

        on_failed_start = end_with_server if options.exit_with_server else None
        health = self._health or Health(self._make_backend, warn=self._warn, on_failed_start=on_failed_start)
        sessions = SessionManager(
            self._make_backend, self._instrumentation, options.limits, warn=self._debug, on_failure=health.failed
        )
        self._app = app = StreamableHttpApp(sessions, health, policy, options.auth, warn=self._warn)
        listener = Listener(app.handle, options.host, options.port, port_option="--proxy-port", warn=self._warn)
        await listener.start()
        self._warn(f"{self._name} is served at {listener.url}/mcp")
        if options.auth is None and not is_loopback(options.host):
            self._warn(f"listening on {options.host} without authentication; put an authenticating proxy in front")
        health.look()
        draining = _drain_when_asked(app, sessions, listener)
        try:
            await asked_to_end.wait()
        finally:
            self._debug("stopping")
            self._instrumentation.client_disconnected(asked_to_end.signal_name)
            listener.stop_listening()
            app.drain_state = "drained"  # no request on an open connection may start a server again
            await asyncio.gather(sessions.close(), health.close())
            await listener.close()
            if draining is not None:
                draining()
        return failed_start[0] if failed_start else 0


def _drain_when_asked(
    app: StreamableHttpApp, sessions: SessionManager, listener: Listener
) -> Callable[[], None] | None:
    """Let SIGUSR1 begin to drain: what a pod does before it ends. Returns what undoes that."""
    number = getattr(signal, "SIGUSR1", None)
    if number is None:  # Windows has none, and no pods
        return None
    loop = asyncio.get_running_loop()
    begun: list[asyncio.Task[None]] = []

    async def drain() -> None:
        app.drain_state = "draining"
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while listener.has_open_post:  # noqa: ASYNC110  the end of each is an event of its own
                    await asyncio.sleep(DRAIN_POLL_S)
        sessions.end_all(DRAINING)
        app.drain_state = "drained"

    def begin() -> None:
        if not begun:
            begun.append(loop.create_task(drain()))

    def undo() -> None:
        loop.remove_signal_handler(number)
        for task in begun:
            task.cancel()

    loop.add_signal_handler(number, begin)
    return undo


def _discard(_text: str) -> None:
    pass


def _allow_descriptors(count: int) -> None:
    """Ask the system for as many descriptors: 1024, a usual limit, would be reached before 256 sessions."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        if soft not in {resource.RLIM_INFINITY, -1} and soft < wanted:
            with suppress(OSError, ValueError):  # then fewer sessions are possible
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
