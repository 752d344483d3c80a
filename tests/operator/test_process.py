"""`thv operator run` as a process: it finds its cluster by a kubeconfig, works, and ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.operator.clusters import User, fake
from tests.operator.servers import IMAGE, body

if TYPE_CHECKING:
    from tests.operator.fake_api import FakeApi

THV = [str(Path(sys.executable).parent / "thv"), "operator", "run", "--thv-image", IMAGE]

PATIENCE = 60.0


def kubeconfig(api: FakeApi, path: Path) -> Path:
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": api.url}}],
        "users": [{"name": "u", "user": {"token": api.token}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_it_works_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake() as (api, user):
            await story(api, user)

    async def story(api: FakeApi, user: User) -> None:
        environ = {**os.environ, "KUBECONFIG": str(kubeconfig(api, tmp_path / "config")), "DO_NOT_TRACK": "1"}
        log = tmp_path / "log"
        with log.open("w") as stderr:
            process = await asyncio.to_thread(
                subprocess.Popen, [*THV, "--all-namespaces"], env=environ, stdout=subprocess.PIPE, stderr=stderr
            )
        try:
            api.create("mcpservers", body())
            found = await user.until("mcpservers", "files", lambda each: each.get("status", {}).get("phase"))
            assert found["status"]["usageAnalyticsEnabled"] is False  # DO_NOT_TRACK in the operator's own environment
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            out, _ = await asyncio.to_thread(process.communicate, None, PATIENCE)
            assert process.returncode == 0, log.read_text()
            assert time.monotonic() - started < PATIENCE
            assert out == b""
            assert api.token not in log.read_text().split()
        finally:
            process.kill()
            process.wait()

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_a_signal_ends_it_before_it_has_anything_that_listens(tmp_path: Path) -> None:
    """Not by the signal itself: the kernel gives process 1 of a pod none that it has no handler for."""
    config = tmp_path / "config"
    os.mkfifo(config)
    environ = {**os.environ, "KUBECONFIG": str(config), "DO_NOT_TRACK": "1"}
    process = subprocess.Popen(
        [*THV, "--all-namespaces"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        with config.open("w"):  # once it reads where its cluster is; nothing of kopf runs yet
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out, err) == (128 + signal.SIGTERM, "", "")
    finally:
        process.kill()
        process.wait()
