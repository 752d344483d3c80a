"""What each variable of the OpenTelemetry specification makes of a setting, and what it is too broken to make."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.config import settings_file, settings_from_environment
from thv.config.setting_types import HIDDEN, parse, show
from thv.config.settings import KEYS, OTEL, USAGE_ANALYTICS_ENABLED

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
INSECURE = "OTEL_EXPORTER_OTLP_INSECURE"
SAMPLER = "OTEL_TRACES_SAMPLER"
ARGUMENT = "OTEL_TRACES_SAMPLER_ARG"
ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"

DECIDES: list[tuple[str, dict[str, str], str, Any]] = [
    ("endpoint", {ENDPOINT: " http://localhost:4318 "}, ENDPOINT, "http://localhost:4318"),
    ("protocol", {PROTOCOL: "grpc"}, PROTOCOL, "grpc"),
    ("headers", {HEADERS: "api-key=a%20b, x=y=z,"}, HEADERS, {"api-key": "a b", "x": "y=z"}),
    ("insecure", {INSECURE: "True"}, INSECURE, True),
    ("insecure", {INSECURE: "1"}, INSECURE, False),
    ("insecure", {INSECURE: "nonsense"}, INSECURE, False),
    ("tracing-enabled", {"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"}, "OTEL_SDK_DISABLED", False),
    ("metrics-enabled", {"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED", False),
    ("tracing-enabled", {"OTEL_SDK_DISABLED": "1", "OTEL_TRACES_EXPORTER": "none"}, "OTEL_TRACES_EXPORTER", False),
    ("tracing-enabled", {"OTEL_TRACES_EXPORTER": "console, otlp"}, "OTEL_TRACES_EXPORTER", True),
    ("metrics-enabled", {"OTEL_METRICS_EXPORTER": "None"}, "OTEL_METRICS_EXPORTER", False),
    ("sampling-rate", {SAMPLER: "always_on", ARGUMENT: "0.5"}, SAMPLER, 1.0),
    ("sampling-rate", {SAMPLER: "parentbased_always_off"}, SAMPLER, 0.0),
    ("sampling-rate", {SAMPLER: "traceidratio", ARGUMENT: "0.25"}, SAMPLER, 0.25),
    ("sampling-rate", {SAMPLER: "parentbased_traceidratio"}, SAMPLER, 1.0),
    ("sampling-rate", {SAMPLER: "parentbased_traceidratio", ARGUMENT: "7"}, SAMPLER, 1.0),
    ("service-name", {"OTEL_SERVICE_NAME": "a", ATTRIBUTES: "service.name=b"}, "OTEL_SERVICE_NAME", "a"),
    ("service-name", {"OTEL_SERVICE_NAME": "", ATTRIBUTES: "x=1,service.name=b"}, ATTRIBUTES, "b"),
    ("custom-attributes", {ATTRIBUTES: "team=blue,city=Z%C3%BCrich"}, ATTRIBUTES, {"team": "blue", "city": "Zürich"}),
]

SILENT = [
    ("endpoint", {}),
    ("endpoint", {ENDPOINT: "  "}),
    ("endpoint", {ENDPOINT: "nowhere"}),
    ("protocol", {PROTOCOL: "http/json"}),
    ("headers", {HEADERS: "no-value"}),
    ("headers", {HEADERS: "a=b%0D%0AInjected: c"}),
    ("headers", {HEADERS: ","}),
    ("tracing-enabled", {"OTEL_TRACES_EXPORTER": "console"}),
    ("metrics-enabled", {"OTEL_TRACES_EXPORTER": "none"}),
    ("sampling-rate", {ARGUMENT: "0.5"}),
    ("sampling-rate", {SAMPLER: "jaeger_remote", ARGUMENT: "0.5"}),
    ("service-name", {ATTRIBUTES: "team=blue"}),
    ("custom-attributes", {ATTRIBUTES: "a=1,broken"}),
    ("env-vars", {"OTEL_ENV_VARS": "A"}),
]


@pytest.mark.parametrize(("name", "environ", "variable", "value"), DECIDES)
def test_a_variable_decides(name: str, environ: dict[str, str], variable: str, value: Any) -> None:
    assert settings_from_environment.read(KEYS[name], environ) == (variable, value)


@pytest.mark.parametrize(("name", "environ"), SILENT)
def test_an_empty_or_meaningless_variable_is_no_variable(name: str, environ: dict[str, str]) -> None:
    assert settings_from_environment.read(KEYS[name], environ) is None


VARIABLES = sorted({name for known in KEYS.values() for name in known.env})


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=24)))
def test_no_environment_makes_reading_raise_and_what_it_means_is_a_value_of_the_setting(
    environ: dict[str, str],
) -> None:
    for name, known in KEYS.items():
        if name != USAGE_ANALYTICS_ENABLED and (found := settings_from_environment.read(known, environ)):
            assert found[0] in known.env
            if not isinstance(found[1], dict):  # a variable's map may hold a comma, percent-encoded
                assert parse(known, show(found[1])) == found[1]


def nobody_refuses(known: object, environ: object) -> None:
    pytest.fail("asked about another setting than usage analytics")


def test_a_secret_is_hidden_wherever_it_comes_from() -> None:
    urls = {
        "https://me:hunter2@otel.example/v1": f"https://{HIDDEN}@otel.example/v1",
        "https://otel.example/v1?key=hunter2": f"https://otel.example/v1?{HIDDEN}",
        "https://otel.example?hunter2": f"https://otel.example?{HIDDEN}",
        "https://otel.example/v1#hunter2": f"https://otel.example/v1#{HIDDEN}",
        "https://hunter2@otel.example/v1?a=hunter2#hunter2": f"https://{HIDDEN}@otel.example/v1?{HIDDEN}",
        "https://otel.example/v1#hunter2?hunter2": f"https://otel.example/v1#{HIDDEN}",
        "https://otel.example/?me@hunter2": f"https://otel.example/?{HIDDEN}",
    }
    given = [("headers", HEADERS, "api-key=hunter2", f"api-key={HIDDEN}")]
    given += [("endpoint", ENDPOINT, url, hidden) for url, hidden in urls.items()]
    for name, variable, text, hidden in given:
        environ = {variable: text}
        shown = settings_file.get("no-such-file", OTEL, name, environ, refused=nobody_refuses)
        assert (shown.value, shown.effective, shown.is_overridden) == ("", hidden, True)
        shown = settings_file.get("no-such-file", OTEL, name, environ, refused=nobody_refuses, reveal=True)
        assert "hunter2" in shown.effective


def test_two_hidden_secrets_that_differ_are_not_taken_for_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text("otel:\n  headers: {api-key: one}\n")
    for value, differs in (("one", False), ("two", True)):
        shown = settings_file.get(str(path), OTEL, "headers", {HEADERS: f"api-key={value}"}, refused=nobody_refuses)
        assert shown.value == shown.effective == f"api-key={HIDDEN}"
        assert shown.is_overridden is differs
