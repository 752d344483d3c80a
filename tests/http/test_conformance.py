"""The official conformance suite passes through thv as it does without it, in every revision that it knows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.http.conformance import REVISIONS, SERVER, needs_the_suite, reference_server, run_suite
from tests.http.fronts import FrontRun

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.registry,
    pytest.mark.slow,
    needs_the_suite,
    pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way"),
]


@pytest.mark.parametrize("options", [(), ("--shared",)], ids=["a server each", "shared"])
def test_the_front_passes_every_check(options: tuple[str, ...], tmp_path: Path) -> None:
    with FrontRun(["--", *SERVER], tmp_path, *options) as front:
        for revision in REVISIONS:
            report = run_suite(f"http://127.0.0.1:{front.port}/mcp", revision, tmp_path)
            assert not report.failures, report.details
        assert "internal error" not in front.stop()


def test_the_front_of_a_remote_server_passes_what_that_server_passes(tmp_path: Path) -> None:
    with reference_server() as url, FrontRun(["--", sys.executable, "-P", "-m", "thv", "run", url], tmp_path) as front:
        for revision in REVISIONS:
            (tmp_path / "direct").mkdir(exist_ok=True)
            direct = run_suite(url, revision, tmp_path / "direct")
            report = run_suite(f"http://127.0.0.1:{front.port}/mcp", revision, tmp_path)
            assert report.failures <= direct.failures, report.details
            assert report.checks >= direct.checks, f"checks that did not run: {direct.checks - report.checks}"
        assert "internal error" not in front.stop()
