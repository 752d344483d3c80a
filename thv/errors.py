"""The errors thv reports, and the exit code each one ends with.

    ThvError                    1   anything thv could not do, said in one line
    ├── ConfigError             1   the config file cannot be read or changed (file, line, column)
    ├── SettingError            1   a setting thv does not have, or a value it cannot take
    ├── UnknownServerError      1   a name the registry does not have
    ├── UsageError              2   the command line is wrong
    ├── CommandNotFoundError  127   the command, or its runner, is not there
    └── NotExecutableError    126   the command is there and cannot be executed

The numbers 126 and 127 are the shell's (POSIX.1-2024, Shell Command Language, 2.8.2), 2 is what shells and most tools
use for a wrong command line.

This module imports nothing: it is loaded before the server is started.
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
