"""A line of the client that waits to be sent, and the messages in a line of either side. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.core.message import is_batch, read_line, read_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from thv.core.message import Message
    from thv.supervision.supervised_requests import SupervisedRequest


class ClientLine:
    """A line of the client on its way to the server.

    Attributes:
        as_read: the line as it was read.
        line: the line as it is forwarded: with a newline.
        parts: the messages in it, each with its bytes and, where it is one, the request.
    """

    __slots__ = ("as_read", "line", "parts")

    def __init__(self, as_read: bytes) -> None:
        self.as_read = as_read
        self.line = with_newline(as_read)
        self.parts: list[tuple[bytes, Message, SupervisedRequest | None]] = []

    @property
    def is_given_up(self) -> bool:
        """Whether it consists of requests that were answered with an error before they could be sent."""
        return bool(self.parts) and all(request is not None and request.is_given_up for _, _, request in self.parts)

    @property
    def is_answer(self) -> bool:
        """Whether it consists of answers to the server's questions."""
        return bool(self.parts) and all(message.is_response for _, message, _ in self.parts)


def messages_of(
    line: bytes, on_stray: Callable[[bytes | bytearray], None] | None = None
) -> Sequence[tuple[bytes, Message]]:
    """The messages in a line, each with its bytes: the line itself, or the element of a batch.

    Args:
        line: the line.
        on_stray: called with it if it cannot begin a message, and is not blank.
    """
    parts = read_parts(line) if is_batch(line) else []
    return parts or [(line, message) for message in read_line(line, on_stray)]


def with_newline(part: bytes) -> bytes:
    """A message as a line."""
    return part if part.endswith(b"\n") else part + b"\n"


def as_batch(parts: Iterable[bytes]) -> bytes:
    """Some elements of a batch as a line."""
    return b"[%b]\n" % b",".join(parts)
