"""The requests that a supervised server makes of its client: a late answer to one that died is not its successor's.

Ids are taken as the ledger takes them: an answer under the twin of an id (`"1"` for `1`) belongs to it. What is
remembered is bounded. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.core.message import UNREADABLE, twin
from thv.ledger.ledger import MAX_OPEN
from thv.supervision.client_line import as_batch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thv.core.message import Id, Message
    from thv.supervision.client_line import ClientLine


class ServerQuestions:
    """What the running server has asked the client and has no answer to yet.

    The first server gets every answer. So does one that asked something that could not be read, or too much to be
    remembered: an answer that is passed on though it is not wanted is better than one that is lost.
    """

    def __init__(self) -> None:
        self._passes_all = True
        self._open: dict[Id, int] = {}

    def start_anew(self) -> None:
        """Another server runs, and has asked nothing yet."""
        self._passes_all = False
        self._open.clear()

    def note(self, messages: Iterable[Message]) -> None:
        """Take note of what the server sent."""
        if self._passes_all:
            return
        for message in messages:
            if message.is_request and message.key is not None:
                self._open[message.key] = self._open.get(message.key, 0) + 1
            if message is UNREADABLE or len(self._open) > MAX_OPEN:
                self._passes_all = True

    def without_strays(self, entry: ClientLine) -> bytes:
        """A line of the client without the answers to questions that the running server did not ask.

        Call it once for each line, as it is sent.

        Returns:
            The line to send; empty if nothing of it is left.
        """
        wanted = [part for part, message, _ in entry.parts if self._accepts(message)]
        if len(wanted) == len(entry.parts):
            return entry.line
        return as_batch(wanted) if wanted else b""

    def _accepts(self, message: Message) -> bool:
        if self._passes_all or not message.is_response or message.key is None:
            return True
        key = message.key if message.key in self._open else twin(message.key)
        if key not in self._open:
            return False
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]
        return True
