"""What the system says of processes that may end while they are looked at: an end is an answer, never an error."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; its parent may take its time to reap it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def has_ended(pid: int) -> bool:
    """Whether no process has this number, or only one that waits to be reaped."""
    try:
        return is_gone(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def is_zombie(process: psutil.Process) -> bool:
    """Whether it has ended and waits to be reaped."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def voluntary_switches(*pids: int) -> dict[str, int]:
    """How often each thread of these processes has gone to sleep so far, by its folder in /proc (Linux only)."""
    counts: dict[str, int] = {}
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
                status = (thread / "status").read_text()
                counts[str(thread)] = int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return counts


def open_files(pid: int) -> list[Path]:
    """What the descriptors of a process lead to; one that it closes meanwhile is left out. Only on Linux."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(entry.readlink())
    return found
