"""Answers each request with an empty result, late or early; a request's own id decides nothing.

Options: `--after SECONDS` between a request and its reply (the end of input does not shorten it);
`--starts-after SECONDS` before anything is read; `--deaf` ignores the end of input; `--die CODE` exits without an
answer at the first call.
"""

import json
import os
import sys
import time

after = float(sys.argv[sys.argv.index("--after") + 1]) if "--after" in sys.argv else 0.0
if "--starts-after" in sys.argv:
    time.sleep(float(sys.argv[sys.argv.index("--starts-after") + 1]))
code = int(sys.argv[sys.argv.index("--die") + 1]) if "--die" in sys.argv else None

for line in sys.stdin.buffer:
    request = json.loads(line)
    if "id" not in request:
        continue
    if code is not None:
        os._exit(code)
    time.sleep(after)
    reply = {"jsonrpc": "2.0", "id": request["id"], "result": {"content": []}}
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
    sys.stdout.buffer.flush()
while "--deaf" in sys.argv:
    time.sleep(60)
