"""`thv run https://…`: exposes a remote server to a client on stdin and stdout.

A wrong command line is reported before the client's first message is read. A server that cannot be reached does not end
the session: each request is answered with an error until the server is back.
"""

from __future__ import annotations

import os

from thv.cli.extras import HTTP_EXTRA, require
from thv.cli.instrumented_run import InstrumentedRun
from thv.cli.run_options import A_REMOTE_SERVER, OPTIONS, RunRequest
from thv.core.console import warn
from thv.core.net.url_redaction import redact_url
from thv.errors import UsageError
from thv.servers.remote_spec import TOKEN_VARIABLE, RemoteSpec, resolve_remote, warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thv.http.client.stdio_to_http import RemoteClient
    from thv.instrumentation.instrumentation import Instrumentation, MakeAnalytics


def resolve_remote_request(request: RunRequest) -> RemoteSpec:
    """The remote server that the request names.

    Raises:
        UsageError: it cannot be one, or arguments were given.
        ThvError: a file that it names cannot be used.
    """
    if request.args:
        raise UsageError(f"{redact_url(str(request.server))} runs already: it takes no arguments after --")
    return resolve_remote(
        str(request.server),
        environ=os.environ,
        header=request.header,
        header_file=request.header_file,
        bearer_token_file=request.bearer_token_file,
        ca_file=request.ca_file,
        client_id=request.client_id,
        name=request.name,
    )


def run_remote(request: RunRequest, command: str, *, make_analytics: MakeAnalytics | None = None) -> int:
    """Run the session that `request` asks for. Call it on the main thread.

    Args:
        request: its SERVER is a URL.
        command: how thv is started, to be shown to a person at a terminal.
        make_analytics: as for `thv.stdio_session.Session`.

    Returns:
        0 once the client left, or 128 + N if signal N ended the session.

    Raises:
        ThvError: something on the command line cannot be used, or a package is missing.
    """
    spec = resolve_remote_request(request)
    options = request.resolve_options(spec.name, make_analytics=make_analytics)
    unsafe = warning(spec)
    if unsafe is not None:
        options = options.replace(warnings=(unsafe, *options.warnings))
    if os.isatty(0):
        warn(_introduction(spec, request, command))
    import asyncio

    require("httpx", "a remote server", HTTP_EXTRA)
    from thv.http.client.stdio_to_http import RemoteClient

    with InstrumentedRun(options, "streamable-http") as run:
        client = RemoteClient(
            spec,
            run.instrumentation.open_session(),
            environ=os.environ,
            warn=warn,
            debug=request.debug,
            client_disconnected=run.instrumentation.client_disconnected,
        )
        run.activity = client.activity
        return asyncio.run(_run_with_signal_handlers(client, run.instrumentation))


async def _run_with_signal_handlers(client: RemoteClient, instrumentation: Instrumentation) -> int:
    import asyncio
    import signal

    from thv.http.signals import install_signal_handlers

    asked_to_end = install_signal_handlers()

    async def stop_when_asked() -> None:
        await asked_to_end.wait()
        instrumentation.client_disconnected(asked_to_end.signal_name)
        client.stop(signal.Signals[str(asked_to_end.signal_name)])

    stopper = asyncio.create_task(stop_when_asked())
    try:
        return await client.run()
    finally:
        stopper.cancel()


def _introduction(spec: RemoteSpec, request: RunRequest, command: str) -> str:
    """What to tell a person who started it by hand: it waits for a program."""
    import json
    import shlex

    from thv.cli.shown_request import without_secrets

    showable = without_secrets(request)
    config = {"mcpServers": {spec.name: {"command": command, "args": ["run", *showable.to_argv()]}}}
    text = (
        f"{spec.name} waits for an MCP client's messages on stdin; Ctrl-C or Ctrl-D ends it.\n"
        f"To use it from a client, put this into the client's configuration:\n{json.dumps(config, indent=2)}"
    )
    if any(request.gives(option) for option in OPTIONS if option.heading == A_REMOTE_SERVER):
        return f"{text}\nA token can also be set in {TOKEN_VARIABLE}."
    return f"{text}\nTo try it by hand: {shlex.join([command, 'mcp', 'list', str(showable.server)])}"
