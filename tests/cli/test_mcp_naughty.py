"""`thv mcp` with servers and arguments that are not as they should be: an answer or one line, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="scripts with #! and bytes in arguments are POSIX's")

THV = [sys.executable, "-P", "-m", "thv"]
NAUGHTY = Path(__file__).parents[1] / "mcp_client" / "naughty_server.py"
LONG = 120.0


@pytest.fixture
def server(tmp_path: Path) -> Callable[[str], str]:
    """Makes a command of a server that misbehaves in one way."""

    def make(mode: str) -> str:
        path = tmp_path / "naughty"
        path.write_text(f"#!/bin/sh\nexec '{sys.executable}' -ISP '{NAUGHTY}' '{mode}'\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return make


def thv(*words: str | bytes, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*THV, "mcp", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"DO_NOT_TRACK": "1"} | env,
        timeout=LONG,
        check=False,
    )


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("exits", "thv: the server ended before it answered (exit code 7)"),
        ("closes its output", "thv: the server closed its output before it answered, and did not exit"),
        ("refuses", r"thv: the server answered with error -32000: line1 line2 \x1b[31mred\x07"),
        ("initialize: has no version", "thv: the server's reply to initialize has no protocolVersion"),
        ("dies in call", "thv: the server ended before it answered (exit code 9)"),
        ("call: null", "thv: the server answered tools/call with null"),
        ("call: nothing", "thv: the server's result has no list of content: {}"),
        ("raw call: deep nesting", "thv: the server's reply cannot be read: it nests too deeply, or is not JSON"),
    ],
)
def test_a_fault_is_one_line_and_exit_code_1(server: Callable[[str], str], mode: str, line: str) -> None:
    seen = thv("call", server(mode), "ok")
    assert (seen.returncode, seen.stdout, seen.stderr.splitlines()) == (1, "", [line])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a message was read")
@pytest.mark.parametrize(("reads", "starts"), [(False, 1), (True, 2)])
@pytest.mark.parametrize("wrapper", ["", 'sh -c \'"$0" "$@"; exit $?\''])
def test_a_server_that_just_dies_is_started_once(tmp_path: Path, reads: bool, starts: int, wrapper: str) -> None:
    """Whatever it does when it starts is not done twice. What reads `server/discover` and ends may be an older server,
    which can only be told so by starting it once more and asking `initialize` first."""
    side_effects = tmp_path / "side effects"
    command = tmp_path / "dies"
    inner = tmp_path / "inner"
    inner.write_text(f"#!/bin/sh\necho started >>'{side_effects}'\n{'read -r _' if reads else ':'}\nexit 7\n")
    command.write_text(f"#!/bin/sh\n{wrapper} '{inner}'\n")
    for path in (inner, command):
        path.chmod(0o755)
    seen = thv("list", str(command))
    assert (seen.returncode, seen.stdout) == (1, "")
    assert seen.stderr.splitlines() == ["thv: the server ended before it answered (exit code 7)"]
    assert side_effects.read_text().splitlines() == ["started"] * starts


def test_a_server_that_does_not_answer_is_given_up(server: Callable[[str], str]) -> None:
    seen = thv("call", server("raw call: no reply"), "ok", "--timeout", "1.5")
    assert (seen.returncode, seen.stdout) == (1, "")
    assert seen.stderr.splitlines() == ["thv: the server did not answer within 1.5 seconds"]


@pytest.mark.parametrize(
    ("framing", "wrote"),
    [
        (r'f"Content-Length: {len(reply)}\r\n\r\n{reply}"', "Content-Length: 72"),  # as for language servers
        (r'f"result: {reply}\n"', 'result: {"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-06-18"}}'),
        (r'"{\n" + reply[1:] + "\n"', "{"),
    ],
)
def test_a_server_whose_replies_are_no_lines_of_json_is_told_so(tmp_path: Path, framing: str, wrote: str) -> None:
    script = tmp_path / "server"
    script.write_text(
        f"#!{sys.executable} -ISP\n"
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    reply = json.dumps({'jsonrpc': '2.0', 'id': json.loads(line).get('id'), 'result': "
        "{'protocolVersion': '2025-06-18'}})\n"
        f"    sys.stdout.write({framing})\n"
        "    sys.stdout.flush()\n"
    )
    script.chmod(0o755)
    seen = thv("list", str(script), "--timeout", "5")  # in which it has started and written
    hint = f"on stdout, where only JSON-RPC belongs, it wrote: {wrote}"
    assert (seen.returncode, seen.stderr) == (1, f"thv: the server did not answer within 5 seconds; {hint}\n")


def test_an_endless_list_is_shown_to_its_bound_and_said_to_be_cut(server: Callable[[str], str]) -> None:
    seen = thv("list", server("endless pages"))
    assert (seen.returncode, seen.stdout.split()) == (1, ["ok"] * 100)
    assert seen.stderr.splitlines() == ["thv: the server's list of tools does not end: stopped after 100 pages"]


def test_control_characters_of_a_server_are_shown_and_not_obeyed(server: Callable[[str], str]) -> None:
    listed = thv("list", server("list: escapes"))
    assert listed.stdout == r"ok\x1b]0;pwned\x07  [a\x1b[2J=str\x1b[0m]  d\x1b[31m x\u202ey" + "\n"
    called = thv("call", server("call: control characters"), "ok")
    assert called.stdout == "\\x1b[31mred\\x1b]0;t\\x07\\x9b1m\ttab\nline\n"
    as_json = thv("call", server("call: control characters"), "ok", "--format", "json").stdout
    assert not {"\x1b", "\x9b", "\x07"} & set(as_json)
    assert json.loads(as_json)["content"][0]["text"] == "\x1b[31mred\x1b]0;t\x07\x9b1m\ttab\nline"


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        ("raw call: half an emoji", "a\ufffdb\n"),
        ("raw call: invalid UTF-8", "a\ufffd\ufffdb\n"),
        ("raw call: NaN", '{\n  "a": null,\n  "b": null\n}\n'),
        ("call: unknown content", "[hologram]\n"),
        ("call: content without type", "[None]\n"),
        ("call: text that is a number", "[text]\n"),
        ("call: broken Base64", "[image image/png, not valid Base64]\n"),
        ("call: data that is a number", "[audio unknown type, not valid Base64]\n"),
        ("call: resource that is a text", "[resource]\n"),
        ("call: only structured content", '{\n  "a": [\n    1,\n    {}\n  ]\n}\n'),
    ],
)
def test_a_reply_is_shown_whatever_is_in_it(server: Callable[[str], str], mode: str, shown: str) -> None:
    seen = thv("call", server(mode), "ok")
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, shown, "")


def test_a_verdict_that_is_no_boolean_is_taken_for_a_failure_and_said(server: Callable[[str], str]) -> None:
    seen = thv("call", server("call: isError that is a text"), "ok")
    assert (seen.returncode, seen.stdout) == (1, "")
    assert 'thv: the server\'s isError is neither true nor false: "true"' in seen.stderr.splitlines()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((b"echo", b"text=\xff\xfe"), "is not valid text in the encoding of this terminal"),
        ((b"\xff", b"text=x"), "is not valid text in the encoding of this terminal"),
        (("echo", "--args-json", '{"text": NaN}'), "--args-json is not JSON: NaN is not JSON"),
        (("echo", "--args-json", '{"text": 1e999}'), "--args-json is not JSON: 1e999 is too large a number"),
        (("echo", "--args-json", "[" * 100_000), "--args-json is not JSON: "),
        (("echo", "--timeout", "nan", "text=x"), "--timeout cannot be 'nan'"),
        (("echo", "--timeout", "-1", "text=x"), "--timeout cannot be '-1'"),
    ],
)
def test_an_argument_that_no_json_can_hold_is_a_wrong_command_line(
    words: tuple[str | bytes, ...], problem: str
) -> None:
    seen = thv("call", "demo", *words)
    (line,) = seen.stderr.splitlines()
    assert (seen.returncode, seen.stdout) == (2, "")
    assert problem in line


def test_half_an_emoji_as_an_argument_is_sent_and_shown_replaced() -> None:
    seen = thv("call", "demo", "echo", "--args-json", r'{"text": "a\ud800b"}')
    assert (seen.returncode, seen.stdout) == (0, "a\ufffdb\n")


@pytest.mark.parametrize("env", [{"LC_ALL": "C", "PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}])
def test_what_stdout_cannot_show_is_a_question_mark(env: dict[str, str]) -> None:
    process = subprocess.run(
        [*THV, "mcp", "call", "demo", "echo", "--args-json", r'{"text": "\u00fc \ud83d\ude00"}'],
        capture_output=True,
        env=os.environ | {"DO_NOT_TRACK": "1"} | env,
        timeout=LONG,
        check=False,
    )
    shown = b"\xfc" if env["PYTHONIOENCODING"] == "latin-1" else b"?"
    assert (process.returncode, process.stdout) == (0, shown + b" ?\n")
