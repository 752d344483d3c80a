"""The `x-mcp-header` annotations of a server's tools, as the front needs them to check `Mcp-Param-*` headers.

They are learned from each `tools/list` reply that passes. If a tool is called that no list has named, the server is
asked once; when it does not answer in time, or lists no such tool, the call passes unchecked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import UNSET
from msgspec.json import encode

from thv.core.message import read_message
from thv.http.front.response_writer import OK
from thv.http.tool_headers import ToolHeaders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.core.message import Id, Message
    from thv.http.front.event_store import EventStream
    from thv.http.front.shared_server import SharedServer

LIST_TIMEOUT_S: Final = 5.0
"""For the server to list its tools: the call waits as long."""

MAX_PAGES: Final = 50
"""Pages of a list that are asked for: a server that pages for ever must not keep the call waiting."""

CLIENT_INFO: Final = {"name": "thv", "version": "1"}


class ToolCatalogue:
    """The annotations of one server that is shared without sessions. A member of it, for its own requests.

    Args:
        server: the server.
    """

    def __init__(self, server: SharedServer) -> None:
        self._server = server
        self._headers = ToolHeaders()
        self._reply: asyncio.Future[Message] | None = None
        self._listing: asyncio.Task[None] | None = None
        self._was_listed = False
        server.on_tools = self._on_tools

    def has_to_ask(self, message: Message) -> bool:
        """Whether the server has to be asked for its tools before the headers of this request can be checked."""
        if self._was_listed or message.method != "tools/call" or message.params is None or message.params.name is None:
            return False
        return not self._headers.knows(message.params.name)

    async def ask(self, message: Message) -> None:
        """Ask the server for its tools, because of this call."""
        if self._listing is None:
            self._listing = asyncio.create_task(self._list(message))
        await asyncio.shield(self._listing)

    def mismatch(self, message: Message, headers: Mapping[bytes, bytes]) -> str | None:
        """What the headers of a request say wrongly of its arguments; None when they agree."""
        params = message.params
        if message.method != "tools/call" or params is None or not self._headers.wants_headers(params.name):
            return None
        return self._headers.mismatch(params.name, params.arguments, headers)

    def _on_tools(self, reply: Message | None) -> None:
        if reply is None:
            self._headers.forget()
            self._was_listed = False
        elif reply.result is not UNSET and reply.result is not None:
            self._headers.learn(reply.result.tools)

    async def _list(self, call: Message) -> None:
        version = None if call.meta is None else call.meta.protocol_version
        meta = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientInfo": CLIENT_INFO,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params: dict[str, object] = {"_meta": meta}
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                for _ in range(MAX_PAGES):
                    cursor = await self._ask_page(params)
                    if cursor is None:
                        break
                    params = {"_meta": meta, "cursor": cursor}
        except (OSError, TimeoutError):
            await self._server.withdraw(self)
        finally:
            self._was_listed = True
            self._listing = self._reply = None

    async def _ask_page(self, params: dict[str, object]) -> str | None:
        """Ask for a page, which `_on_tools` takes note of; returns the cursor of the next one."""
        line = encode({"jsonrpc": "2.0", "id": 0, "method": "tools/list", "params": params}) + b"\n"
        message = read_message(line)
        if message is None:
            return None
        self._reply = asyncio.get_running_loop().create_future()
        await self._server.ask(self, line, message)
        result = (await self._reply).result
        return None if result is UNSET or result is None else result.next_cursor

    # As a member of the server.

    def reply(self, _id: Id, _line: bytes, message: Message) -> EventStream | None:
        """The list, or a part of it."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(message)
        return None

    def status_of(self, _message: Message) -> int:
        """Nothing goes out."""
        return OK

    def related(self, _id: Id | None, _line: bytes) -> EventStream | None:
        """Of no interest."""
        return None

    def unrelated(self, _line: bytes) -> EventStream | None:
        """Of no interest."""
        return None

    def end(self, reason: str) -> None:
        """The server is gone."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError(reason))
