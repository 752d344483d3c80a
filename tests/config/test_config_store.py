"""The file is replaced whole or not at all, despite other writers and failures: real processes and signals."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from thv.config import config_store
from thv.config.config_store import update
from thv.config.reader import MAX_BYTES
from thv.core.file_lock import try_lock
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 120
"""Seconds; far beyond what a slow machine needs."""

AS_ROOT = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can change its user")
NOBODY = 65534

WRITER = """
import sys
from thv.config.yaml.yaml_splice import set_value
from thv.config.config_store import update
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(count):
    keys = ("otel", f"{name}-{number}")
    update(path, lambda text: set_value(text or "", keys, f"{name}/{number}", path=path))
"""

REWRITER = """
import sys
from thv.config.config_store import update
path = sys.argv[1]
print("ready", flush=True)
while True:
    for letter in "ab":
        update(path, lambda text: letter * 60_000)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_an_update_writes_what_the_change_returns(config: Path) -> None:
    assert update(str(config), lambda text: f"{text}b: 2\n") is True
    assert config.read_text() == "a: 1\nb: 2\n"
    assert names(config.parent) == ["config.yaml", "config.yaml.lock", "home"]


def test_nothing_is_written_when_nothing_changes(config: Path) -> None:
    before = config.stat()
    assert update(str(config), lambda text: text or "") is False
    assert (config.stat().st_ino, config.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_could_not_be_read_again_is_not_written(config: Path) -> None:
    with pytest.raises(ConfigError, match=f"would be larger than {MAX_BYTES} bytes"):
        update(str(config), lambda text: f"{text}b: {'x' * MAX_BYTES}\n")
    assert config.read_text() == "a: 1\n"


def test_a_new_file_and_its_directory_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = tmp_path / "new" / "deeper" / "config.yaml"
        assert update(str(path), lambda text: "none" if text is None else "some") is True
    finally:
        os.umask(old)
    assert path.read_text() == "none"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.with_name("config.yaml.lock").stat().st_mode) == 0o600
    assert [stat.S_IMODE(parent.stat().st_mode) for parent in list(path.parents)[:2]] == [0o700, 0o700]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o640])
def test_the_mode_stays(config: Path, mode: int) -> None:
    config.chmod(mode)
    update(str(config), lambda text: f"{text}b: 2\n")
    assert stat.S_IMODE(config.stat().st_mode) == mode


@AS_ROOT
def test_the_owner_stays_even_when_root_writes(config: Path) -> None:
    os.chown(config, NOBODY, NOBODY)
    update(str(config), lambda text: f"{text}b: 2\n")
    assert (config.stat().st_uid, config.stat().st_gid) == (NOBODY, NOBODY)


def test_every_byte_arrives_line_breaks_and_all(config: Path) -> None:
    text = "\ufeffa: 1\r\nb: ünï\rc: \u2028\n\n"
    update(str(config), lambda _: text)
    assert config.read_bytes() == text.encode()
    update(str(config), lambda before: f"{before}#")
    assert config.read_bytes() == text.encode() + b"#"


def test_a_symbolic_link_stays_one_and_its_target_changes(config: Path, tmp_path: Path) -> None:
    directory = tmp_path / "dotfiles"
    directory.mkdir()
    target = directory / "thv.yaml"
    config.rename(target)
    config.symlink_to("dotfiles/thv.yaml")
    update(str(config), lambda text: f"{text}b: 2\n")
    assert os.readlink(config) == "dotfiles/thv.yaml"  # noqa: PTH115  the text of the link is what is promised
    assert target.read_text() == "a: 1\nb: 2\n"
    assert names(directory) == ["thv.yaml", "thv.yaml.lock"]


def test_a_dangling_link_gets_its_target_but_not_the_targets_directory(tmp_path: Path) -> None:
    link = tmp_path / "config.yaml"
    link.symlink_to("elsewhere.yaml")
    update(str(link), str)
    assert (tmp_path / "elsewhere.yaml").read_text() == "None"
    away = tmp_path / "away.yaml"
    away.symlink_to("unmounted/config.yaml")
    with pytest.raises(ConfigError, match=r"away\.yaml: cannot be changed: .*unmounted: .*does not exist"):
        update(str(away), lambda _: "x")
    assert not (tmp_path / "unmounted").exists()


def test_links_in_a_circle_a_directory_and_a_device_are_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match="loop: cannot be"):
        update(str(loop), lambda _: "x")
    directory = tmp_path / "directory"
    directory.mkdir()
    with pytest.raises(ConfigError, match="not a regular file"):
        update(str(directory), lambda _: "x")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match="file: not a directory"):
        update(str(file / "below" / "config.yaml"), lambda _: "x")
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    with pytest.raises(ConfigError, match="not a regular file"):
        update(str(null), lambda _: "x")
    assert not Path("/dev/null.lock").exists()


def test_a_hard_link_keeps_the_old_text_under_its_other_name(config: Path) -> None:
    other = config.with_name("other")
    other.hardlink_to(config)
    update(str(config), lambda _: "new\n")
    assert (config.read_text(), other.read_text()) == ("new\n", "a: 1\n")


def test_what_another_program_writes_meanwhile_is_begun_from_again(config: Path) -> None:
    seen = []

    def change(text: str | None) -> str:
        seen.append(text)
        if len(seen) == 1:
            config.write_text("theirs\n")  # an editor knows nothing of the lock
        return f"{text}ours\n"

    before = config.read_text()
    assert update(str(config), change)
    assert seen == [before, "theirs\n"]
    assert config.read_text() == "theirs\nours\n"


