"""The launch spec: everything needed to start one MCP server, and nothing about how it is started.

It is a value: built once by `thv.servers.resolve`, never changed, compared by what it holds. Its `repr` never shows the
environment's values, because secrets live there. This module is loaded before the server is started, so it imports
nothing at run time.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn


class LaunchSpec:
    """How to start one server over stdio.

    Written out rather than generated: `dataclasses` and `typing` each cost more start-up time than the whole of this
    package.

    Args:
        name: what people call the server: its registry name, its package without scope and version, or its command's
            base name.
        argv: the command and its arguments. `argv[0]` is looked up on the PATH of `env`, unless it has a separator.
        env: the complete environment of the child.
        cwd: the child's working directory; None means thv's own.
        is_demo: the calls are counted and shown, and never sent: they are no real usage.
        runner: ``uvx`` or ``npx`` when the server is a package that one of them fetches and starts.
    """

    __slots__ = ("argv", "cwd", "env", "is_demo", "name", "runner")

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None
    is_demo: bool
    runner: str | None

    def __init__(
        self,
        *,
        name: str,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        cwd: str | None = None,
        is_demo: bool = False,
        runner: str | None = None,
    ) -> None:
        values = {"name": name, "argv": argv, "env": env, "cwd": cwd, "is_demo": is_demo, "runner": runner}
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def __setattr__(self, field: str, value: object) -> NoReturn:
        raise AttributeError(f"a LaunchSpec does not change: {field!r} is fixed")

    def __delattr__(self, field: str) -> NoReturn:
        raise AttributeError(f"a LaunchSpec does not change: {field!r} is fixed")

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, field) for field in self.__slots__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LaunchSpec):
            return NotImplemented
        return self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]  # an environment is a mapping, and mappings have no hash

    def __repr__(self) -> str:
        return (
            f"LaunchSpec(name={self.name!r}, argv={self.argv!r}, env=<{len(self.env)} variables>, cwd={self.cwd!r}, "
            f"is_demo={self.is_demo!r}, runner={self.runner!r})"
        )
