"""Who is measured: nothing, `cat`, thv with analytics on and off, and mcp-proxy, each as a chain of commands.

thv with analytics on is only ever run where it cannot reach the real endpoint: through the tests' launcher, which
hands it a loopback endpoint, or without any network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from harness import report
from harness.peers import PORT, Effort, Peer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.endpoint import Endpoint

ROOT = Path(__file__).resolve().parent.parent.parent
LAUNCHER = ROOT / "tests" / "launch.py"
MCP_PROXY = "mcp-proxy==0.13.0"

SWITCHES = ("CI", "DO_NOT_TRACK")
"""Variables that turn analytics off: the benchmark wants them on, against its own sink."""
CONSENT = "otel:\n  usage-analytics-enabled: true\n"
"""A config file with which a no in one peer's environment is not remembered for the next."""
OURS = {report.THV_ON, report.THV_NO_JOURNAL, report.THV_OFF, report.THV_OTEL, report.THV_OTEL_TENTH}
OFF = {"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "false"}


def clean_environment(home: Path) -> dict[str, str]:
    """The machine's environment without what would configure a peer, and with a HOME that is thrown away."""
    (home / ".toolhive").mkdir(parents=True, exist_ok=True)
    (home / ".toolhive" / "config.yaml").write_text(CONSENT, encoding="utf-8")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "TOOLHIVE_", "XDG_", "PYTHON")) and name not in SWITCHES
    }
    return {**kept, "HOME": str(home)}


def direct(server: Path, environment: Mapping[str, str], effort: Effort) -> Peer:
    """No relay at all."""
    return Peer(report.DIRECT, "no relay", ((str(server),),), server, environment, effort)


def cat(server: Path, environment: Mapping[str, str], effort: Effort) -> Peer:
    """The least that stands on either side and copies bytes."""
    return Peer(report.CAT, "cat | server | cat", (("cat",), (str(server),), ("cat",)), server, environment, effort)


def installed_thv() -> tuple[str, ...]:
    """The `thv` that is installed beside this Python."""
    return (str(Path(sys.executable).parent / "thv"),)


def thv_off(thv: tuple[str, ...], server: Path, environment: Mapping[str, str], effort: Effort) -> Peer:
    """The installed thv, analytics switched off."""
    stages = ((*thv, "run", "--", str(server)),)
    return Peer(report.THV_OFF, "thv, analytics off", stages, server, {**environment, **OFF}, effort)


def launched(endpoint: Endpoint, **changes: str) -> tuple[str, ...]:
    """What stands for `thv`, with its analytics sent to `endpoint`; `changes` are further options of the launcher."""
    options = {"endpoint": endpoint.url, "ca": str(endpoint.authority), **changes}
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return (sys.executable, str(LAUNCHER), *flags, "--")


def thv_on(
    thv: tuple[str, ...],
    server: Path,
    environment: Mapping[str, str],
    effort: Effort,
    *,
    endpoint: Endpoint,
    journal: bool = True,
) -> Peer:
    """Runs thv with the whole analytics pipeline against `endpoint`, with or without the user's journal.

    Its start, and its memory before the TLS library is loaded, are measured on the installed thv, without a network.
    """
    words = ("run", *(() if journal else ("--no-journal",)), "--", str(server))
    return Peer(
        report.THV_ON if journal else report.THV_NO_JOURNAL,
        f"thv, analytics{' and journal' if journal else ''} on",
        ((*launched(endpoint), *words),),
        server,
        environment,
        effort,
        installed=((*thv, *words),),
        loads_tls=True,
    )


def thv_otel(
    thv: tuple[str, ...],
    server: Path,
    environment: Mapping[str, str],
    effort: Effort,
    *,
    endpoint: str,
    sampling_rate: float,
) -> Peer:
    """The installed thv with the user's telemetry sent to a real collector, analytics switched off."""
    flags = (f"--otel-endpoint={endpoint}", f"--otel-sampling-rate={sampling_rate}")
    return Peer(
        report.THV_OTEL if sampling_rate == 1 else report.THV_OTEL_TENTH,
        f"thv, telemetry {sampling_rate:g}",
        ((*thv, "run", *flags, "--", str(server)),),
        server,
        {**environment, **OFF},
        effort,
        has_agent=True,
    )


def mcp_proxy(program: Path, server: Path, environment: Mapping[str, str], effort: Effort) -> Peer:
    """mcp-proxy between two stdio ends, which takes two of them: stdio → HTTP → stdio, its own documented use."""
    return Peer(
        "mcp-proxy",
        "mcp-proxy (stdio→HTTP→stdio)",
        ((str(program), "--transport", "streamablehttp", f"http://127.0.0.1:{PORT}/mcp"),),
        server,
        environment,
        effort,
        background=(str(program), "--pass-environment", "--port", PORT, "--", str(server)),
    )


def install_mcp_proxy(directory: Path) -> Path:
    """Installs mcp-proxy into a virtual environment of its own and returns its program.

    Raises:
        OSError, subprocess.CalledProcessError: no package registry, or no such version.
    """
    venv.create(directory, with_pip=True)
    pip = (str(directory / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", MCP_PROXY)
    subprocess.run(pip, check=True, stdout=sys.stderr)
    return directory / "bin" / "mcp-proxy"