def test_a_file_that_is_written_all_the_time_is_left_to_its_writer(config: Path) -> None:
    turns = iter(range(1000))

    def change(text: str | None) -> str:
        config.write_text(f"theirs {next(turns)}\n")
        return f"{text}ours\n"

    with pytest.raises(ConfigError, match="another program keeps writing it; try again"):
        update(str(config), change)
    assert "ours" not in config.read_text()
    assert not [name for name in names(config.parent) if name.endswith(".tmp")]


def test_a_change_that_fails_leaves_everything_as_it_was(config: Path) -> None:
    def fail(_text: str | None) -> str:
        raise ConfigError("no", path="f")

    with pytest.raises(ConfigError, match="f: no"):
        update(str(config), fail)
    assert config.read_text() == "a: 1\n"
    assert update(str(config), lambda text: f"{text}#\n")  # and the lock is free again


def test_what_a_killed_writer_left_behind_is_cleared(config: Path) -> None:
    config.with_name(".config.yaml.tmp").write_text("half a fi")
    update(str(config), lambda _: "whole\n")
    assert config.read_text() == "whole\n"
    assert names(config.parent) == ["config.yaml", "config.yaml.lock", "home"]


def test_two_hundred_writes_from_eight_processes_all_survive(config: Path) -> None:
    link = config.with_name("link.yaml")
    link.symlink_to(config)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(link if number % 2 else config), f"w{number}", "25"])
        for number in range(8)
    ]
    assert [writer.wait(PATIENCE) for writer in writers] == [0] * 8
    found = yaml.safe_load(config.read_text())
    assert found.pop("a") == 1
    assert found == {"otel": {f"w{number}-{i}": f"w{number}/{i}" for number in range(8) for i in range(25)}}
    assert names(config.parent) == ["config.yaml", "config.yaml.lock", "home", "link.yaml"]


@contextlib.contextmanager
def rewriter(config: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that does nothing but replace the file, until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", REWRITER, str(config)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_reader_never_sees_half_a_file(config: Path) -> None:
    with rewriter(config):
        seen: set[str] = set()
        end = time.monotonic() + PATIENCE
        while len(seen) < 3 and time.monotonic() < end:
            text = config.read_text()
            assert text == "a: 1\n" or (len(text) == 60_000 and len(set(text)) == 1)
            seen.add(text[:2])
        assert {"aa", "bb"} <= seen


def test_kill_9_at_any_moment_leaves_a_whole_file_and_a_free_lock(config: Path) -> None:
    for round_ in range(12):
        with rewriter(config) as process:
            # The moment is spread over a write's length on purpose; whichever it hits, the promise is the same.
            time.sleep(round_ * 0.0007)
            process.send_signal(signal.SIGKILL)
            assert process.wait(PATIENCE) == -signal.SIGKILL
        text = config.read_text()
        assert text == "a: 1\n" or (len(text) == 60_000 and len(set(text)) == 1)
    update(str(config), lambda _: "whole\n")
    assert config.read_text() == "whole\n"
    assert names(config.parent) == ["config.yaml", "config.yaml.lock", "home"]


def test_a_lock_that_another_process_never_gives_up_is_not_waited_for_without_end(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_store, "LOCK_TIMEOUT_S", 0.1)
    with (config.parent / "config.yaml.lock").open("w") as held:
        assert try_lock(held.fileno())
        with pytest.raises(ConfigError, match=r"is locked: another process holds .*config\.yaml\.lock; end it and try"):
            update(str(config), lambda _: "b: 2\n")
    assert config.read_text() == "a: 1\n"
    assert update(str(config), lambda _: "b: 2\n")  # it is free again


def test_a_full_disk_leaves_the_old_file_and_no_litter(config: Path) -> None:
    code = (
        "import resource, sys; from thv.config.config_store import update; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "update(sys.argv[1], lambda text: 'x' * 60_000)"
    )
    ran = subprocess.run(
        [sys.executable, "-B", "-c", code, str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ConfigError" in ran.stderr
    assert "cannot be written: File too large" in ran.stderr
    assert config.read_text() == "a: 1\n"
    assert names(config.parent) == ["config.yaml", "config.yaml.lock", "home"]


AS_NOBODY = """
import os, sys
from thv.config.config_store import update
from thv.errors import ThvError
descriptor = os.open(sys.argv[1], os.O_RDONLY)
os.fchdir(descriptor)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    update("config.yaml", lambda text: "changed")
except ThvError as error:
    print(error)
"""


@AS_ROOT
@pytest.mark.parametrize(
    ("directory_mode", "file_owner", "file_mode", "complaint"),
    [
        (0o755, NOBODY, 0o644, "cannot be changed"),
        (0o777, NOBODY, 0o444, "cannot be written: it is read-only"),
        (0o777, 0, 0o644, "cannot be written: it is read-only"),
        (0o777, 0, 0o666, "cannot be written: its owner or group could not be kept"),
        (0o777, 0, 0o600, "cannot be read: Permission denied"),
    ],
)
def test_what_may_not_be_written_is_said_and_stays(
    directory_mode: int, file_owner: int, file_mode: int, complaint: str
) -> None:
    # pytest's own directories are closed to everyone else.
    directory = Path(tempfile.mkdtemp(prefix="thv-store-"))
    try:
        config = directory / "config.yaml"
        config.write_text("a: 1\n")
        os.chown(config, file_owner, file_owner)
        config.chmod(file_mode)
        directory.chmod(directory_mode)
        ran = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(directory)], capture_output=True, text=True, check=True
        )
        assert complaint in ran.stdout
        assert len(ran.stdout.splitlines()) == 1
        assert config.read_text() == "a: 1\n"
        assert not [name for name in names(directory) if name.endswith(".tmp")]
    finally:
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
