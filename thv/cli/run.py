"""`thv run`: start a server and relay its session.

On the start path: nothing slow is imported before the server runs.
"""

from __future__ import annotations

import os
import sys

from thv.cli.run_options import ON_STDIO, PROXIED, REMOTE, SERVED
from thv.core.console import report, report_unexpected, warn
from thv.errors import ThvError
from thv.process.server_process import ensure_standard_descriptors
from thv.servers.executable_lookup import find, has_separator
from thv.servers.resolve import resolve
from thv.stdio_session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.cli.run_options import RunRequest
    from thv.instrumentation.instrumentation import MakeAnalytics
    from thv.servers.launch_spec import LaunchSpec

COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
"""The values that Python may give LC_CTYPE (PEP 538)."""


def run(
    request: RunRequest,
    *,
    make_analytics: MakeAnalytics | None = None,
    report_error: Callable[[ThvError, bool], int] = report,
    on_server_end: Callable[[bool, bool], None] | None = None,
) -> int:
    """Run the session that `request` asks for.

    Args:
        request: what the command line asked for.
        make_analytics: as for `thv.stdio_session.Session`.
        report_error: tells the user of an error; returns the exit code.
        on_server_end: as for `thv.stdio_session.Session`.

    Returns:
        The exit code of the server, 128 + N if signal N ended it, or that of the error that was reported.
    """
    try:
        _refuse_unsuited(request)
        way = request.way()
        if way in {ON_STDIO, REMOTE}:
            _require_stdout()
        ensure_standard_descriptors()  # now, or what is opened first takes the place of a closed one
        if way == REMOTE:
            from thv.cli.run_remote import run_remote

            return run_remote(request, _own_command(), make_analytics=make_analytics)
        spec = resolve(
            request.server,
            request.args,
            environ=_environment(),
            env=request.env,
            env_file=request.env_file,
            name=request.name,
            cwd=request.cwd,
            network=request.network,
            volume=request.volume,
        )
        options = request.resolve_options(
            spec.name, is_demo=spec.is_demo, server_environ=spec.env, make_analytics=make_analytics
        )
        if way == PROXIED:
            from thv.cli.proxy import run_behind_proxy

            return run_behind_proxy(request, spec, options)
        if way == SERVED:
            from thv.cli.run_over_http import serve

            return serve(request, spec, options)
        if os.isatty(0):
            warn(_introduction(spec, request))
        if request.restart is not None or request.call_timeout is not None:
            from thv.cli.run_supervised import run_supervised

            return run_supervised(request, spec, options)
        return Session(
            spec,
            debug=options.debug,
            usage_analytics=options.usage_analytics,
            telemetry=options.telemetry,
            journal=options.journal,
            warnings=options.warnings,
            make_analytics=make_analytics,
            on_server_end=on_server_end,
        ).run()
    except ThvError as error:
        _journal_failure(request, error)
        return report_error(error, request.debug)
    except OSError as error:  # no descriptor, thread or memory left
        return report_error(ThvError(f"the system refuses what a session needs: {error}"), request.debug)
    except Exception as error:  # noqa: BLE001  one line, and no traceback unless it is asked for
        return report_unexpected(error, debug=request.debug)


def _refuse_unsuited(request: RunRequest) -> None:
    """Raise `UsageError` if an option has no effect in the way the server is run, so that none is silently ignored."""
    if unsuited := request.unsuited():
        from thv.cli.refused_options import refusal

        raise refusal(unsuited, request)


def _require_stdout() -> None:
    """Raise `ThvError` if stdout is closed: no reply could be delivered."""
    try:
        os.fstat(1)
    except OSError:
        raise ThvError("stdout is closed, and the client reads the server's messages there") from None


def _journal_failure(request: RunRequest, error: ThvError) -> None:
    """Let `thv why` tell of a server that could not be started; wrong words and settings are not a server's end."""
    from thv.errors import ConfigError, SettingError, UnknownServerError, UsageError

    if request.no_journal or isinstance(error, (ConfigError, SettingError, UnknownServerError, UsageError)):
        return
    from thv.journal import failed_launch

    failed_launch.keep(request.display_name(), request.served_transport(), error)


def _environment() -> dict[str, str]:
    """What thv was started with: without the LC_CTYPE that Python adds in the C locale (PEP 538), where Linux tells."""
    environ = dict(os.environ)
    if environ.get("LC_CTYPE") in COERCED:
        try:
            with open("/proc/self/environ", "rb") as file:  # noqa: PTH123  pathlib costs 6 ms before the spawn
                if b"\0LC_CTYPE=" not in b"\0" + file.read():
                    del environ["LC_CTYPE"]
        except OSError:
            pass
    return environ


def _introduction(spec: LaunchSpec, request: RunRequest) -> str:
    """What to tell a person who started `thv run` by hand: it waits for a program."""
    import json
    import shlex

    from thv.cli.mcp_options import SHARED_OPTIONS
    from thv.cli.shown_request import without_secrets

    command = _own_command()
    anywhere = without_secrets(_with_absolute_path(request, spec))
    config = {"mcpServers": {spec.name: {"command": command, "args": ["run", *anywhere.to_argv()]}}}
    by_hand = anywhere.replace(otel={})
    if by_hand.server is None:  # `thv mcp` takes a file, and no command after --
        by_hand = by_hand.replace(server=_absolute(spec.executable), args=tuple(spec.argv[1:]))
    return (
        f"{spec.name} waits for an MCP client's messages on stdin; Ctrl-C or Ctrl-D ends it.\n"
        f"To use it from a client, put this into the client's configuration:\n{json.dumps(config, indent=2)}\n"
        f"To try it by hand: {shlex.join([command, 'mcp', 'list', *by_hand.to_argv(SHARED_OPTIONS)])}"
    )


def _own_command() -> str:
    """`thv`, or its whole path where PATH does not lead to it."""
    path = _absolute(sys.argv[0])
    return path if find("thv", os.environ) is None and find(path, os.environ) is not None else "thv"


def _with_absolute_path(request: RunRequest, spec: LaunchSpec) -> RunRequest:
    """The request as it can be made from any directory, as far as SERVER goes."""
    server = request.server
    if server is not None and "://" not in server and (has_separator(server) or server.startswith("~")):
        return request.replace(server=_absolute(spec.executable))
    return request


def _absolute(path: str) -> str:
    from pathlib import Path

    return str(Path(path).absolute())
