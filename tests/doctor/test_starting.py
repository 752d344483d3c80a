"""`thv doctor --start`: what came of each server, with real ones that behave and real ones that do not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.e2e.harness import PATIENCE, until
from tests.processes import has_ended
from thv.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

    Doctor = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers are shell scripts")

THV = str(Path(sys.executable).with_name("thv"))
DEMO = {"command": THV, "args": ["run", "demo"]}

SERVER = """
import json, os, sys
def say(message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
def replies(line):
    request = json.loads(line)
    method, number = request.get("method"), request.get("id")
    if method == "initialize":
        yield {"id": number, "result": {"protocolVersion": "2025-06-18", "capabilities": CAPABILITIES}}
    elif method == "tools/list":
        yield TOOLS(number, request["params"])
    elif method and number is not None:
        yield {"id": number, "error": {"code": -32601, "message": "no " + method}}
CAPABILITIES = {"tools": {}}
TOOLS = lambda number, params: {"id": number, "result": {"tools": [{"name": "a"}]}}
"""
LOOP = """
for line in sys.stdin:
    for reply in replies(line): say(reply)
"""


def server(code: str) -> dict[str, Any]:
    return {"command": sys.executable, "args": ["-c", SERVER + code + LOOP]}


@pytest.fixture
def doctor(home: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Doctor:
    """Runs `thv doctor --start` on these servers of Cursor; the report of the first, or the whole answer."""

    def run(*, whole: bool = False, timeout: str = "30", **servers: dict[str, Any]) -> dict[str, Any]:
        path = home / ".cursor" / "mcp.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"mcpServers": servers}))
        capfd.readouterr()
        words = ["--start", "--timeout", timeout, "--project", str(tmp_path), "--format", "json"]
        code = main(["doctor", "cursor", *words])
        found: dict[str, Any] = json.loads(capfd.readouterr()[0])
        assert code == (1 if found["problems"] else 0)
        report: dict[str, Any] = found if whole else found["files"][0]["servers"][0]
        return report

    return run


def test_a_server_that_works_is_ok_with_its_tools_and_time(doctor: Doctor) -> None:
    report = doctor(demo=DEMO)
    assert report["findings"] == []
    assert report["start"]["ok"] is True
    assert report["start"]["tools"] == 5
    assert report["start"]["seconds"] > 0


def test_a_wrapped_server_starts_through_thv(doctor: Doctor, home: Path) -> None:
    path = home / ".cursor" / "mcp.json"
    doctor(one=server(""))
    assert main(["client", "wrap", "cursor"]) == 0
    entry = json.loads(path.read_text())["mcpServers"]["one"]
    assert entry["args"][0] == "run"
    report = doctor(one=entry)
    assert (report["state"], report["start"]["tools"], report["findings"]) == ("wrapped", 1, [])


def test_a_server_that_ends_tells_its_exit_code_and_its_last_words(doctor: Doctor) -> None:
    report = doctor(
        a={
            "command": "sh",
            "args": [
                "-c",
                "echo first words; echo second; for i in 1 2 3 4 5 6 7 8 9; do echo line $i >&2; done; exit 3",
            ],
        }
    )
    assert report["start"]["exit_code"] == 3
    assert report["start"]["stderr"] == [f"line {i}" for i in range(2, 10)]
    assert report["start"]["stray_stdout"] == "first words"
    assert report["findings"][0]["problem"] == "it ended before it answered (exit code 3)"


NODE_SAYS = """\
node:internal/modules/cjs/loader:1207
  throw err;
  ^

Error: Cannot find module '/away/server.js'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1204:15)
    at Module._load (node:internal/modules/cjs/loader:1038:27)
    at Function.executeUserEntryPoint [as runMain] (node:internal/modules/run_main:164:12)
    at node:internal/main/run_main_module:28:49 {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}

