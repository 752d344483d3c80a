"""Sends a request from a process without the variables that OpenSSL itself obeys.

`OPENSSL_CONF` and its kin choose cipher suites, groups and extensions for every context of a process, and are read
before any code of ours could object. Where one is set, a Python without variables sends the request: no variable
changes a byte of what is sent. Nowhere else is a process started for this.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from thv.analytics.report_delivery import DeliveryStatus, ReportDelivery

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from thv.analytics.otlp import ReportRequest

PREFIX = "OPENSSL_"
"""OPENSSL_CONF, OPENSSL_CONF_INCLUDE, OPENSSL_MODULES, OPENSSL_ENGINES, OPENSSL_FORCE_FIPS_MODE, OPENSSL_ia32cap ..."""

NEEDED = ("SYSTEMROOT",)
"""Without it Windows has no sockets."""

START_S = 10.0
"""Seconds that the process may take besides the request itself; nothing waits for it."""

PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from thv.analytics.clean_process import main; main()"


def is_needed(environ: Mapping[str, str]) -> bool:
    """Whether a variable would reach into OpenSSL."""
    return any(name.startswith(PREFIX) for name in environ)


def post(
    request: ReportRequest,
    ca_file: str | None,
    timeout: float,
    environ: Mapping[str, str],
    started: Callable[[subprocess.Popen[bytes]], None],
) -> ReportDelivery:
    """As `transport.post`, from a process of its own. Never raises.

    Args:
        request: what to send.
        ca_file: as for `transport.create_ssl_context`.
        timeout: as for `transport.post`.
        environ: the environment of this process.
        started: is given the process, so that it can be killed when thv ends.
    """
    import json
    import subprocess
    from pathlib import Path

    root = str(Path(__file__).parents[2])
    order = json.dumps([*request[:4], request.method, request.body.hex(), ca_file, timeout])
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", PROGRAM, root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: environ[name] for name in NEEDED if name in environ},
            start_new_session=True,
        )
    except OSError as error:
        return ReportDelivery(DeliveryStatus.NOT_TAKEN, f"no process: {error}")
    with process:
        started(process)
        try:
            answer, _ = process.communicate(order.encode(), timeout + START_S)
            status, reason = json.loads(answer)
            return ReportDelivery(DeliveryStatus(status), reason)
        except (subprocess.TimeoutExpired, OSError, ValueError) as error:
            with suppress(OSError):
                process.kill()
            return ReportDelivery(DeliveryStatus.UNKNOWN, f"the process failed: {type(error).__name__}")


def main() -> None:
    """The process: read the order from stdin, send the request, write what became of it to stdout."""
    import json

    from thv.analytics import transport
    from thv.analytics.otlp import ReportRequest

    host, port, target, headers, method, body, ca_file, timeout = json.load(sys.stdin)
    request = ReportRequest(host, port, target, tuple(map(tuple, headers)), bytes.fromhex(body), method)
    status, reason = transport.post(request, transport.create_ssl_context(ca_file), timeout)
    json.dump([status.value, reason], sys.stdout)
