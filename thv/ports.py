"""What the parts of thv know of each other: plain types, so that no part has to import another.

`Outcome` is the whole vocabulary of usage analytics. A `CallObserver` is handed an outcome and nothing else: whoever
implements it cannot learn a tool's name, its arguments or its result, because they are never passed.
On the path of `thv run`: imports nothing. The aliases exist for type checkers only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, TypeAlias

    Outcome: TypeAlias = Literal["success", "error"]
    """How a `tools/call` ended (MCP, "Tools": `error` member, or `result.isError`)."""

    CallObserver: TypeAlias = Callable[[Outcome], None]
    """Told of every tool call that ended, once. Called on the thread that carries the reply: it must be quick."""

    Look: TypeAlias = Callable[[bytes], None]
    """Shown every chunk of bytes that passes in one direction, in order; an empty one is the end. It must not raise."""


class BooleanReading:
    """What the config file says about one boolean setting; handed from `thv.config` to `thv.analytics.consent`.

    `value` is None when the file is silent. `where` is ``path:line``, or just the path. `problem` says, in one line
    with its position, why the file or the value cannot be read as a boolean; `value` is None then.
    """

    __slots__ = ("problem", "value", "where")

    value: bool | None
    where: str
    problem: str | None

    def __init__(self, value: bool | None = None, where: str = "", problem: str | None = None) -> None:
        set_once = object.__setattr__
        set_once(self, "value", value)
        set_once(self, "where", where)
        set_once(self, "problem", problem)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a reading is final: {name} cannot be changed")

    def __repr__(self) -> str:
        return f"BooleanReading(value={self.value!r}, where={self.where!r}, problem={self.problem!r})"
