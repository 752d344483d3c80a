"""`thv attach`: what runs beside an MCP server in a pod, and serves its stdin and stdout to many clients over HTTP.

The operator writes its command line; it is not meant to be typed. The server is the container's one process, so all
sessions share it; ready means attached.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from thv.cli.extras import HTTP_EXTRA, require
from thv.cli.instrumented_run import resolve_options
from thv.cli.run_over_http import serve_backends
from thv.core.console import warn
from thv.servers.server_environment import PROXY_TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.instrumentation.instrumentation import MakeAnalytics

EXTRAS = ("operator", HTTP_EXTRA)


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
    require("httptools", "attaching", *EXTRAS)
    require("aiohttp", "attaching", *EXTRAS)
    from thv.http.front.front_lifecycle import FrontOptions
    from thv.operator.attach.attach_target import ApiServer, AttachTarget
    from thv.operator.attach.container_backend import AttachedServer
    from thv.operator.attach.websocket_link import open_link

    front = FrontOptions(
        proxy_port,
        host=host,
        shared=True,
        allowed_origins=allowed_origins,
        # Who may reach a pod is the cluster's affair, unless the pod was given a token.
        no_auth=not os.environ.get(PROXY_TOKEN_VARIABLE),
    )
    target = AttachTarget(namespace, pod, container)
    api = ApiServer.of_this_pod(os.environ, Path(credentials))
    options = resolve_options(name, {}, debug=debug, journal=(name, False), make_analytics=make_analytics)
    server = AttachedServer(
        partial(open_link, api, target), what=str(target), warn=warn, debug=warn if debug else _say_nothing
    )
    return serve_backends(front, server.backend, options, health=server)


def _say_nothing(_text: str) -> None:
    pass
