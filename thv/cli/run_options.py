"""What `thv run` accepts: one table, from which both its parser and its help are made.

The full command line asks the same parser, so the two cannot disagree. Read before the server is started.
"""

from __future__ import annotations

from thv.cli.option_table import OTEL, Option, WordParser, check_settings, option_finder, otel_options
from thv.core.frozen import Frozen
from thv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from thv.cli.instrumented_run import InstrumentationOptions
    from thv.instrumentation.instrumentation import MakeAnalytics


THE_SERVER = "The server"
A_REMOTE_SERVER = "A remote server"
OVER_HTTP = "Over HTTP"

TRANSPORTS = ("stdio", "streamable-http", "sse")
"""What a server can speak."""

ON_STDIO, SERVED, PROXIED, REMOTE = ALL_WAYS = ("stdio", "served", "proxied", "remote")
"""The ways to run a server: thv starts it for a client on stdio; it starts one that speaks stdio and serves it over
HTTP; it starts one that speaks HTTP and fronts it; it connects to one that runs elsewhere."""

WAYS = {
    THE_SERVER: (ON_STDIO, SERVED, PROXIED),
    A_REMOTE_SERVER: (REMOTE,),
    OVER_HTTP: (SERVED, PROXIED),
    None: ALL_WAYS,
}
"""Heading -> the ways in which the options under it have an effect, unless an option says otherwise."""

DEFAULT_RESTARTS = "5"
"""Restarts within a minute, after which a server is taken for broken."""

OPTIONS = (
    Option(
        "--env",
        "-e",
        metavar="KEY=VALUE",
        multiple=True,
        heading=THE_SERVER,
        text="Set a variable in the server's environment.",
    ),
    Option(
        "--env-file",
        metavar="FILE",
        multiple=True,
        heading=THE_SERVER,
        text="Read KEY=VALUE lines into the server's environment.",
    ),
    Option(
        "--name",
        metavar="NAME",
        heading=THE_SERVER,
        ways=ALL_WAYS,
        text="Call the server NAME; by default its registry or package name.",
    ),
    Option("--cwd", metavar="DIR", heading=THE_SERVER, text="Start the server in DIR."),
    Option("--network", metavar="NETWORK", heading=THE_SERVER, text="Attach a docker:// server to NETWORK, or none."),
    Option(
        "--volume",
        metavar="VOLUME",
        multiple=True,
        heading=THE_SERVER,
        text="Mount HOST_PATH:PATH[:ro] into a docker:// server.",
    ),
    Option(
        "--transport",
        metavar="TRANSPORT",
        heading=OVER_HTTP,
        choices=TRANSPORTS,
        ways=(ON_STDIO, SERVED, PROXIED),
        text="The transport of the server itself: stdio, streamable-http or sse.",
    ),
    Option(
        "--target-port",
        metavar="PORT",
        heading=OVER_HTTP,
        ways=(PROXIED,),
        text="Tell the server to listen on PORT; by default a free one.",
    ),
    Option("--proxy-port", metavar="PORT", heading=OVER_HTTP, text="Serve clients over HTTP on PORT, not on stdio."),
    Option("--host", metavar="ADDRESS", heading=OVER_HTTP, text="Listen on ADDRESS; by default 127.0.0.1."),
    Option(
        "--shared",
        heading=OVER_HTTP,
        ways=(SERVED,),
        text="Let all sessions share one server; by default each has its own.",
    ),
    Option(
        "--max-sessions",
        metavar="N",
        heading=OVER_HTTP,
        ways=(SERVED,),
        text="Refuse more sessions than N; by default 256.",
    ),
    Option(
        "--session-ttl",
        metavar="SECONDS",
        heading=OVER_HTTP,
        ways=(SERVED,),
        text="End a session that is not used for SECONDS; by default 1800.",
    ),
    Option(
        "--allowed-origins",
        metavar="ORIGIN",
        multiple=True,
        heading=OVER_HTTP,
        text="Also accept requests from web pages of ORIGIN.",
    ),
    Option(
        "--allowed-hosts",
        metavar="HOST",
        multiple=True,
        heading=OVER_HTTP,
        text="Also accept requests for HOST, the name by which a tunnel or proxy reaches thv.",
    ),
    Option(
        "--auth-token-file",
        metavar="FILE",
        heading=OVER_HTTP,
        ways=(SERVED,),
        text="Require the bearer token in FILE from clients; or set TOOLHIVE_PROXY_AUTH_TOKEN.",
    ),
    Option(
        "--no-auth",
        heading=OVER_HTTP,
        ways=(SERVED,),
        text="Require no token, even if other machines can reach --host.",
    ),
    Option(
        "--header",
        metavar="NAME=VALUE",
        multiple=True,
        heading=A_REMOTE_SERVER,
        text="Send a header with every request. Command lines are visible to others: put secrets in a file.",
    ),
    Option(
        "--header-file",
        metavar="FILE",
        multiple=True,
        heading=A_REMOTE_SERVER,
        text="Read headers from FILE, one NAME: VALUE a line.",
    ),
    Option(
        "--bearer-token-file",
        metavar="FILE",
        heading=A_REMOTE_SERVER,
        text="Send the bearer token in FILE; or set TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN.",
    ),
    Option(
        "--ca-file",
        metavar="FILE",
        heading=A_REMOTE_SERVER,
        text="Also trust the certificate authorities in FILE.",
    ),
    Option(
        "--client-id",
        metavar="ID",
        heading=A_REMOTE_SERVER,
        text="Log in as client ID, or with the URL of a client metadata document; by default thv registers itself.",
    ),
    Option(
        "--restart",
        metavar="[=N]",
        bare=DEFAULT_RESTARTS,
        heading=THE_SERVER,
        ways=(ON_STDIO,),
        text="Start a server that dies again, under its client; give up after N restarts in a minute, 5 by default.",
    ),
    Option(
        "--call-timeout",
        metavar="SECONDS",
        heading=THE_SERVER,
        ways=(ON_STDIO,),
        text="Cancel a tool call after SECONDS without reply or progress; its client gets an error.",
    ),
    Option("--no-journal", text="Keep no local journal of this session; see thv log --help."),
    Option("--journal-capture", text="Keep arguments and results in it, too: redacted, cut, on this machine only."),
    Option("--debug", text="Log what thv does to stderr, and show each usage analytics payload."),
)

