"""What the parts of thv know of each other: plain types, so that no part has to import another.

`Outcome` is the whole vocabulary of usage analytics. A `CallObserver` is handed an outcome and nothing else: whoever
implements it cannot learn a tool's name, its arguments or its result, because they are never passed.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

Outcome: TypeAlias = Literal["success", "error"]
"""How a `tools/call` ended (MCP, "Tools": `error` member, or `result.isError`)."""

CallObserver: TypeAlias = Callable[[Outcome], None]
"""Told of every tool call that ended, once. Called on the thread that carries the reply: it must be quick."""

Look: TypeAlias = Callable[[bytes], None]
"""Shown every chunk of bytes that passes in one direction, in order; an empty one is the end. It must not raise."""


class BooleanReading(NamedTuple):
    """What the config file says about one boolean setting; handed from `thv.config` to `thv.analytics.consent`.

    `value` is None when the file is silent. `where` is ``path:line``, or just the path. `problem` says, in one line
    with its position, why the file or the value cannot be read as a boolean; `value` is None then.
    """

    value: bool | None = None
    where: str = ""
    problem: str | None = None
