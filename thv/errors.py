"""Every exception class of thv, drawn, and those that more than one part raises.

What the user sees, in one line, and the exit code that `thv run` ends with (other commands end with 1 or 2):

    ThvError                            1   anything thv could not do
    ├── ConfigError                     1   the config file cannot be read or changed (file, line, column)
    ├── SettingError                    1   a setting thv does not have, or a value it cannot take
    ├── JournalError                    1   the journal's store cannot be opened, read or cleared
    ├── LoginError                      1   logging in to a remote server failed
    │   └── OAuthError                  1   an authorization server answered with an error
    ├── UnknownServerError              1   a name the registry does not have
    ├── UsageError                      2   the command line is wrong
    ├── CommandNotFoundError          127   the command, or its runner, is not there
    ├── NotExecutableError            126   the command is there and cannot be executed
    ├── McpClientError                  1   a server cannot be used as an MCP server
    │   ├── ServerEndedError            1   it ended before it answered
    │   ├── ReplyTimeoutError           1   it did not answer in time
    │   ├── ProtocolViolationError      1   it sent what the protocol does not allow
    │   └── JsonRpcError                1   it answered with a JSON-RPC error
    ├── UnknownValueError               1   a placeholder of a client's configuration that only the client can fill
    ├── ApiError                        1   the Kubernetes API server refused, or cannot be reached
    ├── RefusedError                    1   it refused to attach to a container
    ├── NotOursError                    1   a Kubernetes object of that name belongs to something else
    └── SpecError                       1   an MCPServer resource that cannot be served

What ends inside the part that raises it:

    Exception
    ├── _EnoughError                        core: as much was read as can be shown
    ├── UnclearError                        core: a line that is forwarded as it is
    ├── BadFileError                        telemetry: a file of certificates or keys cannot be used
    ├── _NotDeliveredError                  telemetry: an export that is not to be repeated at once
    ├── RefusalError                        http: a request that is answered with an error at once
    ├── TooManySessionsError                http: no session is free
    ├── RemoteError                         http: a request to a remote server failed
    ├── NotStreamableError                  http: the remote server speaks an older transport
    ├── ClientGoneError                     http: the client of a remote server reads no more
    ├── ContainerEndedError                 operator: the process attached to has ended
    ├── ProtocolError                       demo server: answered with a JSON-RPC error
    └── ToolError                           demo server: answered with `isError`
    OSError
    ├── LineTooLongError                    http: a server wrote too much without a newline
    └── LinkDroppedError                    operator: the link to a container is gone
    ConnectionError
    └── EndedEarlyError                     http: a server ended before it ever answered
    ValueError
    ├── EventTooLargeError                  http: an event stream that cannot be read any further
    └── InvalidAnnotationError              http: a tool's `x-mcp-header` annotations break the rules

The numbers 126 and 127 are the shell's (POSIX.1-2024, Shell Command Language, 2.8.2), 2 is what shells and most tools
use for a wrong command line. This module imports nothing: it is loaded before the server is started.
"""


class ThvError(Exception):
    """Something thv could not do: what is wrong, where, and what to do about it, in one line.

    `str(error)` is the sentence shown to the user after ``thv: ``. It never holds a secret value.
    """

    exit_code = 1


class ConfigError(ThvError):
    """The config file cannot be read or changed as asked; the file is untouched.

    Args:
        reason: what is wrong and what to do, without the position.
        path: the file.
        line: 1-based line, when known.
        column: 1-based column, when known.
    """

    def __init__(self, reason: str, *, path: str, line: int | None = None, column: int | None = None) -> None:
        where = path if line is None else f"{path}:{line}" if column is None else f"{path}:{line}:{column}"
        super().__init__(f"{where}: {reason}")
        self.reason = reason
        self.path = path
        self.line = line
        self.column = column


class SettingError(ThvError):
    """There is no such setting, or it cannot take that value; nothing was changed."""


class JournalError(ThvError):
    """The journal's store cannot be opened, read or cleared."""


class LoginError(ThvError):
    """Logging in to a remote server failed, or is needed and cannot be done here."""


class UnknownServerError(ThvError):
    """SERVER is neither in the registry nor anything else thv can run."""


class UsageError(ThvError):
    """The command line makes no sense; the message says how and where to look."""

    exit_code = 2


class CommandNotFoundError(ThvError):
    """The command, or the runner (uvx, npx) it needs, is not found."""

    exit_code = 127


class NotExecutableError(ThvError):
    """The command exists and the system refuses to execute it."""

    exit_code = 126
