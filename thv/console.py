"""Our own words: one line at a time, on stderr, whatever state stderr is in. stdout belongs to answers and to MCP."""

from __future__ import annotations

import os


def say(text: str) -> bool:
    """Write ``thv: text`` to stderr in one piece, so that it does not mix with a server's lines.

    Returns:
        Whether it was written. A closed or full stderr is no reason to fail.
    """
    data = f"thv: {text}\n".encode("utf-8", "replace")
    try:
        return os.write(2, data) == len(data)
    except OSError:
        return False
