"""The server process of this system: `ServerProcess`, and `grow_pipe` for pipes that carry much."""

import sys

if sys.platform == "win32":
    from thv.process.windows import ServerProcess, grow_pipe
else:
    from thv.process.posix import ServerProcess, grow_pipe

__all__ = ["ServerProcess", "grow_pipe"]
