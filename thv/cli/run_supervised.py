"""`thv run --restart` and `--call-timeout`: a stdio server that is watched."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from thv.cli.instrumented_run import InstrumentedRun
from thv.errors import UsageError
from thv.supervision.restart_policy import Policy
from thv.supervision.supervised_session import SupervisedSession

if TYPE_CHECKING:
    from thv.cli.instrumented_run import InstrumentationOptions
    from thv.cli.run_options import RunRequest
    from thv.servers.launch_spec import LaunchSpec

MAX_RESTARTS = 1000
MAX_TIMEOUT_S = 86_400.0


def run_supervised(request: RunRequest, spec: LaunchSpec, options: InstrumentationOptions) -> int:
    """Run the session; returns the exit code of the last server. Call it on the main thread.

    Raises:
        UsageError: a number makes no sense, or something is asked for that such a session cannot do.
        ThvError: the server cannot be started.
    """
    policy = _policy(request)
    if options.telemetry is not None and options.telemetry.propagate:
        raise UsageError("--otel-propagate does not go with --restart or --call-timeout")
    with InstrumentedRun(options, "stdio") as run:
        session = SupervisedSession(spec, policy, run.instrumentation)
        run.activity = lambda: session.passed
        return asyncio.run(session.run())


def _policy(request: RunRequest) -> Policy:
    restarts = timeout = None
    if request.restart is not None:
        text = request.restart
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_RESTARTS):
            raise UsageError(f"--restart={text}: write how many restarts in a minute, from 1 to {MAX_RESTARTS}")
        restarts = int(text)
    if request.call_timeout is not None:
        try:
            timeout = float(request.call_timeout)
        except ValueError:
            timeout = math.nan
        if not 0 < timeout <= MAX_TIMEOUT_S:
            raise UsageError(f"--call-timeout {request.call_timeout}: write seconds, up to {MAX_TIMEOUT_S:.0f}")
    return Policy(restarts, timeout)
