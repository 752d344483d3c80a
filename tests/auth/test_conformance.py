"""What the official conformance suite asks of a client that logs in: every scenario, with thv as the client."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import packages
from tests.http.conformance import NPX, fetch_suite, needs_the_suite

ROOT = Path(__file__).parents[2]
CLIENT = Path(__file__).with_name("conformance_client.py")
LIMIT_S = 240

pytestmark = [pytest.mark.registry, pytest.mark.slow, needs_the_suite]

MODERN, USUAL, OLDEST = "2026-07-28", "2025-11-25", "2025-03-26"

SCENARIOS = [
    *(
        (name, USUAL)
        for name in (
            "metadata-default",
            "metadata-var1",
            "metadata-var2",
            "metadata-var3",
            "basic-cimd",
            "scope-from-www-authenticate",
            "scope-from-scopes-supported",
            "scope-omitted-when-undefined",
            "scope-step-up",
            "scope-retry-limit",
            "token-endpoint-auth-basic",
            "token-endpoint-auth-post",
            "token-endpoint-auth-none",
            "pre-registration",
        )
    ),
    ("2025-03-26-oauth-metadata-backcompat", OLDEST),
    ("2025-03-26-oauth-endpoint-fallback", OLDEST),
    *(
        (name, MODERN)
        for name in (
            "metadata-default",
            "scope-step-up",
            "resource-mismatch",
            "offline-access-scope",
            "offline-access-not-supported",
            "authorization-server-migration",
            "iss-supported",
            "iss-not-advertised",
            "iss-supported-missing",
            "iss-wrong-issuer",
            "iss-unexpected",
            "iss-normalized",
            "metadata-issuer-mismatch",
        )
    ),
]

USER = {
    "basic-cimd": {"THV_TEST_CLIENT_ID": "https://conformance-test.local/client-metadata.json"},
    "2025-03-26-oauth-endpoint-fallback": {"THV_TEST_LOGIN": "1"},
}
"""What the user does besides, by scenario."""


@pytest.mark.parametrize(("scenario", "revision"), SCENARIOS)
def test_every_check_of_a_client_that_logs_in_passes(scenario: str, revision: str, tmp_path: Path) -> None:
    fetch_suite()
    npx = [*NPX, "client"]
    client = shlex.join([sys.executable, str(CLIENT)])
    asked = ["--scenario", f"auth/{scenario}", "--spec-version", revision]
    done = subprocess.run(
        [*npx, "--command", client, *asked, "--timeout", "180000", "--output-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **packages.variables(), **USER.get(scenario, {}), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,  # what it checked is in a file
    )
    (path,) = tmp_path.rglob("checks.json")
    checks = json.loads(path.read_text(encoding="utf-8"))
    failed = [check for check in checks if check["status"] in {"FAILURE", "WARNING"}]
    assert not failed, done.stderr
    assert any(check["status"] == "SUCCESS" for check in checks)
