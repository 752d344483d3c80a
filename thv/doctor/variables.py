"""The placeholders that clients fill in before they start a server: ``${env:TOKEN}``, ``${workspaceFolder}``.

Each client has its own; a text that is no placeholder of any client stays as it is. Promises: what only the client can
know, such as an input it asks for, is named, not guessed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\$\{\{.*?\}\}|\$\{([^}]*)\}|\{(env|file):([^}]*)\}")


class UnknownValueError(ThvError):
    """Only the client knows what stands there; the message names the placeholder."""


def fill(text: str, *, environ: Mapping[str, str], folder: str) -> str:
    """The text with its placeholders filled in.

    Args:
        text: a command, an argument or a value of the environment.
        environ: where the values of variables come from.
        folder: the project.

    Raises:
        UnknownValueError: one of them cannot be filled in here.
    """

    def value(match: re.Match[str]) -> str:
        if match[2] is not None:
            return environ.get(match[3], "") if match[2] == "env" else match.group()
        if match[1] is None:
            raise UnknownValueError(f"only the client knows {match.group()}")
        return _value(match[1], match.group(), environ, folder)

    return _PLACEHOLDER.sub(value, text)


def _value(name: str, written: str, environ: Mapping[str, str], folder: str) -> str:
    kind, colon, rest = name.partition(":")
    if kind == "env" and colon:
        return environ.get(rest, "")
    known = {
        "workspaceFolder": folder,
        "workspaceRoot": folder,
        "workspaceFolderBasename": Path(folder).name,
        "userHome": environ.get("HOME", ""),
        "pathSeparator": os.sep,
        "/": os.sep,
    }
    if name in known:
        return known[name]
    variable, has_default, default = name.partition(":-")
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        if variable in environ:
            return environ[variable]
        if has_default:
            return default
    raise UnknownValueError(f"only the client knows {written}")
