"""The servers that a document holds, and what thv can do about each: the reading side, without any change.

Promises: says why for each entry that is left alone. An entry is wrapped if its arguments hold thv's own mark, see
`thv.clients.mark`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from thv.clients.catalog import CLIENTS, Client
from thv.clients.documents.nodes import (
    ARRAY,
    OBJECT,
    OTHER,
    STRING,
    Keys,
    LineIndex,
    Node,
    NodeMember,
    quote,
    refusal,
)
from thv.clients.mark import find_mark, is_thv, runs_thv
from thv.core.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thv.clients.client_file_locations import ClientFile
    from thv.clients.documents.nodes import ParsedDocument

URL_KEYS = ("url", "httpUrl", "serverUrl", "uri")
"""Keys that say where a remote server is; their spelling differs from client to client."""

VARIABLES_KEYS = ("env", "envs", "environment")
"""Keys under which clients keep a server's variables: Goose has `envs`, OpenCode `environment`."""

REMOTE_TYPES = {"http", "sse", "remote", "streamable-http", "streamable_http", "streamablehttp", "streamableHttp", "ws"}

BUILT_IN = ({"type": "builtin"}, {"type": "platform"}, {"type": "frontend"}, {"source": "extension"})
"""Entries without a command, whose client brings the server along (Goose, Zed)."""

BRINGS_ALONG = "its client brings it along"

INPUT = "${input:"
"""VS Code asks the user for the value (https://code.visualstudio.com/docs/copilot/reference/mcp-configuration)."""


class State(StrEnum):
    """How an entry stands to thv."""

    DIRECT = "direct"
    WRAPPED = "wrapped"
    BY_HAND = "by-hand"
    REMOTE = "remote"
    DISABLED = "disabled"
    LEFT_ALONE = "left-alone"


@dataclass(frozen=True, slots=True, eq=False)
class ServerEntry:
    """One server of a file.

    Attributes:
        name: its name.
        scope: what tells entries of one name apart in one file: the project, in Claude Code's; else empty.
        state: how it stands to thv.
        reason: why it is left alone; empty otherwise.
        line, column: where it is written.
        fields: the whole entry, decoded.
        command, args: what the client starts, decoded; `args` is None where it is absent.
        place: where command and arguments are written; None if they are not understood.
        keys: the keys that lead to the entry.
    """

    name: str
    scope: str
    state: State
    reason: str
    line: int
    column: int
    fields: dict[str, Any]
    command: str
    args: tuple[str, ...] | None
    place: Place | None
    keys: Keys

    @property
    def variables(self) -> dict[str, Any]:
        """The variables that its client sets for the server, decoded; where the command is an object, those in it."""
        command = self.fields.get("command")
        found: dict[str, Any] = {}
        for holder in (command if isinstance(command, dict) else {}, self.fields):
            for key in VARIABLES_KEYS:
                given = holder.get(key)
                found.update(given if isinstance(given, dict) else {})
        return found

    @property
    def label(self) -> str:
        """The name to be shown, with the scope if there is one: one line, without control characters."""
        return one_line(f"{self.name} ({self.scope})" if self.scope else self.name)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where command and arguments of one entry are written.

    Attributes:
        holder: keys of the object that holds both.
        siblings: its members, in order.
        program: the member that holds the command, or the whole command line where it is a list.
        arguments: the member that holds the arguments, or None.
    """

    holder: Keys
    siblings: Sequence[NodeMember]
    program: NodeMember
    arguments: NodeMember | None

    @property
    def is_list(self) -> bool:
        """The command is a list of the program and its arguments."""
        return self.program.node.kind == ARRAY

    @property
    def leaves(self) -> tuple[Keys, ...]:
        """The keys of all that a change may touch."""
        return ((*self.holder, self.program.key), (*self.holder, "args"))


def layout_of(file: ClientFile, document: ParsedDocument) -> Client | None:
    """The client whose layout the document has: the file's own, else the first whose key it holds."""
    if file.client is not None:
        return file.client
    keys = set(document.root_keys())
    for client in CLIENTS:
        if client.syntax == file.syntax:
            for keys_found, node in document.find(client.servers[0]) if client.servers[0][0] in keys else ():
                if node.kind == (ARRAY if client.named_inside else OBJECT) and keys_found:
                    return client
    return None


