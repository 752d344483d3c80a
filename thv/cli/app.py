"""The whole command line: every verb, its help, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thv.cli import analytics, auth, client, config_group, log, mcp_group, operator, quick_commands, report, top, why
from thv.cli.help_text import Command, Group, format_usage_error, listed
from thv.cli.output import INTERRUPTED, run_to_exit_code
from thv.cli.proxy_options import OPTIONS as PROXY_OPTIONS
from thv.cli.proxy_options import parse_proxy
from thv.cli.run_options import all_options, parse
from thv.cli.shared_options import AllowedOrigins, Debug, Host  # noqa: TC001  Typer reads them
from thv.cli.table_command import ARGUMENTS_OF_THE_SERVER, add_table_command
from thv.core.console import warn
from thv.operator.names import ATTACH_VERB, SERVER_CONTAINER, TOKEN_DIR
from thv.servers import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.cli.proxy_options import ProxyRequest
    from thv.cli.run_options import RunRequest

HELP_NAMES = {"help_option_names": ["-h", "--help"]}

EXAMPLES = (
    ("thv mcp call demo add a=2 b=3", "try a server by hand"),
    ("thv run time", "run one for a client"),
    ("thv config otel set usage-analytics-enabled false", "turn usage analytics off"),
)

LISTED_LAST = ("completion", "help", "version")
"""Commands about thv itself: the help lists them after those that do something."""


class RootGroup(Group):
    """`thv` itself."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order of the help."""
        return sorted(super().list_commands(ctx), key=lambda name: name in LISTED_LAST)


app = typer.Typer(
    cls=RootGroup,
    add_completion=False,
    context_settings=HELP_NAMES,
    rich_markup_mode=None,  # its boxes squeeze examples, and cut words off in a narrow terminal
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        quick_commands.version()
        raise typer.Exit


@app.callback(epilog=listed("Examples:", EXAMPLES))
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log what thv does, and show tracebacks.")] = False,
) -> None:
    """Run MCP servers behind a relay you do not notice, and know how every tool call ended."""


def _run(request: RunRequest, debug: bool) -> int:
    from thv.cli.run import run

    return run(request.replace(debug=True) if debug else request)


def _run_proxy(request: ProxyRequest, debug: bool) -> int:
    from thv.cli.proxy import proxy

    return proxy(request.replace(debug=True) if debug else request)


RUN_HELP = f"""\
Run an MCP server behind the relay. Its client is on stdin and stdout.

{
    listed(
        "SERVER is one of",
        [
            ("NAME", ", ".join(list(registry.entries())[:4]) + ","),
            ("", ", ".join(list(registry.entries())[4:])),
            ("uvx://PACKAGE[@VERSION]", "a PyPI package"),
            ("npx://PACKAGE[@VERSION]", "an npm package"),
            ("docker://IMAGE[:TAG]", "a container image"),
            ("PATH", "an executable, such as ./my-server"),
            ("https://HOST/PATH", "a remote server"),
        ],
    )
}

The exit code is the server's own, 0 for a remote one; 128 + N if signal N ended it; 127 if the command is not found.
"""

RUN_EXAMPLES = (
    ("thv run time -- --local-timezone Europe/Zurich", ""),
    ("thv run npx://@modelcontextprotocol/server-filesystem -- ~/notes", ""),
    ("thv run -e TOKEN=secret -- ./my-server --stdio", ""),
)

PROXY_EXAMPLES = (
    ("thv proxy weather --target-uri http://127.0.0.1:9000/mcp", ""),
    ("thv proxy weather --target-uri https://mcp.example.com/mcp --port 8080", ""),
)

DOCTOR_EXAMPLES = (
    ("thv doctor", ""),
    ("thv doctor --start", "start every server once"),
    ("thv doctor cursor --start --timeout 10", ""),
)

COMPLETION_EXAMPLES = (
    ('eval "$(thv completion bash)"', "in ~/.bashrc"),
    ("source <(thv completion zsh)", "in ~/.zshrc"),
    ("thv completion fish | source", "in config.fish"),
    ("thv completion powershell | Out-String | Invoke-Expression", "in $PROFILE"),
)

add_table_command(
    app,
    "run",
    arguments=[("SERVER", "What to run, as said above."), (ARGUMENTS_OF_THE_SERVER, "The server's own arguments.")],
    options=all_options(),
    parse=parse,
    run=_run,
    usages=("[OPTIONS] SERVER [-- ARGS...]", "[OPTIONS] -- COMMAND [ARGS...]"),
    text=RUN_HELP,
    examples=RUN_EXAMPLES,
    takes_command=True,
)

add_table_command(
    app,
    "proxy",
    arguments=[("NAME", "What to call the server.")],
    options=all_options(PROXY_OPTIONS),
    parse=parse_proxy,
    run=_run_proxy,
    usages=("[OPTIONS] --target-uri URI NAME",),
    text="Front an MCP server that speaks HTTP. Bytes are streamed through, and tool calls are counted.",
    examples=PROXY_EXAMPLES,
    takes_server=False,
)

