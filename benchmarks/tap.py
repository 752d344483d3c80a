"""What looking costs: microseconds per line for small messages, milliseconds and memory for large ones.

Run it by path: ``python benchmarks/tap.py``. Every figure is the best of several rounds, with one observer attached.
The figures for large lines leave out allocating the chunks, which the relay does anyway. Telemetry's figures are what
the relay's threads pay for a request and its reply; spans go to a program that drops them.
"""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

from thv.instrumentation.inspector import TrafficInspector
from thv.ledger.ledger import ToolCallLedger
from thv.telemetry.recorder import Telemetry
from thv.telemetry.telemetry_settings import TelemetrySettings

if TYPE_CHECKING:
    from thv.core.interfaces import Outcome

KIB = 1 << 10
MIB = 1 << 20
LARGE = 16 * MIB
ROUNDS = 5

LARGE_RESULTS: dict[str, bytes] = {
    "one text": b'{"text":"' + b"a" * LARGE + b'"}',
    "one text of JSON": b'{"text":"' + b'{\\"key\\": \\"some words\\", \\"n\\": 12}, ' * (LARGE // 40) + b'"}',
    'one text of \\"': b'{"text":"' + b'\\"' * (LARGE // 2) + b'"}',
    "one text of \\u00e9": b'{"text":"' + b"\\u00e9" * (LARGE // 6) + b'"}',
    "32 images": b",".join([b'{"data":"' + b"A" * (LARGE // 32) + b'"}'] * 32),
    "objects": b",".join([b'{"name":"x","v":123}'] * (LARGE // 21)),
    "numbers": b",".join([b"1.2345"] * (LARGE // 7)),
    "numbers and NaN": b",".join([b"1.2345"] * (LARGE // 7)) + b",NaN",
}


def call(number: int) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi there"}}}\n'
        % (number)
    )


def reply(number: int) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"hi there"}],"isError":false}}\n' % number
    )


def seconds(tap: TrafficInspector, chunks: list[bytes], *, client: bool) -> float:
    now = time.perf_counter_ns()
    traffic = [((client, chunk, now),) for chunk in chunks]
    start = time.perf_counter()
    for passed in traffic:
        tap.on_traffic(passed)
    return time.perf_counter() - start


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def small_lines(title: str, requests: list[bytes], replies: list[bytes], count: int) -> None:
    outcomes: list[Outcome] = []
    tap = TrafficInspector(ToolCallLedger([outcomes.extend]))
    asked = answered = float("inf")
    for _ in range(200):
        asked = min(asked, seconds(tap, requests, client=True))
        answered = min(answered, seconds(tap, replies, client=False))
    if len(outcomes) != 200 * count:
        raise AssertionError(f"{title}: {len(outcomes)} outcomes")
    print(f"{title:32} {asked / count * 1e6:10.2f} {answered / count * 1e6:10.2f}")


def drops_spans() -> subprocess.Popen[bytes]:
    code = "import sys; b = sys.stdin.buffer\nwhile b.read(65536): pass"
    return subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, bufsize=0)


def with_telemetry(title: str, ratio: float, requests: list[bytes], replies: list[bytes]) -> None:
    signal = {"endpoint": "http://127.0.0.1:4318/unused"}
    agent = {"traces": signal, "metrics": signal, "prometheus_port": None, "resource": {}}
    settings = TelemetrySettings(
        agent,
        server="echo",
        parent_based=True,
        ratio=ratio,
        span_environment={},
        capture_arguments=False,
        propagate=False,
    )
    telemetry = Telemetry(settings, transport="stdio", warn=print, launch=drops_spans)
    telemetry.start()
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend], requests=telemetry.open_session())
    tap = TrafficInspector(ledger)
    count = len(requests)
    asked = answered = float("inf")
    for _ in range(200):
        asked = min(asked, seconds(tap, requests, client=True))
        answered = min(answered, seconds(tap, replies, client=False))
        time.sleep(0.005)  # the courier has its turn
    telemetry.close()
    if len(outcomes) != 200 * count:
        raise AssertionError(f"{title}: {len(outcomes)} outcomes")
    print(f"{title:32} {asked / count * 1e6:10.2f} {answered / count * 1e6:10.2f}")


def large_line(title: str, content: bytes, size: int) -> None:
    chunks = cut(b'{"id":1,"result":{"content":[' + content + b'],"isError":true}}\n', size)
    best = float("inf")
    peak = 0
    for turn in range(ROUNDS + 1):
        outcomes: list[Outcome] = []
        tap = TrafficInspector(ToolCallLedger([outcomes.extend]))
        tap.on_client_data(call(1))
        if turn < ROUNDS:
            best = min(best, seconds(tap, chunks, client=False))
        else:
            tracemalloc.start()
            seconds(tap, chunks, client=False)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        if outcomes != ["error"]:
            raise AssertionError(f"{title}: {outcomes}")
    print(f"{title:24} {size // KIB:7} {best * 1e3:10.1f} {peak / MIB:10.1f}")


def main() -> None:
    numbers = range(600)
    requests, replies = [call(number) for number in numbers], [reply(number) for number in numbers]
    print(f"{'small lines':32} {'client, µs':>10} {'server, µs':>10}")
    small_lines("one a chunk", requests, replies, len(numbers))
    small_lines("600 a chunk", [b"".join(requests)], [b"".join(replies)], len(numbers))
    small_lines("64 KiB chunks", cut(b"".join(requests), 64 * KIB), cut(b"".join(replies), 64 * KIB), len(numbers))
    noisy = [b"INFO served request %d\n" % number + replies[number] for number in numbers]
    small_lines("600 a chunk, a log line each", [b"".join(requests)], [b"".join(noisy)], len(numbers))
    small_lines("one batch of 600", [batch(requests)], [batch(replies)], len(numbers))
    for ratio in (0.0, 0.1, 1.0):
        with_telemetry(f"one a chunk, telemetry at {ratio}", ratio, requests, replies)
    print(f"\n{'one line of 16 MiB':24} {'chunk':>7} {'ms':>10} {'peak, MiB':>10}")
    for title, content in LARGE_RESULTS.items():
        for size in (64 * KIB, MIB):
            large_line(title, content, size)


def batch(lines: list[bytes]) -> bytes:
    return b"[" + b",".join(line.strip() for line in lines) + b"]\n"


if __name__ == "__main__":
    main()
