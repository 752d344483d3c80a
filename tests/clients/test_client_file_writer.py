"""The compare-and-swap: nothing that a client writes is lost, and nothing of the file but its content changes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from thv.clients import client_file_writer
from thv.clients.catalog import BY_NAME
from thv.clients.client_file_locations import ClientFile
from thv.clients.file_swap import exchanger, is_open_for_writing
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 1_000

WRITER = """
import json, os, sys, time
path, rounds, in_place = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "in place"
count = 0
while count < rounds:
    count += 1
    with open(path, "rb") as file:
        data = json.loads(file.read())
    assert data["count"] == count - 1, (data, count)
    data["count"] = count
    text = json.dumps(data)
    if in_place:
        with open(path, "w") as file:
            file.write(text)
    else:
        with open(path + ".new", "w") as file:
            file.write(text)
        os.replace(path + ".new", path)
    time.sleep(0.0005)
"""
"""A client that counts in the file, as fast as it can, and notices at once if one of its writes is gone."""


def marked(data: bytes) -> bytes:
    """A change: the mark is there afterwards, or gone if it was there."""
    try:
        found = json.loads(data)
    except ValueError:
        raise ConfigError("half a file", path="x") from None
    if not found.pop("mark", False):
        found["mark"] = True
    return json.dumps(found).encode()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["in place", "by a new file"])
def test_a_client_that_writes_all_the_time_loses_nothing(tmp_path: Path, way: str) -> None:
    path = tmp_path / "files" / "config.json"
    path.parent.mkdir()
    path.write_text('{"count": 0}')
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(ROUNDS), way], stderr=subprocess.PIPE)
    swapped = 0
    while writer.poll() is None:
        with contextlib.suppress(ConfigError):  # the writer was faster ten seconds long: that loses nothing either
            swapped += client_file_writer.update(path, marked)
    complaint = writer.communicate()[1].decode()
    assert writer.returncode == 0, complaint
    assert json.loads(path.read_bytes())["count"] == ROUNDS
    assert swapped > 0
    assert [file.name for file in path.parent.iterdir()] == ["config.json"]


def test_what_was_written_meanwhile_is_begun_from_again(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"one")
    seen = []

    def change(data: bytes) -> bytes:
        seen.append(data)
        if len(seen) == 1:
            path.write_bytes(b"two")
        return data + b"!"

    assert client_file_writer.update(path, change)
    assert seen == [b"one", b"two"]
    assert path.read_bytes() == b"two!"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no call that swaps")
@pytest.mark.parametrize("way", ["in place", "by a new file"])
@pytest.mark.parametrize("has_leases", [True, False])
def test_what_was_written_between_the_last_look_and_the_swap_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, has_leases: bool
) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"one")
    seen = []

    def late_writer(one: str, two: str) -> Callable[[], bool] | None:
        exchange = exchanger(one, two)

        def write_and_exchange() -> bool:
            if not written:
                written.append(True)
                new = path if way == "in place" else tmp_path / "new"
                new.write_bytes(b"two, and longer")
                new.replace(path)
            return exchange is not None and exchange()

        return write_and_exchange

    def change(data: bytes) -> bytes:
        seen.append(data)
        return data + b"!"

    written: list[bool] = []
    monkeypatch.setattr(client_file_writer, "exchanger", late_writer)
    if not has_leases:
        monkeypatch.setattr(client_file_writer, "hold_openers", lambda _: False)
        monkeypatch.setattr(client_file_writer, "is_open_for_writing", lambda _: False)
    assert client_file_writer.update(path, change)
    assert seen == [b"one", b"two, and longer"]
    assert path.read_bytes() == b"two, and longer!"


def test_where_files_cannot_be_swapped_they_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    for exchanger_of_the_system in (lambda *_: None, lambda *_: lambda: False):
        path.write_bytes(b"one")
        monkeypatch.setattr(client_file_writer, "exchanger", exchanger_of_the_system)
        assert client_file_writer.update(path, lambda data: data + b"!")
        assert path.read_bytes() == b"one!"


def test_a_file_that_is_half_written_is_given_time(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"ha")

    def finish(data: bytes) -> bytes:
        if data == b"ha":
            path.write_bytes(b"whole")
            raise ConfigError("half", path=str(path))
        return data + b"!"

    assert client_file_writer.update(path, finish)
    assert path.read_bytes() == b"whole!"


def test_a_file_that_stays_broken_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"broken")
    with pytest.raises(ConfigError, match="half a file"):
        client_file_writer.update(path, marked)
    assert path.read_bytes() == b"broken"


def test_an_empty_file_is_looked_at_again_before_it_counts_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"")
    writer = threading.Timer(0.03, lambda: path.write_bytes(b"whole"))
    writer.start()
    assert client_file_writer.update(path, lambda data: data + b"!")
    writer.join()
    assert path.read_bytes() == b"whole!"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open")
def test_a_file_that_is_open_for_writing_is_not_swapped_away_from_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"old")
    with path.open("r+b") as writing:

        def finish() -> None:
            writing.write(b"new")
            writing.close()

        timer = threading.Timer(0.2, finish)
        timer.start()
        assert client_file_writer.update(path, lambda data: data + b"!")
    timer.join()
    assert path.read_bytes() == b"new!"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no call that swaps")
def test_two_files_swap(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    exchange = exchanger(str(one), str(two))
    assert exchange is not None
    if exchange():
        assert (one.read_text(), two.read_text()) == ("2", "1")
        one.unlink()
        with pytest.raises(FileNotFoundError):
            exchange()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_an_open_writer_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with path.open("a"):
            assert is_open_for_writing(descriptor)
        assert not is_open_for_writing(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
def test_mode_owner_and_links_stay(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "config"
    real.parent.mkdir()
    real.write_bytes(b"x")
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 12, 34)
    before = real.stat()
    link = tmp_path / "link"
    link.symlink_to("dotfiles/config")
    assert client_file_writer.update(link, lambda data: data + b"!")
    after = real.stat()
    assert link.is_symlink()
    assert real.read_bytes() == b"x!"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert [path.name for path in real.parent.iterdir()] == ["config"]


def test_a_file_with_a_second_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"x")
    (tmp_path / "second").hardlink_to(path)
    with pytest.raises(ConfigError, match="hard link"):
        client_file_writer.update(path, lambda data: data + b"!")
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing", "circle", "dangling"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "circle":
        path.symlink_to(path)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "away")
    with pytest.raises(ConfigError):
        client_file_writer.update(path, lambda data: data + b"!")
    with pytest.raises(ConfigError):
        client_file_writer.read(path)
    assert not (tmp_path / "away").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on file sizes as a stand-in for a full disk")
def test_a_full_disk_leaves_the_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "files" / "config"
    path.parent.mkdir()
    path.write_bytes(b"x" * 1000)
    code = (
        "import resource, signal, sys; from pathlib import Path; from thv.clients import client_file_writer; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
        "client_file_writer.update(Path(sys.argv[1]), lambda data: data * 5)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "cannot be changed: File too large" in done.stderr
    assert path.read_bytes() == b"x" * 1000
    assert [file.name for file in path.parent.iterdir()] == ["config"]


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX's")
def test_kill_9_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "files" / "config"
    path.parent.mkdir()
    old, new = b"o" * 200_000, b"n" * 200_000
    code = (
        "import sys; from pathlib import Path; from thv.clients import client_file_writer\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    flip = lambda data: (b'n' if data[:1] == b'o' else b'o') * len(data)\n"
        "    client_file_writer.update(Path(sys.argv[1]), flip)\n"
    )
    for delay in (0.0, 0.001, 0.003, 0.007, 0.013, 0.02):
        path.write_bytes(old)
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert path.read_bytes() in {old, new}
    assert client_file_writer.update(path, lambda _: b"after")
    assert [file.name for file in path.parent.iterdir()] == ["config"]  # what the killed one left is cleared


def test_claude_codes_own_lock_is_waited_for_and_taken(tmp_path: Path) -> None:
    path = tmp_path / ".claude.json"
    path.write_bytes(b"x")
    lock = tmp_path / ".claude.json.lock"
    lock.mkdir()
    file = ClientFile(path, BY_NAME["claude-code"])
    assert file.lock == lock
    assert ClientFile(tmp_path / ".mcp.json", BY_NAME["claude-code"], is_project=True).lock is None
    seen = []

    def release() -> None:
        path.write_bytes(b"y")
        lock.rmdir()

    def change(data: bytes) -> bytes:
        seen.append((data, lock.is_dir()))
        return data + b"!"

    timer = threading.Timer(0.1, release)
    timer.start()
    assert client_file_writer.update(path, change, lock=file.lock)
    timer.join()
    assert seen == [(b"y", True)]
    assert not lock.exists()


def test_another_thv_that_never_ends_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_file_writer, "LOCK_TIMEOUT_S", 0.1)
    path = tmp_path / "config"
    path.write_bytes(b"x")

    def change_it_again(data: bytes) -> bytes:
        with pytest.raises(ConfigError, match=r"is locked: another process holds .*; end it and try again"):
            client_file_writer.update(path, lambda _: b"lost")
        return data + b"!"

    assert client_file_writer.update(path, change_it_again)
    assert path.read_bytes() == b"x!"


def test_a_lock_that_was_left_behind_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / ".claude.json"
    path.write_bytes(b"x")
    lock = tmp_path / ".claude.json.lock"
    lock.mkdir()
    os.utime(lock, (1, 1))
    assert client_file_writer.update(path, lambda data: data + b"!", lock=lock)
    assert lock.is_dir()


def test_without_a_folder_for_locks_it_works_all_the_same(tmp_path: Path, home: Path) -> None:
    (home / ".local").write_text("no folder can be made below")
    path = tmp_path / "config"
    path.write_bytes(b"x")
    assert client_file_writer.update(path, lambda data: data + b"!")
