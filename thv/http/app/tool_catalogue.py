"""The `x-mcp-header` annotations of a server's tools, as the front needs them to check `Mcp-Param-*` headers.

They are learned from each `tools/list` reply that passes. If a tool is called that no list has named, the server is
asked once; when it does not answer in time, or lists no such tool, the call passes unchecked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Raw, Struct, field
from msgspec.json import Decoder, encode

from thv.http import wire
from thv.http.tool_headers import ToolHeaders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.http.app.event_store import EventStream
    from thv.http.app.shared_server import SharedServer
    from thv.http.wire import Id, Message

LIST_TIMEOUT_S: Final = 5.0
"""For the server to list its tools: the call waits as long."""

MAX_PAGES: Final = 50
"""Pages of a list that are asked for: a server that pages for ever must not keep the call waiting."""

CLIENT_INFO: Final = {"name": "thv", "version": "1"}


class _Arguments(Struct):
    arguments: Raw = Raw()


class _Call(Struct):
    params: _Arguments = field(default_factory=_Arguments)


class _Page(Struct):
    cursor: str | None = field(default=None, name="nextCursor")


class _PageReply(Struct):
    result: _Page | None = None


_CALL = Decoder(_Call)
_PAGE = Decoder(_PageReply)


class ToolCatalogue:
    """The annotations of one server that is shared without sessions. A member of it, for its own requests.

    Args:
        server: the server.
    """

    def __init__(self, server: SharedServer) -> None:
        self._server = server
        self._headers = ToolHeaders()
        self._reply: asyncio.Future[bytes] | None = None
        self._listing: asyncio.Task[None] | None = None
        self._was_listed = False
        server.on_tools = self._on_tools

    async def mismatch(self, line: bytes, message: Message, headers: Mapping[bytes, bytes]) -> str | None:
        """What the headers of a `tools/call` say wrongly of its arguments; None when they agree."""
        name = None if message.params is None else message.params.name
        if name is None:
            return None
        if not self._headers.knows(name) and not self._was_listed:
            if self._listing is None:
                self._listing = asyncio.create_task(self._list(message))
            await asyncio.shield(self._listing)
        if not self._headers.wants_headers(name):
            return None
        try:
            arguments = _CALL.decode(line).params.arguments
        except (ValueError, RecursionError):
            arguments = Raw()
        return self._headers.mismatch(name, arguments, headers)

    def _on_tools(self, line: bytes | None) -> None:
        if line is None:
            self._headers.forget()
            self._was_listed = False
        else:
            self._headers.learn(line)

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
                    cursor = await self._ask(params)
                    if cursor is None:
                        break
                    params = {"_meta": meta, "cursor": cursor}
        except (OSError, TimeoutError):
            await self._server.leave(self)
        finally:
            self._was_listed = True
            self._listing = self._reply = None

    async def _ask(self, params: dict[str, object]) -> str | None:
        """Ask for a page, which `_on_tools` takes note of; returns the cursor of the next one."""
        line = encode({"jsonrpc": "2.0", "id": 0, "method": "tools/list", "params": params}) + b"\n"
        message = wire.read(line)
        if message is None:
            return None
        self._reply = asyncio.get_running_loop().create_future()
        await self._server.ask(self, line, message)
        try:
            page = _PAGE.decode(await self._reply).result
        except (ValueError, RecursionError):
            return None
        return None if page is None else page.cursor

    # As a member of the server.

    def reply(self, _id: Id, line: bytes, _message: Message) -> EventStream | None:
        """The list, or a part of it."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(line)
        return None

    def status_of(self, _message: Message) -> int:
        """Nothing goes out."""
        return wire.OK

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
