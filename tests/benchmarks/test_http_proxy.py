"""The benchmark of the reverse proxy is a program that people run: a small run must work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "http_proxy.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks read /proc")


def test_each_way_to_the_server_is_measured_with_each_number_of_clients(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    words = [sys.executable, str(SCRIPT), "--seconds", "0.1", "--rounds", "1", "--json", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    ways = json.loads(file.read_text())
    ours = [way["name"] for way in ways if "proxy, " in way["name"] and "haproxy" not in way["name"]]
    assert ours == ["no proxy, json", "thv proxy, json", "no proxy, sse", "thv proxy, sse"]
    assert all(each for way in ways for rates in way["rates"].values() for each in rates)
    assert "calls/s" in done.stdout
