"""`thv proxy`, and `thv run --transport`: a reverse proxy in front of a server that speaks HTTP itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.cli.extras import HTTP_EXTRA, require
from thv.cli.instrumented_run import InstrumentedRun, journal_option, resolve_options
from thv.core.console import warn
from thv.errors import UsageError
from thv.process.server_process import ensure_standard_descriptors

if TYPE_CHECKING:
    from thv.cli.instrumented_run import InstrumentationOptions
    from thv.cli.proxy_options import ProxyRequest
    from thv.cli.run_options import RunRequest
    from thv.http.proxy.proxy_target import ProxyTarget
    from thv.http.proxy.reverse_proxy import ReverseProxy
    from thv.instrumentation.instrumentation import MakeAnalytics
    from thv.servers.launch_spec import LaunchSpec


def proxy(request: ProxyRequest, *, make_analytics: MakeAnalytics | None = None) -> int:
    """Run `thv proxy`; returns its exit code.

    Args:
        request: what the command line asked for.
        make_analytics: as for `InstrumentationOptions`.

    Raises:
        ThvError: it cannot run.
    """
    require("httptools", "serving over HTTP", HTTP_EXTRA)
    ensure_standard_descriptors()  # now, or what is opened first takes the place of a closed one
    from thv.http.event_loop import run_on_the_fastest_loop
    from thv.http.proxy.proxy_service import checked_port, serve
    from thv.http.proxy.proxy_target import parse_target

    target = parse_target(request.target_uri)
    port = checked_port(request.port, "--port")
    options = resolve_options(
        request.name,
        request.otel,
        debug=request.debug,
        journal=journal_option(request.name, no_journal=request.no_journal, journal_capture=request.journal_capture),
        make_analytics=make_analytics,
    )
    if options.telemetry is not None and options.telemetry.propagate:
        raise UsageError("--otel-propagate changes messages; through thv proxy they pass as they are")
    with InstrumentedRun(options, "streamable-http") as run:
        made = _make_proxy(run, target, request, host=request.host, port=port)
        return run_on_the_fastest_loop(
            serve(made, request.name, warn=warn, client_disconnected=run.instrumentation.client_disconnected)
        )


def run_behind_proxy(request: RunRequest, spec: LaunchSpec, options: InstrumentationOptions) -> int:
    """Run `thv run --transport streamable-http` or ``sse``; returns the server's exit code.

    Args:
        request: what the command line asked for.
        spec: the server.
        options: what to observe.

    Raises:
        ThvError: it cannot run.
    """
    require("httptools", "serving over HTTP", HTTP_EXTRA)
    from thv.http.event_loop import run_on_the_fastest_loop
    from thv.http.process_backend import ProcessBackend
    from thv.http.proxy.proxy_service import checked_port, free_port, local_target, serve_with, told_where_to_listen

    transport = request.served_transport()
    if spec.is_demo:
        raise UsageError(f"the demo server speaks stdio only: leave --transport {transport} out")
    if options.telemetry is not None and options.telemetry.propagate:
        raise UsageError(f"--otel-propagate changes messages; with --transport {transport} they pass as they are")
    port = checked_port(request.target_port, "--target-port") if request.target_port is not None else 0
    port = port or free_port()
    with InstrumentedRun(options, transport) as run:
        made = _make_proxy(
            run,
            local_target(transport, port),
            request,
            host=request.host or "127.0.0.1",
            port=checked_port(request.proxy_port, "--proxy-port") if request.proxy_port is not None else 0,
        )
        backend = ProcessBackend(told_where_to_listen(spec, transport, port))
        return run_on_the_fastest_loop(
            serve_with(
                made,
                backend,
                spec.name,
                is_legacy=transport == "sse",
                warn=warn,
                client_disconnected=run.instrumentation.client_disconnected,
            )
        )


def _make_proxy(
    run: InstrumentedRun, target: ProxyTarget, request: ProxyRequest | RunRequest, *, host: str, port: int
) -> ReverseProxy:
    from thv.http.proxy.reverse_proxy import ReverseProxy

    made = ReverseProxy(
        target,
        run.instrumentation,
        host=host,
        port=port,
        allowed_origins=request.allowed_origins,
        allowed_hosts=request.allowed_hosts,
        report=run.report,
    )
    run.activity = lambda: made.passed
    return made
