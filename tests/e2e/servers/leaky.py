"""An MCP server whose every reply holds a secret: results, failed results, and the messages of errors."""

from __future__ import annotations

import json
import sys

RESULT, FAILURE, ERROR = sys.argv[1:4]


def main() -> None:
    """Serve until stdin ends."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        name = message.get("params", {}).get("name")
        content = [{"type": "text", "text": RESULT if name != "fail" else FAILURE}]
        reply = {"result": {"content": content, "isError": name == "fail"}}
        if name == "error":
            reply = {"error": {"code": -32000, "message": f"request failed: api_key={ERROR}, {'x' * 400}"}}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}) + "\n")
        sys.stdout.flush()


main()
