"""The notice comes before anything is sent, once, and once more on the first terminal."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from thv.analytics.notice import MARKER, NOTICE, TERMINAL_MARKER, is_due_on_terminal, show, shown, was_shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def fail(_: str) -> None:
    raise OSError("stderr is closed")


def test_the_notice_is_shown_once(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(3):
        assert shown(said.append, lambda: tmp_path / "not" / "there" / "yet")
    assert said == [NOTICE]
    assert (tmp_path / "not" / "there" / "yet" / MARKER).read_bytes() == b""


def test_the_notice_says_what_where_and_how_to_stop_in_four_lines() -> None:
    assert len(NOTICE.splitlines()) == 4
    assert max(map(len, NOTICE.splitlines())) <= 120
    for words in (
        "https://analytics.toolhive.stacklok.dev/v1/traces",
        "thv config otel set usage-analytics-enabled false",
        "DO_NOT_TRACK=1",
        "thv analytics show",
        "docs/usage-analytics.md",
    ):
        assert words in NOTICE


def test_asking_whether_it_was_shown_shows_and_records_nothing(tmp_path: Path) -> None:
    def devnull() -> Path:
        raise RuntimeError("could not determine home directory")

    state = tmp_path / "state"
    assert not was_shown(lambda: state)
    assert not state.exists()
    assert shown(lambda _: None, lambda: state)
    assert was_shown(lambda: state)
    assert not was_shown(devnull)


def test_a_notice_that_cannot_be_shown_is_neither_shown_nor_recorded(tmp_path: Path) -> None:
    assert not shown(fail, lambda: tmp_path)
    assert not (tmp_path / MARKER).exists()
    said: list[str] = []
    assert shown(said.append, lambda: tmp_path)
    assert said


def test_a_notice_that_cannot_be_recorded_is_shown_each_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    said: list[str] = []
    for _ in range(2):
        assert shown(said.append, lambda: tmp_path / "file" / "state")
    assert said == [NOTICE, NOTICE]


def test_no_state_directory_at_all_shows_the_notice_each_time() -> None:
    def devnull() -> Path:
        raise RuntimeError("could not determine home directory")

    said: list[str] = []
    for _ in range(2):
        assert shown(said.append, devnull)
    assert len(said) == 2


def test_the_marker_lies_in_the_users_state_directory(home: Path) -> None:
    said: list[str] = []
    assert shown(said.append)
    assert [path.name for path in home.rglob("*") if path.is_file()] == [MARKER]
    assert shown(fail)


@contextmanager
def terminal() -> Iterator[None]:
    """While it lasts, stderr is a terminal. No fixture: pytest takes stderr back between a fixture and its test."""
    pty = pytest.importorskip("pty", reason="Windows has other terminals")
    ours, theirs = pty.openpty()
    before = os.dup(2)
    os.dup2(theirs, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        for descriptor in (ours, theirs, before):
            os.close(descriptor)


def test_what_was_shown_in_a_log_is_due_once_more_on_a_terminal(tmp_path: Path) -> None:
    assert shown(lambda _: None, lambda: tmp_path)
    assert not is_due_on_terminal(lambda: tmp_path)
    said: list[str] = []
    with terminal():
        assert is_due_on_terminal(lambda: tmp_path)
        assert show(said.append, lambda: tmp_path)
        assert not is_due_on_terminal(lambda: tmp_path)
    assert said == [NOTICE]


def test_what_was_never_shown_is_not_due_before_there_is_something_to_report(tmp_path: Path) -> None:
    with terminal():
        assert not is_due_on_terminal(lambda: tmp_path)


def test_what_was_shown_on_a_terminal_first_is_not_due_again(tmp_path: Path) -> None:
    with terminal():
        assert shown(lambda _: None, lambda: tmp_path / "state")
        assert {path.name for path in (tmp_path / "state").iterdir()} == {MARKER, TERMINAL_MARKER}
        assert not is_due_on_terminal(lambda: tmp_path / "state")
