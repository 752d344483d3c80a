"""`thv auth`: the user's log-ins at remote servers. No token is ever printed.

The list goes to stdout; what was done goes to stderr. No logic: `thv.auth` has it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thv.cli.extras import HTTP_EXTRA, require
from thv.cli.help_text import Command, Group, listed
from thv.cli.output import answer
from thv.core.console import warn
from thv.core.net.url_redaction import redact_url
from thv.errors import LoginError, ThvError, UsageError

if TYPE_CHECKING:
    from thv.auth.callback import CallbackListener
    from thv.auth.login_options import LoginOptions
    from thv.auth.token_store import Login, TokenStore

app = typer.Typer(
    cls=Group,
    help="Log in to remote MCP servers, and out again.",
    epilog=listed(
        "Examples:",
        [
            ("thv auth login https://mcp.example.com/mcp", "opens your browser"),
            ("thv auth list", "where you are logged in"),
            ("thv auth logout https://mcp.example.com/mcp", "forget it"),
        ],
    ),
)

Url = Annotated[str, typer.Argument(metavar="URL", help="The server, as for `thv run`.", show_default=False)]


@app.command(
    "login",
    cls=Command,
    epilog=listed(
        "Examples:",
        [
            ("thv auth login https://mcp.example.com/mcp", ""),
            ("thv auth login https://mcp.example.com/mcp --no-browser", "over SSH"),
        ],
    ),
)
def login(
    url: Url,
    *,
    client_id: Annotated[
        str | None,
        typer.Option(
            "--client-id",
            metavar="ID",
            help="Use ID, or the URL of a client metadata document; by default thv registers itself.",
        ),
    ] = None,
    client_secret_file: Annotated[
        str | None,
        typer.Option("--client-secret-file", metavar="FILE", help="Read the secret that goes with --client-id."),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option("--scope", metavar="SCOPES", help="Ask for SCOPES; by default for what the server says."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--callback-port",
            metavar="PORT",
            min=1,
            max=65535,
            help="Let the browser come back to PORT; by default a free one.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", min=1, help="Wait at most SECONDS for the browser; by default 300."
        ),
    ] = None,
    ca_file: Annotated[
        str | None,
        typer.Option("--ca-file", metavar="FILE", help="Also trust the certificate authorities in FILE."),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Show the address to open, and open no browser.")
    ] = False,
) -> int:
    """Log in to a remote server with your browser. `thv run` uses the log-in from then on.

    Where no browser can be opened, the address is shown; open it on any machine. If the browser ends on a page that it
    cannot load, paste that page's address here.
    """
    import asyncio

    from thv.auth.browser import can_open
    from thv.auth.metadata import is_scope
    from thv.servers.remote_spec import may_log_in, read_secret, resolve_remote

    spec = resolve_remote(url, environ={}, ca_file=ca_file)
    if not may_log_in(spec):
        raise ThvError(f"{spec.place} is not encrypted: log-ins are for https:// servers, and those on this machine")
    if scope is not None and not is_scope(scope):
        raise UsageError("--scope takes names that are separated by single blanks")
    if client_secret_file is not None and client_id is None:
        raise UsageError("--client-secret-file goes with --client-id")
    require("httpx", "logging in", HTTP_EXTRA)
    from thv.auth.login_options import LOGIN_TIMEOUT_S, LoginOptions

    options = LoginOptions(
        client_id=client_id,
        client_secret=None if client_secret_file is None else read_secret(client_secret_file, "--client-secret-file"),
        scope=scope,
        port=port,
        timeout=LOGIN_TIMEOUT_S if timeout is None else timeout,
        may_open_browser=not no_browser and can_open(os.environ),
    )
    return asyncio.run(_login(spec.url, options, spec.ca_file))


async def _login(url: str, options: LoginOptions, ca_file: str | None) -> int:
    import httpx

    from thv.auth.authorizer import keep
    from thv.auth.browser import open_browser
    from thv.auth.discovery import discover
    from thv.auth.login import LoginFlow
    from thv.auth.metadata import canonical_url, read_challenge
    from thv.auth.oauth_http import OAuthHttp

    server_url = canonical_url(url)
    http = OAuthHttp(os.environ, ca_file)
    reply = await http.probe(url)
    if reply.is_success:
        warn(f"{redact_url(url)} asks for no log-in")
        return 0
    store = _store()

    def announce(line: str, authorization_url: str) -> None:
        warn(f"{line}. If none opens, open:" if options.may_open_browser else f"{line}. Open:")
        print(authorization_url, file=sys.stderr, flush=True)

    def on_listening(listener: CallbackListener) -> None:
        if not options.may_open_browser and sys.stdin is not None and sys.stdin.isatty():
            warn("if the browser ends on a page that it cannot load, paste that page's address here")
            _read_pasted(listener)

    challenge = read_challenge(reply.headers.get_list("WWW-Authenticate"))
    found = await discover(http, server_url, challenge, may_assume=reply.status == httpx.codes.UNAUTHORIZED)
    if found is None:
        raise LoginError(f"{redact_url(url)} answers with status {reply.status} and says nowhere how to log in")
    flow = LoginFlow(http, store, options, announce=announce, open_url=open_browser, on_listening=on_listening)
    await keep(store, await flow.log_in(server_url, found, challenge))
    warn(f"logged in at {redact_url(url)}; thv auth logout {redact_url(url)} forgets it")
    return 0


def _read_pasted(listener: CallbackListener) -> None:
    """Offer the listener what the user pastes, from a thread: reading a terminal cannot be cancelled."""
    import asyncio
    import threading

    loop = asyncio.get_running_loop()

    def offer(line: str) -> None:
        if not listener.offer(line):
            warn("this is not the address at which the log-in ends")

    def read() -> None:
        for line in sys.stdin:
            if line.strip():
                try:
                    loop.call_soon_threadsafe(offer, line)
                except RuntimeError:  # the log-in is over
                    return

    threading.Thread(target=read, daemon=True, name="pasted").start()


@app.command(
    "list",
    cls=Command,
    epilog=listed("Examples:", [("thv auth list", ""), ("thv auth list --format json", "")]),
)
def list_(
    *, output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print the answer.")] = "text"
) -> int:
    """List the servers that you are logged in to. Tokens are never printed."""
    store = _store()
    logins = store.all()
    _warn_of_unreadable(store)
    if output == "json":
        import json

        answer(json.dumps({"logins": [_as_json(login) for login in logins]}, indent=2))
    elif not logins:
        warn("you are logged in to no server; thv auth login URL")
    for each in logins if output == "text" else ():
        for url in each.server_urls:
            answer("\t".join(_shown(text) for text in (redact_url(url), each.issuer, each.scope or "-", _ends(each))))
    return 0


@app.command(
    "logout",
    cls=Command,
    epilog=listed(
        "Examples:", [("thv auth logout https://mcp.example.com/mcp", ""), ("thv auth logout --all", "everywhere")]
    ),
)
def logout(
    url: Annotated[str | None, typer.Argument(metavar="URL", help="The server.", show_default=False)] = None,
    *,
    everywhere: Annotated[bool, typer.Option("--all", help="Log out of every server.")] = False,
) -> int:
    """Forget a log-in, and tell the server's issuer so where it takes that."""
    import asyncio

    from thv.auth.metadata import canonical_url

    if (url is None) == (not everywhere):
        raise UsageError("say one server, or --all; thv auth list shows them")
    store = _store()
    logins = store.all()
    is_whole = not _warn_of_unreadable(store)
    if url is not None:
        wanted = {canonical_url(url), redact_url(canonical_url(url))}
        logins = [
            login
            for login in logins
            if any(known in wanted or redact_url(known) in wanted for known in login.server_urls)
        ]
        if not logins:
            raise ThvError(f"you are not logged in to {redact_url(url)}; thv auth list shows where you are")
    for each in logins:
        asyncio.run(_logout(store, each))
    return 0 if is_whole or url is not None else 1


