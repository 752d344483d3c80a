"""The types by which the parts of thv know each other, so that no part has to import another.

`Outcome` is the whole vocabulary of usage analytics. A `CallObserver` is given outcomes and nothing else: it cannot
learn a tool's name, its arguments or its result, because they are never passed. A `RequestObserver` belongs to the
user's own view, and is given whole requests and replies.

On the path of `thv run`: imports next to nothing. The aliases exist for type checkers only.
"""

from __future__ import annotations

from thv.core.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import Literal, Protocol, TypeAlias

    from thv.core.message import Id, Message

    Outcome: TypeAlias = Literal["success", "error"]
    """How a `tools/call` ended (MCP, "Tools": `error` member, or `result.isError`)."""

    CallObserver: TypeAlias = Callable[[Sequence[Outcome]], None]
    """Called with the outcome of every tool call, once, on a thread that may carry traffic: it must be quick. What
    came together is given together."""

    ChunkObserver: TypeAlias = Callable[[bytes], None]
    """Given every chunk of bytes that passes in one direction, in order; an empty one is the end. It must not raise."""

    PassedChunk: TypeAlias = tuple[bool, bytes, int]
    """Bytes that passed: whether the client sent them, the bytes (none: the end of that side), and when, as
    `time.perf_counter_ns` counts."""

    PassedMessage: TypeAlias = tuple[bool, Message, int, int]
    """A message that passed: whether the client sent it, the message, the bytes of its line, and when; 0: now."""

    class TrafficObserver(Protocol):
        """Given both directions of a relay. It must not raise."""

        def on_traffic(self, traffic: Sequence[PassedChunk], *, is_patient: bool = True) -> int:
            """Look at what passed, in that order; returns how many chunks were looked at.

            That is all of them, but where one takes long and the caller is not patient: from that one on they are to be
            given again.
            """

    EndReason: TypeAlias = Literal["answered", "cancelled", "server_exited", "client_closed", "evicted"]
    """How a request stopped being open: a reply came; the client cancelled it; the server ended; the client left, or
    thv was stopped; or it was dropped because too many were open or a reply could not be read."""

    class RequestObserver(Protocol):
        """Follows one session's requests, whole: the user's own view, never usage analytics'.

        It may run on a thread that carries traffic, so it must be quick. One that raises is not called again. What it
        is given must not be kept: raw members hold their whole line in memory.

        `at_ns` is when it happened, as `time.perf_counter_ns` counts; 0: now.
        """

        def on_request_started(self, request: Message, at_ns: int) -> object:
            """A request passes, or did; returns a token for the calls below. The ledger's lock is held."""

        def on_request_finished(
            self, token: object, reason: EndReason, reply: Message | None, at_ns: int, http_status: int | None
        ) -> None:
            """The request is open no more; with `answered`, here is its reply, whose bytes were handed on already.

            `http_status` is that of the HTTP response which brought the reply, if one did.
            """

        def on_server_request(self, request: Message, at_ns: int, scope: Hashable) -> None:
            """The server asked its client for something. The ledger's lock is held."""

        def on_server_request_answered(self, reply: Message, at_ns: int, scope: Hashable) -> None:
            """The client answered such a request. The ledger's lock is held."""

        def on_tool_outcome(self, token: object, outcome: Outcome) -> None:
            """The tool call of this token has its outcome: once, and exactly when call observers are given it.

            With a task this is long after the request was answered.
            """

        def on_session_closed(self, error_type: str | None) -> None:
            """The session is over, after its open requests; `error_type` says what broke it, if anything did."""

    class LoggedRequest(Protocol):
        """A request as the ledger keeps it for the request log; the texts are cut, nothing holds a line."""

        method: str
        name: str | None
        started_ns: int
        request_bytes: int
        arguments: str | None
        result: str | None

        @property
        def token(self) -> object:
            """What the request observer returned for it."""

    ErrorSummary: TypeAlias = tuple[int | None, str | None]
    """Code and message of a JSON-RPC error."""

    FinishedCall: TypeAlias = tuple[Outcome, LoggedRequest, ErrorSummary | None, int, int]
    """A tool call that has its outcome: the call, the JSON-RPC error if it was one, the bytes of its reply, and when it
    passed, as `time.perf_counter_ns` counts; 0: now."""

    EndedCall: TypeAlias = tuple[int, str | None, int, int] | FinishedCall
    """The microseconds that a successful call took, the tool's name, and the bytes of request and reply; any other is a
    `FinishedCall`."""

    EndedCalls: TypeAlias = list[tuple[int, list[EndedCall]]]
    """Calls that ended, in the order in which they did, by the moment, as `time.perf_counter_ns` counts."""

    class RequestLog(Protocol):
        """Keeps how one session's requests ended: the user's journal. One that raises is called no more.

        It costs less than a `RequestObserver`: tool calls that are looked at together come in one list. Only
        `calls_ended` and `ended` are called without the ledger's lock. Times are those of `time.perf_counter_ns`; 0
        stands for now.
        """

        @property
        def wants_detail(self) -> bool:
            """Whether `detail` is to be called for the next request."""

        @property
        def captures(self) -> bool:
            """Whether `replied` is to be called for tool calls, too."""

        def detail(self, message: Message, request: LoggedRequest) -> None:
            """A request passes, or did."""

        def replied(
            self, request: LoggedRequest, reply: Message, kept: tuple[ErrorSummary | None, int], at_ns: int
        ) -> None:
            """A request was answered: one that is no tool call, or any where results are captured.

            `kept` is the error, if it was one, and the bytes of the reply: the reply itself is not to be kept.
            """

        def calls_ended(self, calls: EndedCalls, *, succeeded: bool) -> None:
            """Tool calls have their outcomes; `succeeded` if all are of the short kind. The list may be kept."""

        def ended(self, request: LoggedRequest, reason: EndReason, at_ns: int) -> None:
            """A request, of whatever method, is open no more without having been answered."""

        def closed(self, ended_by: str) -> None:
            """The session is over; `server` or `client` ended it, if nothing more precise is known."""

    class SessionInstrumentation(Protocol):
        """Per-session instrumentation: a transport passes it all traffic, as chunks or as decoded messages.

        Either way: what a client sends before it is forwarded, what a server sends after that. Nothing here raises.
        `at_ns` is when the traffic passed, as `time.perf_counter_ns` counts; 0: now. `http_status` is the status of the
        HTTP response which brings it. Clients that know nothing of each other may share an instrumentation: then
        `scope` tells whose ids these are. Tasks are common to all scopes.
        """

        def on_client_message(self, line: bytes, message: Message, *, scope: Hashable = None, at_ns: int = 0) -> bytes:
            """The client sent one message, decoded already; returns what to forward: nearly always the line itself."""

        def on_server_message(
            self,
            line: bytes,
            message: Message,
            *,
            scope: Hashable = None,
            at_ns: int = 0,
            http_status: int | None = None,
        ) -> None:
            """The server sent one message, decoded already; `UNREADABLE` for a line that could not be."""

        def on_request_cancelled(self, id_: Id, *, scope: Hashable = None) -> None:
            """The client waits for this request no longer, without having said so in a message."""

        def on_request_failed(self, id_: Id, *, scope: Hashable = None, http_status: int | None = None) -> None:
            """The transport answered this request with an error, in the server's place."""

        def rewrite_client_data(self, chunk: bytes) -> bytes:
            """The client sent a chunk of lines, cut anywhere, not forwarded yet; an empty one is the end.

            Returns what to forward, which may wait for the end of a line.
            """

        @property
        def has_open_requests(self) -> bool:
            """Whether any request still waits for the server's reply."""

        def set_end(self, ended_by: str, exit_code: int | None = None, detail: str | None = None) -> None:
            """For the user's journal: who ends the session (`client`, `server`, `signal`, `thv`), and the exit code.

            It may be called before the session is closed, or again once the exit code is known.
            """

        def server_exited(self) -> None:
            """The server ended with the client still there: every open call ended in error. Ends the session."""

        def close(self, reason: EndReason = "client_closed") -> None:
            """The client left or thv was stopped: what is open is not counted. Ends the session."""

    class Instrumentation(Protocol):
        """Per-process instrumentation: makes one for each session."""

        def open_session(self, session_id: str | None = None) -> SessionInstrumentation:
            """Instrumentation for a session that begins now; `session_id` is its transport's name for it, if any."""

        def client_disconnected(self, signal_name: str | None = None) -> None:
            """The last client left, or thv was stopped: what is counted may be sent now. Returns at once.

            `signal_name` is that of the signal which ends thv, and with it the sessions that are open.
            """

        def close(self) -> None:
            """Send what is left, within about a second, and print the tally where that was asked for."""

    class Backend(Protocol):
        """One MCP server that is reached by whole lines: a child process, or a container. For asyncio."""

        async def start(self) -> None:
            """Start or reach the server. Raises ThvError."""

        async def send(self, line: bytes) -> None:
            """Hand on one line with its newline; waits while the server does not read. Raises OSError once it ended."""

        async def receive(self) -> bytes:
            """The next line with its newline; empty once the server has ended."""

        async def close(self) -> int | None:
            """End the server in an orderly way (stdin closed, then SIGTERM, then SIGKILL); returns its exit code."""


class BooleanReading(Frozen):
    """What the config file says about one boolean setting; handed from `thv.config` to `thv.analytics.consent`.

    `value` is None when the file is silent. `where` is ``path:line``, or just the path. `problem` says, in one line
    with its position, why the file or the value cannot be read as a boolean; `value` is None then.
    """

    value: bool | None = None
    where: str = ""
    problem: str | None = None
