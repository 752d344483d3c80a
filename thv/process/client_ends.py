"""What a client's ends of our stdin and stdout are, beyond what reading and writing would show."""

from __future__ import annotations

import os
import sys

FILE_TYPE, REGULAR_FILE = 0o170000, 0o100000
"""Of `st_mode` (inode(7)). (The `stat` module is not needed for more.)"""


def is_regular_file(fd: int) -> bool:
    """Whether `fd` is a file, whose end does not mean that a client left."""
    try:
        return os.fstat(fd).st_mode & FILE_TYPE == REGULAR_FILE
    except OSError:
        return False


def has_reader(fd: int) -> bool:
    """Whether what is written to `fd` can still be read. Windows cannot tell, so there it is assumed."""
    gone: list[tuple[int, int]] = []
    if sys.platform != "win32":
        import select

        poller = select.poll()
        poller.register(fd, 0)
        gone = poller.poll(0)
    return not gone
