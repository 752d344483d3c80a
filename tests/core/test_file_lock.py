"""Waiting for a lock comes to an end, and a person at a terminal is told about it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from thv.core.file_lock import LockWait, lock, try_lock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_person_is_told_once_what_is_waited_for_and_a_program_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    now = [0.0]
    monkeypatch.setattr(os, "isatty", lambda _: is_terminal)
    wait = LockWait(tmp_path / "lock", 30.0, lambda: now[0])
    told = []
    for seconds in (0.0, 2.0, 2.1, 15.0, 30.0):
        now[0] = seconds
        assert wait.goes_on()
        told.append(capfd.readouterr().err)
    now[0] = 30.1
    assert not wait.goes_on()
    line = f"thv: waiting for another process, which holds {tmp_path / 'lock'}\n" if is_terminal else ""
    assert told == ["", "", line, "", ""]


def test_a_lock_is_taken_as_soon_as_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as first, path.open("w") as second:
        assert lock(first.fileno(), path, 60.0)
        assert not try_lock(second.fileno())
        assert not lock(second.fileno(), path, 0.0)
        first.close()
        assert lock(second.fileno(), path, 60.0)
