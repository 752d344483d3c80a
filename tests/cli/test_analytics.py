"""`thv analytics`: the state and who decided it, a report byte by byte, the history; and nothing is ever sent by it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thv.__main__ import main
from thv.analytics.constants import ENDPOINT, SETTING
from thv.analytics.history import BEGUN, Export, append, read
from thv.analytics.notice import MARKER, shown
from thv.analytics.preview import request_for
from thv.core.state_dir import user_state_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[str, str]]

pytestmark = pytest.mark.usefixtures("analytics_on")

ON_BY_DEFAULT = f"""\
on (default)
  where to     {ENDPOINT}
  how often    about every 30 seconds while there is something new, and when a session ends
  notice       not shown yet; it comes before the first report
  what         thv analytics show
  to turn off  thv config otel set usage-analytics-enabled false
"""


@pytest.fixture
def thv(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `thv analytics` in this process; returns what it wrote to stdout and stderr. Its exit code is always 0."""

    def run(*words: str) -> tuple[str, str]:
        capfd.readouterr()
        assert main(["analytics", *words]) == 0
        return capfd.readouterr()

    return run


@pytest.fixture
def config(home: Path) -> Path:
    path = home / ".toolhive" / "config.yaml"
    path.parent.mkdir()
    return path


def as_json(thv: Run, verb: str) -> Any:
    out, err = thv(verb, "--format", "json")
    assert err == ""
    return json.loads(out)


def test_status_says_on_by_default_and_how_to_turn_it_off(thv: Run) -> None:
    assert thv("status") == (ON_BY_DEFAULT, "")


def test_status_names_every_source_that_says_off_the_deciding_one_first(
    thv: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(f"otel:\n  {SETTING}: no\n")
    for name, value in (("CI", "true"), ("OTEL_SDK_DISABLED", "true"), ("TOOLHIVE_USAGE_ANALYTICS_ENABLED", "maybe")):
        monkeypatch.setenv(name, value)
    lines = thv("status")[0].splitlines()
    problem = "TOOLHIVE_USAGE_ANALYTICS_ENABLED is neither true nor false"
    assert lines[:4] == [
        "off (CI is set)",
        "  also off     OTEL_SDK_DISABLED is true",
        f"  also off     {problem}",
        f"  also off     {config}:2",
    ]
    assert lines[4].startswith(f"  problem      {problem}; ")
    assert lines[-4:] == [
        "  to turn on   unset CI",
        "  and          unset OTEL_SDK_DISABLED",
        "  and          unset TOOLHIVE_USAGE_ANALYTICS_ENABLED",
        "  and          thv config otel set usage-analytics-enabled true",
    ]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("otel:\n  usage-analytics-enabled: false\n", "off ({path}:2)"),
        ("otel:\n  usage-analytics-enabled: yes\n", "on ({path}:2)"),
        ("otel:\n  usage-analytics-enabled: perhaps\n", "off ({path}:2)"),
        ("other: 1\n", "on (default)"),
    ],
)
def test_status_says_where_in_the_config_file(thv: Run, config: Path, text: str, first: str) -> None:
    config.write_text(text)
    out, err = thv("status")
    assert (out.splitlines()[0], err) == (first.format(path=config), "")
    assert ("correct the config file" in out) == ("perhaps" in text)


def test_what_status_says_to_type_does_turn_it_on_again(thv: Run, config: Path) -> None:
    config.write_text(f"otel:\n  {SETTING}: false\n")
    [line] = [line for line in thv("status")[0].splitlines() if "to turn on" in line]
    assert main(line.partition("thv ")[2].split()) == 0
    assert thv("status")[0].startswith("on (")


def test_status_knows_whether_the_notice_was_shown_and_does_not_show_it(thv: Run, home: Path) -> None:
    assert as_json(thv, "status")["notice_shown"] is False
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert shown(lambda _: None)
    assert as_json(thv, "status")["notice_shown"] is True
    assert "  notice       shown\n" in thv("status")[0]


