"""`thv run https://…` as a client starts it: what it prints, how it ends, what it counts, and what it never shows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import Run, receive, until
from tests.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator

THV = [sys.executable, "-P", "-m", "thv"]
PATIENCE = 120
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def call(id_: int, name: str = "good") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": {"name": name, "arguments": {"k": "SECRET"}}}


def lines(*messages: Any) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


class Handler(BaseHTTPRequestHandler):
    """A small server of sessions with the tools `good`, `bad`, `never`, and `parent`, which tells its trace context."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen: list[tuple[str, str | None]]

    def answer(self, status: int, message: Any = None, **headers: str) -> None:
        body = b"" if message is None else json.dumps(message).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((message.get("method", "reply"), self.headers["Authorization"]))
        tool = message.get("params", {}).get("name")
        result: dict[str, Any]
        if "id" not in message:
            self.answer(202)
        elif tool == "never":
            self.rfile.read(1)
        elif message["method"] == "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "0"}}
            self.answer(200, {"jsonrpc": "2.0", "id": message["id"], "result": result}, **{"Mcp-Session-Id": "SECRET"})
        elif message["method"] == "tools/list":
            tools = [{"name": "good", "inputSchema": {"type": "object"}}]
            self.answer(200, {"jsonrpc": "2.0", "id": message["id"], "result": {"tools": tools}})
        elif message["method"] == "tools/call":
            text = message["params"].get("_meta", {}).get("traceparent", "none") if tool == "parent" else "fine"
            result = {"content": [{"type": "text", "text": text}], "isError": tool == "bad"}
            self.answer(200, {"jsonrpc": "2.0", "id": message["id"], "result": result})
        else:
            error = {"code": -32601, "message": "no such method"}
            self.answer(200, {"jsonrpc": "2.0", "id": message["id"], "error": error})

    def do_GET(self) -> None:
        self.answer(405)

    def do_DELETE(self) -> None:
        self.seen.append(("DELETE", self.headers["Authorization"]))
        self.answer(200)

    def log_message(self, *_words: object) -> None:
        """Nothing is to be printed."""


@contextmanager
def serving() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    seen: list[tuple[str, str | None]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/mcp", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_session_is_relayed_to_its_end_and_prints_nothing_of_ours(tmp_path: Path) -> None:
    with serving() as (url, seen), Run([*THV, "run", url], tmp_path) as run:
        code, out, err = run.finish(lines(INITIALIZE, INITIALIZED, call(1), call(2, "bad")))
        assert (code, err) == (0, b"")
        assert sorted(json.loads(line)["id"] for line in out.splitlines()) == [0, 1, 2]
        assert seen[-1][0] == "DELETE"


def test_debug_tells_what_is_done_and_no_secret(tmp_path: Path) -> None:
    with serving() as (url, seen):
        words = ["--debug", "run", "--header", "X-Key=SECRET", f"{url}?key=SECRET"]
        environ = {"TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN": "SECRET"}
        with Run([*THV, *words], tmp_path, env=environ) as run:
            code, _, err = run.finish(lines(INITIALIZE, INITIALIZED, call(1), call(2, "bad")))
        assert code == 0
        assert b"POST tools/call: 200 application/json" in err
        assert b"thv: tool calls: 1 success, 1 error" in err
        assert b"SECRET" not in err
        assert {credentials for _, credentials in seen} == {"Bearer SECRET"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)])
def test_a_signal_ends_it_at_once_with_its_number(number: signal.Signals, tmp_path: Path) -> None:
    with serving() as (url, seen), Run([*THV, "run", url], tmp_path) as run:
        run.send(lines(INITIALIZE, INITIALIZED))
        assert json.loads(receive(run.stdout, line=True))["id"] == 0
        run.send(lines(call(1, "never")))
        until(lambda: len(seen) == 3, "the call")  # the server notes what arrives on a thread for each
        run.process.send_signal(number)
        assert run.wait() == 128 + number
        assert receive(run.stderr) == b""
        assert seen[-1][0] == "DELETE"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["https://"], 2, "not a URL of a server"),
        (["--header", "oops", "https://a.example/"], 2, "expected NAME=VALUE"),
        (["-e", "A=1", "https://a.example/"], 2, "--env is for a server that thv starts"),
        (["https://a.example/?SECRET", "--", "x"], 2, "it takes no arguments after --"),
        (["--proxy-port", "1", "https://a.example/"], 2, "thv proxy NAME --target-uri"),
        (["--header", "A=1", "demo"], 2, "--header is for a remote server"),
        (["--bearer-token-file", "/no/such", "https://a.example/"], 1, "cannot read --bearer-token-file"),
    ],
)
def test_what_cannot_work_is_one_line_before_anything_is_read(
    words: list[str], code: int, said: str, tmp_path: Path
) -> None:
    with Run([*THV, "run", *words], tmp_path) as run:
        assert run.wait() == code
        err = receive(run.stderr).decode()
        assert said in err
        assert err.count("\n") == 1
        assert "SECRET" not in err
        run.close_stdin()


