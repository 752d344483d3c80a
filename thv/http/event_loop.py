"""The event loop that the HTTP front and the proxy run on; the remote client runs on asyncio's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine


def run_on_the_fastest_loop(main: Coroutine[object, object, int]) -> int:
    """Run it to its end, on uvloop where there is one: for one client a third more calls a second than on asyncio's."""
    try:
        from uvloop import run
    except ModuleNotFoundError:  # there is none for Windows
        return asyncio.run(main)
    return run(main)