def entries(document: ParsedDocument, client: Client) -> list[ServerEntry]:
    """Every server of the document, in order.

    Raises:
        ConfigError: the servers are not what the client wants them to be, or a key is there twice.
    """
    for _, root in document.find(()):
        if root.kind != OBJECT:
            raise refusal(document, root.start, f"must hold an object for {client.title}, not a list or a single value")
    lines = LineIndex(document.text)
    return [
        _entry(lines, client, keys, name, node)
        for pattern in client.servers
        for where, servers in document.find(pattern)
        for keys, name, node in _named_nodes(document, client, where, servers)
    ]


def _named_nodes(
    document: ParsedDocument, client: Client, where: Keys, servers: Node
) -> Iterator[tuple[Keys, str, Node]]:
    if servers.value is None:
        return
    wanted = ARRAY if client.named_inside else OBJECT
    if servers.kind != wanted:
        kind = "a list" if client.named_inside else "an object"
        raise refusal(document, servers.start, f"{where[-1]} must be {kind} of servers for {client.title}")
    if client.named_inside:
        for index, node in enumerate(servers.items):
            _refuse_repeated(document, node)
            name = node.value.get("name") if node.kind == OBJECT else None
            yield (*where, index), str(name) if name is not None else f"number {index + 1}", node
        return
    seen: set[str] = set()
    for member in servers.members:
        if member.key in seen:
            raise refusal(document, member.start, f"the server {quote(member.key)} is here twice; keep one")
        seen.add(member.key)
        _refuse_repeated(document, member.node)
        yield (*where, member.key), member.key, member.node


def _refuse_repeated(document: ParsedDocument, node: Node) -> None:
    """Which of two equal keys counts is for each reader to say; none is changed."""
    seen: set[str] = set()
    for member in node.members:
        if member.key in seen:
            raise refusal(document, member.start, f"the key {quote(member.key)} is here twice; keep one")
        seen.add(member.key)
        if member.node.kind == OBJECT and member.key == "command":
            _refuse_repeated(document, member.node)


def _entry(lines: LineIndex, client: Client, keys: Keys, name: str, node: Node) -> ServerEntry:
    line, column = lines.position(node.start)
    fields = node.value if isinstance(node.value, dict) else {}
    found = _find_place(client, keys, node)
    place, problem = (found, "") if isinstance(found, Place) else (None, found)
    command, args = _words(place) if place else ("", None)
    state, reason = _judge(client, node, fields, [command, *(args or ())], problem)
    scope = str(keys[1]) if len(keys) > len(client.servers[0]) + 1 else ""
    return ServerEntry(name, scope, state, reason, line, column, fields, command, args, place, keys)


def _judge(client: Client, node: Node, fields: dict[str, Any], words: list[str], problem: str) -> tuple[State, str]:
    command = words[0]
    if command and is_thv(command) and find_mark(words[1:]) is not None:
        return State.WRAPPED, ""
    if command and runs_thv(words):
        return State.BY_HAND, ""
    if find_mark(words[1:]) is not None:
        return State.LEFT_ALONE, "it has thv's mark, and its command is not thv any more"
    kind = str(fields.get("type", fields.get("transport", "")))
    has_url = any(fields.get(key) for key in URL_KEYS)
    if (has_url or kind in REMOTE_TYPES) and client.program not in fields:
        return State.REMOTE, ""
    if fields.get("disabled") is True or fields.get("enabled") is False:
        return State.DISABLED, "it is disabled"
    reason = problem or _objection(client, node, fields, words, has_url=has_url)
    return (State.LEFT_ALONE, reason) if reason else (State.DIRECT, "")


