"""A server that cleans up before it ends, and writes down what became of that.

Usage: `saver.py LOG SECONDS handler|default|ignores [CAUSE...]`. LOG gets lines that begin with the pid: "born", the
name of each client, and the cause of each clean-up when it begins and when it is done. Clean-ups for the causes named
last are never done. What comes on stdin is answered as an `initialize`.
"""

import json
import os
import resource
import select
import signal
import sys
import time

assert sys.platform != "win32"  # tells the type checker

NAP_S = 0.05
"""A signal that comes as Python falls asleep, or begins to read, is heard when it wakes up: so it never sleeps long."""

log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
seconds, disposition = float(sys.argv[2]), sys.argv[3]


def note(text: str) -> None:
    os.write(log, f"{os.getpid()} {text}\n".encode())


def save(cause: str) -> None:
    note(f"{cause} begins")
    end = time.monotonic() + (1000 if cause in sys.argv[4:] else seconds)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, NAP_S))
    note(f"{cause} done")
    os._exit(4)


resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # some signals write one by default
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    if disposition == "handler":
        signal.signal(number, lambda number, _: save(signal.Signals(number).name))
    else:
        signal.signal(number, signal.SIG_DFL if disposition == "default" else signal.SIG_IGN)
note("born")
os.write(1, b"ready\n")
unread = b""
while True:
    if not select.select([0], [], [], NAP_S)[0]:
        continue
    if not (data := os.read(0, 1 << 16)):
        break
    line, newline, rest = (unread + data).partition(b"\n")
    if not newline:
        unread = line
        continue
    unread = rest
    message = json.loads(line)
    if "id" in message:
        note(f"greeted by {message['params']['clientInfo']['name']}")
        result = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "serverInfo": {"name": "saver", "version": "1"},
        }
        os.write(1, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode() + b"\n")
save("EOF")
