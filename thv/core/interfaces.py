"""What the parts of thv know of each other: plain types, so that no part has to import another.

`Outcome` is the whole vocabulary of usage analytics. A `CallObserver` is handed an outcome and nothing else: whoever
implements it cannot learn a tool's name, its arguments or its result, because they are never passed.
A `RequestObserver` is the other kind of observer, the user's own: it is handed whole requests and replies.
On the path of `thv run`: imports next to nothing. The aliases exist for type checkers only.
"""

# ruff: noqa: D102  a member of a message is what the specification says of that name

from __future__ import annotations

from thv.core.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, Protocol, TypeAlias

    Outcome: TypeAlias = Literal["success", "error"]
    """How a `tools/call` ended (MCP, "Tools": `error` member, or `result.isError`)."""

    CallObserver: TypeAlias = Callable[[Outcome], None]
    """Told of every tool call that ended, once. Called on the thread that carries the reply: it must be quick."""

    Look: TypeAlias = Callable[[bytes], None]
    """Shown every chunk of bytes that passes in one direction, in order; an empty one is the end. It must not raise."""

    EndReason: TypeAlias = Literal["replied", "cancelled", "server_gone", "abandoned", "forgotten"]
    """How a request stopped being open: answered; cancelled by the client; the server ended; the session ended without
    an answer; or dropped because too many were open or a reply could not be read."""

    class ImplementationSeen(Protocol):
        """`clientInfo` or `serverInfo`."""

        @property
        def name(self) -> str | None: ...
        @property
        def version(self) -> str | None: ...

    class MetaSeen(Protocol):
        """`params._meta`: trace context (W3C), and what rides in each request since 2026-07-28."""

        @property
        def traceparent(self) -> str | None: ...
        @property
        def tracestate(self) -> str | None: ...
        @property
        def protocol_version(self) -> str | None: ...
        @property
        def client_info(self) -> ImplementationSeen | None: ...

    class ParamsSeen(Protocol):
        """The members of a request's `params` that telemetry may describe."""

        @property
        def name(self) -> str | None: ...
        @property
        def uri(self) -> str | None: ...
        @property
        def protocol_version(self) -> str | None: ...
        @property
        def client_info(self) -> ImplementationSeen | None: ...
        @property
        def meta(self) -> MetaSeen | None: ...
        @property
        def arguments(self) -> object:
            """Raw JSON, or None when arguments are not to be captured. Not to be kept: it holds the whole line."""

    class RequestSeen(Protocol):
        """A request of the client."""

        @property
        def id(self) -> int | float | str | None: ...
        @property
        def method(self) -> str | None: ...
        @property
        def params(self) -> ParamsSeen | None: ...

    class ErrorSeen(Protocol):
        """`error` of a reply."""

        @property
        def code(self) -> int | float | None: ...
        @property
        def message(self) -> str | None: ...

    class ResultSeen(Protocol):
        """`result` of a reply."""

        @property
        def is_error(self) -> bool | None: ...
        @property
        def protocol_version(self) -> str | None: ...
        @property
        def content(self) -> object:
            """Raw JSON, or None when results are not to be captured. Not to be kept: it holds the whole line."""

    class ReplySeen(Protocol):
        """A reply of the server: an error or a result."""

        @property
        def error(self) -> ErrorSeen | None: ...
        @property
        def result(self) -> ResultSeen | object | None: ...

    class RequestObserver(Protocol):
        """Told of one session's requests, whole: the user's own telemetry. One that raises is asked no more.

        A token is whatever the observer wants to get back; the ledger only keeps it.
        """

        def begun(self, request: RequestSeen) -> object:
            """A request passes, not forwarded yet; returns its token. The ledger's lock is held: be quick."""

        def ended(self, token: object, ending: EndReason, reply: ReplySeen | None) -> None:
            """The request is open no more; `reply` is there when it was answered, and its bytes were handed on."""

        def called(self, token: object, outcome: Outcome) -> None:
            """The tool call begun with `token` has its outcome: once, and exactly when call observers are told."""

        def closed(self, error_type: str | None) -> None:
            """The session is over, its open requests were told of; `error_type` says what broke it, if anything."""

    class LoggedRequest(Protocol):
        """A request as the ledger keeps it for the request log; the texts are cut, nothing holds a line."""

        method: str
        name: str | None
        started_ns: int
        request_bytes: int
        arguments: str | None
        result: str | None

        @property
        def token(self) -> object: ...

    ErrorSummary: TypeAlias = tuple[int | None, str | None]
    """Code and message of a JSON-RPC error."""

    FinishedCall: TypeAlias = tuple[Outcome, LoggedRequest, ErrorSummary | None, int]
    """A tool call that has its outcome: the call, the JSON-RPC error if it was one, and the bytes of its reply."""

    class RequestLog(Protocol):
        """Keeps how one session's requests ended: the user's journal. One that raises is asked no more.

        It costs less than a `RequestObserver`: tool calls that end in one chunk are handed over in one list. Only
        `calls_ended` and `ended` are called without the ledger's lock. Times are those of `time.perf_counter_ns`; 0
        stands for now.
        """

        @property
        def wants_detail(self) -> bool:
            """Whether `detail` is to be called for the next request."""

        @property
        def captures(self) -> bool:
            """Whether `replied` is to be called for tool calls, too."""

        def detail(self, message: RequestSeen, request: LoggedRequest) -> None:
            """A request is about to be forwarded."""

        def replied(
            self, request: LoggedRequest, reply: ReplySeen, kept: tuple[ErrorSummary | None, int], at_ns: int
        ) -> None:
            """A request was answered: one that is no tool call, or any where results are captured.

            `kept` is the error, if it was one, and the bytes of the reply: the reply itself is not to be kept.
            """

        def calls_ended(self, calls: list[FinishedCall], at_ns: int) -> None:
            """Tool calls have their outcomes. The list may be kept."""

        def ended(self, request: LoggedRequest, reason: EndReason, at_ns: int) -> None:
            """A request, of whatever method, is open no more without having been answered."""

        def closed(self, ended_by: str) -> None:
            """The session is over; `server` or `client` ended it, if nothing more precise is known."""

    class SessionInstrumentation(Protocol):
        """What one MCP session owes to those who count: who carries its bytes shows them here."""

        @property
        def from_client(self) -> Look:
            """Shown lines before they are forwarded to the server."""

        @property
        def from_server(self) -> Look:
            """Shown lines after they were handed on to the client."""

        def from_response(self, lines: bytes, status: int) -> None:
            """Shown lines as `from_server` is, where an HTTP response of this status brings them."""

        @property
        def passed_at(self) -> Callable[[int | None], None] | None:
            """Told when what is shown now had passed, as `time.perf_counter_ns` counts; None: it passes as it is shown.

            There is none where nobody measures how long things take.
            """

        def outgoing(self, lines: bytes) -> bytes:
            """Shows whole lines of the client, as `from_client` does; returns what to forward in their place."""

        @property
        def awaiting_reply(self) -> int:
            """How many requests that can bring an outcome still wait for the server's reply."""

        def server_exited(self) -> None:
            """The server ended with the client still there: every open call ended in error. Ends the account."""

        def abandon(self) -> None:
            """The client left or thv was told to stop: what is open is not counted. Ends the account."""

    class Instrumentation(Protocol):
        """What one thv process owes to those who count."""

        def open_session(self, session_id: str | None = None) -> SessionInstrumentation:
            """The account of a session that begins now; `session_id` is what its transport calls it, if anything."""

        def client_disconnected(self) -> None:
            """The last client left, or thv was told to stop: what is counted may be sent now. Returns at once."""

        def close(self) -> None:
            """Send what is left, within a budget of about a second, and say what was counted where that was asked."""

    class Backend(Protocol):
        """One MCP server that is reached by whole lines: a child process, or a container. For asyncio."""

        async def start(self) -> None:
            """Start or reach the server. Raises ThvError."""

        async def send(self, line: bytes) -> None:
            """Hand on one line with its newline; waits while the server does not read. Raises OSError once it ended."""

        async def receive(self) -> bytes:
            """The next line with its newline; empty once the server has ended."""

        async def close(self) -> int:
            """End the server in an orderly way (stdin closed, then SIGTERM, then SIGKILL); returns its exit code."""


class BooleanReading(Frozen):
    """What the config file says about one boolean setting; handed from `thv.config` to `thv.analytics.consent`.

    `value` is None when the file is silent. `where` is ``path:line``, or just the path. `problem` says, in one line
    with its position, why the file or the value cannot be read as a boolean; `value` is None then.
    """

    value: bool | None = None
    where: str = ""
    problem: str | None = None
