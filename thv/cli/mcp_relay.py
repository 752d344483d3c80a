"""The `thv run` that `thv mcp` starts: what it could not do it tells `thv mcp`, in a notification, instead of stderr.

So an error is reported once, by the command that the user typed.
"""

from __future__ import annotations

import os
import sys

from thv.cli.run import run
from thv.cli.run_options import parse
from thv.core.console import report
from thv.mcp_client import RELAY_ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thv.errors import ThvError


def _notify_client(error: ThvError, debug: bool) -> int:
    if debug:
        return report(error, debug)
    import json  # not before the server is started: 5 ms

    notification = {"jsonrpc": "2.0", "method": RELAY_ERROR, "params": {"message": str(error)}}
    os.write(1, b"\n" + json.dumps(notification).encode() + b"\n")
    return error.exit_code


if __name__ == "__main__":
    os._exit(run(parse(sys.argv[1:]), report_error=_notify_client, reports_end=False))
