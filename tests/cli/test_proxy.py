"""`thv proxy` and `thv run --transport`, as commands: messages, refused options, exit codes and counts."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.e2e.harness import PATIENCE, Run, python, until
from thv.cli.app import main
from thv.cli.proxy import proxy
from thv.cli.proxy_options import parse_proxy
from thv.cli.run import run
from thv.cli.run_options import parse
from thv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ended by signals, as POSIX does")

SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if message["method"] == "exit":
            os._exit(7)
        found = {name: os.environ.get(name) for name in ("MCP_TRANSPORT", "MCP_HOST", "FASTMCP_PORT", "PORT")}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"found": found}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
print("a word on stdout", flush=True)
port = sys.argv[1] if len(sys.argv) > 1 else os.environ["MCP_PORT"]
ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


def thv(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "thv", "--debug", *words]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Gives the line that a wrong command line ends with."""

    def refused(verb: str, *words: str) -> str:
        assert (run(parse(words)) if verb == "run" else main([verb, *words])) == 2
        out, err = capfd.readouterr()
        assert out == ""
        said = [line for line in err.splitlines() if not line.startswith("thv: usage analytics")]
        assert len(said) == 1
        return said[0]

    return refused


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("127.0.0.1:9000", "not http:// or https://"),
        ("ftp://host/mcp", "it begins with ftp://"),
        ("http://", "it names no host"),
        ("http://host:99999/", "it cannot be read"),
        ("http://host:0/", "port 0"),
        ("http://[::1/mcp", "it cannot be read"),
        ("http://me:secret@host/mcp", "it holds credentials"),
        ("http://host/mcp?key=secret", "a query or a fragment"),
        ("http://host/mcp#x", "a query or a fragment"),
        ("http://host/a b", "it holds blanks"),
    ],
)
def test_a_target_that_is_none_is_refused_in_one_line(uri: str, problem: str, refused: Callable[..., str]) -> None:
    said = refused("proxy", "x", "--target-uri", uri)
    assert problem in said
    assert "write http://127.0.0.1:9000/mcp" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["proxy", "x"], "--target-uri"),
        (["proxy", "x", "--target-uri", "http://127.0.0.1:8080/mcp", "--port", "8080"], "lead to itself"),
        (["proxy", "x", "--target-uri", "http://h/", "--allowed-origins", "example"], "is not an origin"),
        (["run", "demo", "--transport", "sse"], "the demo server speaks stdio only"),
        (["run", "--transport", "sse", "--target-port", "x", "--", "true"], "--target-port x: a port is a number"),
        (["run", "--transport", "sse", "--shared", "--", "true"], "the server keeps its own sessions"),
        (["run", "--transport", "sse", "--session-ttl", "5", "--", "true"], "--session-ttl is for servers on stdio"),
        (["proxy", "x", "--target-uri", "http://h/", "--port", "77777"], "--port 77777: a port is a number"),
        (["proxy", "x", "--target-uri", "http://h/", "--port=-1"], "--port -1: a port is a number"),
        (["run", "--target-port", "1", "--", "true"], "--target-port"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    words: Sequence[str], problem: str, refused: Callable[..., str]
) -> None:
    assert problem in refused(*words)


def post(url: str, method: str) -> object:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()
    with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=PATIENCE) as response:
        return json.loads(response.read())["result"]["found"]


def served(log: Path) -> str:
    until(lambda: " is served at " in log.read_text(), "the server")
    return str(re.findall(r" is served at (\S+?)[;,]", log.read_text())[0])


