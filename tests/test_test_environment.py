"""No variable of the machine reaches a test, nor what the fixtures of a module start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ENDING_SIGNALS, SWITCHES

HOSTILE = {
    "CI": "true",
    "DO_NOT_TRACK": "0",
    "OTEL_SDK_DISABLED": "true",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "TOOLHIVE_USAGE_ANALYTICS_ENABLED": "false",
    "TOOLHIVE_USAGE_METRICS_ENABLED": "false",
    "TOOLHIVE_CONFIG": "/no/such/file",
    "XDG_CONFIG_HOME": "/no/such/folder",
}

IGNORING = """\
import os, signal, sys
for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a program as a script does that lets it run in the background, or nohup."""


def found() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in SWITCHES or name.startswith(("OTEL_", "TOOLHIVE_", "XDG_"))
    }


@pytest.fixture(scope="module")
def of_a_module() -> tuple[dict[str, str], str]:
    return found(), os.environ["HOME"]


def test_analytics_are_off_by_one_variable_and_nothing_else_is_set(
    of_a_module: tuple[dict[str, str], str], home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert found() == of_a_module[0] == {"DO_NOT_TRACK": "1"}
    assert Path(of_a_module[1]).is_relative_to(tmp_path_factory.getbasetemp())
    assert os.environ["HOME"] == str(home) != of_a_module[1]


def test_no_signal_that_tests_send_is_set_to_be_ignored() -> None:
    assert [number for number in ENDING_SIGNALS if signal.getsignal(number) == signal.SIG_IGN] == []


def test_with_analytics_on_no_switch_is_set(analytics_on: None) -> None:
    assert found() == {}


@pytest.mark.parametrize("environ", [HOSTILE, {}], ids=["everything", "nothing"])
def test_it_is_so_whatever_is_set_outside(environ: dict[str, str]) -> None:
    others = {name: value for name, value in os.environ.items() if name not in HOSTILE}
    done = subprocess.run(
        [
            sys.executable,
            *(["-c", IGNORING, sys.executable] if environ and sys.platform != "win32" else []),
            "-m",
            "pytest",
            "-n0",
            "-q",
            "-p",
            "no:cacheprovider",
            __file__,
            "-k",
            "is_set and not outside",
        ],
        cwd=Path(__file__).parents[1],
        env={**others, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