app.add_typer(mcp_group.app, name="mcp", context_settings=HELP_NAMES)
app.add_typer(client.app, name="client", context_settings=HELP_NAMES)
app.add_typer(auth.app, name="auth", context_settings=HELP_NAMES)
app.add_typer(config_group.app, name="config", context_settings=HELP_NAMES)
app.add_typer(analytics.app, name="analytics", context_settings=HELP_NAMES)
app.add_typer(operator.app, name="operator", context_settings=HELP_NAMES)


@app.command("doctor", cls=Command, epilog=listed("Examples:", DOCTOR_EXAMPLES))
def run_doctor(
    clients: client.Clients = None,
    *,
    start: Annotated[bool, typer.Option("--start", help="Start each server as its client would, and ask it.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", help="With --start: give up on a server after SECONDS; by default 60."
        ),
    ] = None,
    project: client.Project = client.HERE,
    output: client.Format = "text",
) -> int:
    """Find out what is wrong with your MCP clients' servers.

    Reads the clients' files and looks for each command in the PATH that its client has. Each problem comes with what
    to do about it. The exit code is 1 if anything is wrong.
    """
    from thv.cli.doctor import doctor

    return doctor(clients, project=project, start=start, timeout=timeout, output=output)


@app.command(ATTACH_VERB, cls=Command, hidden=True)
def run_attached(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the server.", show_default=False)],
    *,
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="NAMESPACE", help="The pod's namespace.", show_default=False)
    ],
    pod: Annotated[str, typer.Option("--pod", metavar="POD", help="The server's pod.", show_default=False)],
    container: Annotated[
        str, typer.Option("--container", metavar="CONTAINER", help="The server's container in it.")
    ] = SERVER_CONTAINER,
    proxy_port: Annotated[str, typer.Option("--proxy-port", metavar="PORT", help="Listen on PORT.")] = "8080",
    host: Host = "127.0.0.1",
    allowed_origins: AllowedOrigins = None,
    credentials: Annotated[
        str, typer.Option("--credentials", metavar="DIR", help="Where the token and the cluster's CA are.")
    ] = TOKEN_DIR,
    debug: Debug = False,
) -> int:
    """Serve a container of a pod by its stdin and stdout; thv's operator runs this."""
    from thv.cli.attach import attach

    asked = bool(context.find_root().params.get("debug"))
    return attach(
        name,
        namespace=namespace,
        pod=pod,
        container=container,
        proxy_port=proxy_port,
        host=host,
        allowed_origins=allowed_origins or (),
        credentials=credentials,
        debug=debug or asked,
    )


app.command("log", cls=Command, epilog=log.EPILOG)(log.log)
app.command("top", cls=Command, epilog=top.EPILOG)(top.top)
app.command("report", cls=Command, epilog=report.EPILOG)(report.report)
app.command("why", cls=Command, epilog=why.EPILOG)(why.why)


@app.command("version", cls=Command)
def print_version() -> None:
    """Print the version, as --version does."""
    quick_commands.version()


@app.command("help", cls=Command)
def print_help(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="The command to explain.", show_default=False)
    ] = None,
) -> object:
    """Explain a command, as --help does."""
    return _run_command([*(words or []), "--help"])


@app.command("completion", cls=Command, epilog=listed("Examples:", COMPLETION_EXAMPLES))
def print_completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.", show_default=False)],
) -> None:
    """Print the script that makes TAB complete. It is for one shell.

    It is printed to stdout; thv changes no file of yours. In zsh, load it after compinit. The script runs thv only to
    complete the names of your clients' servers.
    """
    quick_commands.completion(shell)


def main(words: Sequence[str]) -> int:
    """Run the command that `words` name; returns its exit code and never raises."""
    return run_to_exit_code(lambda: _run_command(list(words)), debug="--debug" in words)


def _named_part(words: Sequence[str]) -> typer.Typer:
    """The command line without the commands that `words` do not name: Typer makes each, which takes a third of a start.

    It is the whole one where they name none: only that can list the commands, or find the nearest.
    """
    name = next((word for word in words if not word.startswith("-")), None)
    part = copy(app)
    part.registered_commands = [known for known in app.registered_commands if known.name == name]
    part.registered_groups = [known for known in app.registered_groups if known.name == name]
    return part if part.registered_commands or part.registered_groups else app


def _run_command(words: list[str]) -> object:
    try:
        # No variable of the environment makes an answer another one: completion is not Typer's.
        return _named_part(words)(args=words, prog_name="thv", standalone_mode=False, complete_var="")
    except typer.TyperException as error:
        warn(format_usage_error(error))
        return error.exit_code
    except typer.Abort:
        return INTERRUPTED
    except SystemExit as left:
        # The command-line library leaves in this way when the reader of stdout has left.
        if isinstance(left.__context__, BrokenPipeError):
            raise left.__context__ from None
        raise
