"""What servers said waits here to be inspected until it was handed on, which inspection must not delay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from thv.core.interfaces import SessionInstrumentation
    from thv.core.message import Message


class InspectionQueue:
    """Messages of servers, inspected in the next turn of the loop: one callback for all of a turn."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[SessionInstrumentation, bytes, Message, Hashable, int | None]] = []

    def add(
        self,
        instrumentation: SessionInstrumentation,
        line: bytes,
        message: Message,
        scope: Hashable = None,
        http_status: int | None = None,
    ) -> None:
        """Pass this to `on_server_message` in the next turn."""
        if not self._waiting:
            self._loop.call_soon(self._inspect)
        self._waiting.append((instrumentation, line, message, scope, http_status))

    def _inspect(self) -> None:
        waiting, self._waiting = self._waiting, []
        for instrumentation, line, message, scope, http_status in waiting:
            instrumentation.on_server_message(line, message, scope=scope, http_status=http_status)
