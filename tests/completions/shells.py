"""The shells in which completion is tested, started as a rc file would, with nothing of the machine.

Each begins with the script of `completions/`, in a directory with a few files. A `thv` on PATH would leave a mark if a
shell ever started it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import packages
from tests.terminal import Shell

SCRIPTS = shlex.quote(str(Path(__file__).parents[2] / "completions"))
"""As a shell takes it: a checkout may stand in a folder with blanks in its name."""

BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")

MARK = "started"
PROMPT = "ready> "

BASH = ["bash", "--norc", "--noprofile", "-i"]
BASH_ECHO = "thv() { local IFS='|'; echo \"[[$*]]\"; }; PS1='ready> '; bind 'set enable-bracketed-paste off'"
ZSH_ECHO = f"{BASH_ECHO.partition(' bind')[0]} unset zle_bracketed_paste"
ZSH_ALL = "all() { _main_complete; compstate[insert]=all }; zle -C all complete-word all; bindkey '^Xa' all"
FISH_ECHO = "function thv; echo '[['(string join '|' -- $argv)']]'; end; function fish_prompt; echo 'ready> '; end"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one shell is started; `every` are the keys that put every candidate into the line."""

    argv: list[str]
    lines: list[str]
    every: str = ""

    @property
    def missing(self) -> str | None:
        """What of it this machine lacks."""
        if shutil.which(self.argv[0]) is None:
            return self.argv[0]
        return (
            "bash-completion" if str(BASH_COMPLETION) in "".join(self.lines) and not BASH_COMPLETION.exists() else None
        )


FISH_OFFERED = "function offered; echo '[['(complete -C $argv | string split -f 1 \\t | string join '|')']]'; end"

KINDS = {
    "bash": Kind(BASH, [BASH_ECHO, f". {SCRIPTS}/thv.bash"], "\x1b*"),
    "bash with bash-completion": Kind(BASH, [BASH_ECHO, f". {BASH_COMPLETION}", f". {SCRIPTS}/thv.bash"], "\x1b*"),
    "bash that finds the file by its name": Kind(
        BASH,
        [
            BASH_ECHO,
            f"mkdir -p data/bash-completion/completions && cp {SCRIPTS}/thv.bash data/bash-completion/completions/thv",
            "XDG_DATA_HOME=$PWD/data",
            f". {BASH_COMPLETION}",
        ],
        "\x1b*",
    ),
    "zsh": Kind(
        ["zsh", "-f", "-i"],
        [ZSH_ECHO, "autoload -U compinit && compinit -u -D", f". {SCRIPTS}/_thv", ZSH_ALL],
        "\x18a",
    ),
    "zsh that finds the file by its name": Kind(
        ["zsh", "-f", "-i"],
        [ZSH_ECHO, f"fpath=({SCRIPTS} $fpath)", "autoload -U compinit && compinit -u -D", ZSH_ALL],
        "\x18a",
    ),
    "fish": Kind(["fish", "--no-config", "-i"], [FISH_ECHO, FISH_OFFERED, f"source {SCRIPTS}/thv.fish"]),
}


def start(name: str, directory: Path) -> Shell:
    """The shell called `name`, at its first prompt in `directory`; skips, outside CI, where it is not installed."""
    kind = KINDS[name]
    if kind.missing:
        if packages.IN_CI:
            pytest.fail(f"{kind.missing} is missing; .ci/run installs it")
        pytest.skip(f"{kind.missing} is not installed")
    (directory / "notes").mkdir()
    for file in ("prod.env", "my server"):
        (directory / file).touch(mode=0o755)
    folder = directory / "bin"
    folder.mkdir()
    (folder / "thv").write_text(f"#!/bin/sh\ntouch {directory}/{MARK}\n")
    (folder / "thv").chmod(0o755)
    (folder / "frobnicate").symlink_to(sys.executable)
    environ = {"HOME": str(directory), "PATH": f"{folder}:{os.environ['PATH']}", "LANG": "C.UTF-8"}
    shell = Shell(kind.argv, environ, str(directory))
    try:
        for line in kind.lines:
            shell.type(f"{line}\r")
        shell.type("echo it is' 'up\r")
        shell.until("it is up")
        shell.until(PROMPT)
    except BaseException:
        shell.__exit__(None, None, None)
        raise
    return shell


def candidates(name: str, shell: Shell, line: str) -> set[str]:
    """What the shell called `name` offers for the last word of `line`."""
    if KINDS[name].every:
        typed = shell.line_of(line + KINDS[name].every)
        return set(typed[len(line.split(" ")) - 2 :]) - {""}
    return set(shell.line_of(f"offered '{line}'")) - {""}
