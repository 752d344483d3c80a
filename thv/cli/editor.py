"""Which editor a person has chosen, and one run of it.

Promises: the words of VISUAL or EDITOR are the words of a command; no shell reads them, so nothing in them or in the
file's name does more than start an editor.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLES = ("VISUAL", "EDITOR")
DEFAULTS = ("notepad",) if sys.platform == "win32" else ("sensible-editor", "editor", "nano", "vi")
"""Tried in this order; the first two are how Debian and its kin remember what the user or the machine chose."""


def edit(path: str, environ: Mapping[str, str]) -> None:
    """Open `path` in the editor and wait until it ends.

    Raises:
        ThvError: there is no such editor, or it failed.
    """
    command, origin = _choose(environ)
    # From a relative path that begins with "-" the editor would read an option.
    argv = [*command, str(Path(path).absolute())]
    try:
        with _ctrl_c_left_to_the_editor():
            code = subprocess.run(argv, check=False).returncode
    except OSError as error:
        raise ThvError(
            f"the editor {command[0]!r} {origin} cannot be started: {error.strerror}; set EDITOR to another"
        ) from None
    if code:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise ThvError(f"the editor {command[0]!r} {origin} ended with {how}; {path} was not checked")


def _choose(environ: Mapping[str, str]) -> tuple[list[str], str]:
    """The editor's command and where it comes from, for a sentence."""
    for variable in VARIABLES:
        text = environ.get(variable, "").strip()
        if text:
            command = _words(text, variable)
            found = shutil.which(command[0], path=environ.get("PATH"))
            if found is None:
                raise ThvError(
                    f"the editor {command[0]!r} (from {variable}) is not found; set {variable} to one that is"
                )
            return [found, *command[1:]], f"(from {variable})"
    for name in DEFAULTS:
        found = shutil.which(name, path=environ.get("PATH"))
        if found is not None:
            return [found], "(the default)"
    raise ThvError(f"there is no editor: neither {' nor '.join(DEFAULTS)} is found; set EDITOR to the one you use")


def _words(text: str, variable: str) -> list[str]:
    """The words of the command. A path with spaces and nothing else is one word, quoted or not."""
    if Path(text).is_file():
        return [text]
    try:
        # In the words of a Windows path a backslash is no escape.
        words = shlex.split(text, posix=os.name == "posix")
    except ValueError as error:
        raise ThvError(f"{variable} is no command ({str(error).lower()}): {text}") from None
    return words if os.name == "posix" else [word.strip('"') for word in words]


@contextmanager
def _ctrl_c_left_to_the_editor() -> Iterator[None]:
    """While it lasts, Ctrl-C at the terminal ends nothing here: it is the editor's."""
    # A handler, and not SIG_IGN, which the editor would inherit.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
