"""Prints what a server answered to `thv mcp`: as text for people, or as the protocol's own JSON for programs.

Control characters that a server sends are shown, not obeyed. Text that was not valid Unicode shows U+FFFD.
"""

from __future__ import annotations

import binascii
import sys
from typing import TYPE_CHECKING, Any

from thv.cli.mcp_arguments import schema_types
from thv.cli.output import answer
from thv.core.console import warn
from thv.core.printable import one_line, printable
from thv.mcp_client.protocol import shorten, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.mcp_client.protocol import JsonObject

INDENT = "  "


def print_json(value: Any) -> None:
    """Print what a program may read.

    Raises:
        ThvError: stdout cannot be written.
    """
    answer(to_json(value, indent=INDENT))


def print_tools(tools: Sequence[JsonObject]) -> None:
    """Print the tools of a server: a table on a terminal, aligned columns elsewhere.

    Raises:
        ThvError: stdout cannot be written.
    """
    if sys.stdout.isatty():
        _print_table(tools)
        return
    rows = [(one_line(tool["name"]), signature(tool), one_line(_description(tool))) for tool in tools]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    if rows:
        answer("\n".join(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}".rstrip() for row in rows))


def print_result(result: JsonObject) -> int:
    """Print the result of a call, on stderr if the tool failed; returns the exit code.

    Raises:
        ThvError: stdout cannot be written.
    """
    failed = has_failed(result)
    texts = [_describe(block) for block in result["content"]]
    if not texts and result.get("structuredContent") is not None:
        texts = [to_json(result["structuredContent"], indent=INDENT)]
    for text in texts:
        if failed:
            _print_error(text)
        else:
            answer(text)
    return 1 if failed else 0


def has_failed(result: JsonObject) -> bool:
    """Whether the tool says that it failed. Anything but true and false is taken for a failure, with a warning."""
    value = result.get("isError")
    if not isinstance(value, bool | None):
        warn(f"the server's isError is neither true nor false: {shorten(to_json(value))}")
        return True
    return value is True


def signature(tool: JsonObject) -> str:
    """The tool's arguments on one line; those that may be left out in brackets."""
    schema = input_schema(tool)
    properties, required = schema.get("properties"), schema.get("required")
    words = []
    for name, wanted in (properties if isinstance(properties, dict) else {}).items():
        word = f"{one_line(name)}={one_line('|'.join(sorted(schema_types(wanted, schema)))) or 'any'}"
        words.append(word if isinstance(required, list) and name in required else f"[{word}]")
    return " ".join(words)


def input_schema(tool: JsonObject) -> JsonObject:
    """The tool's input schema; empty where the server sent none that is an object."""
    schema = tool.get("inputSchema")
    return schema if isinstance(schema, dict) else {}


def _description(tool: JsonObject) -> str:
    text = tool.get("description")
    return text if isinstance(text, str) else ""


def _print_table(tools: Sequence[JsonObject]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    # Folded: in a narrow terminal every letter is shown, on more lines.
    columns = [Column(title, overflow="fold") for title in ("Tool", "Arguments", "Description")]
    table = Table(*columns, box=box.SIMPLE)
    for tool in tools:
        description = printable(_description(tool).strip())
        table.add_row(Text(one_line(tool["name"]), style="bold"), Text(signature(tool)), Text(description))
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(table)
    answer(capture.get().removesuffix("\n"))


def _describe(block: JsonObject) -> str:
    """A text as it is; what is no text, in a few words."""
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return printable(block["text"])
    words = [one_line(str(kind))]
    if kind == "resource_link":
        words = ["resource link", one_line(str(block.get("uri")))]
    elif kind == "resource" and isinstance(block.get("resource"), dict):
        resource = block["resource"]
        words += [f"{one_line(str(resource.get('uri')))},", one_line(str(resource.get("mimeType") or "unknown type"))]
    elif "data" in block:
        words += [f"{one_line(str(block.get('mimeType') or 'unknown type'))},", _size(block["data"])]
    return f"[{' '.join(words)}]"


def _size(data: Any) -> str:
    try:
        return f"{len(binascii.a2b_base64(data, strict_mode=True))} bytes"
    except (ValueError, TypeError):
        return "not valid Base64"


def _print_error(text: str) -> None:
    encoding = sys.stderr.encoding
    sys.stderr.write(text.encode(encoding, "replace").decode(encoding) + "\n")
