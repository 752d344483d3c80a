"""Starts `thv run … --proxy-port 0` as a user does, and talks to it over plain sockets, byte by byte."""

from __future__ import annotations

import http.client
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.harness import PATIENCE, Run, receive

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

ACCEPTED = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}

CHATTY = ["--", sys.executable, "-IS", str(Path(__file__).parent / "chatty.py")]
"""What follows `thv run` for the server in chatty.py."""

PING = {"jsonrpc": "2.0", "id": 5, "method": "ping"}

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def initialize(version: str = "2025-11-25") -> dict[str, Any]:
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


def call(id_: Any, tool: str, arguments: dict[str, Any], **meta: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    if meta:
        params["_meta"] = meta
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}


def stateless(message: dict[str, Any], **headers: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The message in the newest revision, and the headers that go with it."""
    params = dict(message.get("params", {}))
    params["_meta"] = META | params.get("_meta", {})
    found = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": message["method"]}
    if "name" in params:
        found["Mcp-Name"] = params["name"]
    return message | {"params": params}, found | {key.replace("_", "-"): value for key, value in headers.items()}


class Reply:
    """An HTTP response, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        return parse_events(self.body)[0]


def parse_events(data: bytes) -> tuple[list[Any], list[str]]:
    """The messages of whole events, and the ids of all of them."""
    messages, ids = [], []
    for block in data.decode().split("\n\n")[:-1]:
        fields = dict(line.split(":", 1) for line in block.split("\n") if not line.startswith(":"))
        if "id" in fields:
            ids.append(fields["id"].strip())
        if fields.get("data", "").strip():
            messages.append(json.loads(fields["data"]))
    return messages, ids


class Listening:
    """An open stream of events."""

    def __init__(self, sock: socket.socket, response: http.client.HTTPResponse) -> None:
        self._sock = sock
        self._response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self._data = b""

    def until(self, count: int) -> list[Any]:
        """Read until `count` messages came."""
        while len(self.messages) < count:
            chunk = self._response.read1(65536)
            assert chunk, f"the stream ended after {self.messages}"
            self._data += chunk
        return self.messages

    def rest(self) -> list[Any]:
        """Read to the end."""
        self._data += self._response.read()
        self.cut()
        return self.messages

    @property
    def messages(self) -> list[Any]:
        return parse_events(self._data)[0]

    @property
    def ids(self) -> list[str]:
        return parse_events(self._data)[1]

    def until_primed(self) -> None:
        """Read until an event's id came."""
        while not self.ids:
            chunk = self._response.read1(65536)
            assert chunk, "the stream ended"
            self._data += chunk

    def cut(self) -> None:
        """Lose the connection."""
        self._response.close()
        self._sock.close()


class FrontRun(Run):
    """A running front."""

    def __init__(
        self, server: Sequence[str], directory: Path, *options: str, env: Mapping[str, str] | None = None
    ) -> None:
        words = [*options, "--proxy-port", "0", *server]
        super().__init__([sys.executable, "-P", "-m", "thv", "--debug", "run", *words], directory, env=env)
        self.said = ""
        while "is served at" not in self.said:
            line = receive(self.stderr, line=True).decode()
            assert line, self.said
            self.said += line
        found = re.search(r"served at http://127\.0\.0\.1:(\d+)/mcp", self.said)
        assert found is not None
        self.port = int(found[1])

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def request(self, method: str, body: Any = None, path: str = "/mcp", **headers: Any) -> Reply:
        connection = self.connection()
        try:
            return Reply(self._send(connection, method, body, path, headers))
        finally:
            connection.close()

    def post(self, body: Any, **headers: Any) -> Reply:
        return self.request("POST", body, **headers)

    def open(self, method: str, body: Any = None, **headers: Any) -> Listening:
        connection = self.connection()
        connection.connect()
        sock = connection.sock
        return Listening(sock, self._send(connection, method, body, "/mcp", headers))

    def begin(self, version: str = "2025-11-25") -> str:
        """A new session's id."""
        reply = self.post(initialize(version))
        assert reply.status == 200, reply.body
        session = reply.headers["mcp-session-id"]
        note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert self.post(note, Mcp_Session_Id=session).status == 202
        return session

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        body: Any,
        path: str,
        headers: Mapping[str, str | None],
    ) -> http.client.HTTPResponse:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        sent = {key: value for key, value in (ACCEPTED | named).items() if value is not None}
        connection.request(method, path, data, sent)
        return connection.getresponse()

    def stop(self) -> str:
        """End it by SIGTERM; everything it said."""
        self.process.terminate()
        out, err = self.process.communicate(timeout=PATIENCE)
        assert out == b""
        self.said += err.decode()
        assert self.process.returncode == 0, self.said
        return self.said