def test_a_server_is_started_told_its_port_counted_and_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        command = thv("run", "--transport", "streamable-http", "--name", "own", "--", *python(SERVER))
        with Run(command, tmp_path, stderr=stderr) as running:
            url = served(log)
            found = post(url, "tools/call")
            assert isinstance(found, dict)
            assert found == {
                "MCP_TRANSPORT": "streamable-http",
                "MCP_HOST": "127.0.0.1",
                "FASTMCP_PORT": found["PORT"],
                "PORT": found["PORT"],
            }
            with urlopen(url.replace("/mcp", "/health"), timeout=PATIENCE) as response:
                assert response.status == 200
            running.process.send_signal(signal.SIGTERM)
            assert running.wait() == 128 + signal.SIGTERM
            assert running.finish()[1] == b""
    said = log.read_text().splitlines()
    assert "a word on stdout" in said
    assert f"thv: own is served at {url}; Ctrl-C ends it" in said
    assert "thv: tool calls: 1 success, 0 errors" in said


def test_a_server_that_ends_takes_thv_with_it_and_its_open_call_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = SERVER.replace('message["method"] == "exit"', 'message["method"] == "tools/call"')
    with log.open("wb") as stderr:
        command = thv("run", "--transport", "sse", "--target-port", "0", "--", *python(code, "{port}"))
        with Run(command, tmp_path, stderr=stderr) as running:
            url = served(log)
            assert url.endswith("/sse")
            with pytest.raises(HTTPError) as error:
                post(url, "tools/call")
            assert error.value.code == 502
            error.value.close()
            assert running.wait() == 7
    assert "thv: tool calls: 0 success, 1 error" in log.read_text().splitlines()


def test_a_server_that_cannot_be_started_is_said_and_nothing_listens(tmp_path: Path) -> None:
    with Run(thv("run", "--transport", "sse", "--", "./missing"), tmp_path) as running:
        code, out, err = running.finish()
    assert (code, out) == (127, b"")
    assert b"missing" in err


def test_a_server_that_never_listens_is_said(tmp_path: Path) -> None:
    with Run(thv("run", "--transport", "sse", "--target-port", "1", "--", "false"), tmp_path) as running:
        code, out, err = running.finish()
    assert (code, out) == (1, b"")
    assert b"thv: false ended with exit code 1 before it listened on port 1\n" in err


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_proxy_says_where_it_is_and_ends_at_a_signal(end: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"
        with (
            log.open("wb") as stderr,
            Run(thv("proxy", "there", "--target-uri", target), tmp_path, stderr=stderr) as running,
        ):
            url = served(log)
            # In one piece: a request that fails before its body has come is none that could be counted.
            body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}'
            host, _, port = urlsplit(url).netloc.partition(":")
            head = f"POST /mcp HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
            with socket.create_connection((host, int(port))) as client:
                client.sendall(head.encode() + body)
                assert client.recv(12) == b"HTTP/1.1 502"
            running.process.send_signal(end)
            assert running.wait() == 0
            assert running.finish()[1] == b""
    said = log.read_text().splitlines()
    assert f"thv: there is served at {url}, from {target}; Ctrl-C ends it" in said
    assert "thv: tool calls: 0 success, 1 error" in said


def test_a_killed_thv_leaves_no_server(tmp_path: Path) -> None:
    """Fails where a process of the session is left: `until` raises."""
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        command = thv("run", "--transport", "streamable-http", "--", *python(SERVER))
        with Run(command, tmp_path, stderr=stderr) as running:
            served(log)
            running.process.kill()
            running.wait()
            until(running.all_gone, "the end of every process")


def test_the_options_of_the_users_telemetry_are_taken_but_for_the_one_that_changes_messages() -> None:
    request = parse_proxy(["weather", "--target-uri", "http://127.0.0.1:1/mcp", "--otel-endpoint=h:1"])
    assert request.otel == {"endpoint": "h:1"}
    with pytest.raises(UsageError, match="--otel-sampling-rate cannot be '2'"):
        parse_proxy(["weather", "--target-uri", "http://127.0.0.1:1/mcp", "--otel-sampling-rate=2"])
    propagating = parse_proxy(
        ["weather", "--target-uri", "http://127.0.0.1:1/mcp", "--otel-endpoint=h:1", "--otel-propagate"]
    )
    with pytest.raises(UsageError, match="--otel-propagate changes messages"):
        proxy(propagating)
