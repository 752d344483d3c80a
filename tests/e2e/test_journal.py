"""What real sessions leave in the journal, and what they never leave there; and what its commands say of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import PATIENCE, behind_thv, scripted, until
from tests.http.fronts import FrontRun
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

THV = [sys.executable, "-P", "-m", "thv"]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "clientInfo": {"name": "a-client", "version": "1"}},
}


def call(id_: int, name: str, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def lines(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def talk(argv: list[str], *messages: dict[str, Any], env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a session and have the reply to each message; stdin stays open."""
    environ = {**os.environ, **(env or {})}
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines(*messages))
    process.stdin.flush()
    for message in messages:
        if "id" in message:
            process.stdout.readline()
    return process


def thv(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*THV, *words], capture_output=True, text=True, timeout=PATIENCE, check=False, **options)


def logged(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in thv("log", "--format", "json", *words).stdout.splitlines()]


def ends(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(thv("why", "--format", "json", "-n", "99", *words).stdout or "[]")
    return found


def stored(home: Path) -> bytes:
    directory = home / ".local" / "state" / "toolhive" / "journal"
    return b"".join(file.read_bytes() for file in directory.iterdir())


def test_secrets_in_every_place_of_a_session_are_not_in_the_store(home: Path) -> None:
    secret = {
        name: f"hunter2-{name}" for name in ("argument", "result", "failure", "error", "env", "word", "uri", "meta")
    }
    server = scripted("leaky.py", secret["result"], secret["failure"], secret["error"], secret["word"])
    read = {
        "jsonrpc": "2.0",
        "id": 4,
        "method": "resources/read",
        "params": {"uri": f"https://u:{secret['uri']}@host/"},
    }
    list_ = {"jsonrpc": "2.0", "id": 5, "method": "tools/list", "params": {"_meta": {"token": secret["meta"]}}}
    process = talk(
        behind_thv(server, "--name=leaky", "-e", f"TOKEN={secret['env']}"),
        INITIALIZE,
        call(1, "ok", token=secret["argument"]),
        call(2, "fail", text=secret["argument"]),
        call(3, "error", text=secret["argument"]),
        read,
        list_,
        env={"API_KEY": secret["env"]},
    )
    process.communicate(timeout=PATIENCE)
    calls = logged("leaky")
    assert [each["outcome"] for each in calls] == ["success", "error", "error"]
    assert calls[2]["error_message"].startswith("request failed: api_key=[redacted]")
    assert len(calls[2]["error_message"]) <= 200
    for place, text in secret.items():
        assert text.encode() not in stored(home), place


def test_arguments_and_results_are_kept_only_where_asked_for_and_redacted(home: Path) -> None:
    server = scripted("leaky.py", "a result", "", "")
    process = talk(
        behind_thv(server, "--name=leaky", "--journal-capture"), call(1, "ok", text="an argument", token="hunter2")
    )
    process.communicate(timeout=PATIENCE)
    (found,) = logged("leaky")
    assert "an argument" in found["arguments"]
    assert "a result" in found["result"]
    assert b"hunter2" not in stored(home)


@pytest.mark.parametrize(
    ("options", "env"), [(["--no-journal"], {}), ([], {"TOOLHIVE_JOURNAL": "off"}), ([], {"TOOLHIVE_JOURNAL": "what"})]
)
def test_off_means_that_nothing_is_written(home: Path, options: list[str], env: dict[str, str]) -> None:
    talk(behind_thv(scripted("leaky.py", "", "", ""), *options), call(1, "x"), env=env).communicate(timeout=PATIENCE)
    assert not (home / ".local" / "state" / "toolhive" / "journal").exists()


def test_a_no_in_the_environment_is_remembered_until_the_file_says_yes(home: Path) -> None:
    server = behind_thv(scripted("leaky.py", "", "", ""), "--name=s")
    talk(server, call(1, "x"), env={"TOOLHIVE_JOURNAL": "off"}).communicate(timeout=PATIENCE)
    talk(server, call(1, "x")).communicate(timeout=PATIENCE)
    assert logged() == []
    assert "remembered" in thv("log").stderr
    assert thv("config", "journal", "set", "enabled", "true").returncode == 0
    talk(server, call(1, "x")).communicate(timeout=PATIENCE)
    assert len(logged()) == 1


def test_kill_9_loses_no_call_that_is_older_than_a_second_and_never_the_store() -> None:
    process = talk(behind_thv(scripted("leaky.py", "", "", ""), "--name=killed"), INITIALIZE, call(1, "x"))
    until(lambda: len(logged("killed")) == 1, "the call in the store")
    assert process.stdin is not None
    process.stdin.write(lines(call(2, "y")))
    process.stdin.flush()
    until(lambda: len(logged("killed")) == 2, "the second call")
    process.kill()
    process.communicate()
    assert [each["tool"] for each in logged("killed")] == ["x", "y"]
    (end,) = ends("killed")
    assert (end["ended_by"], end["client"]) == ("killed", "a-client")
    talk(behind_thv(scripted("leaky.py", "", "", ""), "--name=killed"), call(1, "z")).communicate(timeout=PATIENCE)
    assert [each["tool"] for each in logged("killed")] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("script", "code", "name"), [("exit 3", 3, None), ("exit 127", 127, None), ("kill -SEGV $$", 139, "SIGSEGV")]
)
def test_why_tells_how_a_server_died_and_stderr_names_the_command(script: str, code: int, name: str | None) -> None:
    with subprocess.Popen(
        behind_thv(["/bin/sh", "-c", f"echo a line of mine; {script}"], "--name=dying"),
        stdin=subprocess.PIPE,  # stays open: the client is there
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.wait(PATIENCE) == code
        assert process.stderr is not None
        assert b"thv why dying" in process.stderr.read()
    (end,) = ends("dying")
    assert (end["exit_code"], end["signal"], end["stray_lines"]) == (code, name, 1)
    assert end["ended_by"] == "server"
    assert "a line of mine" not in json.dumps(end)


def test_why_tells_of_a_command_that_is_not_there() -> None:
    assert thv("run", "--name=absent", "--", "/nonexistent/server").returncode == 127
    (end,) = ends("absent")
    assert (end["ended_by"], end["exit_code"]) == ("launch", 127)
    assert "PATH" in thv("why", "absent").stdout


@pytest.mark.parametrize("options", [[], ["--call-timeout=600"]])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX ones")
def test_a_signal_to_thv_is_named_and_told_from_a_client_that_left(options: list[str], name: str) -> None:
    process = talk(behind_thv(scripted("leaky.py", "", "", ""), "--name=signalled", *options), call(1, "x"))
    process.send_signal(signal.Signals[name])
    process.communicate(timeout=PATIENCE)
    (end,) = ends("signalled")
    assert (end["ended_by"], end["signal"]) == ("signal", name)
    assert f"{name} to thv" in thv("why", "signalled").stdout
    talk(behind_thv(scripted("leaky.py", "", "", ""), "--name=left"), call(1, "x")).communicate(timeout=PATIENCE)
    assert [end["ended_by"] for name in ("signalled", "left") for end in ends(name)] == ["signal", "client"]


@pytest.mark.parametrize("options", [[], ["--shared"]])
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX ones")
def test_who_ended_a_session_over_http_is_known(options: list[str], tmp_path: Path) -> None:
    server = ["--name=served", "--", *scripted("leaky.py", "", "", "")]
    with FrontRun(server, tmp_path, *options) as front:
        left, _ = front.begin(), front.begin()
        assert front.request("DELETE", Mcp_Session_Id=left).status == 204
        until(lambda: [end["ended_by"] for end in ends("served") if end["ended_by"]] == ["client"], "its end")
        front.process.send_signal(signal.SIGTERM)
        front.process.wait(PATIENCE)
    assert sorted((end["ended_by"], end["signal"]) for end in ends("served")) == [
        ("client", None),
        ("signal", "SIGTERM"),
    ]


def test_log_follows_calls_of_sessions_that_begin_later() -> None:
    with subprocess.Popen([*THV, "log", "-f", "--format", "json"], stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        talk(behind_thv(scripted("leaky.py", "", "", ""), "--name=later"), call(1, "x")).communicate(timeout=PATIENCE)
        assert json.loads(follower.stdout.readline())["server"] == "later"
        follower.kill()


def test_log_follow_ends_when_its_reader_has_left() -> None:
    with subprocess.Popen([*THV, "log", "-f"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as follower:
        assert follower.stdout is not None
        follower.stdout.close()
        assert follower.wait(PATIENCE) == 0


def test_output_on_a_pipe_is_plain_and_top_prints_one_frame() -> None:
    process = talk(behind_thv(scripted("leaky.py", "", "", ""), "--name=live"), INITIALIZE, call(1, "x"))
    until(lambda: "live" in thv("top").stdout, "the session")
    until(lambda: json.loads(thv("top", "--format", "json").stdout)[0]["calls"] == 1, "the call")
    for words in (["log"], ["top"], ["report"], ["why"]):
        done = thv(*words)
        assert (done.returncode, "\x1b" in done.stdout, "live" in done.stdout) == (0, False, True), words
    process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("words", [["log", "--since", "nonsense"], ["report", "--since", "1y"], ["log", "clear", "-f"]])
def test_words_that_mean_nothing_are_one_line_and_exit_2(words: list[str]) -> None:
    done = thv(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_the_page_needs_nothing_from_anywhere_and_escapes_names(tmp_path: Path) -> None:
    tool = "<script>alert(1)</script>"
    process = talk(behind_thv(scripted("leaky.py", "", "", ""), "--name=<b>s</b>"), call(1, tool), call(2, "fail"))
    process.communicate(timeout=PATIENCE)
    page = tmp_path / "report.html"
    assert thv("report", "--html", str(page)).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>s</b>" not in text
    assert not [word for word in ("http://", "https://", "src=", "@import", "url(") if word in text]
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("options", [[], ["--shared"]])
def test_sessions_over_http_through_a_proxy_and_to_a_remote_server_are_journalled(options: list[str]) -> None:
    port, front = free_port(), free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    processes = [subprocess.Popen([*THV, "run", "demo", "--name=front", f"--proxy-port={port}", *options])]
    try:
        until(lambda: thv("mcp", "call", url, "add", "a=1", "b=2").stdout.strip().endswith("3"), "the front")
        processes.append(subprocess.Popen([*THV, "proxy", "proxied", f"--target-uri={url}", f"--port={front}"]))
        through = f"http://127.0.0.1:{front}/mcp"
        until(lambda: thv("mcp", "call", through, "add", "a=1", "b=2").stdout.strip().endswith("3"), "the proxy")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE)
    until(lambda: {each["server"] for each in logged()} >= {"front", "proxied", "127.0.0.1"}, "all three")
    assert {each["outcome"] for each in logged()} == {"success"}


def test_fifty_sessions_write_at_once() -> None:
    argv = behind_thv(scripted("leaky.py", "", "", ""), "--name=many")
    processes = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(50)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(lines(*(call(id_, "x") for id_ in range(20))))
        process.stdin.flush()
    until(lambda: len(logged("many", "-n", "2000")) == 1000, "every call of every session")
    said = {process.communicate(timeout=5 * PATIENCE)[1] for process in processes}
    assert all(b"Traceback" not in each for each in said)
    calls = logged("many", "-n", "2000")
    assert len(calls) == 1000
    assert len({each["session"] for each in calls}) == 50
