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
        executable: the file to execute, found on the PATH of `env` if need be.
        argv: the command as it was typed and its arguments.
        env: the complete environment of the child.
        cwd: the child's working directory; None means thv's own.
        is_demo: the calls are counted and shown, and never sent: they are no real usage.
        runner: ``uvx`` or ``npx`` when the server is a package that one of them fetches and starts.
    """

    __slots__ = ("argv", "cwd", "env", "executable", "is_demo", "name", "runner")

    name: str
    executable: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None
    is_demo: bool
    runner: str | None

    def __init__(
        self,
        *,
        name: str,
        executable: str,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        cwd: str | None = None,
        is_demo: bool = False,
        runner: str | None = None,
    ) -> None:
        values = (argv, cwd, env, executable, is_demo, name, runner)
        for field, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, field, value)

    def renamed(self, name: str) -> LaunchSpec:
        """The same server under another name."""
        return LaunchSpec(
            name=name,
            executable=self.executable,
            argv=self.argv,
            env=self.env,
            cwd=self.cwd,
            is_demo=self.is_demo,
            runner=self.runner,
        )

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
            f"LaunchSpec(name={self.name!r}, executable={self.executable!r}, argv={self.argv!r}, "
            f"env=<{len(self.env)} variables>, cwd={self.cwd!r}, is_demo={self.is_demo!r}, runner={self.runner!r})"
        )
