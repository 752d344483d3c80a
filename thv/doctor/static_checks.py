"""What can be seen without starting anything: keys, commands, paths, doubles. Runs nothing of what it looks at."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thv.clients.catalog import FOREIGN_KEYS
from thv.clients.client_file_locations import from_home
from thv.clients.command_line import own_command
from thv.clients.documents.nodes import OBJECT, line_and_column
from thv.clients.entries import BRINGS_ALONG, URL_KEYS, State
from thv.core.shell_words import shell_word
from thv.doctor.findings import Finding
from thv.doctor.variables import UnknownValueError, fill
from thv.servers.executable_lookup import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thv.clients.change import Source
    from thv.clients.client_file_locations import ClientFile
    from thv.clients.entries import ServerEntry

INSTALL = {
    "npx": "install Node.js: https://nodejs.org",
    "node": "install Node.js: https://nodejs.org",
    "npm": "install Node.js: https://nodejs.org",
    "uvx": "install uv: https://docs.astral.sh/uv",
    "uv": "install uv: https://docs.astral.sh/uv",
    "bunx": "install Bun: https://bun.sh",
    "bun": "install Bun: https://bun.sh",
    "deno": "install Deno: https://deno.com",
    "docker": "install Docker: https://docs.docker.com",
    "podman": "install Podman: https://podman.io",
    "pipx": "install pipx: https://pipx.pypa.io",
}
"""How to get a command that is not there."""

INTERPRETERS = {"node", "python", "python3", "ruby", "bash", "sh", "deno", "bun", "java"}
"""Commands whose first argument that is a path is the program."""

SWITCHES = {"-B", "-E", "-I", "-O", "-OO", "-P", "-S", "-jar", "-q", "-s", "-u"} | {
    "--enable-source-maps",
    "--experimental-strip-types",
    "--no-warnings",
}
"""Options of theirs behind which the program stands. Behind any other one may stand its value: a script for ``-c``."""

NOT_WRONG = (
    BRINGS_ALONG,
    "asks for an input",
    "attaches a debugger",
    "alias",
    "anchor",
    "merge key",
    "a tag",
    "several lines",
)
"""Reasons why thv leaves an entry alone that its client can start all the same."""


def check_file(source: Source) -> Iterator[Finding]:
    """What is wrong with a file as a whole."""
    client, document = source.client, source.document
    if client.is_strict and document.quirks:
        offset, what = min(document.quirks)
        line, column = line_and_column(document.text, offset)
        yield Finding(f"{document.path}:{line}:{column}: {what}, which {client.title} does not read", "remove it")
    own = {pattern[0] for pattern in client.servers}
    for key in document.root_keys():
        if key in own or (key not in FOREIGN_KEYS and _plain(key) not in map(_plain, own)):
            continue
        for _, node in document.find((key,)):
            if node.kind == OBJECT and _holds_servers(node.value):
                right = next(iter(sorted(own)))
                yield Finding(
                    f"it has servers under {json.dumps(key)}, where {client.title} does not look",
                    f"move them to {json.dumps(right)}",
                )


def check_entry(
    entry: ServerEntry, file: ClientFile, environ: Mapping[str, str], shell: Mapping[str, str]
) -> list[Finding]:
    """What is wrong with one server.

    Args:
        entry: the server.
        file: where it stands.
        environ: the environment that its client hands on.
        shell: the environment of this shell, where a command may be found all the same.
    """
    if entry.state is State.LEFT_ALONE:
        return _of_reason(entry, file)
    if entry.state in {State.REMOTE, State.DISABLED} or not entry.command:
        return []
    own_path = entry.variables.get("PATH")
    if isinstance(own_path, str):
        with contextlib.suppress(UnknownValueError):
            environ = {**environ, "PATH": fill(own_path, environ=environ, folder=str(file.path.parent))}
    commands = [(entry.command, "")]
    if entry.state is State.WRAPPED:
        commands.append((own_command(entry)[0], ", behind the --"))
        if Path(entry.command).is_absolute() and find(entry.command, environ) is None:
            again = "thv client unwrap, and then thv client wrap"
            return [Finding(f"{entry.command}, which stands before it, is not there any more", again)]
    found = [finding for command, where in commands for finding in _check_command(command, where, file, environ, shell)]
    return [*found, *_check_paths(entry)]


def doubles(entries: Sequence[tuple[ClientFile, ServerEntry]]) -> dict[tuple[str, tuple[Any, ...]], Finding]:
    """The servers that one client starts twice, by file and keys: each but the first."""
    seen: dict[tuple[Any, ...], list[tuple[ClientFile, ServerEntry]]] = defaultdict(list)
    for file, entry in entries:
        if file.client is not None and entry.state in {State.DIRECT, State.WRAPPED, State.BY_HAND}:
            places = [entry.fields.get(key) for key in ("cwd", "envFile")]
            same = json.dumps([own_command(entry), entry.variables, *places], default=str)
            seen[file.client.id, entry.scope, same].append((file, entry))
    return {
        (str(file.path), entry.keys): Finding(
            f"it is the same server as {group[0][1].label}, line {group[0][1].line} of {group[0][0].path}",
            "remove one of the two",
        )
        for group in seen.values()
        for file, entry in group[1:]
    }


def _of_reason(entry: ServerEntry, file: ClientFile) -> list[Finding]:
    if any(part in entry.reason for part in NOT_WRONG):
        return []
    where = f"{file.path}:{entry.line}:{entry.column}"
    return [Finding(entry.reason, f"see {where}, and the documentation of {file.title}")]


def _check_command(
    command: str, where: str, file: ClientFile, environ: Mapping[str, str], shell: Mapping[str, str]
) -> Iterator[Finding]:
    if "${" in command or "{env:" in command:  # only its client knows
        return
    name = re.sub(r"\.(?:exe|cmd|bat)$", "", re.split(r"[/\\]", command)[-1].lower())
    found = find(str(from_home(command)) if command.startswith("~") else command, environ)
    if found is None:
        in_shell = find(command, shell)
        is_path = "/" in command or "\\" in command
        if is_path and not from_home(command).is_absolute():
            return  # relative to a folder that its client chooses
        if is_path:
            exists = from_home(command).exists()
            yield Finding(
                f"{command} {'is not executable' if exists else 'does not exist'}",
                f"chmod +x {shell_word(str(from_home(command)))}"
                if exists
                else "correct the path, or install it there again",
            )
        elif in_shell is not None:
            yield Finding(
                f"{command} is in the PATH of this shell, and not in that of programs started from the desktop",
                f"write {in_shell} as its command{where}",
            )
        else:
            yield Finding(f"{command} is not found", INSTALL.get(name, "install it, or write its whole path"))
    elif name in {"npx", "npm"} and find("node", environ) is None:
        beside = find("node", shell)
        remedy = f"add {os.path.dirname(beside)} to PATH in its env" if beside else INSTALL["node"]  # noqa: PTH120  of text
        yield Finding(f"{command} is found, and the node it needs is not in the PATH {file.title} has", remedy)


def _check_paths(entry: ServerEntry) -> Iterator[Finding]:
    words = own_command(entry)
    name = re.split(r"[/\\]", words[0])[-1].lower().removesuffix(".exe")
    if re.sub(r"[\d.]+$", "", name) in INTERPRETERS:
        script = next((word for word in words[1:] if word not in SWITCHES and not re.match("--.+=", word)), "")
        if Path(script).is_absolute() and not Path(script).exists():
            yield Finding(f"{script} does not exist", "correct the path, or remove the server")
    for key, kind in (("cwd", "folder"), ("envFile", "file")):
        path = entry.fields.get(key)
        if isinstance(path, str) and Path(path).is_absolute() and not Path(path).exists():
            yield Finding(f"its {key} {path} does not exist", f"make the {kind}, or correct the path")


def _holds_servers(value: Any) -> bool:
    entries = value.values() if isinstance(value, dict) else ()
    return any(isinstance(entry, dict) and ({"command", *URL_KEYS} & entry.keys()) for entry in entries)


def _plain(key: str) -> str:
    return re.sub(r"[^a-z]", "", key.lower()).removesuffix("s")
