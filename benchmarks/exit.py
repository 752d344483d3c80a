"""Measures how long thv outlives its server, whatever the analytics endpoint does.

    python benchmarks/exit.py [--rounds N]

A small server answers one call and notes when it is about to end; the time from then to the end of thv is what counts.
*cold*: the session was too short for the TLS library to be loaded before its end. *warm*: it was. The endpoint is
a sink on this machine that misbehaves in each of the ways there are; *arrived* says how often it got the request.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.sink import Mode, Sink  # noqa: E402  the tests' sink; the path has to be set first

MODES: tuple[Mode, ...] = (
    *("ok", "refuse", "blackhole", "silent", "drip", "drip-tls", "close-after-request", "tls-bad-cert", "503", "429"),
)

SERVER = """
import os, sys, time
for line in sys.stdin.buffer:
    os.write(1, b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}\\n')
with open(sys.argv[1], "w") as note:
    note.write(repr(time.monotonic()))
"""
"""Answers every line as the call with id 1; `time.monotonic` is one clock for all processes of the machine."""

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}\n'

WARM_UP_S = 1.5
"""Enough for 250 ms of quiet and the import of the TLS library."""

SWITCHES = ("CI", "DO_NOT_TRACK", "TOOLHIVE_USAGE_ANALYTICS_ENABLED", "OTEL_SDK_DISABLED")

CONSENT = "otel:\n  usage-analytics-enabled: true\n"


def lag_ms(sink: Sink | None, endpoint: str, workspace: Path, *, warm: bool) -> float:
    """From the server's last act to the end of thv, in milliseconds. Without a sink, analytics are off."""
    note = workspace / "ended"
    env = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    env |= {"HOME": str(workspace), "PYTHONPATH": str(ROOT)} | ({} if sink else {"DO_NOT_TRACK": "1"})
    argv = [sys.executable, str(ROOT / "tests" / "launch.py"), "--endpoint", endpoint]
    argv += ["--ca", str(sink.ca_file)] if sink else []
    config = workspace / ".toolhive" / "config.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(CONSENT, encoding="utf-8")  # or the no of the sessions without a sink would be remembered
    # Nothing is sent where the notice cannot be read, so stderr is a file.
    with (
        (workspace / "stderr").open("ab") as log,
        subprocess.Popen(
            [*argv, "--", "run", "--", sys.executable, "-IS", "-c", SERVER, str(note)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=env,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(CALL)
        process.stdin.flush()
        process.stdout.readline()
        if warm:
            time.sleep(WARM_UP_S)
        process.stdin.close()
        process.wait()
        ended = time.monotonic()
    return (ended - float(note.read_text())) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="sessions for each figure (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    options = parser.parse_args()
    figures: dict[str, dict[str, list[float]]] = {}
    arrived: dict[str, int] = {}
    print(f"{'endpoint':<22}{'cold ms':>9}{'max':>7}{'warm ms':>9}{'max':>7}   requests arrived", flush=True)
    with tempfile.TemporaryDirectory(prefix="thv-benchmark-") as directory:
        for name in ("analytics off", *MODES, "no such host"):
            lags: dict[str, list[float]] = {"cold": [], "warm": []}
            count = 0
            for _ in range(options.rounds):
                for temperature, taken in lags.items():
                    with Sink(mode=name if name in MODES else "ok") as sink:
                        endpoint = "https://analytics.invalid/v1/traces" if name == "no such host" else sink.endpoint
                        given = None if name == "analytics off" else sink
                        taken.append(lag_ms(given, endpoint, Path(directory), warm=temperature == "warm"))
                        count += len(sink.requests)
            figures[name], arrived[name] = lags, count
            cold, warm = lags["cold"], lags["warm"]
            print(
                f"{name:<22}{median(cold):>9.0f}{max(cold):>7.0f}{median(warm):>9.0f}{max(warm):>7.0f}"
                f"   {count} of {2 * options.rounds}",
                flush=True,
            )
    if options.json:
        Path(options.json).write_text(json.dumps({"lags": figures, "arrived": arrived}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
