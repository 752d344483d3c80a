"""The benchmarks are programs that people run: small runs must work, tell the truth and leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
PATIENCE_S = 240

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks pin CPUs and read /proc"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="the benchmarks compile a C server"),
]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.usefixtures("analytics_on")
def test_a_small_soak_counts_every_outcome_and_finds_no_growth() -> None:
    done = run("soak.py", "--calls", "20000", "--sessions", "3")
    assert done.returncode == 0, done.stderr
    assert "made    {'success': 18270, 'error': 2030}" in done.stdout
    assert "counted {'success': 18270, 'error': 2030}" in done.stdout


def test_no_server_is_left_when_thv_is_killed_at_its_birth() -> None:
    done = run("orphans.py", "--tries", "3", "--delays", "0", "5")
    assert done.returncode == 0, done.stderr
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [["0", "of", "3"]] * 2


@pytest.mark.slow
def test_the_benchmark_measures_every_figure_of_its_peers(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = run("relay.py", "--quick", "--peers", "direct,cat,thv-off", "--json", str(file))
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert list(figures["peers"]) == ["direct", "cat", "thv-off"]
    for peer in figures["peers"].values():
        assert all(value > 0 for value in peer["medians"].values()), peer
    assert figures["peers"]["cat"]["ratios_to_cat"] == pytest.approx(
        dict.fromkeys(figures["peers"]["cat"]["medians"], 1)
    )
    assert [note for note in figures["notes"] if "busy" not in note] == []
    assert "cat | server | cat" in done.stdout


def test_the_telemetry_benchmark_measures_every_collector(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = run("telemetry.py", "--rounds", "1", "--calls", "500", "--json", str(file))
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert list(figures) == ["no telemetry", "ok", "refuse", "blackhole", "silent", "drip", "503", "tls-bad-cert"]
    assert all(taken["p50_us"][0] > 0 and taken["exit_ms"][0] > 0 for taken in figures.values())
    assert figures["ok"]["arrived"] > 0
    assert (figures["no telemetry"]["lines"], figures["refuse"]["lines"] == [0]) == ([0], False)


def test_the_start_benchmark_measures_every_command(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = run("startup.py", "--pairs", "2", "--json", str(file))
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert {name: row["aim"] for name, row in rows.items() if row["aim"] is not None} == {
        "thv run, over no relay": 2.5,
        "thv config otel get usage-analytics-enabled": 1.3,
        "thv config otel set usage-analytics-enabled": 6,
        "thv --version": 1.3,
        "thv completion bash": 1.3,
        "thv --help": 1.3,
        "thv run --help": 8,
    }
    assert all(len(row["took_ms"]) == 2 and row["ratio"] > 0 for row in rows.values())
    assert all(name in done.stdout for name in rows)


def test_the_http_benchmark_measures_every_figure_of_its_peers(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = run(
        "http_front.py", "--quick", "--clients", "1,4", "--peers", "thv,thv-shared,thv-2026", "--json", str(file)
    )
    assert done.returncode == 0, done.stderr
    for figures in json.loads(file.read_text()).values():
        assert all(figures[name][count][0] > 0 for name in ("rates", "p50", "p99") for count in ("1", "4"))
        assert figures["base"][0] > 0


def test_the_echo_server_answers_with_the_very_id_and_fails_when_asked(tmp_path: Path) -> None:
    server = tmp_path / "echo_server"
    subprocess.run(["cc", "-O1", "-o", str(server), str(BENCHMARKS / "servers" / "echo_server.c")], check=True)
    asked = [
        '{"jsonrpc":"2.0","id":"a\\"b\\\\","method":"ping"}',
        '{"jsonrpc": "2.0", "method" : "ping" , "id" : 1.50 }',
        '{"jsonrpc":"2.0","method":"notifications/initialized"}',
        "",
        '{"id":1,"method":"tools/call","params":{"arguments":{"fail":"tool"},"x":[{"id":2,"s":"}\\""}]}}',
        '{"id":2,"method":"tools/call","params":{"arguments":{"fail":"protocol"}}}',
        '{"id":3,"method":"tools/call","params":{"arguments":{"size":64}}}',
        '{"id":4,"method":"tools/call","params":{"arguments":{"size":3000000}}}',
        '{"id":5,"method":"unheard of"}',
    ]
    done = subprocess.run([str(server)], input="\n".join([*asked, ""]), capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    replies = [json.loads(line) for line in lines]
    assert lines[0].startswith('{"jsonrpc":"2.0","id":"a\\"b\\\\",')
    assert lines[1].startswith('{"jsonrpc":"2.0","id":1.50,')
    assert [reply["id"] for reply in replies[2:]] == [1, 2, 3, 4, 5]
    assert replies[2]["result"]["isError"] is True
    assert replies[3]["error"]["code"] == -32000
    texts = [json.dumps(reply["result"]["content"][0]["text"]) for reply in replies[4:6]]
    assert [len(text) - len('""') for text in texts] == [64, 3_000_000]
    assert replies[6]["error"]["code"] == -32601


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    mark = f"BENCHMARK_TEST={tmp_path}"
    name, _, value = mark.partition("=")
    command = [sys.executable, str(BENCHMARKS / "relay.py"), "--peers", "cat,thv-off"]
    process = subprocess.Popen(
        command, env={**os.environ, name: value}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"round 1")  # from here on sessions come and go
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    deadline = time.monotonic() + PATIENCE_S
    while left := [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and carries(entry, mark)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def carries(process: Path, mark: str) -> bool:
    try:
        return mark.encode() in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
