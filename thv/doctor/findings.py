"""What an examination finds: plain data, which the command line renders as text or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thv.clients.client_file_locations import ClientFile
    from thv.clients.entries import ServerEntry


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and the one thing to do about it."""

    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class StartResult:
    """What came when a server was started.

    Attributes:
        is_ready: it answered `initialize` and `tools/list`.
        seconds: from the start to the answer, or to the end of waiting.
        tools: how many tools it has; None if it did not say.
        problem: what went wrong, in one line; empty if nothing did.
        exit_code: if it ended by itself; minus N if signal N ended it.
        stderr: the last lines it wrote there.
        stray: the first line on stdout that is no MCP message.
        download_seconds: how long its runner took longer than at a second start; None where there was none.
    """

    is_ready: bool
    seconds: float
    tools: int | None = None
    problem: str = ""
    exit_code: int | None = None
    stderr: tuple[str, ...] = ()
    stray: str | None = None
    download_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ServerReport:
    """One server: what is wrong with it, what came when it was started, or why it was not."""

    entry: ServerEntry
    findings: tuple[Finding, ...] = ()
    start: StartResult | None = None
    not_started: str = ""


@dataclass(frozen=True, slots=True)
class FileFindings:
    """One file: what is wrong with it as a whole, and its servers."""

    file: ClientFile
    findings: tuple[Finding, ...] = ()
    servers: tuple[ServerReport, ...] = ()

    @property
    def problems(self) -> int:
        """How many things are wrong."""
        return len(self.findings) + sum(len(server.findings) for server in self.servers)
