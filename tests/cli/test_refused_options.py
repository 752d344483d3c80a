"""Options that have no effect beside the other words are refused in one line, as in `thv log clear --format json`.

`test_every_option.py` has those of the commands with a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer

from thv.__main__ import main
from thv.cli import run as run_module
from thv.cli.app import app
from thv.cli.run_options import OPTIONS, parse
from thv.errors import ThvError, UsageError
from thv.instrumentation.instrumentation import Instrumentation
from thv.journal.journal_reader import JournalReader
from thv.journal.journal_settings import journal_path

if TYPE_CHECKING:
    from pathlib import Path

    from thv.cli.option_table import Option
    from thv.journal.journal_reader import SessionRow

VALUES = {"TOOL": "a", "TIME": "1h", "N": "1"}


@pytest.fixture(autouse=True)
def analytics_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")


def log_options() -> list[list[str]]:
    """Each option of `thv log`, with a value where it takes one."""
    root: Any = typer.main.get_command(app)
    found = []
    for parameter in root.commands["log"].params:
        if parameter.param_type_name == "option":
            choices = getattr(parameter.type, "choices", None)
            value = [] if parameter.is_flag else [choices[-1] if choices else VALUES[parameter.metavar]]
            found.append([parameter.opts[0], *value])
    return found


@pytest.mark.parametrize("option", log_options(), ids=" ".join)
def test_clearing_the_journal_takes_no_option(option: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "clear", *option]) == 2
    assert capfd.readouterr().err == "thv: thv log clear takes no options; see thv log --help\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["doctor", "--timeout", "5"], "--timeout is for --start"),
        (["report", "--html", "-", "--format", "json"], "--html and --format exclude each other"),
        (["client", "list", "FILE", "--project", "DIR"], "--project is for clients"),
        (["client", "wrap", "FILE", "--project", "DIR"], "--project is for clients"),
        (["client", "unwrap", "FILE", "--project", "DIR"], "--project is for clients"),
        (["doctor", "FILE", "--project", "DIR"], "--project is for clients"),
        (["run", "--no-journal", "--journal-capture", "demo"], "exclude each other"),
        (
            ["proxy", "x", "--target-uri", "http://127.0.0.1:9/", "--no-journal", "--journal-capture"],
            "exclude each other",
        ),
        (["run", "--client-id", "x", "http://a.example/mcp"], "http://a.example/mcp is not encrypted"),
        (
            ["run", "--max-sessions", "5", "--host", "::1", "demo"],
            "--host and --max-sessions are for clients over HTTP",
        ),
    ],
)
def test_options_that_would_have_no_effect_are_refused_in_one_line(
    words: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mcp.json"
    file.write_text('{"mcpServers": {}}')
    # `run` is called: the command itself ends the process at its end.
    filled = [{"FILE": str(file), "DIR": str(tmp_path)}.get(word, word) for word in words]
    code = run_module.run(parse(filled[1:])) if filled[0] == "run" else main(filled)
    out, err = capfd.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err


@pytest.mark.parametrize(
    "option",
    [each for each in OPTIONS if each.metavar is not None and not each.multiple and each.bare is None],
    ids=lambda option: option.name,
)
def test_an_empty_value_is_not_taken_for_none(option: Option) -> None:
    with pytest.raises(UsageError) as caught:
        parse([f"{option.flags[0]}=", "demo"])
    assert option.flags[0] in str(caught.value)


def test_capturing_into_a_journal_that_is_off_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOOLHIVE_JOURNAL", "off")
    made = Instrumentation(activity=lambda: 0, journal=("a", True))
    made.emit_warnings()
    made.close()
    assert "--journal-capture changes nothing: the journal is off (TOOLHIVE_JOURNAL is off)" in capfd.readouterr().err


def test_options_of_telemetry_that_have_no_endpoint_are_warned_of() -> None:
    found = parse(["--otel-service-name", "x", "--otel-insecure", "demo"]).resolve_options("demo")
    reason = "no endpoint is set, and nothing asks for Prometheus metrics"
    assert found.warnings == (f"--otel-service-name, --otel-insecure change nothing: {reason}",)
    assert parse(["--otel-usage-analytics-enabled=false", "demo"]).resolve_options("demo").warnings == ()


def the_session() -> SessionRow:
    reader = JournalReader(journal_path())
    [session] = reader.sessions()
    reader.close()
    return session


@pytest.mark.parametrize(
    ("words", "transport"),
    [
        ([], "stdio"),
        (["--restart"], "stdio"),
        (["--proxy-port", "0"], "streamable-http"),
        (["--transport", "sse"], "sse"),
        (["--transport", "streamable-http"], "streamable-http"),
    ],
)
def test_a_server_that_cannot_be_started_is_journalled_with_its_transport(
    words: list[str], transport: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_module.run(parse([*words, "--", "/no/such/server"])) == 127
    assert "/no/such/server" in capfd.readouterr().err
    session = the_session()
    assert (session.server, session.transport) == ("server", transport)


def test_a_remote_server_whose_settings_cannot_be_used_is_journalled_with_its_transport(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert run_module.run(parse(["--ca-file", missing, "https://a.example/"])) == ThvError.exit_code
    assert the_session().transport == "streamable-http"