def test_a_file_of_authorities_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("nothing")
    with Run([*THV, "run", "--ca-file", "ca", "https://a.example/"], tmp_path) as run:
        assert run.wait() == 1
        assert receive(run.stderr).endswith(b"holds no certificates in PEM form\n")
        run.close_stdin()


def test_its_calls_are_counted_for_the_maintainers_as_those_of_any_server(analytics_on: None, tmp_path: Path) -> None:
    launcher = str(Path(__file__).parents[2] / "launch.py")
    with serving() as (url, _), Sink() as sink:
        options = ["--endpoint", sink.endpoint, "--ca", str(sink.ca_file), "--budget", "60", "--interval", "3600"]
        done = subprocess.run(
            [sys.executable, launcher, *options, "--", "run", "--header", "X=SECRET", url],
            input=lines(INITIALIZE, INITIALIZED, call(1), call(2), call(3, "bad")),
            capture_output=True,
            timeout=PATIENCE,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        assert sink.counts == {"success": 2, "error": 1}
        assert all(b"SECRET" not in received.head.encode() + received.body for received in sink.requests)
        assert len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize("propagates", [False, True])
def test_our_trace_context_reaches_it_only_where_that_was_asked_for(tmp_path: Path, *, propagates: bool) -> None:
    options = ["--otel-endpoint", "http://127.0.0.1:9", *(["--otel-propagate"] if propagates else [])]
    with serving() as (url, _), Run([*THV, "run", *options, url], tmp_path) as run:
        code, out, _ = run.finish(lines(INITIALIZE, INITIALIZED, call(1, "parent")))
    assert code == 0
    [text] = [json.loads(line)["result"]["content"][0]["text"] for line in out.splitlines() if b'"content"' in line]
    assert (text.count("-") == 3) is propagates


def test_it_can_be_tried_by_hand(tmp_path: Path) -> None:
    with serving() as (url, _):
        done = subprocess.run(
            [*THV, "mcp", "call", url, "good"],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, "DO_NOT_TRACK": "1"},
        )
    assert (done.returncode, done.stdout) == (0, b"fine\n"), done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are POSIX's")
def test_a_person_at_a_terminal_is_told_how_to_use_it_and_no_secret(tmp_path: Path) -> None:
    assert sys.platform != "win32"
    import pty

    url = "http://SECRET:SECRET@127.0.0.1:9/mcp?team=blue&api%5Fkey=SECRET&flag#SECRET"
    master, terminal = pty.openpty()
    try:
        os.write(master, b"\x04")
        done = subprocess.run(
            [*THV, "run", "--name", "mine", "--header", "X-Key: SECRET", url],
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, "DO_NOT_TRACK": "1"},
        )
    finally:
        os.close(master)
        os.close(terminal)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    shown = "http://********@127.0.0.1:9/mcp?team=blue&api%5Fkey=********&flag"
    told = json.loads(done.stderr[done.stderr.index("{") : done.stderr.rindex("}") + 1])["mcpServers"]["mine"]
    assert told["args"] == ["run", "--name=mine", "--header=X-Key=********", shown]
    assert "SECRET" not in done.stderr


def test_a_local_server_starts_without_anything_of_http() -> None:
    code = (
        "import sys\n"
        "from thv.cli.run import run\n"
        "from thv.cli.run_options import parse\n"
        "import thv.stdio_session\n"
        "class Server:\n"
        "    def spawn(*_arguments):\n"
        "        print(*sys.modules)\n"
        "        sys.exit()\n"
        "thv.stdio_session.ServerProcess = Server\n"
        "run(parse(['demo']))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert "thv.stdio_session" in loaded
    assert not loaded & {
        "httpx",
        "asyncio",
        "ssl",
        "socket",
        "thv.servers.remote_spec",
        "thv.http",
        "thv.cli.run_remote",
    }
