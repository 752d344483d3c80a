"""The HTTP request that is being handled: set where a handler begins, read by those who describe its messages.

A context variable, since the layers between the two need not know of it; each request has a task, and so a context.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final


class RequestHead(Protocol):
    """What there is to know of it."""

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """By their names in lower case."""

    @property
    def peer(self) -> str:
        """The client's address; empty if it is not known."""

    @property
    def peer_port(self) -> int | None:
        """The client's port."""


CURRENT_REQUEST: Final[ContextVar[RequestHead | None]] = ContextVar("current HTTP request", default=None)
