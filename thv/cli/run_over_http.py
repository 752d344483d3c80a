"""A server that speaks lines, for many clients over HTTP: `thv run SERVER --proxy-port N`, and what else serves one."""

from __future__ import annotations

import threading  # noqa: F401  here, on the main thread: its first importer becomes what Python takes for that
from typing import TYPE_CHECKING

from thv.cli.resolve_telemetry import usage_analytics
from thv.core.console import warn
from thv.errors import ThvError
from thv.instrumentation.instrumentation import Instrumentation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thv.cli.run_options import RunRequest
    from thv.http.app.health import HealthCheck
    from thv.http.app.server_connection import StoppableBackend
    from thv.instrumentation.instrumentation import MakeAnalytics
    from thv.servers.launch_spec import LaunchSpec
    from thv.telemetry.telemetry_settings import TelemetrySettings

MISSING = "serving over HTTP needs packages that are not installed: pip install 'thv[http]'"


def serve(
    request: RunRequest,
    spec: LaunchSpec,
    *,
    telemetry: TelemetrySettings | None = None,
    warnings: Sequence[str] = (),
    make_analytics: MakeAnalytics | None = None,
) -> int:
    """Serve child processes until a signal comes; returns the exit code. Call it on the main thread.

    Args:
        request: what the command line asked for.
        spec: the server.
        telemetry: what the user's own telemetry is to do.
        warnings: what to say about that.
        make_analytics: as for `Instrumentation`.

    Raises:
        ThvError: it cannot run.
    """
    require_http()
    from thv.http.process_backend import ProcessBackend

    return serve_backends(
        request,
        spec.name,
        lambda: ProcessBackend(spec),
        is_demo=spec.is_demo,
        server_environ=spec.env,
        telemetry=telemetry,
        warnings=warnings,
        make_analytics=make_analytics,
    )


def require_http() -> None:
    """Raise `ThvError` where this installation cannot serve HTTP."""
    try:
        import httptools  # noqa: F401  are they there?
        import uvicorn  # noqa: F401
    except ModuleNotFoundError:
        raise ThvError(MISSING) from None


def serve_backends(
    request: RunRequest,
    name: str,
    make_backend: Callable[[], StoppableBackend],
    *,
    health: HealthCheck | None = None,
    is_demo: bool = False,
    server_environ: Mapping[str, str] | None = None,
    telemetry: TelemetrySettings | None = None,
    warnings: Sequence[str] = (),
    make_analytics: MakeAnalytics | None = None,
) -> int:
    """The same for whatever reaches a server.

    Args:
        request: what the command line asked for.
        name: what people call the server.
        make_backend: makes what reaches a new server.
        health: whether it can be used; by default it is tried.
        is_demo: it is thv's own demo.
        server_environ: as for `Instrumentation`.
        telemetry: what the user's own telemetry is to do.
        warnings: what to say about that.
        make_analytics: as for `Instrumentation`.

    Raises:
        ThvError: it cannot run.
    """
    from thv.http.app.service import FrontOptions, Service
    from thv.http.event_loop import run_on_the_fastest_loop

    options = FrontOptions(
        request.proxy_port or "",
        host=request.host,
        shared=request.shared,
        max_sessions=request.max_sessions,
        session_ttl=request.session_ttl,
        allowed_origins=request.allowed_origins,
    )
    served: list[Service] = []
    instrumentation = Instrumentation(
        activity=lambda: served[0].activity() if served else 0,
        is_demo=is_demo,
        debug=request.debug,
        usage_analytics=usage_analytics(request),
        server_environ=server_environ,
        telemetry=telemetry,
        transport="streamable-http",
        journal=request.journal(name),
        warnings=warnings,
        make_analytics=make_analytics,
    )
    instrumentation.emit_warnings()
    try:
        served.append(
            Service(name, make_backend, options, instrumentation, health=health, warn=warn, debug=request.debug)
        )
        return run_on_the_fastest_loop(served[0].run())
    finally:
        instrumentation.close()
