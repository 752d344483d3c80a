"""Runs the official conformance suite against an endpoint, and reads what it found.

    report = run_suite("http://127.0.0.1:8080/mcp", "2026-07-28", tmp_path)
    assert report.failures <= direct.failures

The suite is a package for Node.js 22, which is run from the registry by `npx`, pinned.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests import packages
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
"""The registry's `latest`, 0.1.16, does not know 2026-07-28."""

NPX = ("npx", "--yes", "--package", "node@22", "--package", SUITE, "conformance")

REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
"""Those that the suite has checks for."""

SERVER = (sys.executable, "-P", str(Path(__file__).parent / "conformance_server.py"))
"""On stdio; followed by a port, over streamable HTTP."""

ONLY_FOR_STREAMS = frozenset({"server-sse-polling", "server-sse-multiple-streams"})
"""Scenarios that look into a stream of events, and skip their checks where a reply comes as JSON."""

TIMESTAMP = re.compile(r"-\d{4}-\d\d-\d\dT[\dTZ-]+$")
"""How the folder of a scenario ends."""

SUITE_LIMIT_S = 280.0
START_LIMIT_S = 60.0

needs_the_suite = pytest.mark.skipif(shutil.which("npx") is None, reason="the suite is run with npx")


class Check(NamedTuple):
    """One check: the scenario, the requirement, and the case of it."""

    scenario: str
    requirement: str
    case: str


class Report(NamedTuple):
    """The result of one run."""

    passed: frozenset[Check]
    failures: frozenset[Check]
    details: str

    @property
    def checks(self) -> frozenset[Check]:
        """All checks that apply to any kind of answer."""
        return frozenset(check for check in self.passed | self.failures if check.scenario not in ONLY_FOR_STREAMS)


@cache
def fetch_suite() -> None:
    """Bring the suite into the cache that all tests share: once a machine, by one process at a time."""
    with packages.only_one_fetches():
        subprocess.run(
            [*NPX, "--version"],
            env=os.environ | packages.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SUITE_LIMIT_S,
            check=False,  # if this fails, the run below fails too, and reports it
        )


def run_suite(url: str, revision: str, directory: Path) -> Report:
    """Every scenario that the suite has for a revision."""
    where = directory / f"conformance-{revision}"
    fetch_suite()
    command = [*NPX, "server"]
    subprocess.run(
        [*command, "--url", url, "--suite", "all", "--spec-version", revision, "--output-dir", str(where)],
        cwd=directory,
        env=os.environ | packages.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=SUITE_LIMIT_S,
        check=False,  # its exit code only says whether all passed
    )
    passed, failures, details = set(), set(), []
    for path in sorted(where.glob("*/checks.json")):
        scenario = TIMESTAMP.sub("", path.parent.name).removeprefix("server-")
        for check in json.loads(path.read_text(encoding="utf-8")):
            found = Check(scenario, check["id"], check["name"])
            if check["status"] == "SUCCESS":
                passed.add(found)
            elif check["status"] in {"FAILURE", "WARNING"}:
                failures.add(found)
                details.append(f"{scenario}: {check['name']}: {check.get('errorMessage')}")
    assert passed, f"the suite did not run for {revision}"
    return Report(frozenset(passed - failures), frozenset(failures), "\n".join(details))


@contextmanager
def reference_server() -> Iterator[str]:
    """The server itself over streamable HTTP; its URL."""
    port = free_port()
    environment = os.environ | {"DO_NOT_TRACK": "1"}
    with subprocess.Popen([*SERVER, str(port)], stdin=subprocess.DEVNULL, env=environment) as process:
        try:
            wait_until_it_listens(port, process)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.05)
        else:
            return
