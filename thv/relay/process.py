"""The server process of this system: `ServerProcess`, and `widen` for pipes that carry much."""

import sys

if sys.platform == "win32":
    from thv.relay.windows import ServerProcess, widen
else:
    from thv.relay.posix import ServerProcess, widen

__all__ = ["ServerProcess", "widen"]
