"""Starts thv as a client does, with any command behind it, or that command alone; and leaves nothing behind.

Every process a `Run` started is found again by a mark in its environment, even after its parents are gone; the
watchdog, which has no environment, by having been seen before. A run that leaves one behind fails its test, and the
process is killed.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import psutil

from tests.processes import is_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PATIENCE = 60.0
"""Seconds any wait may take before a test fails: generous, for a slow machine is no failure."""

MARK = "THV_TEST_RUN"
"""The variable that marks every process of a run, the watchdog excepted."""

SERVERS = Path(__file__).parent / "servers"


def python(code: str, *args: str) -> list[str]:
    """The command of a small server, given as code."""
    return [sys.executable, "-ISc", code, *args]


def scripted(name: str, *args: str) -> list[str]:
    """The command of a server from `tests/e2e/servers`."""
    return [sys.executable, "-IS", str(SERVERS / name), *args]


def behind_thv(command: Sequence[str], *options: str) -> list[str]:
    """The command line that runs `command` behind thv."""
    return [sys.executable, "-P", "-m", "thv", "run", *options, "--", *command]


def until(condition: Callable[[], bool], what: str = "it", seconds: float = PATIENCE) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: it did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.005)


def receive(fd: int, *, count: int | None = None, line: bool = False) -> bytes:
    """Read `count` bytes, or up to the end of a line, or to the end of file."""
    got = bytearray()
    while (count is None or len(got) < count) and not (line and got.endswith(b"\n")):
        assert select.select([fd], [], [], PATIENCE)[0], (
            f"nothing more came after {len(got)} bytes: {bytes(got[-200:])!r}"
        )
        wanted = 1 if line else 65536 if count is None else min(65536, count - len(got))
        try:
            chunk = os.read(fd, wanted)
        except OSError:  # a terminal whose other side is closed, a socket that was reset
            break
        if not chunk:
            break
        got += chunk
    return bytes(got)


class Run:
    """One running command, as a context manager.

    Args:
        command: what to start: `behind_thv(...)`, or a server's command itself.
        directory: the working directory.
        env: variables on top of the test's own.
        popen: passed to `subprocess.Popen`; stdin, stdout and stderr are pipes unless given.
    """

    def __init__(
        self, command: Sequence[str], directory: Path, *, env: Mapping[str, str] | None = None, **popen: Any
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._seen: set[psutil.Process] = set()
        popen = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
        environment = {**os.environ, "DO_NOT_TRACK": "1", MARK: self._mark, **(env or {})}
        self.process = subprocess.Popen(command, cwd=directory, env=environment, bufsize=0, **popen)
        self.pid = self.process.pid

    @property
    def stdin(self) -> int:
        """Descriptor of the pipe to its stdin."""
        return _fileno(self.process.stdin)

    @property
    def stdout(self) -> int:
        """Descriptor of the pipe from its stdout."""
        return _fileno(self.process.stdout)

    @property
    def stderr(self) -> int:
        """Descriptor of the pipe from its stderr."""
        return _fileno(self.process.stderr)

    def send(self, data: bytes) -> None:
        """Write all of `data` to its stdin."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.stdin, rest) :]

    def close_stdin(self) -> None:
        """Say that the client has no more to say."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def wait(self) -> int:
        """Its exit code; negative if a signal ended it."""
        self._remember()
        return self.process.wait(PATIENCE)

    def finish(self, data: bytes = b"") -> tuple[int, bytes, bytes]:
        """Send `data`, close stdin, read to the end: exit code, stdout, stderr."""
        self._remember()
        out, err = self.process.communicate(data, timeout=PATIENCE)
        return self.process.returncode, out, err

    def family(self) -> list[psutil.Process]:
        """Every process of this run that lives, itself included: server, grandchildren, watchdog."""
        self._remember()
        return [process for process in psutil.process_iter() if self._is_ours(process) and not is_gone(process)]

    def all_gone(self) -> bool:
        """Whether no process of this run lives."""
        return not self.family()

    def _remember(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self._seen.update(psutil.Process(self.pid).children(recursive=True))

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.pid == self.pid or process in self._seen:
            return True
        try:
            return process.environ().get(MARK) == self._mark
        except psutil.Error:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, _error: object, _trace: object) -> None:
        if kind is not None and self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        left: list[psutil.Process] = []
        try:
            if kind is None:
                self.process.wait(PATIENCE)
                until(self.all_gone, "the end of every process", 20)
        except (AssertionError, subprocess.TimeoutExpired):
            left = self.family()
            raise AssertionError(f"left behind: {[_describe(process) for process in left]}") from None
        finally:
            for process in self.family():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait(PATIENCE)


def _fileno(stream: IO[bytes] | None) -> int:
    assert stream is not None
    return stream.fileno()


def _describe(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:120]}"
    return str(process.pid)
