"""How long a TAB takes in each shell: with thv's completion, and, for the floor, with one that offers one fixed word.

The shell sits in a terminal of its own, the one the tests use. No thv is needed: none is started.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = shlex.quote(str(ROOT / "completions"))

AIM_MS = 60
"""More than the floor, in milliseconds."""

WORD, REST = "insec", "ure"
LINES = {"thv": f"thv config otel get {WORD}", "floor": f"floor {WORD}"}

QUIET_S = 0.05
"""A screen that has not changed for so long is painted."""

PLAIN_SCREEN = "bind 'set enable-bracketed-paste off'"
SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        [PLAIN_SCREEN, f"complete -W {WORD}{REST} floor", f". {SCRIPTS}/thv.bash"],
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        [
            "autoload -U compinit && compinit -u -D",
            f"_floor() {{ compadd {WORD}{REST} }}; compdef _floor floor",
            f". {SCRIPTS}/_thv",
        ],
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        [
            "set -g fish_autosuggestion_enabled 0",
            f"complete -c floor -f -a {WORD}{REST}",
            f"source {SCRIPTS}/thv.fish",
        ],
    ),
}


def measure(times: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds from the key to the completed word: shell -> ``thv`` or ``floor`` -> one for each time, interleaved.

    A shell that is not installed is left out.
    """
    sys.path.append(str(ROOT))
    from tests.terminal import Shell

    took: dict[str, dict[str, list[float]]] = {}
    for name, (argv, setup) in SHELLS.items():
        if shutil.which(name) is None:
            continue
        took[name] = {line: [] for line in LINES}
        with tempfile.TemporaryDirectory(prefix="thv-benchmark-") as home:
            environ = {"HOME": home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
            with Shell(argv, environ, home) as shell:
                for command in [*setup, "echo it is' 'up"]:
                    shell.type(f"{command}\r")
                shell.until("it is up")
                # The first round loads what the shell loads late; it does not count.
                for round_ in range(-1, times):
                    for line, typed in LINES.items():
                        shell.type(typed)
                        shell.settle(QUIET_S)
                        start = time.perf_counter()
                        shell.type("\t")
                        shell.until(REST)
                        milliseconds = (time.perf_counter() - start) * 1e3
                        if round_ >= 0:
                            took[name][line].append(milliseconds)
                        shell.type("\x15")  # Ctrl-U: the line is empty again
                        shell.settle(QUIET_S)
    return took
