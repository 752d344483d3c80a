"""`thv mcp` as a person sees it: real processes, the real relay, one line for whatever goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from thv.cli.mcp_options import parse_call
from thv.errors import UsageError
from thv.servers.resolve import DEMO_FILE

if TYPE_CHECKING:
    from collections.abc import Callable

THV = [sys.executable, "-P", "-m", "thv"]
PATIENCE = 120.0

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="scripts with #!, signals and terminals are POSIX's")

WAITS: list[str] = ["mcp", "call", "demo", "wait", "seconds=60"]


@pytest.fixture(autouse=True)
def analytics_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")


def thv(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*THV, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | env,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Makes an executable Python script; the demo server can follow what it does first."""

    def make(code: str, *, then_serve: bool = False) -> str:
        path = tmp_path / "a-server"
        serve = f"import runpy; runpy.run_path({DEMO_FILE!r}, run_name='__main__')\n" if then_serve else ""
        path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{code}\n{serve}", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return make


def test_the_tools_of_a_server_are_listed_in_aligned_columns() -> None:
    seen = thv("mcp", "list", "demo")
    assert seen.returncode == 0
    lines = seen.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["add", "echo", "now", "fail", "wait"]
    assert len({line.index(text) for line, text in zip(lines, ("Adds", "Gives", "The time"), strict=False)}) == 1
    assert "a=number b=number" in lines[0]
    assert "[message=string]" in lines[3]


def test_the_list_as_json_is_the_protocols_own() -> None:
    tools = json.loads(thv("mcp", "list", "demo", "--format", "json").stdout)["tools"]
    assert tools[0]["inputSchema"]["required"] == ["a", "b"]
    assert set(tools[0]) == {"name", "title", "description", "inputSchema", "outputSchema", "annotations"}


def test_a_call_prints_the_text_and_nothing_else() -> None:
    seen = thv("mcp", "call", "demo", "add", "a=2", "b=3")
    assert (seen.returncode, seen.stdout) == (0, "5\n")


def test_a_text_stays_a_text_however_it_looks() -> None:
    assert thv("mcp", "call", "demo", "echo", "text=5").stdout == "5\n"
    assert thv("mcp", "call", "demo", "echo", "text=ü=\u2028 [bold]").stdout == "ü=\u2028 [bold]\n"


def test_a_call_as_json_is_the_protocols_own_result() -> None:
    result = json.loads(thv("mcp", "call", "demo", "--format=json", "add", "a=2", "b=3").stdout)
    assert result["content"] == [{"type": "text", "text": "5"}]
    assert result["structuredContent"] == {"sum": 5}
    assert result["isError"] is False


def test_arguments_may_come_as_one_json_object() -> None:
    assert thv("mcp", "call", "demo", "add", "--args-json", '{"a": 1, "b": 2}').stdout == "3\n"
    assert thv("mcp", "call", "demo", "add", "b=5", "--args-json", '{"a": 1, "b": 2}').stdout == "6\n"


def test_a_tool_that_fails_says_so_on_stderr_and_exits_with_1() -> None:
    seen = thv("mcp", "call", "demo", "fail", "message=as you wish")
    assert (seen.returncode, seen.stdout) == (1, "")
    assert "as you wish" in seen.stderr.splitlines()


def test_a_failed_call_as_json_is_an_answer_and_exits_with_1() -> None:
    seen = thv("mcp", "call", "demo", "fail", "--format", "json")
    assert seen.returncode == 1
    assert json.loads(seen.stdout)["isError"] is True


def test_a_protocol_error_is_one_line_and_exits_with_1() -> None:
    seen = thv("mcp", "call", "demo", "no-such-tool")
    assert (seen.returncode, seen.stdout) == (1, "")
    assert "thv: the server answered with error -32602: Unknown tool: no-such-tool" in seen.stderr.splitlines()
    assert "Traceback" not in seen.stderr


@pytest.mark.parametrize(
    ("tool", "hint"),
    [("ad", "did you mean add?"), ("Echo", "did you mean echo?"), ("xyz", "its tools are add, echo, now, fail, wait")],
)
def test_a_misspelt_tool_is_answered_with_the_nearest_ones(tool: str, hint: str) -> None:
    seen = thv("mcp", "call", "demo", tool)
    assert (seen.returncode, seen.stdout) == (1, "")
    assert f"thv: the server has no tool {tool!r}; {hint}" in seen.stderr.splitlines()


def test_a_tool_that_fails_is_not_called_unknown() -> None:
    assert "has no tool" not in thv("mcp", "call", "demo", "fail").stderr