def _objection(client: Client, node: Node, fields: dict[str, Any], words: list[str], *, has_url: bool) -> str:
    """Why thv does not stand in front of an entry that it can read, or nothing."""
    command = words[0]
    if getattr(node, "is_shared", False):
        return "an alias elsewhere in the file shares it"
    if has_url:
        return "it has both a command and a URL"
    if not command:
        return "its command is empty"
    if INPUT in command:
        return "its command asks for an input"
    if "\0" in "".join(words):
        return "its command holds a NUL character"
    dev = fields.get("dev")
    if isinstance(dev, dict) and dev.get("debug"):
        return f"{client.title} attaches a debugger to it (dev.debug)"
    if re.match(r"[^\s/\\\"']+\s+\S", command) and not command.lower().endswith((".exe", ".cmd", ".bat")):
        return "its command is a whole command line; put its arguments into args"
    return ""


def _find_place(client: Client, keys: Keys, node: Node) -> Place | str:
    """Where command and arguments are, or why that is not clear."""
    if node.kind != OBJECT:
        return "it is not an object" if node.obstacle is None else f"it {node.obstacle}"
    if any(member.key == "<<" for member in node.members):
        return "it has a merge key"
    program = _member(node, client.program)
    if program is None:
        return BRINGS_ALONG if _is_built_in(node.value) else "it has no command"
    if program.node.kind == OBJECT and client.takes_object:
        inner = program.node
        path = _member(inner, "path")
        if path is None:
            return "its command has no path"
        return _checked(Place((*keys, program.key), inner.members, path, _member(inner, "args")))
    return _checked(Place(keys, node.members, program, _member(node, "args")), takes_list=client.takes_list)


def _is_built_in(fields: dict[str, Any]) -> bool:
    return "uses" in fields or any(kind.items() <= fields.items() for kind in BUILT_IN)


def _checked(place: Place, *, takes_list: bool = False) -> Place | str:
    program = place.program.node
    if program.kind == ARRAY and takes_list:
        if not program.items or program.items[0].kind != STRING:
            return "its command is an empty list" if not program.items else "its command is not a string"
        if place.arguments is not None and place.arguments.node.items:
            return "its command is a list, and it has args, too"
        return _without_obstacle(place, [program, *program.items])
    if program.kind != STRING:
        return f"its command {program.obstacle}" if program.obstacle else "its command is not a string"
    if place.arguments is None:
        return _without_obstacle(place, [program])
    if place.arguments.node.kind != ARRAY:
        node = place.arguments.node
        return f"its args {node.obstacle}" if node.obstacle else "its args are not a list"
    return _without_obstacle(place, [program, place.arguments.node, *place.arguments.node.items])


def _without_obstacle(place: Place, nodes: list[Node]) -> Place | str:
    program = place.program.node
    for node in nodes:
        moved = node in (program, program.items[0] if place.is_list else program)
        if node.obstacle is not None and (moved or node.kind == ARRAY):
            return f"its {'command' if moved else 'list of arguments'} {node.obstacle}"
        if node not in (program, *nodes[:2]) and node.kind not in {STRING, OTHER}:
            return "its arguments are not all plain values"
    return place


def _words(place: Place) -> tuple[str, tuple[str, ...] | None]:
    """The command and the arguments as texts."""
    if place.is_list:
        first, *rest = map(_text, place.program.node.items)
        return first, tuple(rest)
    args = None if place.arguments is None else tuple(map(_text, place.arguments.node.items))
    return _text(place.program.node), args


def _text(node: Node) -> str:
    value = node.value
    return value if isinstance(value, str) else str(value[1] if isinstance(value, tuple) else value)


def _member(node: Node, key: str) -> NodeMember | None:
    return next((member for member in node.members if member.key == key), None)
