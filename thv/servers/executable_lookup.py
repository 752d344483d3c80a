"""Finding a command: the look-up on PATH that the shell would do, and the shell's two ways to fail.

It looks and never runs anything. `shutil.which` does the same and costs more start-up time than the look-up itself, so
it is imported on Windows alone, where PATHEXT and the ``.cmd`` shims of npx need it.
"""

from __future__ import annotations

import os
import sys

from thv.errors import CommandNotFoundError, NotExecutableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def has_separator(command: str) -> bool:
    """Whether the command names a file rather than something to find on PATH (POSIX.1-2024, Shell, 2.9.1.4)."""
    return any(separator in command for separator in (os.sep, os.altsep) if separator)


def find(command: str, environ: Mapping[str, str]) -> str | None:
    """The executable file that the command names, or None.

    Args:
        command: a path if it has a separator, else a name looked up on PATH.
        environ: the environment whose PATH counts: the child's.
    """
    if "\0" in command:
        return None  # no file can have that name, and the system calls refuse to ask
    if sys.platform == "win32":
        import shutil

        return shutil.which(command, path=environ.get("PATH"))
    else:  # noqa: RET505 - a platform branch: mypy skips it whole on Windows
        return next((path for path in _candidates(command, environ) if _is_executable(path)), None)


def require(command: str, environ: Mapping[str, str]) -> str:
    """The executable file that the command names.

    Raises:
        CommandNotFoundError: there is no such file.
        NotExecutableError: it is a directory, or execution is not permitted.
    """
    found = find(command, environ)
    if found is not None:
        return found
    for path in _candidates(command, environ):
        if os.path.isdir(path) and has_separator(command):
            raise NotExecutableError(f"{command} is a directory, not a command")
        if os.path.isfile(path):
            raise NotExecutableError(f"{path} is not executable: chmod +x {path}")
    if has_separator(command):
        raise CommandNotFoundError(f"{command}: no such file")
    raise CommandNotFoundError(f"{command}: no such command on PATH")


def _candidates(command: str, environ: Mapping[str, str]) -> list[str]:
    if has_separator(command):
        return [command]
    path = environ.get("PATH")
    directories = (os.defpath if path is None else path).split(os.pathsep)
    # An empty element means the current directory (POSIX.1-2024, 8.3, PATH).
    return [os.path.join(directory or os.curdir, command) for directory in directories]


def _is_executable(path: str) -> bool:
    return os.access(path, os.X_OK) and os.path.isfile(path)
