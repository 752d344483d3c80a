"""`thv completion`: prints the script that completes thv's words in one shell.

The scripts are made by `completions/maker` and ship as files, so that printing one imports nothing slow. No rc file is
ever touched: where a script goes is the user's to say.
"""

from __future__ import annotations

import os

from thv.errors import ThvError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

FILES: Final = {"bash": "thv.bash", "zsh": "_thv", "fish": "thv.fish", "powershell": "thv.ps1"}
"""The script of each shell, by the name under which the shell, where it looks by name, looks for it."""

_PACKAGE: Final = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120  pathlib costs more than the answer

FOLDERS: Final = (
    os.path.join(_PACKAGE, "completions"),  # noqa: PTH118  as above
    os.path.join(os.path.dirname(_PACKAGE), "completions"),  # noqa: PTH118, PTH120  as above
)
"""Where the scripts are: in the package once installed, beside it in a checkout."""


def script(shell: str) -> str:
    """The script for `shell`, one of `FILES`.

    Raises:
        UsageError: thv has none for it.
        ThvError: it is not there: a broken installation.
    """
    if shell not in FILES:
        from difflib import get_close_matches

        near = get_close_matches(shell.lower(), FILES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the shells are {', '.join(FILES)}"
        raise UsageError(f"there is no completion for {shell!r}; {hint}")
    for folder in FOLDERS:
        try:
            with open(os.path.join(folder, FILES[shell]), encoding="utf-8") as file:  # noqa: PTH118, PTH123  as above
                return file.read()
        except FileNotFoundError:
            continue
    raise ThvError(f"the completion script {FILES[shell]} is missing from {FOLDERS[0]}; install thv again")