Node.js v20.20.2
"""


def test_a_stack_trace_of_node_does_not_push_its_error_out_of_the_last_words(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "says").write_text(NODE_SAYS)
    report = doctor(a={"command": "sh", "args": ["-c", f"cat {tmp_path / 'says'} >&2; exit 1"]})
    assert report["start"]["stderr"] == [
        "node:internal/modules/cjs/loader:1207",
        "throw err;",
        "^",
        "Error: Cannot find module '/away/server.js'",
        "code: 'MODULE_NOT_FOUND',",
        "requireStack: []",
        "}",
        "Node.js v20.20.2",
    ]
    assert report["findings"][0]["remedy"] == "install the module it misses"


def test_a_server_that_dies_of_a_signal(doctor: Doctor) -> None:
    report = doctor(a={"command": "sh", "args": ["-c", "kill -9 $$"]})
    assert report["findings"][0]["problem"] == "it ended before it answered (signal 9)"


def test_a_server_that_does_not_answer_is_given_up_and_ended(doctor: Doctor, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    report = doctor(a={"command": "sh", "args": ["-c", f"echo $$ > {pid}; trap '' TERM; sleep 600"]}, timeout="0.5")
    assert report["findings"][0]["problem"] == "no answer within 0.5 seconds"
    assert not psutil.pid_exists(int(pid.read_text()))


def test_what_a_server_leaves_behind_is_ended_too(doctor: Doctor, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    report = doctor(a={"command": "sh", "args": ["-c", f"sleep 600 & echo $! > {pid}; exec {THV} run demo"]})
    assert report["start"]["ok"] is True
    child = int(pid.read_text())
    deadline = time.monotonic() + 30
    while not has_ended(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_logs_on_stdout_are_wrong_even_if_it_answers(doctor: Doctor) -> None:
    report = doctor(a=server('print("Server running on stdio", flush=True)'))
    assert report["start"]["ok"] is True
    assert report["findings"] == [
        {
            "problem": "it writes to stdout what is no MCP: Server running on stdio",
            "remedy": "make it log to stderr; stdout is for MCP",
        }
    ]


@pytest.mark.parametrize(
    ("code", "tools", "problem"),
    [
        ("", 1, None),
        ("CAPABILITIES = {}\nTOOLS = lambda n, p: {'id': n, 'error': {'code': -32601, 'message': 'no'}}", 0, None),
        ("TOOLS = lambda n, p: {'id': str(n), 'result': {'tools': []}}", 0, None),
        (
            "TOOLS = lambda n, p: {'id': n, 'result': {'tools': [{}] * 2, 'nextCursor': None if p else 'x'}}",
            4,
            None,
        ),
        ("TOOLS = lambda n, p: {'id': n, 'result': {'tools': 'none'}}", None, "its answer to tools/list is no list"),
        (
            "TOOLS = lambda n, p: {'id': n, 'error': {'code': -32000, 'message': 'no key'}}",
            None,
            "error -32000: no key",
        ),
        ("replies = lambda line: [{'id': 99, 'result': {}}]", None, "no answer within"),
        ("replies = lambda line: [{'id': None, 'error': {'code': -32600, 'message': 'what'}}]", None, "-32600: what"),
        ("say({'id': 'q', 'method': 'ping'}); say({'method': 'notifications/message'})", 1, None),
    ],
)
def test_good_and_bad_answers(doctor: Doctor, code: str, tools: int | None, problem: str | None) -> None:
    report = doctor(a=server(code), timeout="3" if problem == "no answer within" else "30")
    assert report["start"]["tools"] == tools
    assert [problem in finding["problem"] for finding in report["findings"] if problem] == ([True] if problem else [])


def test_servers_start_side_by_side(doctor: Doctor, tmp_path: Path) -> None:
    # Each answers only once the other has been started.
    def waiting(own: str, other: str) -> dict[str, Any]:
        return server(
            f"import time\nopen({str(tmp_path / own)!r}, 'w').close()\n"
            f"while not os.path.exists({str(tmp_path / other)!r}): time.sleep(0.01)"
        )

    found = doctor(whole=True, a=waiting("a", "b"), b=waiting("b", "a"))
    assert [report["start"]["ok"] for report in found["files"][0]["servers"]] == [True, True]


def test_it_starts_with_the_clients_environment_and_folder(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_IN_THE_SHELL", "x")
    seen = tmp_path / "seen"
    (tmp_path / ".env").write_text("FROM_FILE=f\n")
    code = f"json.dump([dict(os.environ), os.getcwd()], open({str(seen)!r}, 'w'))"
    entry = {**server(code), "env": {"OWN": "o"}, "envFile": str(tmp_path / ".env"), "cwd": str(tmp_path)}
    assert doctor(a=entry)["findings"] == []
    environ, cwd = json.loads(seen.read_text())
    assert (environ["OWN"], environ["FROM_FILE"], cwd) == ("o", "f", os.path.realpath(tmp_path))
    assert "ONLY_IN_THE_SHELL" not in environ
    assert environ["HOME"] == os.environ["HOME"]


def test_variables_inside_the_command_are_the_servers_too(
    doctor: Doctor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Zed has had an object with `path`, `args` and `env` as an entry's command."""
    seen = tmp_path / "seen"
    entry = server(f"open({str(seen)!r}, 'w').write(os.environ.get('OWN', 'nothing'))")
    path = tmp_path / ".zed" / "settings.json"
    path.parent.mkdir()
    inner = {"path": entry["command"], "args": entry["args"], "env": {"OWN": "o"}}
    path.write_text(json.dumps({"context_servers": {"a": {"command": inner}}}))
    assert main(["doctor", str(path), "--start", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr()[0])["problems"] == 0
    assert seen.read_text() == "o"


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"cwd": "~no-such-user/x"}, "its cwd ~no-such-user/x is no folder"),
        ({"env": {"A=B": "c"}}, "illegal environment variable name"),
        ({"env": {"": "c"}}, "illegal environment variable name"),
        ({"env": {"A": "c\0d"}}, "embedded null byte"),
        ({"args": ["\ud800"]}, "surrogates not allowed"),
        ({"envFile": "away\0"}, "embedded null byte"),
    ],
)
def test_what_no_system_can_start_is_said_of_that_server_alone(doctor: Doctor, odd: dict[str, Any], says: str) -> None:
    servers = doctor(whole=True, odd={**DEMO, **odd}, demo=DEMO)["files"][0]["servers"]
    assert says in servers[0]["start"]["problem"]
    assert says in servers[0]["findings"][0]["problem"]
    assert (servers[1]["start"]["ok"], servers[1]["findings"]) == (True, [])


