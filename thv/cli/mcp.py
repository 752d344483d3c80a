"""`thv mcp list` and `thv mcp call`: try a server by hand, through the very relay that `thv run` gives a client.

Answers go to stdout, in words or as the protocol's own JSON; everything else goes to stderr. Nothing here knows how a
server is reached: that is `thv.cli.mcp_client`.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, TypeVar

import typer

from thv.cli.help_text import Command, Group, listed
from thv.cli.mcp_arguments import schema_types, split_word, tool_arguments
from thv.cli.run_options import BY_FLAG, THE_SERVER, RunRequest
from thv.core.console import warn
from thv.errors import UsageError
from thv.servers.remote_spec import is_remote
from thv.servers.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mcp import Client
    from mcp.types import CallToolResult, ContentBlock, Tool

T = TypeVar("T")

app = typer.Typer(
    cls=Group,
    help="Try an MCP server by hand, through the same relay as a client.",
    epilog=listed(
        "Examples:",
        [("thv mcp list demo", "its tools"), ("thv mcp call demo add a=2 b=3", "one of them")],
    ),
)

SERVER_WORDS = "put the server's own arguments after --"

Server = Annotated[str, typer.Argument(metavar="SERVER", help="What to run, as for `thv run`.")]
Env = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", metavar="KEY=VALUE", help=BY_FLAG["--env"].help, rich_help_panel=THE_SERVER),
]
EnvFile = Annotated[
    list[str] | None,
    typer.Option("--env-file", metavar="FILE", help=BY_FLAG["--env-file"].help, rich_help_panel=THE_SERVER),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help=BY_FLAG["--name"].help, rich_help_panel=THE_SERVER)
]
Cwd = Annotated[
    str | None, typer.Option("--cwd", metavar="DIR", help=BY_FLAG["--cwd"].help, rich_help_panel=THE_SERVER)
]
Debug = Annotated[bool, typer.Option("--debug", help=BY_FLAG["--debug"].help)]
Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print the answer.")]


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
) -> None:
    """List the tools of a server."""
    launch = _launch(ctx, server, env=env, env_file=env_file, name=name, cwd=cwd, debug=debug)
    tools = _talk(launch, _all_tools)
    if output == "json":
        _print(_json({"tools": [_wire(tool) for tool in tools]}))
    elif sys.stdout.isatty():
        _print_table(tools)
    else:
        rows = [(tool.name, _signature(tool), " ".join((tool.description or "").split())) for tool in tools]
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        for row in rows:
            _print(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}".rstrip())


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
) -> None:
    """Call one tool of a server.

    Each VALUE is read as the type the tool wants there: `a=2` is a number for a tool that takes numbers, and a text for
    one that takes texts. Lists and objects are written as JSON. A call that fails ends with exit code 1.
    """
    pairs = words or []
    for word in pairs:
        try:
            split_word(word)
        except ValueError as error:
            raise UsageError(f"{error}; {SERVER_WORDS}; see {ctx.command_path} --help") from None
    base = _json_object(args_json)

    async def work(client: Client) -> CallToolResult:
        schema: dict[str, Any] = {}
        if pairs:
            schema = next((found.input_schema for found in await _all_tools(client) if found.name == tool), {})
        arguments = tool_arguments(pairs, schema, base)
        try:
            result = await client.call_tool(tool, arguments)
        except Exception:
            await _say_if_there_is_no_such_tool(client, tool)
            raise
        if result.is_error:
            await _say_if_there_is_no_such_tool(client, tool)
        return result

    launch = _launch(ctx, server, env=env, env_file=env_file, name=name, cwd=cwd, debug=debug)
    result = _talk(launch, work)
    if output == "json":
        _print(_json(_wire(result)))
    else:
        _print_result(result)
    if result.is_error:
        raise typer.Exit(1)


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


def _talk(request: RunRequest, work: Callable[[Client], Awaitable[T]]) -> T:
    from thv.cli.mcp_client import ServerEndedError, talk

    try:
        return talk(request.words(), _starting(request), work)
    except ServerEndedError as error:
        if error.is_told:
            raise typer.Exit(error.exit_code) from None
        raise


def _starting(request: RunRequest) -> str:
    """What is being started. Resolved here first: what is wrong with the words is said once, and nothing is started."""
    if is_remote(request.server):
        from thv.cli.run_remote import spec_of

        return spec_of(request).name
    spec = resolve(
        request.server,
        request.args,
        environ=os.environ,
        env=request.env,
        env_file=request.env_file,
        name=request.name,
        cwd=request.cwd,
    )
    return f"{spec.name} ({spec.runner} may be downloading it)" if spec.runner else spec.name


async def _all_tools(client: Client) -> list[Tool]:
    page = await client.list_tools()
    tools = page.tools
    while page.next_cursor is not None:
        page = await client.list_tools(cursor=page.next_cursor)
        tools += page.tools
    return tools


async def _say_if_there_is_no_such_tool(client: Client, tool: str) -> None:
    with suppress(Exception):  # the call's own failure is told in any case
        names = [known.name for known in await _all_tools(client)]
        if tool not in names:
            near = get_close_matches(tool, names)
            hint = f"did you mean {' or '.join(near)}?" if near else f"its tools are {', '.join(names)}"
            warn(f"the server has no tool {tool!r}; {hint}")


def _json_object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--args-json is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError('--args-json must be a JSON object, such as {"a": 2}')
    return value


def _signature(tool: Tool) -> str:
    """The tool's arguments on one line; those that may be left out in brackets."""
    properties = tool.input_schema.get("properties")
    required = tool.input_schema.get("required")
    words = []
    for name, schema in (properties if isinstance(properties, dict) else {}).items():
        word = f"{name}={'|'.join(sorted(schema_types(schema, tool.input_schema))) or 'any'}"
        words.append(word if isinstance(required, list) and name in required else f"[{word}]")
    return " ".join(words)


def _print_table(tools: Sequence[Tool]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    # Folded: in a narrow terminal every letter is shown, on more lines.
    columns = [Column(title, overflow="fold") for title in ("Tool", "Arguments", "Description")]
    table = Table(*columns, box=box.SIMPLE)
    for tool in tools:
        table.add_row(Text(tool.name, style="bold"), Text(_signature(tool)), Text((tool.description or "").strip()))
    Console(highlight=False).print(table)


def _print_result(result: CallToolResult) -> None:
    stream = sys.stderr if result.is_error else sys.stdout
    for block in result.content:
        _print(_described(block), stream)
    if not result.content and result.structured_content is not None:
        _print(_json(result.structured_content), stream)


def _described(block: ContentBlock) -> str:
    """A text as it is; what is no text, in a few words."""
    if block.type == "text":
        return block.text
    if block.type == "resource_link":
        return f"[resource link {block.uri}]"
    if block.type == "resource":
        return f"[resource {block.resource.uri}, {block.resource.mime_type or 'unknown type'}]"
    # Base64 carries three bytes in four characters (RFC 4648, section 4).
    return f"[{block.type} {block.mime_type}, {len(block.data.rstrip('=')) * 3 // 4} bytes]"


def _wire(model: Tool | CallToolResult) -> dict[str, Any]:
    """The JSON the server sent."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _print(text: str, stream: TextIO | None = None) -> None:
    """One text and a newline; characters the stream cannot show become question marks."""
    target = stream or sys.stdout
    encoding = target.encoding or "utf-8"
    target.write(text.encode(encoding, "replace").decode(encoding) + "\n")
