"""What `thv run` asks for the user's telemetry, and what it says instead of starting a server."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from thv.cli.resolve_telemetry import resolve_telemetry
from thv.cli.run import _introduction
from thv.cli.run_options import parse
from thv.core.installation import install_command
from thv.errors import ThvError
from thv.servers.resolve import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from thv.telemetry.telemetry_settings import TelemetrySettings

PATIENCE = 120


@pytest.fixture
def file(home: Path) -> Path:
    path = home / ".toolhive" / "config.yaml"
    path.parent.mkdir()
    return path


def asked(*words: str) -> tuple[TelemetrySettings | None, list[str]]:
    return resolve_telemetry(parse([*words, "demo"]).otel, server="demo", debug=False)


def thv_run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "thv", "run", *words, "--", "cat"],
        input="x\n",
        capture_output=True,
        text=True,
        env=os.environ | {"DO_NOT_TRACK": "1"},
        timeout=PATIENCE,
        check=False,
    )


def test_without_a_wish_there_is_nothing_and_nothing_is_said(file: Path) -> None:
    assert asked() == (None, [])
    file.write_text("otel:\n  usage-analytics-enabled: false\n")
    assert asked() == (None, [])
    assert asked("--otel-usage-analytics-enabled=false") == (None, [])
    assert asked("--otel-propagate") == (None, ["--otel-propagate changes nothing: no traces are sent"])


def test_the_file_alone_can_ask_and_a_flag_comes_before_it(file: Path) -> None:
    file.write_text("otel:\n  endpoint: http://file:1\n  headers: {Key: a}\n")
    settings, warnings = asked("--otel-sampling-rate=1", "--otel-capture-arguments")
    assert settings is not None
    assert warnings == []
    assert settings.agent["traces"]["endpoint"] == "http://file:1/v1/traces"
    assert settings.agent["traces"]["headers"] == {"Key": "a"}
    assert (settings.ratio, settings.capture_arguments, settings.propagate) == (1.0, True, False)
    settings, _ = asked("--otel-endpoint=http://flag:1")
    assert settings is not None
    assert settings.agent["metrics"]["endpoint"] == "http://flag:1/v1/metrics"


def test_a_disabled_sdk_means_nothing_whatever_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    assert asked("--otel-endpoint=h:1", "--otel-tracing-enabled", "--otel-enable-prometheus-metrics-path") == (None, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("otel:\n  endpoint: nowhere\n", ":2:13: endpoint cannot be 'nowhere'"),
        ("otel:\n  endpoint: h:1\n  sampling-rate: 7\n", ":3:18: sampling-rate cannot be '7'"),
        ("otel:\n\tendpoint: h:1\n", ":2:1: "),
        ("otel: &a\n  endpoint: *a\n", ":2:"),
    ],
)
def test_a_file_that_cannot_be_read_turns_telemetry_off_with_its_line_and_the_session_runs(
    file: Path, text: str, said: str
) -> None:
    file.write_text(text)
    for words in ((), ("--otel-endpoint=h:1",)):
        settings, (remark,) = asked(*words)
        assert settings is None
        assert remark.startswith(f"{file}{said}")
        assert remark.endswith("; your telemetry is off until this is corrected")
    done = thv_run()
    assert (done.returncode, done.stdout) == (0, "x\n")
    journal = remark.replace("your telemetry is off", "the journal is off") if "not valid YAML" in remark else None
    assert done.stderr.splitlines() == [f"thv: {line}" for line in (remark, journal) if line]


def test_a_variable_that_means_nothing_is_one_line_and_the_session_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:hunter2@:nowhere")
    done = thv_run()
    assert (done.returncode, done.stdout) == (0, "x\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("thv: OTEL_EXPORTER_OTLP_ENDPOINT cannot be this: write host:port")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--otel-sampling-rate=2",), 2, "thv: --otel-sampling-rate cannot be '2': write a number from 0.0 to 1.0"),
        (("--otel-headers=hunter2",), 2, "thv: --otel-headers cannot be this: item 1 is no KEY=VALUE"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line_before_a_server_starts(
    words: tuple[str, ...], code: int, said: str
) -> None:
    done = thv_run(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith(said)
    assert "hunter2" not in done.stderr


def test_with_both_signals_off_the_server_starts_and_one_line_says_that_nothing_is_sent(file: Path) -> None:
    file.write_text("otel:\n  endpoint: h:1\n  tracing-enabled: false\n  metrics-enabled: false\n")
    assert asked() == (
        None,
        ["nothing is sent to your endpoint: tracing-enabled and metrics-enabled are both false"],
    )


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        (
            ("--otel-tracing-enabled=false", "--otel-metrics-enabled=false", "--otel-sampling-rate=1"),
            {},
            ["nothing is sent to your endpoint: tracing-enabled and metrics-enabled are both false"],
        ),
        (("--otel-tracing-enabled=false",), {"OTEL_METRICS_EXPORTER": "none"}, []),
        (
            ("--otel-sampling-rate=1",),
            {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
            ["--otel-sampling-rate changes nothing: what has an endpoint is turned off"],
        ),
    ],
)
def test_an_endpoint_that_is_set_is_never_said_to_be_missing(
    variable: str, words: tuple[str, ...], environ: dict[str, str], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {variable: "http://127.0.0.1:9", **environ}.items():
        monkeypatch.setenv(name, value)
    assert asked(*words) == (None, said)


def test_the_option_that_turns_off_the_only_signal_with_an_endpoint_is_not_without_effect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9")
    assert asked("--otel-tracing-enabled=false") == (None, [])


def test_a_variable_can_ask_for_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
    settings, warnings = asked()
    assert settings is not None
    assert (settings.agent["prometheus_port"], warnings) == (9464, [])


def test_variables_without_effect_are_named_in_one_line_where_there_is_telemetry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_LOG_LEVEL", "debug")
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    assert asked() == (None, [])
    _, [line] = asked("--otel-endpoint=h:1")
    assert line.startswith("no effect on thv: OTEL_LOG_LEVEL, OTEL_BLRP_SCHEDULE_DELAY; ")


@pytest.mark.parametrize(
    ("words", "package", "remedy"),
    [
        ("--otel-endpoint=otel-collector:4317", "grpc", install_command("grpc")),
        ("--otel-enable-prometheus-metrics-path", "prometheus_client", install_command("prometheus")),
    ],
)
def test_an_extra_that_is_missing_is_named_before_a_server_starts(
    words: str, package: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(words)[0] is not None
    monkeypatch.setattr("thv.telemetry.requirements._are_installed", lambda *names: package not in names)
    with pytest.raises(ThvError) as caught:
        asked(words)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_person_is_told_to_type_shows_no_secret() -> None:
    words = ["--otel-headers=api-key=hunter2", "--otel-endpoint=https://me:hunter2@h", "--otel-insecure"]
    request = parse([*words, "--env=API_KEY=hunter2", "--env=TEAM=blue", "--env=TOKEN", "demo"])
    spec = resolve("demo", (), environ=dict(os.environ), env=[], env_file=[], name=None, cwd=None)
    said = _introduction(spec, request)
    assert "hunter2" not in said
    assert "--otel-headers=api-key=********" in said
    assert "--otel-endpoint=https://********@h" in said
    assert "--otel-insecure=true" in said
    for variable in ("API_KEY=********", "TEAM=blue", "TOKEN"):
        assert said.count(f'"--env={variable}"') == 1
    assert "--otel" not in said.splitlines()[-1]  # the command to try it by hand knows no such option
    assert request.otel["headers"] == "api-key=hunter2"
