"""Clients that ask for HTTP/2 by default are served: curl's and the JDK's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.http.fronts import ACCEPTED, CHATTY, FrontRun, initialize

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_S = 120

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way")


@pytest.fixture(params=[(), ("--shared",)], ids=["a server each", "shared"])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrontRun]:
    with FrontRun(CHATTY, tmp_path, *request.param) as run:
        yield run
        run.stop()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_that_asks_for_http_2_gets_one_answer_to_each_request(front: FrontRun) -> None:
    fields = [word for name, value in ACCEPTED.items() for word in ("-H", f"{name}: {value}")]
    url = f"http://127.0.0.1:{front.port}/mcp"
    one = ["--http2", "--silent", "--show-error", *fields, "-d", json.dumps(initialize()), url]
    done = subprocess.run(["curl", *one, "--next", *one], capture_output=True, timeout=LIMIT_S, check=True)
    assert done.stdout.count(b'"protocolVersion"') == 2, done.stdout


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java here")
def test_the_default_client_of_the_jdk_is_served(front: FrontRun) -> None:
    program = Path(__file__).parent / "Initialize.java"
    words = ["java", str(program), f"http://127.0.0.1:{front.port}/mcp", json.dumps(initialize())]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout.startswith("200 "), done.stdout
    assert '"protocolVersion"' in done.stdout
