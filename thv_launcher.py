"""What the installed `thv` command imports first. The name is one that no project has, unlike `thv`.

`PYTHONPATH` is searched before the folder that thv is installed in: a `thv.py` there, or another package `thv`, would
be taken for thv itself. So where it is set, the folder of this file is searched first until thv is found. What Python
and the installer's script import before this file, nothing here can change.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line; returns the exit code."""
    is_path_set = bool(os.environ.get("PYTHONPATH")) and not sys.flags.ignore_environment
    if is_path_set:
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from thv.__main__ import main as run

    if is_path_set:
        del sys.path[0]
    return run()
