"""What the proxy reads of an exchange is recorded as its own, whatever else uses the connection to the target."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from thv.core.current_request import CURRENT_REQUEST
from thv.http.proxy.exchange_inspector import PostInspector
from thv.http.proxy.proxy_sessions import Sessions
from thv.instrumentation.instrumentation import Instrumentation, SessionInstrumentation

if TYPE_CHECKING:
    import pytest

INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'


def test_a_held_initialize_is_told_with_the_request_that_brought_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # The response is read in the context of the request that opened the connection, which may be another client's.
    told: list[object] = []
    monkeypatch.setattr(
        SessionInstrumentation, "on_client_message", lambda *_args, **_named: told.append(CURRENT_REQUEST.get())
    )
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    inspector = PostInspector(Sessions(Instrumentation(activity=lambda: 0)), "", b"", is_named=False)
    mine: Any = object()
    another: Any = object()

    def posted() -> None:
        CURRENT_REQUEST.set(mine)
        inspector.request_end(INITIALIZE)

    def answered() -> None:
        CURRENT_REQUEST.set(another)
        inspector.response(200, {b"mcp-session-id": b"s", b"content-type": b"application/json"})

    copy_context().run(posted)
    copy_context().run(answered)
    assert told == [mine]
