"""A shell in a terminal of its own, as a person has it: keys go in, and what the shell did with them comes out.

In it `thv` is a function that prints the words it was given: so a test sees what TAB made of the line, whatever the
shell painted on the screen meanwhile.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

PATIENCE_S = 60
"""For a shell that starts on a busy machine; nothing waits this long unless it fails."""

_OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)

_ATTRIBUTES_ASKED, _ATTRIBUTES = re.compile(rb"\x1b\[0?c"), b"\x1b[?62c"
"""Newer shells ask what terminal this is, and wait for the answer (DEC's primary device attributes)."""


class Shell:
    """One interactive shell; a context manager, at whose end it is gone."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], cwd: str) -> None:
        self._ours, theirs = os.openpty()  # type: ignore[attr-defined,unused-ignore]  # tests of shells are POSIX's
        self._process = subprocess.Popen(
            [sys.executable, "-c", _OWN_TERMINAL, *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"},
            cwd=cwd,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._ours)
        self._process.kill()
        self._process.wait()

    def type(self, keys: str) -> None:
        """Presses the keys."""
        os.write(self._ours, keys.encode())

    def until(self, pattern: str) -> re.Match[str]:
        """Reads on until the screen got `pattern`; forgets what led to it.

        Raises:
            TimeoutError: it never came; says what did.
        """
        deadline = time.monotonic() + PATIENCE_S
        wanted = re.compile(pattern.encode(), re.DOTALL)
        while (match := wanted.search(self.seen)) is None:
            if not select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"no {pattern!r} in {self.seen!r}")
            new = os.read(self._ours, 1 << 16)
            for _ in _ATTRIBUTES_ASKED.findall(new):
                os.write(self._ours, _ATTRIBUTES)
            self.seen += new
        self.seen = self.seen[match.end() :]
        text = re.search(pattern, match[0].decode("utf-8", "replace"), re.DOTALL)
        assert text is not None
        return text

    def settle(self, seconds: float) -> None:
        """Reads on until the screen stayed as it is for `seconds`; forgets what led to it."""
        while select.select([self._ours], [], [], seconds)[0]:
            os.read(self._ours, 1 << 16)
        self.seen = b""

    def line_of(self, keys: str) -> list[str]:
        """Types `keys` and Enter; the words that `thv` was given then."""
        self.type(f"{keys}\r")
        return self.until(r"\[\[(.*?)\]\]")[1].replace("\r\n", "").split("|")
