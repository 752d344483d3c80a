"""`thv run --restart` and `--call-timeout` under odd bytes, odd clients, and servers that die at the worst moment."""

from __future__ import annotations

import array
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Run, behind_thv, python, receive, scripted, until
from thv.process.shutdown import EOF_GRACE

fcntl = pytest.importorskip("fcntl", reason="signals and pipes are POSIX ones")
termios = pytest.importorskip("termios")

INITIALIZE = b'{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-06-18"}}\n'
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
LIST_CHANGED = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n'
FULL = Path("/dev/full")
BOM = b"\xef\xbb\xbf"


def call(id_: object, name: str, more: str = "") -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":{"name":"%b"%b}}\n' % (
        json.dumps(id_).encode(),
        name.encode(),
        more.encode(),
    )


def fickle(directory: Path, *plan: str) -> list[str]:
    return scripted("fickle.py", str(directory / "lives"), *plan)


def supervised(directory: Path, *options: str, plan: tuple[str, ...] = (), **popen: Any) -> Run:
    return Run(behind_thv(fickle(directory, *plan), "--name=fickle", *options), directory, **popen)


def read(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(receive(run.stdout, line=True))
    return found


def read_lines(run: Run, count: int) -> list[bytes]:
    """So many lines, which may be long."""
    got = bytearray()
    found = 0
    while found < count:
        chunk = os.read(run.stdout, 65536)
        assert chunk, f"the end came after {found} lines"
        got += chunk
        found += chunk.count(b"\n")
    return bytes(got).splitlines(keepends=True)


def lives(directory: Path) -> int:
    path = directory / "lives"
    return path.stat().st_size if path.exists() else 0


def await_life(directory: Path, life: int) -> None:
    until(lambda: lives(directory) > life, f"life {life}")


def received(directory: Path, life: int) -> list[bytes]:
    """What the server read in one of its lives."""
    lines = (directory / "lives.log").read_bytes().splitlines(keepends=True)
    return [line.partition(b" ")[2] for line in lines if line.startswith(b"%d " % life)]


def has_read(directory: Path, text: bytes, life: int = 0) -> bool:
    path = directory / "lives.log"
    return path.exists() and any(text in line for line in received(directory, life))


def why(name: str = "fickle") -> Any:
    words = [sys.executable, "-m", "thv", "why", name, "--format", "json"]
    return json.loads(subprocess.run(words, capture_output=True, check=True).stdout)


def logged(name: str = "fickle") -> list[tuple[str, str]]:
    words = [sys.executable, "-m", "thv", "log", name, "--format", "json"]
    lines = subprocess.run(words, capture_output=True, check=True).stdout.splitlines()
    return [(each["tool"], each["outcome"]) for each in map(json.loads, lines)]


def unread(fd: int) -> int:
    """Bytes in a pipe that were not read yet."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


ODD_CALLS = {
    "NaN": call(1, "hang", ',"arguments":{"x":NaN}'),
    "half a surrogate": call(1, "hang", ',"arguments":{"x":"\\ud800"}'),
    "float token": call(1, "hang", ',"_meta":{"progressToken":1.5}'),
    "byte order mark": BOM + call(1, "hang"),
    "wrong type": call(1, "hang", ',"_meta":[]'),
    "deep": call(1, "hang", ',"arguments":' + "[" * 3000 + "]" * 3000),
    "batch": b"[" + call(1, "hang").strip() + b"]\n",
}


@pytest.mark.parametrize("odd", ODD_CALLS)
def test_a_call_of_whatever_bytes_is_ended_with_its_server_and_by_the_timeout(tmp_path: Path, odd: str) -> None:
    with supervised(tmp_path, "--restart") as run:
        run.send(ODD_CALLS[odd] + call(2, "die"))
        assert [(each["id"], each["error"]["code"]) for each in (read(run), read(run))] == [(1, -32000), (2, -32000)]
        run.send(call(3, "x"))
        assert read(run)["id"] == 3
        run.close_stdin()
        assert run.wait() == 0
    with supervised(tmp_path, "--call-timeout=0.2") as run:
        run.send(ODD_CALLS[odd])
        error = read(run)
        assert (error["id"], error["error"]["code"]) == (1, -32001)
        until(
            lambda: has_read(tmp_path, b'"notifications/cancelled","params":{"requestId":1,"reason":', 2),
            "the cancellation",
        )
        run.close_stdin()
        assert run.wait() == 0


@pytest.mark.parametrize("id_", ['"a\\u0062"', "1.50", "-0", "123456789012345678901234567890", '""'])
def test_an_error_and_a_cancellation_name_the_id_as_it_was_written(tmp_path: Path, id_: str) -> None:
    line = call(7, "hang").replace(b"7", id_.encode())
    with supervised(tmp_path, "--restart", "--call-timeout=0.2") as run:
        run.send(line)
        assert b'"id":%b,' % id_.encode() in receive(run.stdout, line=True)
        until(lambda: has_read(tmp_path, b'"requestId":%b,' % id_.encode()), "the cancellation")
        run.send(line.replace(b"hang", b"die"))
        assert b'"id":%b,' % id_.encode() in receive(run.stdout, line=True)
        run.close_stdin()
        run.wait()


def test_a_reply_under_the_twin_of_an_id_answers_it(tmp_path: Path) -> None:
    with supervised(tmp_path, "--restart", "--call-timeout=60") as run:
        run.send(call(1, "twin"))
        assert read(run)["id"] == "1"
        run.send(call(2, "die"))
        assert read(run)["id"] == 2  # and no error for 1, which was answered
        run.send(call(3, "x"))
        assert read(run)["id"] == 3
        run.close_stdin()
        assert run.wait() == 0


def test_a_request_that_comes_while_open_ones_are_ended_reaches_the_next_server(tmp_path: Path) -> None:
    """The errors do not fit into the pipe, so thv is in the middle of writing them when the request is sent."""
    many, long = 200, "x" * 20_000
    with supervised(tmp_path, "--restart") as run:
        run.send(b"".join(call(f"{number}{long}", "hang") for number in range(many)) + call(0, "die"))
        assert receive(run.stdout, count=1) == b"{"  # the first error
        run.send(call("later", "x"))
        until(lambda: unread(run.stdin) == 0, "the request's way into thv")
        *errors, reply = read_lines(run, many + 2)
        assert sum(b'"error"' in error for error in errors) == many + 1
        assert json.loads(reply) == {"jsonrpc": "2.0", "id": "later", "result": {"content": [], "life": 1}}
        run.close_stdin()
        assert run.wait() == 0


def test_a_last_line_without_newline_gets_one_and_is_counted(tmp_path: Path) -> None:
    with supervised(tmp_path, "--restart") as run:
        code, out, _ = run.finish(call(1, "x").rstrip())
    assert (code, out.count(b'"result"')) == (0, 1)
    assert received(tmp_path, 0) == [call(1, "x")]
    assert logged() == [("x", "success")]


def test_replies_in_flight_at_the_end_of_input_have_as_long_as_without_supervision(tmp_path: Path) -> None:
    with Run(behind_thv(scripted("answers.py", "--after", str(EOF_GRACE + 1)), "--restart"), tmp_path) as run:
        code, out, _ = run.finish(call(1, "x"))
    assert (code, json.loads(out)["id"]) == (0, 1)


def test_a_server_that_cannot_be_started_again_ends_the_session_with_its_exit_code(tmp_path: Path) -> None:
    script = tmp_path / "server"
    script.write_text('#!/bin/sh\nread -r line\nrm "$0"\nread -r line\nexit 3\n')
    script.chmod(0o755)
    with Run(behind_thv([str(script)], "--restart=2", "--name=fickle"), tmp_path) as run:
        run.send(call(1, "x") + call(2, "x"))
        assert [read(run)["error"]["code"] for _ in range(2)] == [-32000] * 2
        run.send(call(3, "x"))
        until(lambda: unread(run.stdin) == 0, "the request's way into thv")
        assert "is not started again" in read(run)["error"]["message"]
        assert run.wait() == 3
        assert b"thv why fickle" in receive(run.stderr)
    (session,) = why()
    assert (session["ended_by"], session["exit_code"], session["calls"], session["errors"]) == ("server", 3, 3, 3)


def test_a_server_that_cannot_be_started_at_all_is_one_session_in_the_journal(tmp_path: Path) -> None:
    codes = []
    for option in ("--debug", "--restart"):
        script = tmp_path / "server"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        with Run(behind_thv([str(script)], option, f"--name=s{option.strip('-')}"), tmp_path) as run:
            run.close_stdin()
            codes.append(run.wait())
    assert codes[0] == codes[1] > 0
    plain, restarted = why("sdebug"), why("srestart")
    assert [len(plain), len(restarted)] == [1, 1]
    assert plain[0]["ended_by"] == restarted[0]["ended_by"]


def test_a_client_that_uses_one_id_for_everything_is_answered_each_time(tmp_path: Path) -> None:
    initialize = INITIALIZE.replace(b'"i"', b"1")
    with supervised(tmp_path, "--restart") as run:
        run.send(initialize)
        assert "capabilities" in read(run)["result"]
        run.send(INITIALIZED + call(1, "hang") + call(1, "die"))
        assert [read(run)["error"]["code"] for _ in range(2)] == [-32000] * 2
        assert receive(run.stdout, line=True) == LIST_CHANGED
        run.send(call(1, "x"))
        assert read(run)["result"]["life"] == 1
        run.close_stdin()
        assert (run.wait(), receive(run.stdout)) == (0, b"")
    assert received(tmp_path, 1) == [initialize, INITIALIZED, call(1, "x")]


def test_each_of_two_calls_under_one_id_times_out(tmp_path: Path) -> None:
    with supervised(tmp_path, "--call-timeout=0.2") as run:
        run.send(call(1, "hang") + call(1, "hang"))
        assert [(error["id"], error["error"]["code"]) for error in (read(run), read(run))] == [(1, -32001)] * 2
        run.close_stdin()
        run.wait()


def test_a_server_that_dies_in_the_middle_of_a_large_reply_is_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path, "--restart") as run:
        run.send(call(1, "half"))
        half, error_line = read_lines(run, 2)
        assert len(half) > 20 << 20
        error = json.loads(error_line)
        assert (error["id"], error["error"]["code"]) == (1, -32000)
        run.send(call(2, "x"))
        assert read(run)["result"]["life"] == 1
        run.close_stdin()
        assert run.wait() == 0


@pytest.mark.parametrize("plan", [("0:die",), ("0:exit", "1:die", "2:exit")])
def test_a_server_that_dies_before_it_is_initialized_is_initialized_in_its_next_life(
    tmp_path: Path, plan: tuple[str, ...]
) -> None:
    with supervised(tmp_path, "--restart", plan=plan) as run:
        run.send(INITIALIZE)
        assert read(run)["result"]["life"] == len(plan)
        run.send(INITIALIZED + call(1, "x"))
        assert read(run)["id"] == 1
        run.close_stdin()
        assert (run.wait(), receive(run.stdout)) == (0, b"")
    assert received(tmp_path, len(plan)) == [INITIALIZE, INITIALIZED, call(1, "x")]


def test_a_server_that_dies_while_it_is_initialized_again_is_initialized_once_more(tmp_path: Path) -> None:
    with supervised(tmp_path, "--restart", plan=("1:die", "2:exit")) as run:
        run.send(INITIALIZE + INITIALIZED)
        assert read(run)["id"] == "i"
        run.send(call(1, "die"))
        assert read(run)["error"]["code"] == -32000
        run.send(call(2, "x"))  # held until the third life
        assert receive(run.stdout, line=True) == LIST_CHANGED
        assert read(run) == {"jsonrpc": "2.0", "id": 2, "result": {"content": [], "life": 3}}
        run.close_stdin()
        assert (run.wait(), receive(run.stdout)) == (0, b"")
    assert received(tmp_path, 3) == [INITIALIZE, INITIALIZED, call(2, "x")]


def test_initialized_that_comes_while_there_is_no_server_is_sent_once(tmp_path: Path) -> None:
    with supervised(tmp_path, "--restart", "--call-timeout=60", plan=("1:exit",)) as run:
        run.send(INITIALIZE)
        assert read(run)["id"] == "i"
        run.send(call(1, "die"))
        assert read(run)["id"] == 1
        run.send(INITIALIZED + call(2, "x"))
        assert receive(run.stdout, line=True) == LIST_CHANGED
        assert read(run)["id"] == 2
        run.close_stdin()
        assert run.wait() == 0
    assert received(tmp_path, 2) == [INITIALIZE, INITIALIZED, call(2, "x")]


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "SIGHUP", "end of input"])
@pytest.mark.parametrize("phase", ["waiting", "initialized again"])
def test_a_session_is_ended_in_any_phase_with_the_exit_code_of_its_last_server(
    tmp_path: Path, phase: str, end: str
) -> None:
    """While thv waits before a restart there is no server: the exit code is that of the last one."""
    plan = ("1:exit", "2:exit", "3:exit", "4:exit") if phase == "waiting" else ("1:hang",)
    with supervised(tmp_path, "--restart=9", plan=plan) as run:
        run.send(INITIALIZE)
        assert read(run)["id"] == "i"
        run.send(call(1, "die"))
        assert read(run)["error"]["code"] == -32000
        if phase == "waiting":
            until(lambda: lives(tmp_path) == 5, "the fifth life")
            said = b""
            while said.count(b"is started again") < 5:  # and thv waits its longest
                said += receive(run.stderr, line=True)
        else:
            until(lambda: has_read(tmp_path, INITIALIZE, 1), "the second initialize")
        if end == "end of input":
            run.close_stdin()
        else:
            os.kill(run.pid, getattr(signal, end))
        code = run.wait()
        assert lives(tmp_path) == (5 if phase == "waiting" else 2)
        if phase == "waiting":
            assert code == 4
        else:
            assert code == (0 if end == "end of input" else 128 + getattr(signal, end))
    (session,) = why()
    assert session["ended_by"] == ("client" if end == "end of input" else "signal")


def test_after_a_signal_the_client_is_heard_until_the_server_ends(tmp_path: Path) -> None:
    """As without supervision: the server decides what to do of a signal, and its client may go on for a while."""
    server = python(
        "import os, select, signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'got it\\n'))\n"
        "os.write(1, b'ready\\n')\n"
        "while not select.select([0], [], [], 0.05)[0]: pass\n"
        "os.write(1, os.read(0, 100))\n"
        "os._exit(5)\n"
    )
    with Run(behind_thv(server, "--restart"), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        os.kill(run.pid, signal.SIGTERM)
        assert receive(run.stdout, line=True) == b"got it\n"
        run.send(b"one more\n")
        assert receive(run.stdout, line=True) == b"one more\n"
        assert run.wait() == 5


def test_a_server_that_ends_before_it_answered_is_named_with_thv_why(tmp_path: Path) -> None:
    for option in ("--debug", "--call-timeout=60"):
        with Run(behind_thv(["sh", "-c", "exit 3"], option, "--name=brief"), tmp_path) as run:
            assert run.wait() == 3
            assert b"thv why brief" in receive(run.stderr)


@pytest.mark.parametrize("options", [("--debug",), ("--call-timeout=60",), ("--restart=1",)])
@pytest.mark.parametrize(("name", "typed"), [("it's mine", "'it'\"'\"'s mine'"), ("-n", "-- -n")])
def test_what_it_says_to_type_names_the_server_whatever_it_is_called(
    tmp_path: Path, options: tuple[str, ...], name: str, typed: str
) -> None:
    with Run(behind_thv(["sh", "-c", "exit 3"], *options, f"--name={name}"), tmp_path) as run:
        assert run.wait() == 3
        assert f": thv why {typed}\n" in receive(run.stderr).decode()


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_stdout_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    for option in ("--debug", "--restart"):
        with FULL.open("wb") as full, supervised(tmp_path, option, stdout=full) as run:
            run.send(call(1, "x"))
            until(lambda: has_read(tmp_path, b"tools/call"), "the call")
            run.close_stdin()
            assert run.wait() == 1
            assert b"messages of the server are lost" in receive(run.stderr)


def test_stray_lines_are_counted(tmp_path: Path) -> None:
    server = ["sh", "-c", "echo log; echo; echo '{}'; echo more; cat >/dev/null"]
    with Run(behind_thv(server, "--restart", "--name=fickle"), tmp_path) as run:
        assert run.finish()[1] == b"log\n\n{}\nmore\n"
    assert why()[0]["stray_lines"] == 2


def test_servers_killed_at_once_are_given_up_and_no_request_stays_unanswered(tmp_path: Path) -> None:
    """Each life is killed as soon as it can be seen; whatever was sent is answered once."""
    with supervised(tmp_path, "--restart=3") as run:
        for number in range(4):
            run.send(call(number, "x"))
            await_life(tmp_path, number)
            for process in run.family():
                if "fickle.py" in " ".join(process.cmdline()) and process.pid != run.pid and process.ppid() == run.pid:
                    process.kill()
        answered = re.findall(rb'"id":(\d)', receive(run.stdout))
        assert sorted(answered) == [b"0", b"1", b"2", b"3"]
        assert run.wait() == 128 + signal.SIGKILL