def test_what_only_the_client_knows_is_not_started(doctor: Doctor) -> None:
    report = doctor(a={"command": sys.executable, "args": ["${input:key}"]})
    assert report["start"] is None
    assert report["not_started"] == "only the client knows ${input:key}"
    assert report["findings"] == []


def test_the_first_start_behind_a_runner_is_told_from_the_second(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thv.doctor import examination

    monkeypatch.setattr(examination, "SLOW_S", 0.5)
    done = tmp_path / "downloaded"
    runner = tmp_path / "npx"
    runner.write_text(f"#!/bin/sh\n[ -e {done} ] || {{ sleep 1; touch {done}; }}\nexec {THV} run demo\n")
    runner.chmod(0o755)
    (tmp_path / "node").symlink_to(runner)
    report = doctor(a={"command": str(runner), "env": {"PATH": f"{tmp_path}:{os.environ['PATH']}"}})
    assert report["start"]["ok"] is True
    assert 0.5 < report["start"]["download_seconds"] <= report["start"]["seconds"]


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ("startup_timeout_sec = 0.001", [("0.001", "raise its startup_timeout_sec")]),
        ("startup_timeout_ms = 1", [("0.001", "raise its startup_timeout_ms")]),
        ("startup_timeout_ms = 1\nstartup_timeout_sec = 600", []),
        ("startup_timeout_ms = 600_000", []),
    ],
)
def test_a_server_that_takes_longer_than_its_client_waits_is_told_with_the_key_to_raise(
    home: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, own: str, told: list[tuple[str, str]]
) -> None:
    path = home / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text(f"[mcp_servers.demo]\ncommand = {json.dumps(THV)}\nargs = ['run', 'demo']\n{own}\n")
    main(["doctor", "codex", "--start", "--project", str(tmp_path), "--format", "json"])
    (report,) = json.loads(capfd.readouterr()[0])["files"][0]["servers"]
    assert report["start"]["ok"] is True
    assert [(each["problem"].partition(" waits ")[2], each["remedy"]) for each in report["findings"]] == told


def test_text_for_people(home: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = home / ".kiro" / "settings" / "mcp.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"mcpServers": {"demo": DEMO, "gone": {"command": "/away"}, "web": {"url": "http://x"}}})
    )
    assert main(["doctor", "--project", str(tmp_path)]) == 1
    out, err = capfd.readouterr()
    assert out.splitlines() == [
        "Kiro  ~/.kiro/settings/mcp.json",
        "  ok    demo  thv",
        "  wrong gone  away",
        "        /away does not exist",
        "        → correct the path, or install it there again",
        "  -     web   remote: its client only connects to it",
    ]
    assert "3 servers, 1 problem; --start starts them, too" in err


