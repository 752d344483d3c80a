"""Messages on stderr: written where they can be, dropped where stderr is not read, and never on stdout."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from thv.core import console
from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("fcntl", reason="pipes that can be polled are POSIX ones")
assert sys.platform != "win32"  # tells the type checker


ROOT = Path(__file__).parents[2]


@contextmanager
def full_stderr() -> Iterator[int]:
    """A blocking pipe in place of descriptor 2, full; gives its reading end."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, bytes(4096))
    except BlockingIOError:
        os.set_blocking(write, True)
    kept = os.dup(2)
    os.dup2(write, 2)
    os.close(write)
    try:
        yield read
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(read)


def test_a_stderr_that_is_not_read_holds_nothing_up() -> None:
    with full_stderr():
        began = time.monotonic()
        console.warn("words")
        with pytest.raises(OSError, match="stderr is not read"):
            console.warn_or_raise("words that must be read")
        assert time.monotonic() - began >= console.WRITE_TIMEOUT_S  # it waited, and came back


def test_a_stderr_that_is_read_late_gets_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "WRITE_TIMEOUT_S", 60.0)  # however busy the machine is
    text = "x" * 300_000
    got = bytearray()
    with full_stderr() as read:
        thread = Thread(target=console.warn, args=(text,))
        thread.start()
        while not got.endswith(b"x\n") and select.select([read], [], [], 60.0)[0]:
            got += os.read(read, 65536)
        thread.join()
    assert got.lstrip(b"\0").decode() == f"thv: {text}\n"


def test_a_message_of_several_lines_costs_no_import() -> None:
    """Nearly every first run has one, and the relay stays as small as it is."""
    code = (
        "import sys; from thv.core.console import warn; warn('one\\ntwo é'); "
        "raise SystemExit('re' in sys.modules or 'thv.core.printable' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, check=False, timeout=60).returncode == 0


def test_no_message_controls_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    console.warn("./e\x1b[31mx\u202e\x9b\x07: no such file\n  é \udcff")
    assert capfd.readouterr().err == "thv: ./e\\x1b[31mx\\u202e\\x9b\\x07: no such file\n  é \ufffd\n"


def test_a_traceback_goes_to_stderr_even_if_python_found_it_closed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr", None)  # what Python makes of a descriptor 2 that is closed at start
    assert console.report(ThvError("the reason"), debug=True) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "ThvError: the reason" in err
    assert err.endswith("thv: the reason\n")
