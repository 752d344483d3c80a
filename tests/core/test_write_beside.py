"""A file that takes another's place is whole after a power cut, too: every part that replaces files keeps the order."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import thv
from tests.auth.test_token_store import login
from thv.auth.token_store import TokenStore
from thv.clients import client_file_writer
from thv.clients.file_swap import exchanger
from thv.config.config_store import update

if TYPE_CHECKING:
    from collections.abc import Callable

Step = tuple[str, bytes | str]


class Disk:
    """Writes down each flush, and each step that gives a new text its name, with the text at that moment.

    Flushing a directory makes the names in it last.

    Args:
        folder: where the files are.
        patch: puts it between thv and the system.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.steps: list[Step] = []
        flush, rename = os.fsync, Path.replace

        def fsync(descriptor: int) -> None:
            flush(descriptor)
            flushed = os.fstat(descriptor)
            # Found by what it is, since the descriptor may be one that can only be written to.
            [path] = [path for path in (folder, *folder.iterdir()) if os.path.samestat(path.stat(), flushed)]
            self.steps.append(("flush", "directory" if path == folder else path.read_bytes()))

        def replace(path: Path, target: Path) -> Path:
            self.steps.append(("name", path.read_bytes()))
            return rename(path, target)

        def noting_exchanger(one: str, two: str) -> Callable[[], bool] | None:
            exchange = exchanger(one, two)
            if exchange is None:
                return None
            text = Path(one).read_bytes()  # now: the swap lets no one open it, see `hold_openers`

            def noting_exchange() -> bool:
                is_done = exchange()
                if is_done:
                    self.steps.append(("name", text))
                return is_done

            return noting_exchange

        patch.setattr(os, "fsync", fsync)
        patch.setattr(Path, "replace", replace)
        patch.setattr(client_file_writer, "exchanger", noting_exchanger)


def change_setting(folder: Path) -> None:
    (folder / "config.yaml").write_text("a: 1\n")
    update(str(folder / "config.yaml"), lambda _: "b: 2\n")


def keep_login(folder: Path) -> None:
    TokenStore(folder).put(login())


def change_client_file(folder: Path) -> None:
    (folder / "client.json").write_bytes(b"{}")
    assert client_file_writer.update(folder / "client.json", lambda _: b'{"a":1}')


WRITERS = {
    "thv/config/config_store.py": (change_setting, "config.yaml"),
    "thv/auth/token_store.py": (keep_login, "*.json"),
    "thv/clients/client_file_writer.py": (change_client_file, "client.json"),
}
"""What replaces a file in each module that calls `write_beside`, and the name of that file."""


def test_every_module_that_writes_beside_is_tested_here() -> None:
    package = Path(thv.__file__).parent
    callers = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "write_beside"
    }
    assert callers == set(WRITERS)


@pytest.mark.skipif(sys.platform == "win32", reason="only POSIX can flush a directory")
@pytest.mark.parametrize("writer", WRITERS)
def test_the_new_text_is_on_the_disk_before_it_takes_the_name_and_the_name_before_the_command_ends(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut there is the old file or the new one, and never an empty one: the order of these steps."""
    write, name = WRITERS[writer]
    with monkeypatch.context() as patch:
        disk = Disk(tmp_path, patch)
        write(tmp_path)
    [text] = [path.read_bytes() for path in tmp_path.glob(name)]
    assert text
    assert disk.steps == [("flush", text), ("name", text), ("flush", "directory")]


@pytest.mark.skipif(sys.platform == "win32", reason="only POSIX can flush a directory")
def test_beside_a_busy_client_the_disk_comes_after_the_name_but_before_the_command_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for the disk may let the client in each time, so later attempts flush the text once it has its name."""
    monkeypatch.setattr(client_file_writer, "SYNCED_ATTEMPTS", 0)
    with monkeypatch.context() as patch:
        disk = Disk(tmp_path, patch)
        change_client_file(tmp_path)
    assert disk.steps == [("name", b'{"a":1}'), ("flush", b'{"a":1}'), ("flush", "directory")]
