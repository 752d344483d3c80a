"""`thv proxy`, and `thv run --transport`: a reverse proxy in front of a server that speaks HTTP itself."""

from __future__ import annotations

import asyncio
import threading  # noqa: F401  here, on the main thread: its first importer becomes what Python takes for that
from typing import TYPE_CHECKING, Self

from thv.cli.resolve_telemetry import ask, usage_analytics
from thv.cli.run_options import RunRequest
from thv.config.settings import USAGE_ANALYTICS_ENABLED
from thv.core.console import warn
from thv.errors import ThvError, UsageError
from thv.instrumentation.instrumentation import Instrumentation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thv.http.proxy.proxy_target import Target
    from thv.http.proxy.reverse_proxy import ReverseProxy
    from thv.instrumentation.instrumentation import MakeAnalytics
    from thv.servers.launch_spec import LaunchSpec
    from thv.telemetry.telemetry_settings import TelemetrySettings

MISSING = "HTTP needs packages that are not installed: pip install 'thv[http]'"


def proxy(
    name: str,
    target_uri: str,
    *,
    host: str,
    port: int,
    allowed_origins: Sequence[str],
    debug: bool,
    usage_analytics_enabled: str | None = None,
    make_analytics: MakeAnalytics | None = None,
) -> int:
    """Run `thv proxy`; returns its exit code.

    Raises:
        ThvError: it cannot run.
    """
    _require_http()
    from thv.http.proxy.proxy_service import checked_port, serve
    from thv.http.proxy.proxy_target import parse_target

    target = parse_target(target_uri)
    checked_port(str(port), "--port")
    request = RunRequest()
    request.debug = debug
    if usage_analytics_enabled is not None:
        request.otel = {USAGE_ANALYTICS_ENABLED: usage_analytics_enabled}
    telemetry, warnings = ask(request, server=name)
    with _Counted(request, name, "streamable-http", telemetry, warnings, make_analytics=make_analytics) as counted:
        made = counted.proxy(target, host, port, allowed_origins)
        return asyncio.run(
            serve(made, name, warn=warn, client_disconnected=counted.instrumentation.client_disconnected)
        )


def run_behind_proxy(
    request: RunRequest,
    spec: LaunchSpec,
    *,
    telemetry: TelemetrySettings | None = None,
    warnings: Sequence[str] = (),
    make_analytics: MakeAnalytics | None = None,
) -> int:
    """Run `thv run --transport streamable-http` or ``sse``; returns the server's exit code.

    Args:
        request: what the command line asked for.
        spec: the server.
        telemetry: what the user's own telemetry is to do.
        warnings: what to say about that.
        make_analytics: as for `Instrumentation`.

    Raises:
        ThvError: it cannot run.
    """
    _require_http()
    from thv.http.process_backend import ProcessBackend
    from thv.http.proxy.proxy_service import (
        PATHS,
        checked_port,
        free_port,
        local_target,
        serve_with,
        told_where_to_listen,
    )

    transport = request.transport or "stdio"
    if transport == "stdio":
        raise UsageError("--target-port is for a server that speaks HTTP: give --transport streamable-http, too")
    if transport not in PATHS:
        raise UsageError(f"--transport {transport}: a server speaks stdio, {' or '.join(PATHS)}")
    if request.shared or request.max_sessions or request.session_ttl:
        raise UsageError(
            f"--shared, --max-sessions and --session-ttl are for servers on stdio; with --transport {transport} the "
            "server keeps its own sessions"
        )
    if spec.is_demo:
        raise UsageError(f"the demo server speaks stdio only: leave --transport {transport} out")
    if telemetry is not None and telemetry.propagate:
        raise UsageError(f"--otel-propagate changes messages; with --transport {transport} they pass as they are")
    port = checked_port(request.target_port, "--target-port") if request.target_port else 0
    port = port or free_port()
    with _Counted(
        request,
        spec.name,
        transport,
        telemetry,
        warnings,
        server_environ=spec.env,
        make_analytics=make_analytics,
    ) as counted:
        made = counted.proxy(
            local_target(transport, port),
            request.host or "127.0.0.1",
            checked_port(request.proxy_port, "--proxy-port") if request.proxy_port else 0,
            request.allowed_origins,
        )
        backend = ProcessBackend(told_where_to_listen(spec, transport, port))
        return asyncio.run(
            serve_with(
                made, backend, spec.name, warn=warn, client_disconnected=counted.instrumentation.client_disconnected
            )
        )


class _Counted:
    """The accounting of one proxy, closed when it ends."""

    def __init__(
        self,
        request: RunRequest,
        name: str,
        transport: str,
        telemetry: TelemetrySettings | None,
        warnings: Sequence[str],
        *,
        server_environ: Mapping[str, str] | None = None,
        make_analytics: MakeAnalytics | None,
    ) -> None:
        self._proxy: ReverseProxy | None = None
        self._report: Callable[[str], None] | None = warn if request.debug else None
        self.instrumentation = Instrumentation(
            activity=lambda: self._proxy.passed if self._proxy is not None else 0,
            debug=request.debug,
            usage_analytics=usage_analytics(request),
            server_environ=server_environ,
            telemetry=telemetry,
            transport=transport,
            journal=request.journal(name),
            warnings=warnings,
            make_analytics=make_analytics,
        )

    def proxy(self, target: Target, host: str, port: int, allowed_origins: Sequence[str]) -> ReverseProxy:
        """A proxy that is counted here."""
        from thv.http.proxy.reverse_proxy import ReverseProxy

        self._proxy = ReverseProxy(
            target, self.instrumentation, host=host, port=port, allowed_origins=allowed_origins, report=self._report
        )
        return self._proxy

    def __enter__(self) -> Self:
        self.instrumentation.emit_warnings()
        return self

    def __exit__(self, *_: object) -> None:
        self.instrumentation.close()


def _require_http() -> None:
    try:
        import h11  # noqa: F401  is it there?
    except ModuleNotFoundError:
        raise ThvError(MISSING) from None
