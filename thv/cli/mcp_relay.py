"""The `thv run` that `thv mcp` starts: what went wrong it tells `thv mcp`, in a notification, instead of stderr.

So an error is reported once, by the command that the user typed. The relay closes our stdout when the server closes its
own; a duplicate of it is kept for what is to be told then.
"""

from __future__ import annotations

import os
import sys

from thv.cli.run import run
from thv.cli.run_options import parse
from thv.core.console import report
from thv.mcp_client import RELAY_ERROR, SERVER_ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.errors import ThvError

_client: list[int] = []
"""The duplicate of stdout, until it is closed."""


def _notify_client(error: ThvError, debug: bool) -> int:
    if debug:
        return report(error, debug)
    _notify(RELAY_ERROR, {"message": str(error)})
    return error.exit_code


def _report_server_end(stays: bool, has_read: bool) -> None:
    if _client:
        _notify(SERVER_ENDED, {"stays": stays, "hasRead": has_read})
        if stays:
            os.close(_client.pop())  # else it is closed by our exit, which follows


def _notify(method: str, params: Mapping[str, object]) -> None:
    import json  # not before the server is started: 5 ms
    from contextlib import suppress

    notification = {"jsonrpc": "2.0", "method": method, "params": params}
    with suppress(OSError):  # `thv mcp` is gone
        os.write(_client[0] if _client else 1, b"\n" + json.dumps(notification).encode() + b"\n")


if __name__ == "__main__":
    _client.append(os.dup(1))
    os._exit(run(parse(sys.argv[1:]), report_error=_notify_client, on_server_end=_report_server_end))
