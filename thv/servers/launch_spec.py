"""The launch spec: everything needed to start one MCP server, and nothing about how it is started.

It is a value: built once by `thv.servers.resolve`, never changed, compared by what it holds. Its `repr` never shows the
environment's values, because secrets live there. This module is loaded before the server is started, so it imports
next to nothing.
"""

from __future__ import annotations

from thv.core.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class LaunchSpec(Frozen):
    """How to start one server over stdio.

    Args:
        name: what people call the server: its registry name, its package without scope and version, or its command's
            base name.
        executable: the file to execute, found on the PATH of `env` if need be.
        argv: the command as it was typed and its arguments.
        env: the complete environment of the child.
        cwd: the child's working directory; None means thv's own.
        is_demo: the calls are counted and shown, and never sent: they are no real usage.
        runner: what fetches the server and starts it: ``uvx`` or ``npx`` for a package, the container tool (such as
            ``docker``) for an image. None where nothing has to be fetched.
    """

    name: str
    executable: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None = None
    is_demo: bool = False
    runner: str | None = None

    def __repr__(self) -> str:
        return (
            f"LaunchSpec(name={self.name!r}, executable={self.executable!r}, argv={self.argv!r}, "
            f"env=<{len(self.env)} variables>, cwd={self.cwd!r}, is_demo={self.is_demo!r}, runner={self.runner!r})"
        )
