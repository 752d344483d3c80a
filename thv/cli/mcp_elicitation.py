"""Asks the user on the terminal what a server wants to know (MCP, "Elicitation").

Whatever the server wrote is shown with its control characters escaped. Nothing is sent before the user agreed to it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from thv.cli.mcp_arguments import schema_types, tool_arguments
from thv.core.printable import one_line, printable
from thv.errors import ThvError

if TYPE_CHECKING:
    from thv.mcp_client.protocol import JsonObject

DECLINED: Final[JsonObject] = {"action": "decline"}
CANCELLED: Final[JsonObject] = {"action": "cancel"}

MAX_FIELDS: Final = 32
"""Fields of one form: more is no question a person answers."""


def elicit(params: JsonObject) -> JsonObject:
    """Ask for what `params` of `elicitation/create` describe; returns the result: accept, decline or cancel."""
    _show(f"The server asks: {printable(str(params.get('message', '')))}")
    if params.get("mode") == "url":
        _show(f"Open this address if you trust it: {one_line(str(params.get('url', '')))}")
        return {"action": "accept"} if _confirm("Did you") else DECLINED
    schema = params.get("requestedSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(properties, dict) or len(properties) > MAX_FIELDS:
        return DECLINED
    if not _confirm("Answer" if properties else "Accept"):
        return DECLINED
    required = schema.get("required")
    content: JsonObject = {}
    for name, field in properties.items():
        try:
            value = _field(name, field, schema, is_required=isinstance(required, list) and name in required)
        except EOFError:
            return CANCELLED
        content.update(value)
    return {"action": "accept", "content": content}


def _field(name: str, field: Any, schema: JsonObject, *, is_required: bool) -> JsonObject:
    """Ask for one field until the answer is of its type; empty if it is left out.

    Raises:
        EOFError: the input ended.
    """
    details = field if isinstance(field, dict) else {}
    choices = details.get("enum")
    hints = [
        *(one_line(str(details[key])) for key in ("title", "description") if key in details),
        "|".join(one_line(str(choice)) for choice in choices) if isinstance(choices, list) else "",
        "|".join(sorted(schema_types(field, schema))),
        f"default {one_line(str(details['default']))}" if "default" in details else "",
        "" if is_required else "may be left empty",
    ]
    while True:
        text = _read(f"{one_line(name)} ({', '.join(filter(None, hints))}): ")
        if not text and "default" in details:
            return {name: details["default"]}
        if not text and not is_required:
            return {}
        try:
            return tool_arguments([(name, text)], schema)
        except ThvError as error:
            _show(str(error))


def _confirm(question: str) -> bool:
    try:
        return _read(f"{question}? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _read(prompt: str) -> str:
    _show(prompt, end="")
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


def _show(text: str, end: str = "\n") -> None:
    encoding = sys.stderr.encoding
    sys.stderr.write((text + end).encode(encoding, "replace").decode(encoding))
    sys.stderr.flush()
