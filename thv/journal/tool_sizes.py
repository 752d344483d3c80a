"""Reads from a `tools/list` result how large each tool's definition is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from thv.journal.call_record import NAME_CHARACTERS, cut

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Tool(Struct, gc=False):
    name: str = ""


_TOOLS: Final = Decoder(list[Raw])
_TOOL: Final = Decoder(_Tool)


def tool_sizes(listed: bytes) -> Iterator[tuple[str, int]]:
    """Name and size of each tool definition in the raw JSON of `tools`."""
    try:
        tools = _TOOLS.decode(listed)
    except (ValueError, RecursionError):
        return
    for raw in tools:
        try:
            name = _TOOL.decode(raw).name
        except (ValueError, RecursionError):
            continue
        if name:
            yield cut(name, NAME_CHARACTERS), len(memoryview(raw))
