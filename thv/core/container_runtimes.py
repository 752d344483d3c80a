"""The command line tools that run containers and that thv knows."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RUNTIMES: Final = ("docker", "podman", "nerdctl")
"""In the order in which they are looked for."""
