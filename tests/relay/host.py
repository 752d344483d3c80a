"""A program that runs one `Relay` as a session does, with everything around it scripted: for `test_relay.py`.

Usage: `host.py OPEN LOOK GRACES COMMAND...`. OPEN calls count as open until the server has written `answer` for each.
LOOK is `quiet`, `raising` or `late`; GRACES is `full`, or `none` for nearly none. The outcome is a JSON line on stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from thv.process import shutdown
from thv.process.main_thread_events import Events
from thv.process.server_process import ServerProcess
from thv.relay.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.core.interfaces import PassedChunk

OPEN = int(sys.argv[1])
LOOK = sys.argv[2]
GRACES = sys.argv[3]
COMMAND = sys.argv[4:]
if GRACES == "none":
    shutdown.SIGNAL_GRACE = shutdown.REPLY_GRACE = 0.01

gone: list[float] = []
seen = {"client": b"", "server": b""}


class Observer:
    def on_traffic(self, traffic: Sequence[PassedChunk], *, is_patient: bool = True) -> int:
        for is_client, chunk, _ in traffic:
            seen["client" if is_client else "server"] += chunk
        if LOOK == "raising":
            raise RuntimeError("a bug in inspection")
        return len(traffic)


events = Events()
events.install_signal_handlers()
server = ServerProcess.spawn(COMMAND[0], COMMAND, dict(os.environ), None)
relay = Relay(
    server,
    events,
    requests_are_open=lambda: seen["server"].count(b"answer\n") < OPEN,
    client_disconnected=lambda: gone.append(time.monotonic()),
)
relay.start()
if LOOK != "late":
    relay.observe(Observer())
code = relay.run()
ended = time.monotonic()
if LOOK == "late":
    relay.observe(Observer())
told = {
    "code": code,
    "ended_by_server": relay.ended_by_server,
    "unanswered": relay.unanswered,
    "closed_output": relay.closed_output,
    "has_read": relay.has_read,
    "client_disconnected": len(gone),
    "grace": ended - gone[0] if gone else None,
    "activity": relay.activity(),
    "client": seen["client"].decode(),
    "server": seen["server"].decode(),
}
os.write(2, json.dumps(told).encode() + b"\n")
os._exit(0)
