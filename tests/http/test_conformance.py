"""The official conformance suite passes through thv as it does without it, in every revision that it knows."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import Run, receive
from tests.http.conformance import REVISIONS, SERVER, needs_the_suite, reference_server, run_suite
from tests.http.fronts import FrontRun
from tests.sink import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.registry,
    pytest.mark.slow,
    needs_the_suite,
    pytest.mark.timeout(1500),  # up to eight runs of the suite, each with a Node.js of its own
    pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way"),
]


@pytest.mark.parametrize("options", [(), ("--shared",)], ids=["a server each", "shared"])
def test_the_front_passes_every_check(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "direct").mkdir()
    with reference_server() as url, FrontRun(["--", *SERVER], tmp_path, *options) as front:
        for revision in REVISIONS:
            direct = run_suite(url, revision, tmp_path / "direct")
            report = run_suite(f"http://127.0.0.1:{front.port}/mcp", revision, tmp_path)
            assert not report.failures, report.details
            assert report.checks >= direct.checks, f"checks that did not run: {direct.checks - report.checks}"
        assert "internal error" not in front.stop()


@contextmanager
def proxied(directory: Path, *words: str) -> Iterator[str]:
    """The URL of what these words of thv serve."""
    command = [sys.executable, "-P", "-m", "thv", *words]
    with Run(command, directory, env={"DO_NOT_TRACK": "1"}) as running:
        said = ""
        while (found := re.search(r"is served at (\S+?)[;,]", said)) is None:
            line = receive(running.stderr, line=True).decode()
            assert line, said
            said += line
        yield found[1]
        running.process.terminate()
        running.process.communicate(timeout=PATIENCE)


def test_the_reverse_proxy_passes_what_its_server_passes(tmp_path: Path) -> None:
    """Fails in `assert_equal`."""
    with reference_server() as direct_url, proxied(tmp_path, "proxy", "x", "--target-uri", direct_url) as url:
        assert_equal(direct_url, url, tmp_path)


def test_a_server_that_thv_starts_behind_the_proxy_passes_what_it_passes_alone(tmp_path: Path) -> None:
    """Fails in `assert_equal`."""
    words = ["run", "--transport", "streamable-http", "--", *SERVER, "{port}"]
    with reference_server() as direct_url, proxied(tmp_path, *words) as url:
        assert_equal(direct_url, url, tmp_path)


def assert_equal(direct_url: str, url: str, directory: Path) -> None:
    """The same checks run, and none fails that passes without the proxy, which sends header values without blanks."""
    for revision in REVISIONS:
        (directory / "direct").mkdir(exist_ok=True)
        direct = run_suite(direct_url, revision, directory / "direct")
        report = run_suite(url, revision, directory)
        assert report.failures <= direct.failures, report.details
        assert report.checks == direct.checks


def test_the_front_of_a_remote_server_passes_what_that_server_passes(tmp_path: Path) -> None:
    with reference_server() as url, FrontRun(["--", sys.executable, "-P", "-m", "thv", "run", url], tmp_path) as front:
        for revision in REVISIONS:
            (tmp_path / "direct").mkdir(exist_ok=True)
            direct = run_suite(url, revision, tmp_path / "direct")
            report = run_suite(f"http://127.0.0.1:{front.port}/mcp", revision, tmp_path)
            assert report.failures <= direct.failures, report.details
            assert report.checks >= direct.checks, f"checks that did not run: {direct.checks - report.checks}"
        assert "internal error" not in front.stop()
