"""A real OpenTelemetry collector on this machine that takes everything and keeps nothing.

The user's telemetry is measured against it. It is a Rust program (rotel, of the test dependencies), so it takes little
of what is measured.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

READY_LIMIT_S = 10.0
POLL_S = 0.01


@dataclass
class Collector:
    """A running collector. Use it as a context manager.

    Attributes:
        endpoint: what `OTEL_EXPORTER_OTLP_ENDPOINT` names, for http/protobuf.

    Raises:
        SystemExit: it is not installed or does not start.
    """

    workspace: Path
    endpoint: str = ""

    def __enter__(self) -> Self:
        found = importlib.util.find_spec("rotel")
        if found is None or found.origin is None:
            raise SystemExit("rotel is missing: are the test dependencies installed?")
        http, grpc = _free_ports()
        command = [str(Path(found.origin).parent / "rotel-agent"), "start", "--exporter", "blackhole"]
        command += ["--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"]
        command += ["--pid-file", str(self.workspace / "collector.pid")]
        with (self.workspace / "collector.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)
        deadline = time.monotonic() + READY_LIMIT_S
        while not _listens(http):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise SystemExit((self.workspace / "collector.log").read_text(encoding="utf-8", errors="replace"))
            time.sleep(POLL_S)
        self.endpoint = f"http://127.0.0.1:{http}"
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


def _free_ports() -> tuple[int, int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        first, second = (listener.getsockname()[1] for listener in listeners)
        return first, second


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
