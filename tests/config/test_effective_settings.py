"""What counts for one run: a flag before a variable before the file before the default, and never a guess."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thv.config import effective_settings, settings_file
from thv.config.effective_settings import ENDPOINTS
from thv.config.otlp_variables import SIGNALS, VARIABLES, of_signal
from thv.config.setting_types import show, shown
from thv.config.settings import KEYS, OTEL, USAGE_ANALYTICS_ENABLED
from thv.errors import ConfigError, SettingError

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
otel:
  endpoint: from-file:4317
  sampling-rate: 0.25
  insecure: true
  env-vars: A,B
  custom-attributes:
    team: file
    city: file
"""


def counts(
    path: Path, flags: dict[str, str], environ: dict[str, str], text: str = FILE
) -> tuple[dict[str, Any], list[str]]:
    path.write_text(text, encoding="utf-8")
    return effective_settings.read(str(path), effective_settings.parse_flags(flags), environ)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


PRECEDENCE: list[tuple[str, dict[str, str], dict[str, str], Any]] = [
    ("endpoint", {}, {}, "from-file:4317"),
    ("endpoint", {}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://env:1"}, "http://env:1"),
    ("endpoint", {"endpoint": "flag:1"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://env:1"}, "flag:1"),
    ("protocol", {}, {}, None),
    ("tracing-enabled", {}, {}, True),
    ("tracing-enabled", {}, {"OTEL_TRACES_EXPORTER": "none"}, False),
    ("tracing-enabled", {"tracing-enabled": "yes"}, {"OTEL_TRACES_EXPORTER": "none"}, True),
    ("sampling-rate", {}, {}, 0.25),
    ("sampling-rate", {}, {"OTEL_TRACES_SAMPLER": "always_on"}, 1.0),
    ("sampling-rate", {"sampling-rate": "0.5"}, {"OTEL_TRACES_SAMPLER": "always_on"}, 0.5),
    ("insecure", {"insecure": "false"}, {"OTEL_EXPORTER_OTLP_INSECURE": "true"}, False),
    ("insecure", {}, {"OTEL_EXPORTER_OTLP_INSECURE": "false"}, False),
    ("env-vars", {"env-vars": "C"}, {}, ["C"]),
    ("custom-attributes", {}, {}, {"team": "file", "city": "file"}),
    (
        "custom-attributes",
        {"custom-attributes": "team=flag"},
        {"OTEL_RESOURCE_ATTRIBUTES": "team=env,stage=env"},
        {"team": "flag", "city": "file", "stage": "env"},
    ),
    ("parent-based", {}, {}, True),
    ("parent-based", {}, {"OTEL_TRACES_SAMPLER": "traceidratio"}, False),
    ("parent-based", {}, {"OTEL_TRACES_SAMPLER": "ParentBased_always_on"}, True),
    ("parent-based", {"sampling-rate": "1"}, {"OTEL_TRACES_SAMPLER": "always_on"}, True),
    ("traces.endpoint", {}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:1/x"}, "http://traces:1/x"),
    ("traces.endpoint", {"endpoint": "flag:1"}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:1"}, None),
    ("metrics.headers", {}, {"OTEL_EXPORTER_OTLP_METRICS_HEADERS": "k=a%20b"}, {"k": "a b"}),
    ("metrics.headers", {"headers": "k=flag"}, {"OTEL_EXPORTER_OTLP_METRICS_HEADERS": "k=env"}, None),
    ("traces.protocol", {}, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "GRPC"}, "grpc"),
    ("traces.insecure", {}, {"OTEL_EXPORTER_OTLP_TRACES_INSECURE": "true"}, True),
    ("traces.timeout", {}, {"OTEL_EXPORTER_OTLP_TIMEOUT": "2500"}, 2500.0),
    ("metrics.timeout", {}, {"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "1", "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}, 1.0),
    ("traces.compression", {}, {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, "gzip"),
    ("traces.certificate", {}, {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem"}, "/ca.pem"),
    ("traces.client-key", {}, {"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "/key.pem"}, "/key.pem"),
    ("metrics.client-certificate", {}, {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/c.pem"}, "/c.pem"),
    ("metric-export-interval", {}, {"OTEL_METRIC_EXPORT_INTERVAL": "5000"}, 5000.0),
    ("temporality", {}, {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "Delta"}, "delta"),
    ("prometheus-port", {}, {"OTEL_EXPORTER_PROMETHEUS_PORT": "9999"}, 9999.0),
    ("silenced", {}, {"OTEL_TRACES_EXPORTER": "none"}, True),
    ("silenced", {"tracing-enabled": "false"}, {}, False),
]


@pytest.mark.parametrize(("name", "flags", "environ", "value"), PRECEDENCE)
def test_a_flag_comes_before_a_variable_before_the_file_before_the_default(
    file: Path, name: str, flags: dict[str, str], environ: dict[str, str], value: Any
) -> None:
    values, warnings = counts(file, flags, environ)
    assert (values[name], warnings) == (value, [])


IGNORED = [
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "cannot be 'http/json': write http/protobuf or grpc"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere", "cannot be 'nowhere': write host:port"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "cannot be '10s': write milliseconds"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1", "cannot be '-1': write milliseconds"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "2147483648", "from 0 to 2147483647"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "cannot be 'zstd': write gzip or none"),
    ("OTEL_EXPORTER_PROMETHEUS_PORT", "0", "cannot be '0': write a port"),
    ("OTEL_TRACES_EXPORTER", "console", "'console' is ignored; thv knows otlp and none"),
    ("OTEL_METRICS_EXPORTER", "otlp, console", "'console' is ignored; thv knows otlp, prometheus and none"),
    ("OTEL_TRACES_SAMPLER", "jaeger_remote", "is ignored: it is 'jaeger_remote'; thv knows always_on"),
    ("OTEL_EXPORTER_OTLP_INSECURE", "1", "is taken for false"),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=1,broken", "is ignored: its item 2 is no KEY=VALUE"),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b=c%0Ad", "is ignored: its item 2 holds a control character"),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "x", "write cumulative, delta or lowmemory"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", "is ignored: its item 1 is no KEY=VALUE"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:hunter2@:x", "cannot be this"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://me:hunter2@:x", "cannot be this"),
]


@pytest.mark.parametrize(("variable", "text", "said"), IGNORED)
def test_a_variable_that_means_nothing_is_ignored_with_one_line_that_names_no_secret(
    file: Path, variable: str, text: str, said: str
) -> None:
    values, warnings = counts(file, {}, {variable: text})
    without, _ = counts(file, {}, {})
    if variable != "OTEL_EXPORTER_OTLP_INSECURE":
        assert values == without
    (remark,) = warnings
    assert remark.startswith(variable)
    assert said in remark
    assert "hunter2" not in remark


def test_the_argument_of_a_sampler_is_told_of_only_where_it_matters(file: Path) -> None:
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"}
    values, (remark,) = counts(file, {}, environ)
    assert values["sampling-rate"] == 1.0
    assert remark.startswith("OTEL_TRACES_SAMPLER_ARG cannot be '7'")
    assert counts(file, {"sampling-rate": "0.5"}, environ)[1] == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("otel:\n  endpoint: x:1\n  sampling-rate: 7\n", ":3:18: "),
        ("otel:\n  endpoint: [\n", ":3:1: "),
        ("otel:\n  endpoint: x:1\n  headers: 3\n", ":3:12: "),
        ("otel: 1\n", ":1:7: "),
    ],
)
def test_what_the_file_cannot_mean_is_refused_with_its_place(file: Path, text: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        counts(file, {}, {}, text)
    assert str(caught.value).startswith(f"{file}{place}")


def test_a_flag_that_means_nothing_is_an_error_that_begins_with_its_name() -> None:
    with pytest.raises(SettingError, match=r"^sampling-rate cannot be '2': "):
        effective_settings.parse_flags({"sampling-rate": "2"})
    with pytest.raises(SettingError, match="there is no setting 'nonsense'"):
        effective_settings.parse_flags({"nonsense": "2"})


ASKS: list[tuple[dict[str, str], dict[str, str], str, bool]] = [
    ({}, {}, "", False),
    ({}, {}, "otel:\n  usage-analytics-enabled: false\n", False),
    ({}, {}, "otel:\n  endpoint: x:1\n", True),
    ({}, {}, '{"otel": {"enable-prometheus-metrics-path": true}}', True),
    ({}, {}, "otel: [\n", False),
    ({"usage-analytics-enabled": "false"}, {}, "", False),
    ({"propagate": "true"}, {}, "", True),
    ({"endpoint": "x:1"}, {}, "", True),
    ({"sampling-rate": "1"}, {}, "", True),
    ({}, {"OTEL_EXPORTER_OTLP_HEADERS": "a=b", "OTEL_SERVICE_NAME": "x"}, "", False),
    ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "", False),
    *(({}, {variable: "http://x"}, "", True) for variable in ENDPOINTS),
]


@pytest.mark.parametrize(("flags", "environ", "text", "asks"), ASKS)
def test_the_cheap_question_is_answered_by_flags_variables_and_words_of_the_file(
    file: Path, flags: dict[str, str], environ: dict[str, str], text: str, asks: bool
) -> None:
    file.write_text(text, encoding="utf-8")
    assert effective_settings.may_ask(flags, environ, str(file)) is asks


def test_whoever_has_no_file_asks_for_nothing_and_a_file_that_cannot_be_read_may_ask_for_all(file: Path) -> None:
    assert not effective_settings.may_ask({}, {}, str(file))
    file.write_bytes(b"\xff\xfe")
    assert effective_settings.may_ask({}, {}, str(file))


def test_the_cheap_question_imports_next_to_nothing() -> None:
    code = (
        "import sys; from thv.config import effective_settings; from thv.config.settings import config_path; import os;"
        "effective_settings.may_ask({}, os.environ, config_path(os.environ)); print(*sys.modules)"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in seen.stdout.split() if name.startswith("thv.")}
    assert ours == {
        "thv.config",
        "thv.config.effective_settings",
        "thv.config.settings",
        "thv.config.reader",
        "thv.errors",
    }


def test_the_cheap_question_asks_every_variable_that_can_set_an_endpoint() -> None:
    of_signals = {of_signal(signal, "endpoint") for signal in SIGNALS}
    found = [variable for known in VARIABLES if known.name in of_signals for variable in known.env]
    assert (*KEYS["endpoint"].env, *found) == ENDPOINTS


NAMES = sorted({name for known in KEYS.values() for name in known.env if known.name != USAGE_ANALYTICS_ENABLED})
WORDS = st.sampled_from(
    [
        *("", "true", "false", "none", "otlp", "console", "grpc", "x:4317", "http://x", "0.5", "always_on"),
        *("traceidratio", "a=b", "a=c,service.name=d", "nonsense", "team=env"),
    ]
)


def nobody_refuses(known: object, environ: object) -> None:
    pytest.fail("asked about another setting than usage analytics")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(environ=st.dictionaries(st.sampled_from(NAMES), WORDS), text=st.sampled_from(["", FILE]))
def test_what_is_listed_is_what_a_run_does(file: Path, environ: dict[str, str], text: str) -> None:
    values, _ = counts(file, {}, environ, text)
    for name, known in KEYS.items():
        if name != USAGE_ANALYTICS_ENABLED:
            listed = settings_file.get(str(file), OTEL, name, environ, refused=nobody_refuses, reveal=True)
            value = values[name]
            assert listed.effective == ("" if value is None else shown(known, value, reveal=True)), name


@given(
    st.dictionaries(st.sampled_from(sorted({v for known in VARIABLES for v in known.env})), st.text(max_size=12)),
)
def test_no_environment_makes_reading_raise_or_a_line_break_in_a_remark(environ: dict[str, str]) -> None:
    values, warnings = effective_settings.read("/no/such/file", {}, environ)
    assert not any("\n" in remark for remark in warnings)
    for known in VARIABLES:
        value = values[known.name]
        assert value is None or isinstance(value, (bool, float, dict)) or show(value)