def test_a_value_of_the_wrong_type_is_one_line_and_is_not_sent() -> None:
    seen = thv("mcp", "call", "--debug", "demo", "add", "a=two", "b=3")
    assert seen.returncode == 1
    assert "thv: a=two: the tool takes a number there" not in seen.stdout
    assert "a=two: the tool takes a number there" in seen.stderr
    assert "thv: tool calls: 0 success, 0 errors" in seen.stderr.splitlines()


@pytest.mark.parametrize(
    "words",
    [["--debug", "mcp", "call", "demo", "echo", "text=x"], ["mcp", "call", "--debug", "demo", "echo", "text=x"]],
)
def test_the_call_goes_through_the_relay_and_is_counted(words: list[str]) -> None:
    seen = thv(*words)
    assert seen.stdout == "x\n"
    assert "thv: tool calls: 1 success, 0 errors" in seen.stderr.splitlines()


@pytest.mark.parametrize(
    "words",
    [
        ["mcp", "call", "demo"],
        ["mcp", "call", "demo", "add", "a"],
        ["mcp", "call", "demo", "add", "--args-json", "[1]"],
        ["mcp", "call", "demo", "add", "--args-json", "{"],
        ["mcp", "call", "demo", "add", "--format", "xml"],
        ["mcp", "list"],
        ["mcp", "list", "demo", "surplus"],
        ["mcp", "list", "--", "demo"],
        ["mcp", "nonsense"],
    ],
)
def test_a_wrong_command_line_ends_with_2(words: list[str]) -> None:
    seen = thv(*words)
    assert (seen.returncode, seen.stdout) == (2, "")
    assert seen.stderr
    assert "Traceback" not in seen.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["list", "tim"], 1, "did you mean time?"),
        (["call", "https://", "x"], 2, "https://"),
        (["list", "./no/such/server"], 1, "no such file"),
        (["list", "uvx://x", "-e", "PATH=/nowhere"], 1, "https://docs.astral.sh/uv/"),
        (["list", "demo", "-e", "TOKEN"], 2, "-e TOKEN has no value"),
        (["list", "demo", "--env-file", "missing.env"], 1, "cannot read --env-file missing.env"),
        (["list", "demo", "--cwd", "missing"], 1, "--cwd missing: no such directory"),
    ],
)
def test_what_cannot_be_started_is_one_line_and_the_right_code(words: list[str], code: int, says: str) -> None:
    seen = thv("mcp", *words)
    assert (seen.returncode, seen.stdout) == (code, "")
    (line,) = seen.stderr.splitlines()
    assert line.startswith("thv: ")
    assert says in line


