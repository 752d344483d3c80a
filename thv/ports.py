"""What the parts of thv know of each other: types only, so that no part has to import another.

`Outcome` is the whole vocabulary of usage analytics. A `CallObserver` is handed an outcome and nothing else: whoever
implements it cannot learn a tool's name, its arguments or its result, because they are never passed.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

Outcome: TypeAlias = Literal["success", "error"]
"""How a `tools/call` ended (MCP, "Tools": `error` member, or `result.isError`)."""

CallObserver: TypeAlias = Callable[[Outcome], None]
"""Told of every tool call that ended, once. Called on the thread that carries the reply: it must be quick."""

Look: TypeAlias = Callable[[bytes], None]
"""Shown every chunk of bytes that passes in one direction, in order. It must not raise."""
