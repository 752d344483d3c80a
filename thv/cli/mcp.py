"""`thv mcp list` and `thv mcp call`: try a server by hand, through the very relay that `thv run` gives a client.

Answers go to stdout, everything else to stderr. How the server is reached is `mcp_session`, how its answers are printed
`mcp_output`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thv.cli.help_text import Command, Group, listed
from thv.cli.mcp_arguments import decode_json, split_word, tool_arguments
from thv.cli.mcp_output import has_failed, input_schema, print_json, print_result, print_tools
from thv.cli.mcp_session import run_session
from thv.cli.run_options import RunRequest
from thv.cli.shared_options import Cwd, Debug, Env, EnvFile, Format, Name, Server  # noqa: TC001  Typer reads them
from thv.core.console import warn
from thv.core.printable import one_line, replace_surrogates
from thv.errors import ThvError, UsageError
from thv.mcp_client.protocol import JsonRpcError, McpClientError
from thv.servers.remote_spec import is_remote
from thv.servers.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.mcp_client.protocol import JsonObject
    from thv.mcp_client.session import ClientSession, ToolList

app = typer.Typer(
    cls=Group,
    help="Try an MCP server by hand, through the same relay as a client.",
    epilog=listed(
        "Examples:",
        [("thv mcp list demo", "its tools"), ("thv mcp call demo add a=2 b=3", "one of them")],
    ),
)

SERVER_WORDS = "put the server's own arguments after --"

REPLY_TIMEOUT_S = 60.0
"""Seconds a server has for each reply: official clients give the same."""

MAX_NAMES = 50
"""Names of tools that a warning lists."""

Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0,
        help="Wait for each reply at most SECONDS; 0 for no limit. A download at the first start is not counted.",
    ),
]


class ServerCommand(Command):
    """A verb whose words after ``--`` are the server's own: Click would mix them with ours."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep what follows ``--`` apart, and parse the rest."""
        end = args.index("--") if "--" in args else len(args)
        ctx.obj = args[end + 1 :]
        ctx.allow_extra_args = True  # to say below where they belong
        extra = super().parse_args(ctx, args[:end])
        if extra:
            raise UsageError(f"unexpected argument {extra[0]!r}; {SERVER_WORDS}; see {ctx.command_path} --help")
        return extra

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line, with what may follow ``--``."""
        return [*super().collect_usage_pieces(ctx), "[-- ARGS...]"]


@app.command(
    "list",
    cls=ServerCommand,
    epilog=listed(
        "Examples:",
        [
            ("thv mcp list demo", ""),
            ("thv mcp list filesystem -- ~/notes", ""),
            ("thv mcp list time --format json", ""),
        ],
    ),
)
def list_tools(
    ctx: typer.Context,
    server: Server,
    *,
    env: Env = None,
    env_file: EnvFile = None,
    name: Name = None,
    cwd: Cwd = None,
    debug: Debug = False,
    output: Format = "text",
    timeout: Timeout = REPLY_TIMEOUT_S,
) -> int:
    """List the tools of a server."""
    launch = _launch(ctx, server, env=env, env_file=env_file, name=name, cwd=cwd, debug=debug)

    def show(found: ToolList) -> int:
        if output == "json":
            print_json({"tools": found.tools})
        else:
            print_tools(found.tools)
        if found.problem is not None:
            warn(found.problem)
        return 0 if found.problem is None else 1

    return _run(launch, lambda session: session.list_tools(), show, timeout)


@app.command(
    "call",
    cls=ServerCommand,
    epilog=listed(
        "Examples:",
        [
            ("thv mcp call demo add a=2 b=3", ""),
            ('thv mcp call demo add --args-json \'{"a": 2, "b": 3}\'', ""),
            ("thv mcp call time get_current_time timezone=UTC", ""),
        ],
    ),
)
def call_tool(
    ctx: typer.Context,
    server: Server,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its arguments.")] = None,
    *,
    args_json: Annotated[
        str | None, typer.Option("--args-json", metavar="JSON", help="Its arguments as one JSON object.")
    ] = None,
    env: Env = None,
    env_file: EnvFile = None,
    name: Name = None,
    cwd: Cwd = None,
    debug: Debug = False,
    output: Format = "text",
    timeout: Timeout = REPLY_TIMEOUT_S,
) -> int:
    """Call one tool of a server.

    Each VALUE is read as the type the tool wants there: `a=2` is a number for a tool that takes numbers, and a text for
    one that takes texts. Lists and objects are written as JSON. A call that fails ends with exit code 1.
    """
    try:
        pairs = [split_word(word) for word in words or ()]
    except ValueError as error:
        raise UsageError(f"{error}; {SERVER_WORDS}; see {ctx.command_path} --help") from None
    if replace_surrogates(tool) != tool:
        raise UsageError("the tool's name is not valid text in the encoding of this terminal")
    base = _json_object(args_json)

    def work(session: ClientSession) -> JsonObject:
        schema: JsonObject = {}
        if pairs:
            tools = session.list_tools(until=tool).tools
            schema = next((input_schema(found) for found in tools if found["name"] == tool), {})
        arguments = tool_arguments(pairs, schema, base)
        try:
            result = session.call_tool(tool, arguments)
        except JsonRpcError:
            _warn_if_there_is_no_such_tool(session, tool)
            raise
        if result.get("isError"):
            _warn_if_there_is_no_such_tool(session, tool)
        return result

    def show(result: JsonObject) -> int:
        if output == "text":
            return print_result(result)
        print_json(result)
        return 1 if has_failed(result) else 0

    launch = _launch(ctx, server, env=env, env_file=env_file, name=name, cwd=cwd, debug=debug)
    return _run(launch, work, show, timeout)


def _launch(
    ctx: typer.Context,
    server: str,
    *,
    env: list[str] | None,
    env_file: list[str] | None,
    name: str | None,
    cwd: str | None,
    debug: bool,
) -> RunRequest:
    """What `thv run` would have been asked for."""
    request = RunRequest()
    request.server = server
    request.args = tuple(ctx.obj)
    request.env = env or []
    request.env_file = env_file or []
    request.name = name
    request.cwd = cwd
    request.debug = debug or bool(ctx.find_root().params.get("debug"))
    return request


def _run(request: RunRequest, work: Callable[[ClientSession], Any], show: Callable[[Any], int], timeout: float) -> int:
    if not math.isfinite(timeout):
        raise UsageError("--timeout SECONDS is a number; 0 for no limit")
    try:
        start = _check(request)
        return run_session(
            request.words(),
            start.name,
            work,
            show,
            timeout=timeout or None,
            may_download=start.may_download,
        )
    except UsageError:
        raise
    except ThvError as error:  # whatever `thv run` ends with: these commands end with 0, 1 or 2
        raise ThvError(str(error)) from error


@dataclass(frozen=True, slots=True)
class _Start:
    """What is being started."""

    name: str
    may_download: bool


def _check(request: RunRequest) -> _Start:
    """Resolve the server here first, so that a mistake is reported once and nothing is started."""
    if is_remote(request.server):
        from thv.cli.run_remote import spec_of

        return _Start(spec_of(request).name, may_download=False)
    spec = resolve(
        request.server,
        request.args,
        environ=os.environ,
        env=request.env,
        env_file=request.env_file,
        name=request.name,
        cwd=request.cwd,
    )
    hint = f" ({spec.runner} may be downloading it)" if spec.runner else ""
    return _Start(f"{spec.name}{hint}", may_download=spec.runner is not None)


def _warn_if_there_is_no_such_tool(session: ClientSession, tool: str) -> None:
    try:
        names = [one_line(known["name"]) for known in session.list_tools(until=tool).tools]
    except McpClientError:  # the call's own failure is reported in any case
        return
    if tool not in names:
        near = get_close_matches(tool, names)
        hint = f"did you mean {' or '.join(near)}?" if near else f"its tools are {', '.join(names[:MAX_NAMES])}"
        warn(f"the server has no tool {tool!r}; {hint}")


def _json_object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = decode_json(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--args-json is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError('--args-json must be a JSON object, such as {"a": 2}')
    return value