def test_on_a_terminal_each_server_has_a_line_while_it_starts(home: Path, tmp_path: Path) -> None:
    path = home / ".kiro" / "settings" / "mcp.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"mcpServers": {"demo": DEMO, "other": server("")}}))
    ours, theirs = os.openpty()  # type: ignore[attr-defined,unused-ignore]  # tests of terminals are POSIX's
    process = subprocess.Popen(
        [THV, "doctor", "kiro", "--start", "--project", str(tmp_path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "40"},
    )
    os.close(theirs)
    screen = b""
    with contextlib.suppress(OSError):  # the terminal is closed with its last program
        while data := os.read(ours, 65536):
            screen += data
    os.close(ours)
    assert process.wait() == 0, screen
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode()).replace("\r", "\n")
    assert re.search(r"demo +\d:\d\d:\d\d starting", text)
    assert re.search(r"other +\d:\d\d:\d\d ", text)
    assert re.search(r"  ok    demo   5 tools in \d+\.\d s", text)
    shown = [line.rstrip() for line in text.splitlines() if not line.startswith("thv: ")]
    assert [line for line in shown if len(line) > 80] == []


ENDLESS = """\
import os, signal, sys, time
log = open(sys.argv[1], "a", buffering=1)
def end(number, _):
    log.write("SIGTERM\\n")
    if sys.argv[2] == "obedient":
        sys.exit(0)
signal.signal(signal.SIGTERM, end)
log.write(f"{os.getpid()}\\n")
while True:
    time.sleep(0.05)
"""


class Starting:
    """`thv doctor --start` with a server that does not answer, and does not heed the end of its input."""

    def __init__(self, directory: Path, mode: str, *command: str) -> None:
        self._log = directory / "log"
        entry = {"command": sys.executable, "args": ["-c", ENDLESS, str(self._log), mode]}
        path = directory / "servers.json"
        path.write_text(json.dumps({"mcpServers": {"a": entry}}))
        self.process = subprocess.Popen(
            [*(command or [THV]), "doctor", str(path), "--start"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "DO_NOT_TRACK": "1"},
            text=True,
        )
        until(lambda: len(self.log()) == 1, "the server's start")
        self.pid = int(self.log()[0])

    def log(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def end(self) -> tuple[int, str, str]:
        """Its exit code, and what it wrote."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, stdout, stderr


@pytest.mark.parametrize("mode", ["obedient", "stubborn"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_ends_the_servers_first(tmp_path: Path, mode: str, name: str) -> None:
    starting = Starting(tmp_path, mode)
    number = getattr(signal, name)
    starting.process.send_signal(number)
    assert starting.end() == (128 + number, "", "")
    assert starting.log()[1:] == ["SIGTERM"]
    assert has_ended(starting.pid)


def test_a_second_signal_does_not_wait_for_them(tmp_path: Path) -> None:
    patient = "import sys; from thv.process import shutdown; shutdown.TERM_GRACE = 600; from thv.__main__ import main"
    starting = Starting(tmp_path, "stubborn", sys.executable, "-c", f"{patient}; sys.exit(main())")
    starting.process.send_signal(signal.SIGINT)
    until(lambda: starting.log()[1:] == ["SIGTERM"], "the server's signal")
    starting.process.send_signal(signal.SIGTERM)
    assert starting.end() == (128 + signal.SIGINT, "", "")
    until(lambda: has_ended(starting.pid), "the server's end")


def test_no_server_outlives_a_doctor_that_is_killed(tmp_path: Path) -> None:
    starting = Starting(tmp_path, "stubborn")
    starting.process.kill()
    assert starting.end() == (-signal.SIGKILL, "", "")
    until(lambda: has_ended(starting.pid), "the server's end")


def test_a_container_is_ended_with_its_command(doctor: Doctor, tmp_path: Path) -> None:
    tool = tmp_path / "podman"
    tool.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/said\nif [ "$1" = run ]; then echo some-id > "$3"; exec sleep 600; fi\n'
    )
    tool.chmod(0o755)
    report = doctor(a={"command": str(tool), "args": ["run", "-i", "--rm", "image"]}, timeout="0.5")
    assert report["findings"][0]["problem"].startswith("no answer within")
    said = tmp_path / "said"
    until(lambda: "rm -f some-id" in said.read_text().splitlines(), "the container's end")


def test_nothing_to_examine(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "--project", str(tmp_path)]) == 0
    assert "no MCP client is configured here" in capfd.readouterr()[1]
