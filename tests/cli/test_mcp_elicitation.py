"""A question of a server is asked on the terminal and answered as the user agrees; without one it is declined."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")

NAUGHTY = Path(__file__).parents[1] / "mcp_client" / "naughty_server.py"
LONG = 120.0


@pytest.fixture
def server(tmp_path: Path) -> str:
    path = tmp_path / "asks"
    command = f"exec '{sys.executable}' -ISP '{NAUGHTY}' 'needs input' discover"
    path.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def talk(server: str, dialogue: list[tuple[bytes, bytes]]) -> tuple[str, int, str]:
    """What the terminal shows, the exit code, and stdout; each answer is typed once its question is there."""
    ours, theirs = os.openpty()  # type: ignore[attr-defined,unused-ignore]  # not on Windows, where this is skipped
    argv = [sys.executable, "-P", "-m", "thv", "mcp", "call", server, "ok"]
    env = os.environ | {"DO_NOT_TRACK": "1", "TERM": "xterm"}
    with subprocess.Popen(argv, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=env) as child:
        os.close(theirs)
        screen = b""
        with suppress(OSError):  # EIO: the last holder of the terminal is gone
            while chunk := os.read(ours, 65536):
                screen += chunk
                if dialogue and screen.rstrip().endswith(dialogue[0][0]):
                    os.write(ours, dialogue.pop(0)[1])
        assert child.stdout is not None
        stdout = child.stdout.read().decode()
        os.close(ours)
        return screen.decode(), child.wait(LONG), stdout


def answer(stdout: str) -> Any:
    return json.loads(stdout)["inputResponses"]["size"]


def test_a_form_is_asked_field_by_field_until_each_answer_fits(server: str) -> None:
    screen, code, stdout = talk(
        server,
        [
            (b"Answer? [y/N]", b"y\n"),
            (b"(How large\\x1b[31m, integer):", b"large\n"),
            (b"(How large\\x1b[31m, integer):", b"3\n"),
            (b"default none, may be left empty):", b"\n"),
            (b"(string, may be left empty):", b"\n"),
        ],
    )
    assert (code, answer(stdout)) == (0, {"action": "accept", "content": {"size": 3, "topping": "none"}})
    assert "The server asks: Size?\\x1b[2J" in screen
    assert "size=large: the tool takes an integer there" in screen
    assert "\x1b[2J" not in screen


@pytest.mark.parametrize(
    ("dialogue", "action"),
    [
        ([(b"Answer? [y/N]", b"n\n")], "decline"),
        ([(b"Answer? [y/N]", b"\n")], "decline"),
        ([(b"Answer? [y/N]", b"\x04")], "decline"),
        ([(b"Answer? [y/N]", b"y\n"), (b"integer):", b"\x04")], "cancel"),
    ],
)
def test_nothing_is_sent_that_the_user_did_not_agree_to(
    server: str, dialogue: list[tuple[bytes, bytes]], action: str
) -> None:
    _, code, stdout = talk(server, dialogue)
    assert (code, answer(stdout)) == (0, {"action": action})


def test_without_a_terminal_the_server_is_declined(server: str) -> None:
    argv = [sys.executable, "-P", "-m", "thv", "mcp", "call", server, "ok"]
    env = os.environ | {"DO_NOT_TRACK": "1"}
    seen = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, check=False)
    assert (seen.returncode, answer(seen.stdout)) == (0, {"action": "decline"})
