"""`thv mcp list` and `thv mcp call`: try a server by hand, through the very relay that `thv run` gives a client.

Answers go to stdout, everything else to stderr. How the server is reached is `mcp_session`, how its answers are printed
`mcp_output`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from thv.cli.mcp_arguments import tool_arguments
from thv.cli.mcp_options import JSON
from thv.cli.mcp_output import has_failed, input_schema, print_json, print_result, print_tools
from thv.cli.mcp_session import run_session
from thv.cli.refused_options import refusal
from thv.cli.run_options import REMOTE
from thv.cli.run_remote import resolve_remote_request
from thv.core.console import warn
from thv.core.frozen import Frozen
from thv.core.printable import one_line
from thv.errors import ThvError, UsageError
from thv.mcp_client.protocol import JsonRpcError, McpClientError
from thv.servers.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.cli.mcp_options import McpRequest
    from thv.cli.run_options import RunRequest
    from thv.mcp_client.protocol import JsonObject
    from thv.mcp_client.session import ClientSession, ToolList

MAX_NAMES = 50
"""Names of tools that a warning lists."""


def list_tools(request: McpRequest) -> int:
    """Run `thv mcp list`; returns the exit code.

    Raises:
        ThvError: the server cannot be started or used, or the answer cannot be written.
    """

    def show(found: ToolList) -> int:
        if request.output == JSON:
            print_json({"tools": found.tools})
        else:
            print_tools(found.tools)
        if found.problem is not None:
            warn(found.problem)
        return 0 if found.problem is None else 1

    return _run(request, lambda session: session.list_tools(), show)


def call_tool(request: McpRequest) -> int:
    """Run `thv mcp call`; returns the exit code, 1 if the tool failed.

    Raises:
        ThvError: the server cannot be started or used, or the answer cannot be written.
    """
    tool = request.tool

    def work(session: ClientSession) -> JsonObject:
        schema: JsonObject = {}
        if request.pairs:
            tools = session.list_tools(until=tool).tools
            schema = next((input_schema(found) for found in tools if found["name"] == tool), {})
        arguments = tool_arguments(request.pairs, schema, dict(request.base))
        try:
            result = session.call_tool(tool, arguments)
        except JsonRpcError:
            _warn_if_there_is_no_such_tool(session, tool)
            raise
        if result.get("isError"):
            _warn_if_there_is_no_such_tool(session, tool)
        return result

    def show(result: JsonObject) -> int:
        if request.output != JSON:
            return print_result(result)
        print_json(result)
        return 1 if has_failed(result) else 0

    return _run(request, work, show)


def _run(request: McpRequest, work: Callable[[ClientSession], Any], show: Callable[[Any], int]) -> int:
    try:
        start = _check(request.run)
        return run_session(
            request.run.to_argv(), start.name, work, show, timeout=request.timeout, may_download=start.may_download
        )
    except UsageError:
        raise
    except ThvError as error:  # whatever `thv run` ends with: these commands end with 0, 1 or 2
        raise ThvError(str(error)) from error


class _Start(Frozen):
    """What is being started."""

    name: str
    may_download: bool


def _check(request: RunRequest) -> _Start:
    """Resolve the server here first, so that a mistake is reported once and nothing is started."""
    if unsuited := request.unsuited():
        raise refusal(unsuited, request)
    if request.way() == REMOTE:
        return _Start(resolve_remote_request(request).name, may_download=False)
    spec = resolve(
        request.server,
        request.args,
        environ=os.environ,
        env=request.env,
        env_file=request.env_file,
        name=request.name,
        cwd=request.cwd,
        network=request.network,
        volume=request.volume,
    )
    hint = "" if spec.runner is None else f" ({spec.runner} may be downloading it)"
    return _Start(f"{spec.name}{hint}", may_download=spec.runner is not None)


def _warn_if_there_is_no_such_tool(session: ClientSession, tool: str) -> None:
    try:
        names = [one_line(known["name"]) for known in session.list_tools(until=tool).tools]
    except McpClientError:  # the call's own failure is reported in any case
        return
    if tool not in names:
        from difflib import get_close_matches

        near = get_close_matches(tool, names)
        hint = f"did you mean {' or '.join(near)}?" if near else f"its tools are {', '.join(names[:MAX_NAMES])}"
        warn(f"the server has no tool {tool!r}; {hint}")
