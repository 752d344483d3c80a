"""The client that the official conformance suite starts: `thv` lists the tools of a server, and calls each.

    python conformance_client.py URL

What the user knows beforehand comes in `MCP_CONFORMANCE_CONTEXT` (an id and a secret), `THV_TEST_CLIENT_ID` (the URL of
a client metadata document) and `THV_TEST_LOGIN` (they log in by hand first).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.auth.oauth_servers import BROWSER


def main(url: str, home: Path) -> int:
    """Use the server once; returns the exit code of what failed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environ |= {"HOME": str(home), "DO_NOT_TRACK": "1", "BROWSER": BROWSER}

    def thv(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "thv", *words]
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        sys.stderr.write(done.stderr)
        return done

    known = json.loads(environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    client_id = known.get("client_id") or environ.get("THV_TEST_CLIENT_ID")
    options = [] if client_id is None else ["--client-id", client_id]
    if "client_secret" in known:
        secret = home / "secret"
        secret.write_text(known["client_secret"])
        options += ["--client-secret-file", str(secret)]
    if (options or "THV_TEST_LOGIN" in environ) and thv("auth", "login", *options, url).returncode:
        return 1
    listed = thv("mcp", "list", "--format", "json", url)
    if listed.returncode:
        return listed.returncode
    return max(
        (thv("mcp", "call", url, tool["name"]).returncode for tool in json.loads(listed.stdout)["tools"]), default=0
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(main(sys.argv[-1], Path(folder)))
