"""What an entry really starts, once thv is out of the way, and how to name it without showing secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thv.clients.entries import URL_KEYS
from thv.clients.mark import find_mark
from thv.core.printable import one_line

if TYPE_CHECKING:
    from thv.clients.entries import ServerEntry

RUNNERS = {"npx", "uvx", "bunx", "pnpx", "pipx", "uv", "node", "python", "python3", "deno", "bun", "docker", "podman"}
"""Programs whose first argument says what they run."""

_CODE = {"-c", "-e", "-p", "--eval", "--print"}
"""What follows these is a program, not its name."""

_SECRET = re.compile(r"://|@.*:|=")


def own_command(entry: ServerEntry) -> list[str]:
    """The command line of the server itself: what stands behind thv where `thv client` has put it."""
    args = list(entry.args or ())
    found = find_mark(args)
    return args[found.command :] if found is not None else [entry.command, *args]


def summary(entry: ServerEntry) -> str:
    """The command, and the package or script that a runner runs, on one line without control characters.

    Further arguments may hold secrets.
    """
    return one_line(_summary(entry))


def _summary(entry: ServerEntry) -> str:
    for key in URL_KEYS:
        url = entry.fields.get(key)
        if isinstance(url, str) and not entry.command:
            return re.sub(r"^(\w+://)(?:[^/@]*@)?([^/?#]*).*$", r"\1\2", url)
    words = own_command(entry)
    name = re.split(r"[/\\]", words[0])[-1]
    if re.sub(r"\.(?:exe|cmd)$", "", name.lower()) not in RUNNERS:
        return name
    for index, word in enumerate(words[1:]):
        if word == "-m":
            return " ".join([name, *words[index + 1 : index + 3]])
        if word in _CODE or _SECRET.search(word):
            break
        if not word.startswith("-"):
            return f"{name} {word}"
    return name
