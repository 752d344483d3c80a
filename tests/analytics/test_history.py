"""What was sent is remembered for its user: whole lines, bounded, by many at once, without delaying anything."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.conftest import PATIENT
from tests.sink import PATIENCE
from thv.analytics import history
from thv.analytics.history import BEGUN, FULL, HISTORY, RESULTS, UNKNOWN, Export, append, clear, minute_of, read
from thv.analytics.report_delivery import DeliveryStatus
from thv.errors import ThvError

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = "2026-11-22T16:23Z"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """An empty state directory."""
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


def export(result: str, success: int = 1, error: int = 0, minute: str = MINUTE) -> Export:
    return Export(minute, success, error, result)


def keep(directory: Path, *exports: Export) -> None:
    for one in exports:
        append(one, lambda: directory)


def kept(directory: Path) -> list[Export]:
    return read(lambda: directory)


def test_the_results_are_those_of_the_transport() -> None:
    assert set(RESULTS) == {fate.value for fate in DeliveryStatus}
    assert DeliveryStatus.UNKNOWN.value == UNKNOWN


def test_a_time_is_kept_to_the_minute_and_no_finer() -> None:
    assert minute_of(1_790_000_040_000_000_000) == "2026-09-21T14:14Z"
    assert minute_of(1_790_000_040_000_000_000 + 59_999_999_999) == "2026-09-21T14:14Z"


def test_an_export_is_one_entry_with_its_result(state: Path) -> None:
    keep(state, export(BEGUN, 12, 3), export("taken", 12, 3), export(BEGUN), export("not taken"))
    assert kept(state) == [export("taken", 12, 3), export("not taken")]


def test_an_export_whose_process_ended_first_is_told_and_its_result_is_unknown(state: Path) -> None:
    keep(state, export(BEGUN, 2))
    assert kept(state) == [export(UNKNOWN, 2)]


def test_results_of_sessions_side_by_side_find_their_beginnings(state: Path) -> None:
    lines = [export(BEGUN, 1), export(BEGUN, 2), export(BEGUN, 1), export("taken", 2), export("not taken", 1)]
    keep(state, *lines)
    assert kept(state) == [export("not taken", 1), export("taken", 2), export(UNKNOWN, 1)]


def test_the_file_holds_a_minute_two_counts_and_a_word(state: Path) -> None:
    keep(state / "not" / "there", export("taken", 12, 3))
    path = state / "not" / "there" / f"{HISTORY}.1"
    assert path.read_bytes() == b"2026-11-22T16:23Z success=12 error=3 taken\n"
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_lies_in_the_users_state_directory_beside_the_notices_marker(home: Path) -> None:
    append(export("taken"))
    assert [path.name for path in home.rglob("*") if path.is_file()] == [f"{HISTORY}.1"]
    assert read() == [export("taken")]
    assert clear() == 1


def test_it_is_bounded_and_the_latest_are_kept(state: Path) -> None:
    total = 5 * FULL // len(str(export("taken")))
    for number in range(total):
        keep(state, export("taken", number))
    exports = kept(state)
    assert [one.success for one in exports] == list(range(total - len(exports), total))
    assert len(exports) >= 500
    assert len(list(state.iterdir())) == 2
    assert sum(path.stat().st_size for path in state.iterdir()) < 2 * FULL + 100


def test_sessions_at_once_lose_no_line_even_where_a_file_becomes_full(state: Path) -> None:
    each, sessions = 100, 8
    filler = f"{export('taken', 7)}\n"
    (state / f"{HISTORY}.1").write_text(filler * ((FULL - 2000) // len(filler)))
    before = len(kept(state))
    code = """
import sys
from pathlib import Path
from thv.analytics.history import Export, append
for number in range(int(sys.argv[3])):
    append(Export("2026-11-22T16:23Z", int(sys.argv[2]), number, "taken"), lambda: Path(sys.argv[1]))
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(state), str(session), str(each)])
        for session in range(100, 100 + sessions)
    ]
    assert [process.wait(PATIENCE) for process in running] == [0] * sessions
    exports = kept(state)
    assert len(exports) == before + each * sessions
    assert len(list(state.iterdir())) == 2
    for session in range(100, 100 + sessions):
        assert [one.error for one in exports if one.success == session] == list(range(each))


def test_a_line_that_a_full_disk_cut_short_spoils_no_other(state: Path) -> None:
    (state / f"{HISTORY}.1").write_bytes(f"{export('taken', 1)}\n2026-11-22T16:2".encode())
    keep(state, export("taken", 2))
    assert kept(state) == [export("taken", 1), export("taken", 2)]


@PATIENT
@given(noise=st.binary(max_size=200))
def test_whatever_stands_in_the_file_it_can_be_read(noise: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("state")
    (directory / f"{HISTORY}.1").write_bytes(noise + b"\n")
    keep(directory, export("taken"))
    assert kept(directory)[-1] == export("taken")


@pytest.mark.parametrize("name", [HISTORY, f"{HISTORY}.0", f"{HISTORY}.x", f"{HISTORY}.2.old", "other"])
def test_other_files_are_neither_read_nor_removed(state: Path, name: str) -> None:
    (state / name).write_text(f"{export('taken', 9)}\n")
    assert kept(state) == []
    keep(state, export("taken"))
    assert clear(lambda: state) == 1
    assert [path.name for path in state.iterdir()] == [name]


def test_clearing_says_how_many_there_were_and_is_idempotent(state: Path) -> None:
    keep(state, export(BEGUN), export("taken"), export(BEGUN))
    assert clear(lambda: state) == 2
    assert clear(lambda: state) == 0
    assert clear(lambda: state / "nowhere") == 0
    assert kept(state) == []


def devnull() -> Path:
    raise RuntimeError("could not determine home directory")


def test_what_cannot_be_written_is_forgotten_silently(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state / "file").write_text("not a directory")
    keep(state / "file" / "state", export("taken"))
    append(export("taken"), devnull)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        keep(state, export("taken"))
    assert kept(state) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_in_its_place_holds_nobody_up(state: Path) -> None:
    os.mkfifo(state / f"{HISTORY}.1")  # type: ignore[attr-defined,unused-ignore]  # not on Windows

    def use() -> None:
        keep(state, export("taken"))
        kept(state)

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_what_cannot_be_read_or_removed_is_an_error_in_one_line(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ThvError, match="state directory is not known"):
        read(devnull)
    keep(state, export("taken"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(history, "_unlink", refuse)
        with pytest.raises(ThvError, match="cannot be removed: Permission denied"):
            clear(lambda: state)
    with monkeypatch.context() as patched:
        patched.setattr(history, "_text", refuse)
        with pytest.raises(ThvError, match="cannot be read: Permission denied"):
            kept(state)
