"""A no that was seen once holds until the file says yes; and asking costs next to nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from thv.core.remembered import RememberedNo
from thv.core.state_dir import user_state_dir

NAME = "something-off"
SEEN = "DO_NOT_TRACK is set"


@pytest.fixture
def mark(tmp_path: Path) -> RememberedNo:
    return RememberedNo(NAME, lambda: str(tmp_path / "not" / "there" / "yet"))


def test_a_no_in_the_environment_holds_when_it_is_gone(mark: RememberedNo) -> None:
    assert not mark.settle(refused=None, in_file=None)
    assert mark.settle(refused=SEEN, in_file=None)
    assert mark.settle(refused=None, in_file=None)
    assert mark.reason() == SEEN


def test_a_yes_in_the_file_ends_it_for_good(mark: RememberedNo) -> None:
    mark.settle(refused=SEEN, in_file=None)
    assert not mark.settle(refused=None, in_file=True)
    assert not mark.settle(refused=None, in_file=None)


@pytest.mark.parametrize("in_file", [True, False])
def test_where_the_file_has_an_answer_nothing_is_remembered(mark: RememberedNo, in_file: bool) -> None:
    assert not mark.settle(refused=SEEN, in_file=in_file)
    assert not mark.settle(refused=None, in_file=None)


def test_a_no_in_the_file_leaves_a_remembered_one_as_it_is(mark: RememberedNo) -> None:
    mark.settle(refused=SEEN, in_file=None)
    assert mark.settle(refused=None, in_file=False)


def test_the_first_reason_stays(mark: RememberedNo) -> None:
    mark.remember(SEEN)
    mark.remember("another")
    assert mark.reason() == SEEN


@pytest.mark.parametrize("content", [b"", b"\x1b[31m red", b"\xff\n"])
def test_a_mark_with_any_content_holds_and_shows_nothing_strange(content: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    mark = RememberedNo(NAME, lambda: str(tmp_path))
    assert mark.holds()
    assert mark.reason().isprintable()


def test_a_dangling_link_in_its_place_holds_too(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "nowhere")
    mark = RememberedNo(NAME, lambda: str(tmp_path))
    assert mark.holds()
    assert mark.reason() == ""


def test_where_it_cannot_be_kept_nothing_is_raised_and_nothing_remembered(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    mark = RememberedNo(NAME, lambda: str(tmp_path / "file"))
    assert not mark.settle(refused=SEEN, in_file=None)

    def unknown() -> str:
        raise RuntimeError("could not determine home directory")

    homeless = RememberedNo(NAME, unknown)
    assert homeless.path() is None
    assert not homeless.settle(refused=SEEN, in_file=None)
    homeless.forget()


def test_a_directory_that_may_not_be_looked_into_counts_as_a_no(
    mark: RememberedNo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a system answers of such a directory to a user who is not root, who may look anywhere."""

    def refuse(path: str) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", refuse)
        assert mark.holds()
        assert mark.settle(refused=None, in_file=None)
    assert not mark.holds()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"XDG_STATE_HOME": "/somewhere/state"},
        {"XDG_STATE_HOME": "relative"},
        {"XDG_STATE_HOME": ""},
        {"HOME": "relative"},
        {"HOME": "/elsewhere/"},
    ],
)
def test_the_state_directory_is_the_one_that_platformdirs_names(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert Path(user_state_dir()) == platformdirs.user_state_path("toolhive", appauthor=False)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs is asked")
def test_asking_imports_nothing_slow() -> None:
    code = (
        "import sys; before = set(sys.modules); from thv.core.remembered import RememberedNo; "
        "RememberedNo('x').settle(refused='seen', in_file=None); print(*sorted(set(sys.modules) - before))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(seen.stdout.split()) == {"__future__", "thv", "thv.core", "thv.core.remembered", "thv.core.state_dir"}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in directories")
def test_a_pipe_in_the_place_of_a_mark_is_a_no_that_nothing_waits_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "off")
    ran = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "True ''\n"


READ = """
import sys
from thv.core.remembered import RememberedNo
mark = RememberedNo("off", lambda: sys.argv[1])
print(mark.holds(), repr(mark.reason()))
"""
