"""A server that speaks lines, for many clients over HTTP: `thv run SERVER --proxy-port N`, and what else serves one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.cli.extras import HTTP_EXTRA, require
from thv.cli.instrumented_run import InstrumentedRun
from thv.core.console import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.cli.instrumented_run import InstrumentationOptions
    from thv.cli.run_options import RunRequest
    from thv.http.front.backend_connection import StoppableBackend
    from thv.http.front.front_lifecycle import FrontOptions
    from thv.http.front.health import HealthCheck
    from thv.servers.launch_spec import LaunchSpec


def serve(request: RunRequest, spec: LaunchSpec, options: InstrumentationOptions) -> int:
    """Serve child processes until a signal comes; returns the exit code. Call it on the main thread.

    Args:
        request: what the command line asked for.
        spec: the server.
        options: what to observe.

    Raises:
        ThvError: it cannot run.
    """
    require("httptools", "serving over HTTP", HTTP_EXTRA)
    from thv.http.front.front_lifecycle import FrontOptions
    from thv.http.process_backend import ProcessBackend

    front = FrontOptions(
        request.proxy_port or "",
        host=request.host,
        shared=request.shared,
        max_sessions=request.max_sessions,
        session_ttl=request.session_ttl,
        allowed_origins=request.allowed_origins,
        allowed_hosts=request.allowed_hosts,
        auth_token_file=request.auth_token_file,
        no_auth=request.no_auth,
        exit_with_server=request.exit_with_server,
    )
    return serve_backends(front, lambda: ProcessBackend(spec), options)


def serve_backends(
    front: FrontOptions,
    make_backend: Callable[[], StoppableBackend],
    options: InstrumentationOptions,
    *,
    health: HealthCheck | None = None,
) -> int:
    """The same for whatever reaches a server.

    Args:
        front: where and how to serve it.
        make_backend: makes what reaches a new server.
        options: what to observe.
        health: whether it can be used; by default it is tried.

    Raises:
        ThvError: it cannot run.
    """
    from thv.http.event_loop import run_on_the_fastest_loop
    from thv.http.front.front_lifecycle import Service

    with InstrumentedRun(options, "streamable-http") as run:
        service = Service(
            options.server, make_backend, front, run.instrumentation, health=health, warn=warn, debug=options.debug
        )
        run.activity = service.activity
        return run_on_the_fastest_loop(service.run())
