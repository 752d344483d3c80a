"""`Mcp-Param-*`: arguments that a tool's schema asks to be repeated as headers.

The remote client sends them, the front compares them (2026-07-28, "Custom Headers from Tool Parameters"). Annotations
are learned from each `tools/list` reply that passes. A tool whose annotations break the rules is invalid: clients drop
it from the list, and nothing is expected of calls to it. Pure; never raises on bad input.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, decode, encode

from thv.core.jsonrpc import decode_header, encode_header
from thv.core.net.http_headers import is_header_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX: Final = "Mcp-Param-"

MAX_TOOLS: Final = 10_000
"""Tools whose annotations are remembered: a server that lists new ones for ever must not take all memory."""

SAFE_INTEGER: Final = 2**53 - 1
"""Larger integers are not the same number in all implementations of JSON (RFC 8259, section 6): none is repeated."""

_NUMBER = re.compile(r"-?[0-9]{1,32}(?:\.[0-9]{1,32})?")

_ONE_SCHEMA: Final = frozenset(
    {
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_LIST_OF_SCHEMAS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP_OF_SCHEMAS: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties"})
"""Keywords of JSON Schema 2020-12 below which schemas stand. An annotation there, off the chain of `properties`, is
against the rules; `default`, `enum`, `const` and `examples` hold data, where the word means nothing."""

Path = tuple[str, ...]


class InvalidAnnotationError(ValueError):
    """A tool's `x-mcp-header` annotations break the rules."""


class _NamedTool(Struct):
    name: str
    inputSchema: Any = None  # noqa: N815  as it is spelled


_TOOLS = Decoder(list[Raw])
_TOOL = Decoder(_NamedTool)
_MEMBERS = Decoder(dict[str, Raw])


class ToolHeaders:
    """The annotations of one server's tools."""

    def __init__(self) -> None:
        self._tools: dict[str, dict[Path, str]] = {}

    def knows(self, tool: str) -> bool:
        """Whether a list that passed has named this tool."""
        return tool in self._tools

    def forget(self) -> None:
        """The tools may have changed."""
        self._tools.clear()

    def learn(self, listed: Raw | bytes) -> list[str]:
        """Take note of the `tools` in a reply to `tools/list`.

        Returns:
            The names of the tools that a client has to drop.
        """
        try:
            tools = _TOOLS.decode(listed)
        except (ValueError, RecursionError):
            return []
        invalid = []
        for raw in tools:
            try:
                tool = _TOOL.decode(raw)
            except (ValueError, RecursionError):
                continue
            try:
                annotations = annotations_of(tool.inputSchema)
            except InvalidAnnotationError:
                annotations = {}
                invalid.append(tool.name)
            if len(self._tools) < MAX_TOOLS or tool.name in self._tools:
                self._tools[tool.name] = annotations
        return invalid

    def headers_of(self, tool: str | None, arguments: Raw) -> dict[str, str]:
        """The headers that a call has to carry."""
        annotations = self._tools.get(tool or "")
        if not annotations:
            return {}
        values = _decoded(arguments)
        found = {f"{PREFIX}{name}": _text_of(_at(values, path)) for path, name in annotations.items()}
        return {name: encode_header(text) for name, text in found.items() if text is not None}

    def wants_headers(self, tool: str | None) -> bool:
        """Whether calls of this tool have to carry any."""
        return bool(self._tools.get(tool or ""))

    def mismatch(self, tool: str | None, arguments: Raw, headers: Mapping[bytes, bytes]) -> str | None:
        """The header of a call that does not say what its argument says, and how; None when all agree."""
        annotations = self._tools.get(tool or "")
        if not annotations:
            return None
        values = _decoded(arguments)
        for path, name in annotations.items():
            header = headers.get(f"{PREFIX}{name}".lower().encode())
            problem = _compare(None if header is None else header.decode("latin-1"), _at(values, path))
            if problem is not None:
                return f"{PREFIX}{name} {problem}"
        return None


def _compare(header: str | None, value: Any) -> str | None:
    text = _text_of(value)
    if header is None:
        return None if text is None else "is missing"
    decoded = decode_header(header)
    if decoded is None:
        return "is not valid base64"
    if value is None:
        return "stands for an argument that is not in the body"
    if text is None or decoded == text:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and _NUMBER.fullmatch(decoded) and float(decoded) == value:
        return None
    return "does not match the body"


def without_tools(line: bytes, names: list[str]) -> bytes:
    """A reply to `tools/list` without the tools of these names; every other byte of every other tool stays."""
    try:
        reply = _MEMBERS.decode(line)
        result = _MEMBERS.decode(reply["result"])
        kept = [raw for raw in _TOOLS.decode(result["tools"]) if _TOOL.decode(raw).name not in names]
    except (ValueError, RecursionError, KeyError):
        return line
    return encode(reply | {"result": result | {"tools": kept}})


def annotations_of(schema: Any) -> dict[Path, str]:
    """Path of properties -> the header that it wants.

    Raises:
        InvalidAnnotationError: one of the annotations breaks the rules: not a token, given twice, on something other
            than a string, an integer or a boolean, or elsewhere than below `properties`.
    """
    found: dict[Path, str] = {}
    for path, node in _schemas(schema):
        if "x-mcp-header" not in node:
            continue
        name = node["x-mcp-header"]
        is_usable = isinstance(name, str) and is_header_name(name)
        if not path or not is_usable or node.get("type") not in ("string", "integer", "boolean"):
            raise InvalidAnnotationError
        if any(name.lower() == other.lower() for other in found.values()):
            raise InvalidAnnotationError
        found[path] = name
    return found


def _schemas(root: Any) -> Iterator[tuple[Path | None, dict[str, Any]]]:
    """Each schema in a schema, and the `properties` that lead there; None where anything else leads there, too."""
    todo: list[tuple[Path | None, Any]] = [((), root)]
    while todo:
        path, node = todo.pop()
        if not isinstance(node, dict):
            continue
        yield path, node
        for keyword, below in node.items():
            if keyword == "properties" and isinstance(below, dict):
                todo += [(None if path is None else (*path, name), inner) for name, inner in below.items()]
            elif keyword in _ONE_SCHEMA:
                todo.append((None, below))
            elif keyword in _LIST_OF_SCHEMAS and isinstance(below, list):
                todo += [(None, inner) for inner in below]
            elif keyword in _MAP_OF_SCHEMAS and isinstance(below, dict):
                todo += [(None, inner) for inner in below.values()]


def _decoded(arguments: Raw) -> Any:
    try:
        return decode(arguments)
    except (ValueError, RecursionError):
        return None


def _at(node: Any, path: Path) -> Any:
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _text_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and abs(value) <= SAFE_INTEGER:
        return str(value)
    return None
