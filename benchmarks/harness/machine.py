"""What Linux says of processes: which belong to a peer, their peak memory, their context switches; and CPU pinning.

Everything is read from /proc, from outside: a measured process is never asked to help, so it is never changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
STATE, PARENT, START_TIME = 0, 1, 19
"""Places in /proc/PID/stat, counted from its third field."""
GUEST_TIMES = 8
"""How many times the first line of /proc/stat holds before those of guests, which are part of the first two."""
CLONE_NEWNET = 0x40000000
"""From <linux/sched.h>; Python has `os.unshare` from 3.12 on."""

TLS_LIBRARY = "libssl"
"""Mapped in a process of ours exactly when it has loaded what a report needs."""


def line() -> str:
    """One line that says on what the figures were taken."""
    info = (PROC / "cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [row.split(":", 1)[1].strip() for row in info if row.startswith("model name")]
    load = " ".join((PROC / "loadavg").read_text(encoding="utf-8").split()[:3])
    model = models[0] if models else platform.machine()
    return (
        f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, load {load}"
    )


def cpu_seconds() -> tuple[float, float, float]:
    """CPU time so far: what the machine had to give, what was used, and what this program and its children used.

    Time that a hypervisor gave to another machine counts as used.
    """
    ticks = 1
    if sys.platform != "win32":
        ticks = os.sysconf("SC_CLK_TCK")
    row = (PROC / "stat").read_text(encoding="utf-8").splitlines()[0].split()
    user, nice, system, idle, waiting, *interrupts_and_stolen = map(int, row[1 : GUEST_TIMES + 1])
    used = user + nice + system + sum(interrupts_and_stolen)
    return (used + idle + waiting) / ticks, used / ticks, sum(os.times()[:4])


@contextlib.contextmanager
def one_cpu() -> Iterator[None]:
    """Keeps this thread, and whatever it starts meanwhile, on one CPU."""
    if sys.platform == "linux":
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(before)})
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)
    else:
        raise SystemExit("the benchmarks pin CPUs and read /proc: they run on Linux only")


def leave_the_network() -> bool:
    """Gives this thread, and whatever it starts from now on, a network without any interface; says whether it could.

    It takes privileges (CAP_SYS_ADMIN), and there is no way back: call it on a thread made for it.
    """
    return sys.platform == "linux" and bool(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on; empty once the process is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the second field, a name in parentheses, may hold anything


def _parents() -> dict[int, int]:
    """Every process and its parent."""
    stats = {int(entry.name): _stat(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit()}
    return {pid: int(fields[PARENT]) for pid, fields in stats.items() if fields}


def started_at(pid: int) -> int | None:
    """When a process was started, which tells it from a later one with its number; None if it has ended."""
    fields = _stat(pid)
    return int(fields[START_TIME]) if fields and fields[STATE] != "Z" else None


def descendants(root: int) -> set[int]:
    """The processes started by `root`, and by those, and so on; `root` itself is not among them."""
    parents = _parents()
    found: set[int] = set()
    fresh = {root}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def marked(marker: str) -> set[int]:
    """The processes whose environment, as it was when they started, holds `marker`: orphans of a peer too."""
    found: set[int] = set()
    for pid in _parents():
        with contextlib.suppress(OSError):
            if marker.encode() in (PROC / str(pid) / "environ").read_bytes():
                found.add(pid)
    return found


def runs(pid: int, program: Path) -> bool:
    """Whether that process executes that file."""
    try:
        return (PROC / str(pid) / "exe").resolve() == program
    except OSError:
        return False


def status(pid: int, field: str) -> int:
    """A number from /proc/PID/status (kB for memory); 0 once the process is gone."""
    try:
        rows = (PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in rows if row.startswith(field + ":")), 0)


def peak_kib(pid: int) -> int:
    """The most memory that was ever resident, in KiB."""
    return status(pid, "VmHWM")


def switches(pid: int) -> int:
    """How often the threads of a process were switched in, by their own will or not, since it started."""
    total = 0
    with contextlib.suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                for row in (task / "status").read_text(encoding="utf-8", errors="replace").splitlines():
                    if row.startswith(("voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")):
                        total += int(row.split()[1])
    return total


def descriptors(pid: int) -> int:
    """How many descriptors a process holds."""
    try:
        return sum(1 for _ in (PROC / str(pid) / "fd").iterdir())
    except OSError:
        return 0


def has_tls(pid: int) -> bool:
    """Whether the TLS library is loaded in that process."""
    try:
        return TLS_LIBRARY in (PROC / str(pid) / "maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def kill(pid: int) -> None:
    """Ends a process at once, if it is still there."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
