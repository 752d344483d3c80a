"""The server process of this system, and what differs between systems beside it."""

import sys

if sys.platform == "win32":
    from thv.process.windows import ServerProcess, ensure_standard_descriptors, grow_pipe
else:
    from thv.process.posix import ServerProcess, ensure_standard_descriptors, grow_pipe

__all__ = ["ServerProcess", "ensure_standard_descriptors", "grow_pipe"]
