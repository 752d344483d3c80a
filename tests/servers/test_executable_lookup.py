"""Commands are found as the shell finds them, and failures are the shell's two."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from thv.errors import CommandNotFoundError, NotExecutableError
from thv.servers.executable_lookup import find, require

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no execute bit; shutil.which decides there"
)


def tool(directory: Path, name: str, mode: int = 0o755) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_the_first_executable_on_path_is_found(tmp_path: Path) -> None:
    tool(tmp_path / "a", "cmd", mode=0o644)
    (tmp_path / "b" / "cmd").mkdir(parents=True)
    third = tool(tmp_path / "c", "cmd")
    tool(tmp_path / "d", "cmd")
    path = os.pathsep.join(str(tmp_path / name) for name in "xabcd")
    assert find("cmd", {"PATH": path}) == str(third) == shutil.which("cmd", path=path)
    assert require("cmd", {"PATH": path}) == str(third)


def test_an_empty_path_element_is_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "cmd")
    monkeypatch.chdir(tmp_path)
    assert find("cmd", {"PATH": f"/nowhere{os.pathsep}"}) == os.path.join(os.curdir, "cmd")  # noqa: PTH118 - "./cmd"


def test_without_path_the_system_default_is_searched() -> None:
    assert find("sh", {}) == shutil.which("sh", path=os.defpath)


def test_a_name_that_is_nowhere_is_not_found() -> None:
    with pytest.raises(CommandNotFoundError, match="no-such-command: no such command on PATH") as caught:
        require("no-such-command", {"PATH": "/nowhere"})
    assert caught.value.exit_code == 127


@pytest.mark.parametrize("name", ["./missing", "missing/cmd", "/a\0b"])
def test_a_path_that_is_not_there_is_not_found(name: str) -> None:
    with pytest.raises(CommandNotFoundError, match="no such file"):
        require(name, {"PATH": os.defpath})


def test_a_file_without_execute_bit_is_not_executable_and_the_remedy_is_named(tmp_path: Path) -> None:
    path = tool(tmp_path, "cmd", mode=0o644)
    for name in (str(path), "cmd"):
        with pytest.raises(NotExecutableError, match=rf"is not executable: chmod \+x {path}") as caught:
            require(name, {"PATH": str(tmp_path)})
        assert caught.value.exit_code == 126


def test_a_directory_is_no_command(tmp_path: Path) -> None:
    with pytest.raises(NotExecutableError, match="is a directory"):
        require(f"{tmp_path}/", {})
    (tmp_path / "dir").mkdir()
    with pytest.raises(CommandNotFoundError):
        require("dir", {"PATH": str(tmp_path)})