def test_the_keys_of_status_as_json_stay(thv: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("CI", "1")
    assert as_json(thv, "status") == {
        "enabled": False,
        "source": "DO_NOT_TRACK is set",
        "also_off": ["CI is set", "DO_NOT_TRACK is set, remembered"],
        "endpoint": ENDPOINT,
        "interval_seconds": 30.0,
        "notice_shown": False,
    }


def test_a_no_that_one_command_saw_is_remembered_until_the_file_says_yes(
    thv: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert main(["config", "path"]) == 0  # any command
    monkeypatch.delenv("DO_NOT_TRACK")
    out, _ = thv("status")
    assert out.startswith("off (DO_NOT_TRACK is set, remembered)\n")
    assert "\n  remembered   a no that thv saw in its environment, because MCP clients do not pass" in out
    assert out.endswith("\n  to turn on   thv config otel set usage-analytics-enabled true\n")
    assert main(["config", "otel", "get", SETTING]) == 0
    assert "usage analytics stay off all the same: DO_NOT_TRACK is set, remembered" in capfd.readouterr().err
    assert main(["config", "otel", "list", "--format", "json"]) == 0
    [row] = [row for row in json.loads(capfd.readouterr().out) if row["key"] == SETTING]
    assert row == {"key": SETTING, "value": "false", "origin": "remembered"}
    assert main(["config", "otel", "set", SETTING, "true"]) == 0
    assert as_json(thv, "status")["enabled"] is True
    assert main(["config", "otel", "unset", SETTING]) == 0
    assert as_json(thv, "status")["source"] == "default"


def test_show_tells_the_request_its_headers_its_body_and_every_field(thv: Run) -> None:
    out, err = thv("show")
    assert err == ""
    assert out.startswith("Usage analytics are on (default).\n\nA report of 12 calls that succeeded and 3 that failed")
    for line in request_for(12, 3).to_bytes().partition(b"\r\n\r\n")[0].decode().splitlines():
        assert f"\n  {line}\n" in out
    assert '"name": "toolhive_usage_tool_calls_total"' in out
    assert "     0  0a ad 01 0a 00 12 a8 01" in out
    assert "6 as_int = 12\n" in out
    assert "6 as_int = 3\n" in out
    assert out.endswith("\nNo report by this machine is remembered.\n")
    assert max(map(len, out.splitlines())) <= 100


def test_the_keys_of_show_as_json_stay_and_its_bytes_are_those_that_would_be_sent(thv: Run) -> None:
    append(Export("2026-11-22T16:23Z", 2, 1, "taken"))
    bodies = {request_for(12, 3).body.hex()}
    found = as_json(thv, "show")
    bodies.add(request_for(12, 3).body.hex())
    assert list(found) == ["enabled", "source", "example", "history"]
    example = found["example"]
    assert list(example) == ["request_line", "url", "headers", "body", "body_hex", "fields"]
    assert example["request_line"] == "POST /v1/traces HTTP/1.1"
    assert {header["name"]: header["value"] for header in example["headers"]}["Content-Length"] == "176"
    assert example["body_hex"] in bodies
    assert "".join(field["hex"] for field in example["fields"]) == example["body_hex"]
    assert {tuple(field) for field in example["fields"]} == {
        ("offset", "depth", "number", "name", "value", "why", "hex")
    }
    assert list(example["body"]) == ["resourceMetrics"]
    assert list(found["history"]) == ["files", "exports"]
    assert found["history"]["exports"] == [{"minute": "2026-11-22T16:23Z", "success": 2, "error": 1, "result": "taken"}]


def test_show_with_analytics_off_says_so_and_shows_what_would_be_sent(
    thv: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")
    out, _ = thv("show")
    assert out.startswith("Usage analytics are off (CI is set).\nNothing is sent. If they were on, ")
    assert "POST /v1/traces HTTP/1.1" in out
    assert as_json(thv, "show")["enabled"] is False


def test_show_lists_the_latest_reports_and_counts_them_all(thv: Run) -> None:
    for number in range(30):
        append(Export("2026-11-22T16:23Z", number, 0, BEGUN))
        if number:
            append(Export("2026-11-22T16:23Z", number, 0, "taken"))
    out, _ = thv("show")
    assert "\n30 reports by this machine (1 unknown, 29 taken), in " in out
    assert out.count(": taken\n") == 20
    assert out.endswith("\n  2026-11-22T16:23Z  29 success, 0 error: taken\n")
    assert len(as_json(thv, "show")["history"]["exports"]) == 30


def test_show_sends_nothing_and_loads_nothing_that_could(home: Path) -> None:
    code = """
import sys
reached = []
sys.addaudithook(lambda event, _: reached.append(event) if event.startswith("socket.") else None)
from thv.__main__ import main
code = main(["analytics", "show"]) or main(["analytics", "status"]) or main(["analytics", "clear"])
loaded = {"thv.analytics.transport", "thv.analytics.exporter", "thv.analytics.pipeline"} & set(sys.modules)
sys.stderr.write(f"{code} {[e for e in reached if e != 'socket.__new__']} {sorted(loaded)}")
"""
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert seen.stderr.endswith("0 [] []")
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_clear_forgets_the_reports_and_nothing_else(thv: Run, config: Path) -> None:
    config.write_text(f"otel:\n  {SETTING}: true\n")
    assert shown(lambda _: None)
    for success in (1, 2):
        append(Export("2026-11-22T16:23Z", success, 0, "taken"))
    assert thv("clear") == ("", "thv: the history of 2 reports is removed\n")
    assert thv("clear") == ("", "thv: there was no history to remove\n")
    assert read() == []
    assert [path.name for path in Path(user_state_dir()).iterdir()] == [MARKER]
    assert config.read_text() == f"otel:\n  {SETTING}: true\n"


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
@pytest.mark.parametrize("verb", ["show", "clear"])
def test_a_history_that_cannot_be_read_is_one_line_and_exit_code_1(
    capfd: pytest.CaptureFixture[str], verb: str
) -> None:
    Path(user_state_dir()).parent.mkdir(parents=True)
    Path(user_state_dir()).symlink_to(user_state_dir())
    assert main(["analytics", verb]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"thv: {user_state_dir()}: the history cannot be read: ")