def _warn_of_unreadable(store: TokenStore) -> bool:
    """Name what may hold log-ins that are neither listed nor forgotten; whether there is any."""
    found = store.unreadable()
    for each in found:
        warn(f"log-ins may be in what cannot be read: {each}")
    return bool(found)


async def _logout(store: TokenStore, login: Login) -> None:
    async with store.locked(login.key):
        current = store.get(login.issuer, login.resource) or login
        place = _shown(redact_url(login.server_urls[0] if login.server_urls else login.resource))
        try:
            from thv.auth.oauth_http import OAuthHttp
            from thv.auth.tokens import revoke

            await revoke(OAuthHttp(os.environ), current)
        except (ImportError, LoginError) as error:
            warn(f"{place}: the tokens could not be revoked: {error}")
        store.delete(login)
        warn(f"logged out of {place}")


def _store() -> TokenStore:
    from thv.auth.system_keyring import system_keyring
    from thv.auth.token_store import TokenStore

    return TokenStore(keyring=system_keyring())


def _shown(text: str) -> str:
    from thv.core.printable import one_line

    return one_line(text)


def _ends(login: Login) -> str:
    if login.is_refreshable:
        return "refreshed as needed"
    return "does not end" if login.expires_at is None else f"until {_time(login.expires_at)}"


def _time(seconds: float | None) -> str | None:
    from datetime import UTC, datetime

    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _as_json(login: Login) -> dict[str, Any]:
    return {
        "servers": [redact_url(url) for url in login.server_urls],
        "issuer": login.issuer,
        "resource": redact_url(login.resource),
        "client_id": login.client.id,
        "scope": login.scope,
        "logged_in_at": _time(login.logged_in_at),
        "expires_at": _time(login.expires_at),
        "refreshable": login.is_refreshable,
        "storage": "keyring" if login.in_keyring else "file",
    }
