"""A program that runs one `Relay` as a session does, with everything around it scripted: for `test_relay.py`.

Usage: `host.py OPEN LOOK COMMAND...`: OPEN calls are said to be open, LOOK is `quiet`, `raising` or `late`. What
happened is told as one JSON line on stderr.
"""

import json
import os
import sys
import time

from thv.process.events import Events
from thv.process.server_process import ServerProcess
from thv.relay.relay import Relay

OPEN = int(sys.argv[1])
LOOK = sys.argv[2]
COMMAND = sys.argv[3:]

gone: list[float] = []
seen = {"client": b"", "server": b""}


def look_at_client(chunk: bytes) -> None:
    seen["client"] += chunk
    if LOOK == "raising":
        raise RuntimeError("a bug in looking")


def look_at_server(chunk: bytes) -> None:
    seen["server"] += chunk
    if LOOK == "raising":
        raise RuntimeError("a bug in looking")


events = Events()
events.install_signal_handlers()
server = ServerProcess.spawn(COMMAND[0], COMMAND, dict(os.environ), None)
relay = Relay(server, events, awaiting_reply=lambda: OPEN, client_disconnected=lambda: gone.append(time.monotonic()))
relay.start()
if LOOK != "late":
    try:
        relay.listen(look_at_client, look_at_server)
    except RuntimeError:  # as a session does
        relay.listen(lambda _chunk: None, lambda _chunk: None)
code = relay.run()
ended = time.monotonic()
if LOOK == "late":
    relay.listen(look_at_client, look_at_server)
told = {
    "code": code,
    "ended_by_server": relay.ended_by_server,
    "client_disconnected": len(gone),
    "grace": ended - gone[0] if gone else None,
    "activity": relay.activity(),
    "client": seen["client"].decode(),
    "server": seen["server"].decode(),
}
os.write(2, json.dumps(told).encode() + b"\n")
os._exit(0)
