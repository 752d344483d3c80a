"""Keeps variables that are meant for a server's Python away from thv's own.

`PYTHONPATH` and a few others change what Python imports: a project's `types.py` would take the place of the standard
library's. Where one is set, thv starts its Python again without them (`-E`); its environment, which the server gets,
stays as it is. Before that, nothing may be imported that is not frozen into the interpreter. Nothing can be done about
`PYTHONHOME`, `PYTHONPLATLIBDIR` and `PYTHONEXECUTABLE` here: they end Python before its first line.
"""

from __future__ import annotations

import os
import sys

FOREIGN = (
    "PYTHONPATH",
    "PYTHONUSERBASE",
    "PYTHONPYCACHEPREFIX",
    "PYTHONCASEOK",
    "PYTHONOPTIMIZE",
    "PYTHONWARNINGS",
    "PYTHONDEVMODE",
    "PYTHONINSPECT",
    "PYTHONTRACEMALLOC",
    "PYTHONASYNCIODEBUG",
    "PYTHONINTMAXSTRDIGITS",
)
"""What changes where modules come from or how importing one ends, what slows all down, and what makes long numbers
unreadable."""


_IS_WINDOWS = os.name == "nt"


def keep_own_imports() -> None:
    """Start this program again without foreign variables, if there are any. Call it before importing anything else."""
    if sys.flags.ignore_environment or not any(map(os.environ.get, FOREIGN)):
        return
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    foreign = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    base = os.environ.get("PYTHONUSERBASE")
    is_found_by_them = root in foreign or (base and root.startswith(os.path.join(os.path.abspath(base), "")))
    is_run_from_here = not sys.flags.safe_path and os.path.abspath(sys.path[0]) == root
    if is_found_by_them or is_run_from_here or _IS_WINDOWS or not sys.executable:
        # Without them thv itself would not be found; and Windows cannot replace a process.
        sys.path[:] = [path for path in sys.path if path == root or os.path.abspath(path) not in foreign]
        return
    options = ["-E", "-P"]
    if sys.flags.no_user_site:
        options.append("-s")
    if sys.flags.dont_write_bytecode:
        options.append("-B")
    if sys.flags.utf8_mode:
        options += ["-X", "utf8"]
    os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])  # noqa: S606  this very program
