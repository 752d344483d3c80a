"""An answer that cannot be written is one clear line and exit code 1, whichever command it is of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

THV = [sys.executable, "-P", "-m", "thv"]
SESSION = Path(__file__).parents[2] / "examples" / "session.jsonl"

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")

ANSWERS = [
    "--version",
    "-V",
    "version",
    "--help",
    "help",
    "run --help",
    "mcp list --help",
    "config path",
    "config otel get usage-analytics-enabled",
    "config otel list",
    "config otel list --format json",
    "config journal list",
    "completion bash",
    "analytics status",
    "analytics status --format json",
    "analytics show",
    "client list",
    "client list --format json",
    "doctor",
    "doctor --format json",
    "mcp list demo",
    "mcp list demo --format json",
    "mcp call demo add a=1 b=2",
    "mcp call demo add a=1 b=2 --format json",
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    cursor = tmp_path / ".cursor" / "mcp.json"
    cursor.parent.mkdir()
    cursor.write_text('{"mcpServers": {"x": {"command": "sh", "args": []}}}')
    return tmp_path


def thv(words: str, redirection: str, stdin: str = "/dev/null") -> subprocess.CompletedProcess[str]:
    command = f'exec "$@" {redirection} < "{stdin}"'
    argv = ["/bin/sh", "-c", command, "sh", *THV, *words.split()]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("words", ANSWERS)
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [
        (">/dev/full", "cannot be written to stdout: No space left on device"),
        (">&-", "cannot be written: stdout is closed"),
    ],
)
def test_an_answer_that_cannot_be_written_is_one_line(words: str, redirection: str, reason: str) -> None:
    seen = thv(words, redirection)
    ours = [
        line for line in seen.stderr.splitlines() if "demo server's" not in line and "usage analytics are" not in line
    ]
    assert (seen.returncode, ours) == (1, [f"thv: the answer {reason}"])


@pytest.mark.parametrize(
    "words",
    [
        "log",
        "log -f",
        "log -f -n 0",
        "log --format json",
        "top",
        "top --format json",
        "report",
        "report --format json",
        "report --html -",
        "why",
        "why --format json",
    ],
)
def test_no_view_of_the_journal_goes_on_without_stdout(words: str) -> None:
    assert thv("run demo", ">/dev/null", str(SESSION)).returncode == 0
    seen = thv(words, ">&-")
    assert (seen.returncode, seen.stderr) == (1, "thv: the answer cannot be written: stdout is closed\n")


@pytest.mark.parametrize("words", ["config otel set service-name x", "config otel unset service-name", "client unwrap"])
def test_a_command_without_an_answer_needs_no_stdout(words: str) -> None:
    seen = thv(words, ">&-")
    assert seen.returncode == 0, seen.stderr
    assert "Traceback" not in seen.stderr


def test_messages_that_cannot_be_written_are_said_to_be_lost() -> None:
    seen = thv("run demo", ">/dev/full", str(SESSION))
    assert seen.returncode == 1
    assert "thv: messages of the server are lost: stdout cannot be written: No space left on device" in seen.stderr


def test_a_session_without_stdout_does_not_begin() -> None:
    seen = thv("run demo", ">&-", str(SESSION))
    assert (seen.returncode, seen.stderr) == (
        1,
        "thv: stdout is closed, and the client reads the server's messages there\n",
    )


def test_a_reader_that_has_left_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    seen = subprocess.run([*THV, "config", "otel", "list"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (seen.returncode, seen.stderr) == (0, b"")