@posix_only
@pytest.mark.parametrize(
    "content",
    [b"#!/no/such/interpreter\n", b"\x7fELF nonsense \x00\xff", b"\x7fELF\x02\x01\x01" + b"\0" * 57],
    ids=["no interpreter", "nonsense", "an empty ELF header"],
)
def test_a_file_the_system_refuses_to_execute_is_one_line_and_1(content: bytes, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(content)
    broken.chmod(0o755)
    seen = thv("mcp", "list", str(broken))
    assert (seen.returncode, seen.stdout) == (1, "")
    (line,) = seen.stderr.splitlines()
    assert line.startswith(f"thv: {broken}: ")


@posix_only
@pytest.mark.parametrize(
    ("code", "told"), [("sys.exit(3)", 3), ("sys.exit(0)", 0), ("os.kill(os.getpid(), 9)", 137), ("sys.exit(126)", 126)]
)
def test_a_server_that_dies_at_once_is_one_line_that_names_its_code(
    script: Callable[..., str], code: str, told: int
) -> None:
    seen = thv("mcp", "list", script(code))
    assert (seen.returncode, seen.stdout) == (1, "")
    assert seen.stderr.splitlines() == [f"thv: the server ended before it answered (exit code {told})"]


@posix_only
def test_a_server_that_dies_in_a_call_is_one_line_that_names_its_code(script: Callable[..., str]) -> None:
    server = script(
        f"sys.path.insert(0, {str(Path(DEMO_FILE).parent)!r})\n"
        "import demo\n"
        "demo._run = lambda *a, **k: os._exit(5)\n"
        "demo.serve(sys.stdin.buffer, sys.stdout.buffer)"
    )
    seen = thv("mcp", "call", server, "echo", "text=x")
    assert (seen.returncode, seen.stdout) == (1, "")
    assert seen.stderr.splitlines() == ["thv: the server ended before it answered (exit code 5)"]


@posix_only
def test_the_servers_options_arguments_and_stderr_pass_through(script: Callable[..., str], tmp_path: Path) -> None:
    server = script(
        "print(os.environ['A'], os.environ['B'], os.getcwd(), sys.argv[1:], file=sys.stderr)", then_serve=True
    )
    (tmp_path / "vars").write_text("A=file\nB=file\n")
    options = ["-e", "A=-x y", "--env-file", str(tmp_path / "vars"), "--cwd", str(tmp_path), "--name", "mine"]
    seen = thv("mcp", "call", *options, server, "echo", "text=x", "--", "--flag", "--", "k=v")
    assert seen.stdout == "x\n"
    assert f"-x y file {tmp_path} ['--flag', '--', 'k=v']" in seen.stderr.splitlines()


@posix_only
def test_logs_on_stdout_and_results_of_any_size_do_no_harm(script: Callable[..., str]) -> None:
    server = script(r"print('Starting…\n\n{\"log\": 1}\n[]', flush=True)", then_serve=True)
    text = "0123456789abcdef" * 6000
    seen = thv("mcp", "call", server, "echo", f"text={text}")
    assert seen.stdout == text + "\n"
    big = json.dumps({"text": "ü" * 60_000}, ensure_ascii=False)  # Linux takes 128 KiB in one argument
    assert thv("mcp", "call", server, "echo", "--args-json", big).stdout == "ü" * 60_000 + "\n"


@posix_only
def test_ctrl_c_is_quiet_and_leaves_nothing_behind() -> None:
    with subprocess.Popen([*THV, *WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        me = psutil.Process(client.pid)
        deadline = time.monotonic() + PATIENCE
        below: list[psutil.Process] = []
        while not any(DEMO_FILE in _command_line(process) for process in below):
            assert time.monotonic() < deadline
            time.sleep(0.02)
            below = me.children(recursive=True)
        time.sleep(0.5)  # into the call, though any moment must do
        below = me.children(recursive=True)
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=PATIENCE)
    assert (client.returncode, out) == (130, "")
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(below, timeout=PATIENCE)
    assert not alive


def _command_line(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


@posix_only
def test_on_a_terminal_the_tools_are_a_table() -> None:
    screen, code = on_a_terminal([*THV, "mcp", "list", "demo"])
    assert code == 0
    assert "Description" in screen
    assert "Adds two numbers." in screen


@posix_only
def test_a_slow_start_is_explained_on_a_terminal(script: Callable[..., str], tmp_path: Path) -> None:
    go = tmp_path / "go"
    server = script(f"while not os.path.exists({str(go)!r}): time.sleep(0.05)", then_serve=True)

    def see(screen: bytes) -> None:
        if b"starting a-server" in screen:
            go.touch()

    screen, code = on_a_terminal([*THV, "mcp", "call", server, "echo", "text=hello"], see)
    assert code == 0
    assert "hello" in screen


@posix_only
def test_a_slow_start_is_not_mentioned_to_a_pipe(script: Callable[..., str]) -> None:
    seen = thv("mcp", "call", script("time.sleep(3)", then_serve=True), "echo", "text=hello")
    assert (seen.stdout, seen.stderr) == ("hello\n", "")


def on_a_terminal(argv: list[str], see: Callable[[bytes], object] = lambda _screen: None) -> tuple[str, int]:
    """What a command shows on a terminal of its own, and its exit code; `see` looks on."""
    ours, theirs = os.openpty()  # type: ignore[attr-defined,unused-ignore]  # not on Windows, nor are its callers
    env = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env) as child:
        os.close(theirs)
        screen = b""
        with suppress(OSError):  # EIO: the last holder of the terminal is gone
            while chunk := os.read(ours, 65536):
                screen += chunk
                see(screen)
        os.close(ours)
        return screen.decode(), child.wait(PATIENCE)


def test_the_help_tells_what_every_word_means() -> None:
    seen = thv("mcp", "call", "-h")
    assert seen.returncode == 0
    for word in ("SERVER", "TOOL", "KEY=VALUE", "-- ARGS...", "--args-json", "--env-file", "--format", "--debug"):
        assert word in seen.stdout


def test_listing_needs_no_slow_import_before_the_server_is_started() -> None:
    code = "import sys; from thv.cli import mcp; print([n for n in ('mcp', 'asyncio', 'msgspec') if n in sys.modules])"
    seen = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"


def test_the_options_of_the_users_telemetry_reach_the_relay() -> None:
    request = parse_call(["demo", "add", "a=1", "--otel-endpoint=h:1", "--otel-propagate"])
    assert {"--otel-endpoint=h:1", "--otel-propagate=true"} <= set(request.run.to_argv())
    with pytest.raises(UsageError, match="--otel-sampling-rate cannot be '2'"):
        parse_call(["demo", "add", "--otel-sampling-rate=2"])