WRAPPED_BY_CLIENT = Option(
    "--wrapped-by-thv-client",
    metavar="MARK",
    text="The mark that `thv client wrap` leaves in a client's configuration; `thv run` only accepts it.",
)
"""For programs alone: it is not in `OPTIONS`, so neither help nor completion shows it."""

EXIT_WITH_SERVER = Option(
    "--exit-with-server",
    heading=OVER_HTTP,
    ways=(SERVED,),
    text="With --proxy-port: end with the server's exit code if it ends before it ever answered.",
)
"""What the operator says in a pod, where the exit code of a container is how a failure is told."""

FOR_PROGRAMS = (WRAPPED_BY_CLIENT, EXIT_WITH_SERVER)

BY_FLAG = {flag: option for option in (*OPTIONS, *FOR_PROGRAMS) for flag in option.flags}


def all_options(options: Sequence[Option] = OPTIONS) -> tuple[Option, ...]:
    """The options of a command, and those of the user's telemetry."""
    return (*options, *otel_options())


NO_SETTINGS: Mapping[str, str] = {}


class RunRequest(Frozen):
    """What the command line asked for.

    Attributes:
        server: SERVER, or None when a whole command was given after ``--``.
        args: what came after ``--``: the server's arguments, or the command and its arguments.
        wants_help: ``-h`` or ``--help`` was given; nothing else counts then.
        env, env_file, name, cwd, network, volume, transport, target_port, proxy_port, host, shared, max_sessions,
            session_ttl, allowed_origins, allowed_hosts, auth_token_file, no_auth, header, header_file,
            bearer_token_file, ca_file, client_id, restart, call_timeout, no_journal, journal_capture, debug: the
            options of the table.
        wrapped_by_thv_client: the mark of `thv client wrap`; means nothing here.
        exit_with_server: end if the server ends before it ever answered.
        otel: the text that each ``--otel-`` option gives its setting, by the setting's name; checked.
    """

    server: str | None = None
    args: tuple[str, ...] = ()
    wants_help: bool = False
    env: Sequence[str] = ()
    env_file: Sequence[str] = ()
    name: str | None = None
    cwd: str | None = None
    network: str | None = None
    volume: Sequence[str] = ()
    transport: str | None = None
    target_port: str | None = None
    proxy_port: str | None = None
    host: str | None = None
    shared: bool = False
    max_sessions: str | None = None
    session_ttl: str | None = None
    allowed_origins: Sequence[str] = ()
    allowed_hosts: Sequence[str] = ()
    auth_token_file: str | None = None
    no_auth: bool = False
    header: Sequence[str] = ()
    header_file: Sequence[str] = ()
    bearer_token_file: str | None = None
    ca_file: str | None = None
    client_id: str | None = None
    restart: str | None = None
    call_timeout: str | None = None
    no_journal: bool = False
    journal_capture: bool = False
    debug: bool = False
    wrapped_by_thv_client: str | None = None
    exit_with_server: bool = False
    otel: Mapping[str, str] = NO_SETTINGS

    def way(self) -> str:
        """Which of `ALL_WAYS` the server is run in."""
        if self.server is not None and "://" in self.server:
            from thv.servers.remote_spec import is_remote

            if is_remote(self.server):
                return REMOTE
        if self.transport not in {None, "stdio"}:
            return PROXIED
        return ON_STDIO if self.proxy_port is None else SERVED

    def unsuited(self) -> list[Option]:
        """The options that were given and have no effect in the way the server is run: they have to be refused."""
        way = self.way()
        return [
            option
            for option in (*OPTIONS, *FOR_PROGRAMS)
            if way not in (WAYS[option.heading] if option.ways is None else option.ways) and self.gives(option)
        ]

    def gives(self, option: Option) -> bool:
        """Whether an option of the table was given."""
        return bool(getattr(self, option.name) != getattr(RunRequest, option.name))

    def served_transport(self) -> str:
        """How clients reach the server, as telemetry and the journal name it: `stdio`, `streamable-http` or `sse`."""
        way = self.way()
        if way == PROXIED:
            return str(self.transport)
        return "stdio" if way == ON_STDIO else "streamable-http"

    def display_name(self) -> str:
        """What to call the server while it is not resolved; without what may be secret in a URL."""
        if self.name:
            return self.name
        scheme, mark, rest = (self.server or self.args[0]).partition("://")
        if not mark:
            return scheme.replace("\\", "/").rstrip("/").rpartition("/")[2] or scheme
        if scheme.lower() in {"http", "https"}:
            return rest.partition("/")[0].rpartition("@")[2].partition(":")[0] or scheme
        return rest[:1] + rest[1:].partition("@")[0]

    def resolve_options(
        self,
        server: str,
        *,
        is_demo: bool = False,
        server_environ: Mapping[str, str] | None = None,
        make_analytics: MakeAnalytics | None = None,
    ) -> InstrumentationOptions:
        """What to observe in this run; see `thv.cli.instrumented_run.resolve_options`."""
        from thv.cli.instrumented_run import journal_option, resolve_options

        journal = journal_option(server, no_journal=self.no_journal, journal_capture=self.journal_capture)
        return resolve_options(
            server,
            self.otel,
            debug=self.debug,
            journal=journal,
            is_demo=is_demo,
            server_environ=server_environ,
            make_analytics=make_analytics,
        )

    def to_argv(self, options: Sequence[Option] = OPTIONS) -> list[str]:
        """The words that `parse` makes this request of; without ``run``.

        Args:
            options: those that may be among the words.
        """
        words = []
        for option in options:
            value = getattr(self, option.name)
            if option.metavar is None:
                words += [option.flags[0]] if value else []
            elif option.multiple:
                words += [f"{option.flags[0]}={each}" for each in value]
            elif value is not None:
                words.append(f"{option.flags[0]}={value}")
        words += [f"{OTEL}{name}={text}" for name, text in self.otel.items()]
        words += [self.server] if self.server is not None else []
        return [*words, "--", *self.args] if self.args else words


