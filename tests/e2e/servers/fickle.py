"""An MCP server for odd bytes: it looks at a line as text, so that any JSON will do, and does what it finds there.

Its first argument is a file that counts its lives; what it reads is written beside it, each line after the number of
its life. Each further argument is `LIFE:WHAT`: what it does in that life when it reads `initialize`: `die`, or `hang`,
`ask` (pings first, and waits for the answer), or `exit` at once, before it reads anything. A reply repeats the id as it
was written.

In a call it obeys these words: `die`; `hang`; `half` (writes 20 MiB of a reply and dies); `late` (answers at the next
call); `twin` (answers under the id as a string); `batched` (answers at the next call, together with that); `ask ID`
(asks a question under that id and does not answer the call).
"""

import os
import re
import sys
from pathlib import Path

LIVES = Path(sys.argv[1])
PLAN = dict(word.split(":") for word in sys.argv[2:])
ID = re.compile(rb'"id" *: *("(?:[^"\\]|\\.)*"|[-0-9.eE+]+)')
TOKEN = re.compile(rb'"progressToken" *: *("[^"]*"|[-0-9.eE+]+)')
QUESTION = re.compile(rb'"ask ([^" \\]+|\\"[^"]*\\")"')
HALF = 20 << 20


def out(text: bytes) -> None:
    """Write all of it."""
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(1, rest) :]


class Server:
    """One life of it."""

    def __init__(self) -> None:
        self.life = LIVES.stat().st_size if LIVES.exists() else 0
        with LIVES.open("a") as file:
            file.write(".")
        self.plan = PLAN.get(str(self.life))
        self.late: list[bytes] = []
        self.batched: list[bytes] = []

    def run(self) -> None:
        """Serve until stdin ends."""
        if self.plan == "exit":
            os._exit(4)
        for line in sys.stdin.buffer:
            with LIVES.with_name("lives.log").open("ab") as log:
                log.write(b"%d %b" % (self.life, line))
            found = ID.search(line)
            if found is None or b'"method"' not in line:
                continue
            reply = b'{"jsonrpc":"2.0","id":%b,"result":{"content":[],"life":%d}}' % (found[1], self.life)
            if b'"initialize"' in line:
                self.initialize(reply)
            elif asked := QUESTION.search(line):
                out(b'{"jsonrpc":"2.0","id":%b,"method":"elicitation/create"}\n' % asked[1].replace(b"\\", b""))
            else:
                self.call(line, found[1], reply)

    def initialize(self, reply: bytes) -> None:
        """Answer, unless the plan says otherwise."""
        if self.plan == "die":
            os._exit(3)
        if self.plan == "ask":
            out(b'{"jsonrpc":"2.0","id":"p","method":"ping"}\n')
            while b'"p"' not in sys.stdin.buffer.readline():
                pass
        if self.plan != "hang":
            out(reply.replace(b'"content":[]', b'"capabilities":{"tools":{"listChanged":true}}') + b"\n")

    def call(self, line: bytes, id_: bytes, reply: bytes) -> None:
        """Do what the call says."""
        for each in self.late:
            out(each + b"\n")
        self.late.clear()
        if b'"die"' in line:
            os._exit(3)
        if b'"half"' in line:
            out(reply.replace(b"[]", b'["%b' % (b"x" * HALF)))
            os._exit(3)
        if b'"late"' in line:
            self.late.append(reply)
        elif b'"batched"' in line:
            self.batched.append(reply)
        elif b'"progress"' in line:
            for token in TOKEN.findall(line):
                out(b'{"method":"notifications/progress","params":{"progress":1,"progressToken":%b}}\n' % token)
        elif b'"twin"' in line:
            out(reply.replace(b":" + id_, b':"%b"' % id_, 1) + b"\n")
        elif b'"hang"' not in line:
            out(b"[%b]\n" % b",".join((*self.batched, reply)) if self.batched else reply + b"\n")
            self.batched.clear()


Server().run()
