"""`thv attach`: what runs beside an MCP server in a pod, and serves its stdin and stdout to many clients over HTTP.

The operator writes its command line; nobody types it. The server is the container's one process, so all sessions share
it; ready means attached.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from thv.cli.resolve_telemetry import ask
from thv.cli.run_options import RunRequest
from thv.cli.run_over_http import require_http, serve_backends
from thv.core.console import warn
from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.instrumentation.instrumentation import MakeAnalytics

MISSING = "attaching needs packages that are not installed: pip install 'thv[operator,http]'"


def attach(
    name: str,
    *,
    namespace: str,
    pod: str,
    container: str,
    proxy_port: str,
    host: str,
    allowed_origins: Sequence[str],
    credentials: str,
    debug: bool,
    make_analytics: MakeAnalytics | None = None,
) -> int:
    """Serve a container's process until a signal comes; returns the exit code. Call it on the main thread.

    Args:
        name: what people call the server.
        namespace: the pod's.
        pod: what runs the server.
        container: the server's, in that pod.
        proxy_port: where to listen.
        host: the address to listen on.
        allowed_origins: web pages that may talk to the server.
        credentials: the folder with the token and the cluster's CA.
        debug: say what happens.
        make_analytics: as for `Instrumentation`.

    Raises:
        ThvError: it cannot run.
    """
    require_http()
    try:
        from thv.operator.attach.websocket_link import open_link
    except ModuleNotFoundError:
        raise ThvError(MISSING) from None
    from thv.operator.attach.attach_target import ApiServer, Target
    from thv.operator.attach.container_backend import AttachedServer

    request = RunRequest()
    request.proxy_port, request.host, request.shared, request.debug = proxy_port, host, True, debug
    request.allowed_origins = list(allowed_origins)
    target = Target(namespace, pod, container)
    api = ApiServer.of_this_pod(os.environ, Path(credentials))
    telemetry, warnings = ask(request, server=name)
    server = AttachedServer(
        partial(open_link, api, target), what=str(target), warn=warn, debug=warn if debug else _say_nothing
    )
    return serve_backends(
        request,
        name,
        server.backend,
        health=server,
        telemetry=telemetry,
        warnings=warnings,
        make_analytics=make_analytics,
    )


def _say_nothing(_text: str) -> None:
    pass