def parse(words: Sequence[str]) -> RunRequest:
    """Read the words after ``run``. Options may stand on either side of SERVER, up to ``--``.

    Raises:
        UsageError: the words make no sense.
    """
    parser = WordParser("thv run", option_finder(BY_FLAG), all_options)
    parsed = parser.parse(words)
    values: dict[str, Any] = parsed.values
    request = RunRequest(
        server=parsed.places[0] if parsed.places else None,
        args=parsed.rest or (),
        wants_help=parsed.wants_help,
        otel=parsed.settings,
        **values,
    )
    if request.wants_help:
        return request
    if len(parsed.places) > 1:
        raise UsageError(f"unexpected argument {parsed.places[1]!r}; {_surplus_hint(request)}{parser.see_help}")
    check_settings(request.otel, parser.see_help)
    if request.server is None and not request.args:
        raise UsageError(
            f"no server; give a SERVER, or -- and a command. `thv run demo` is one to try{parser.see_help}"
        )
    return request


def _surplus_hint(request: RunRequest) -> str:
    """What to do about one word too many: it may be the value of a switch, which only ``=`` gives."""
    if request.otel and request.server in {"true", "false"}:
        return f"a switch takes its value after =, as in {OTEL}{list(request.otel)[-1]}={request.server}"
    return "put the server's own arguments after --"
