"""`thv completion`: prints the script that completes thv's words in one shell.

The scripts are made by `tools/completions` and ship as files, so that printing one imports nothing slow. No rc file is
ever touched: where a script goes is the user's to say.
"""

from __future__ import annotations

import os
import sys

from thv.errors import ThvError

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


def print_script(shell: str) -> None:
    """Write the script for `shell`, a key of `FILES`, to stdout, byte by byte as it ships.

    Raises:
        ThvError: the script is not there: a broken installation.
    """
    for folder in FOLDERS:
        try:
            with open(os.path.join(folder, FILES[shell]), "rb") as file:  # noqa: PTH118, PTH123  as above
                script = file.read()
        except FileNotFoundError:
            continue
        sys.stdout.buffer.write(script)
        sys.stdout.buffer.flush()
        return
    raise ThvError(f"the completion script {FILES[shell]} is missing from {FOLDERS[0]}; install thv again")
