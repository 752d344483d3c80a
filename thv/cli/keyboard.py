"""Single keys from the terminal, without waiting for Enter; the terminal is left as it was found."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

if sys.platform == "win32":
    import msvcrt

    POLL_S = 0.05

    @contextmanager
    def keys() -> Iterator[Callable[[float], str]]:
        """Give a function that waits for a key, so many seconds at most, and returns it; "" if there was none."""

        def next_key(timeout_s: float) -> str:
            deadline = time.monotonic() + timeout_s
            while not msvcrt.kbhit():
                if time.monotonic() >= deadline:
                    return ""
                time.sleep(POLL_S)
            return msvcrt.getwch()

        yield next_key

else:
    import select
    import termios
    import tty

    @contextmanager
    def keys() -> Iterator[Callable[[float], str]]:
        """Give a function that waits for a key, so many seconds at most, and returns it; "" if there was none.

        Where stdin is no terminal there are no keys, and the function only waits.
        """
        fd = 0
        if not os.isatty(fd):

            def wait(timeout_s: float) -> str:
                time.sleep(timeout_s)
                return ""

            yield wait
            return
        before = termios.tcgetattr(fd)

        def next_key(timeout_s: float) -> str:
            if not select.select([fd], [], [], timeout_s)[0]:
                return ""
            return os.read(fd, 32).decode("utf-8", "replace")[:1]

        try:
            tty.setcbreak(fd)
            yield next_key
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
