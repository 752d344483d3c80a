"""Every form of an endpoint, every option of an exporter, and what is wanted of each signal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv import __version__
from thv.config import effective_settings
from thv.telemetry.frames import AgentSettings, Signal
from thv.telemetry.telemetry_settings import TelemetrySettings, resolve

NO_FILE = "/no/such/file"


def resolved(
    flags: dict[str, str] | None = None, environ: dict[str, str] | None = None, **switches: bool
) -> tuple[TelemetrySettings | None, list[str]]:
    values, warnings = effective_settings.read(NO_FILE, effective_settings.parse_flags(flags or {}), environ or {})
    found, further = resolve(values, environ or {}, server="time", **switches)
    return found, warnings + further


def settings(
    flags: dict[str, str] | None = None, environ: dict[str, str] | None = None, **switches: bool
) -> TelemetrySettings:
    found, warnings = resolved(flags, environ, **switches)
    assert warnings == []
    assert found is not None
    return found


PLAIN, TLS = True, False

ENDPOINTS = [
    # What is written, with --otel-insecure or not; the protocol; where traces go; without TLS or with.
    ("otel-collector:4317", True, "grpc", "otel-collector:4317", PLAIN),
    ("otel-collector:4317", False, "grpc", "otel-collector:4317", TLS),
    ("localhost:4318", True, "http/protobuf", "http://localhost:4318/v1/traces", PLAIN),
    ("localhost:4318", False, "http/protobuf", "https://localhost:4318/v1/traces", TLS),
    ("[::1]:4318", True, "http/protobuf", "http://[::1]:4318/v1/traces", PLAIN),
    ("[::1]:4317", True, "grpc", "[::1]:4317", PLAIN),
    ("http://h", False, "http/protobuf", "http://h/v1/traces", PLAIN),
    ("http://h/", False, "http/protobuf", "http://h/v1/traces", PLAIN),
    ("HTTPS://h", True, "http/protobuf", "https://h/v1/traces", TLS),
    ("https://h/prefix", True, "http/protobuf", "https://h/prefix/v1/traces", TLS),
    ("https://h:8443/a/b//", True, "http/protobuf", "https://h:8443/a/b/v1/traces", TLS),
    ("https://h/p?k=v#x", True, "http/protobuf", "https://h/p/v1/traces?k=v", TLS),
    ("http://h:4317", False, "grpc", "h:4317", PLAIN),
    ("https://h:4317/ignored", True, "grpc", "h:4317", TLS),
    ("https://[::1]:4317", True, "grpc", "[::1]:4317", TLS),
]


@pytest.mark.parametrize(("endpoint", "insecure", "protocol", "where", "plain"), ENDPOINTS)
def test_an_endpoint_for_both_signals_says_where_each_of_them_goes(
    endpoint: str, *, insecure: bool, protocol: str, where: str, plain: bool
) -> None:
    agent = settings({"endpoint": endpoint, "insecure": str(insecure)}).agent
    for signal in ("traces", "metrics"):
        found = agent[signal]
        expected = where.replace("/v1/traces", f"/v1/{signal}")
        assert (found["endpoint"], found["protocol"], found["insecure"]) == (expected, protocol, plain)
        assert found["headers"] == {}


def test_a_protocol_that_is_said_beats_the_port_and_a_url_without_a_port_gets_its_schemes() -> None:
    for endpoint, where in (("https://h", "h:443"), ("http://h/x", "h:80"), ("http://[::1]", "[::1]:80")):
        assert settings({"endpoint": endpoint, "protocol": "grpc"}).agent["traces"]["endpoint"] == where
    http = settings({"endpoint": "http://h:4317", "protocol": "http/protobuf"}).agent["metrics"]
    assert http["endpoint"] == "http://h:4317/v1/metrics"


TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"


@pytest.mark.parametrize(
    ("given_endpoint", "used"),
    [
        ("http://h:1", "http://h:1/"),
        ("http://h:1/", "http://h:1/"),
        ("http://h:1/my/place/", "http://h:1/my/place/"),
        ("https://h/x?y=z", "https://h/x?y=z"),
        ("http://h:4317", "h:4317"),
    ],
)
def test_an_endpoint_of_one_signal_is_used_as_it_is_and_brings_only_that_signal(given_endpoint: str, used: str) -> None:
    found = settings({}, {TRACES: given_endpoint})
    assert found.agent["traces"]["endpoint"] == used
    assert (found.agent["metrics"], found.tracing, found.metrics) == (None, True, False)
    both = settings({}, {TRACES: given_endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://other/p"})
    assert both.agent["traces"]["endpoint"] == used
    assert both.agent["metrics"]["endpoint"] == "http://other/p/v1/metrics"


def test_a_flag_beats_the_variables_of_a_signal_too() -> None:
    agent = settings({"endpoint": "http://flag:1"}, {TRACES: "http://env:1/x", METRICS: "http://env:2/x"}).agent
    assert agent["traces"]["endpoint"] == "http://flag:1/v1/traces"
    assert agent["metrics"]["endpoint"] == "http://flag:1/v1/metrics"


def test_every_option_can_be_one_for_a_signal_and_the_general_one_stands_in() -> None:
    prefix = "OTEL_EXPORTER_OTLP_"
    environ = {
        f"{prefix}ENDPOINT": "general:1",
        f"{prefix}INSECURE": "true",
        f"{prefix}TRACES_INSECURE": "false",
        f"{prefix}HEADERS": "Key=general",
        f"{prefix}TRACES_HEADERS": "Key=traces",
        f"{prefix}METRICS_PROTOCOL": "grpc",
        f"{prefix}TIMEOUT": "2500",
        f"{prefix}METRICS_TIMEOUT": "0",
        f"{prefix}COMPRESSION": "gzip",
        f"{prefix}METRICS_COMPRESSION": "none",
        f"{prefix}CERTIFICATE": "/ca.pem",
        f"{prefix}TRACES_CLIENT_CERTIFICATE": "/client.pem",
        f"{prefix}TRACES_CLIENT_KEY": "key.pem",
    }
    agent = settings({}, environ).agent
    assert agent["traces"] == {
        "endpoint": "https://general:1/v1/traces",
        "protocol": "http/protobuf",
        "headers": {"Key": "traces"},
        "insecure": False,
        "ca_file": "/ca.pem",
        "certificate_file": "/client.pem",
        "key_file": str(Path("key.pem").absolute()),
        "timeout_s": 2.5,
        "compression": "gzip",
    }
    assert agent["metrics"] == {
        "endpoint": "general:1",
        "protocol": "grpc",
        "headers": {"key": "general"},
        "insecure": True,
        "ca_file": "/ca.pem",
        "certificate_file": None,
        "key_file": None,
        "timeout_s": 3600.0,
        "compression": "none",
    }


def test_the_user_of_an_endpoint_becomes_a_header_and_stands_nowhere_else() -> None:
    for endpoint in ("https://me:hun%40ter2@h/x", "https://me:hun%40ter2@h:4317"):
        for found in (settings({"endpoint": endpoint}), settings({}, {TRACES: endpoint})):
            traces = found.agent["traces"]
            assert traces["headers"] == {"authorization": "Basic bWU6aHVuQHRlcjI="}
            assert "hun" not in traces["endpoint"]
            assert "@" not in traces["endpoint"]
    own = settings({"endpoint": "https://me:x@h", "headers": "Authorization=Bearer y"}).agent["traces"]
    assert own["headers"] == {"Authorization": "Bearer y"}


def test_nothing_that_asks_for_telemetry_means_none_at_all() -> None:
    for flags, environ in [
        ({}, {}),
        ({"sampling-rate": "1", "headers": "a=b"}, {"OTEL_SERVICE_NAME": "x"}),
        ({}, {"OTEL_EXPORTER_OTLP_HEADERS": "a=b"}),
        ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_SDK_DISABLED": "true"}),
        ({"enable-prometheus-metrics-path": "false"}, {}),
    ]:
        values, _ = effective_settings.read(NO_FILE, effective_settings.parse_flags(flags), environ)
        values["silenced"] = True  # as where the SDK is disabled, which is asked before
        assert resolve(values, environ, server="time") == (None, [])


def test_an_endpoint_with_both_signals_off_is_told_unless_a_variable_turned_them_off() -> None:
    off = {"tracing-enabled": "false", "metrics-enabled": "false"}
    nothing = ["nothing is sent to your endpoint: tracing-enabled and metrics-enabled are both false"]
    assert resolved({"endpoint": "h:1", **off}) == (None, nothing)
    scraped, warnings = resolved({"endpoint": "h:1", **off, "enable-prometheus-metrics-path": "true"})
    assert scraped is not None
    assert (scraped.agent["prometheus_port"], warnings) == (9464, nothing)
    assert resolved(off) == (None, [])
    environ = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    assert resolved({"endpoint": "h:1"}, environ) == (None, [])


def test_the_exporters_of_metrics_are_chosen_by_a_variable() -> None:
    by_prometheus = settings({}, {"OTEL_METRICS_EXPORTER": "prometheus"})
    assert (by_prometheus.agent["prometheus_port"], by_prometheus.metrics) == (9464, True)
    assert by_prometheus.agent["metrics"] is None
    alone = settings({"endpoint": "h:1"}, {"OTEL_METRICS_EXPORTER": "prometheus"})
    assert (alone.agent["prometheus_port"], alone.agent["metrics"]) == (9464, None)
    both = settings({"endpoint": "h:1"}, {"OTEL_METRICS_EXPORTER": "otlp,prometheus"})
    assert both.agent["metrics"] is not None
    assert both.agent["prometheus_port"] == 9464


def test_limits_and_delays_are_handed_on_and_a_batch_is_no_larger_than_the_queue() -> None:
    environ = {
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        "OTEL_BSP_SCHEDULE_DELAY": "250",
        "OTEL_ATTRIBUTE_COUNT_LIMIT": "7",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "0",
        "OTEL_SPAN_LINK_COUNT_LIMIT": "1",
        "OTEL_METRIC_EXPORT_TIMEOUT": "1500",
        "OTEL_BSP_EXPORT_TIMEOUT": "2500",
    }
    agent = settings({"endpoint": "h:1"}, environ).agent
    assert (agent["queue_size"], agent["batch_size"], agent["schedule_delay_s"]) == (100, 100, 0.25)
    assert (agent["attribute_count_limit"], agent["attribute_length_limit"], agent["link_count_limit"]) == (5, 0, 1)
    assert (agent["traces"]["timeout_s"], agent["metrics"]["timeout_s"], agent["metric_timeout_s"]) == (2.5, 1.5, 1.5)
    environ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] = "200"
    found, [warning] = resolved({"endpoint": "h:1"}, environ)
    assert found is not None
    assert found.agent["batch_size"] == 100
    assert warning == "OTEL_BSP_MAX_EXPORT_BATCH_SIZE is taken for 100, the most that can wait"


def test_a_value_that_a_number_cannot_have_is_ignored_with_a_line() -> None:
    found, [warning] = resolved({"endpoint": "h:1"}, {"OTEL_BSP_MAX_QUEUE_SIZE": "0"})
    assert found is not None
    assert "queue_size" not in found.agent
    assert warning.startswith("OTEL_BSP_MAX_QUEUE_SIZE cannot be '0'")


@pytest.mark.parametrize(("names", "extract"), [("tracecontext,baggage", True), ("none", False), ("baggage", False)])
def test_propagators_say_whether_a_clients_context_is_read(names: str, extract: bool) -> None:
    assert settings({"endpoint": "h:1"}, {"OTEL_PROPAGATORS": names}).extract is extract


def test_a_propagator_that_thv_lacks_is_told() -> None:
    found, [warning] = resolved({"endpoint": "h:1"}, {"OTEL_PROPAGATORS": "tracecontext,b3"})
    assert found is not None
    assert found.extract
    assert warning == "OTEL_PROPAGATORS: 'b3' is ignored; thv knows tracecontext, baggage and none"


def test_a_header_that_describes_the_request_is_left_out_with_a_line() -> None:
    found, [warning] = resolved({"endpoint": "h:1", "headers": "X-Key=hunter2,Content-Length=3,host=evil"})
    assert found is not None
    assert found.agent["traces"]["headers"] == {"X-Key": "hunter2"}
    assert warning == "headers: Content-Length, host is left out: the exporter sets it"


def test_a_signal_that_is_off_has_nowhere_to_go() -> None:
    found = settings({"endpoint": "http://h", "tracing-enabled": "false"})
    assert (found.agent["traces"], found.tracing, found.metrics) == (None, False, True)
    found = settings({"endpoint": "http://h", "metrics-enabled": "false"})
    assert (found.agent["metrics"], found.tracing, found.metrics) == (None, True, False)


def test_prometheus_needs_no_endpoint_and_wants_metrics_alone() -> None:
    found = settings({"enable-prometheus-metrics-path": "true"})
    assert (found.agent["prometheus_port"], found.tracing, found.metrics) == (9464, False, True)
    assert (found.agent["traces"], found.agent["metrics"]) == (None, None)
    other = settings({"enable-prometheus-metrics-path": "true"}, {"OTEL_EXPORTER_PROMETHEUS_PORT": "9999"})
    assert (other.agent["prometheus_host"], other.agent["prometheus_port"]) == ("127.0.0.1", 9999)
    everywhere = settings({"enable-prometheus-metrics-path": "true"}, {"OTEL_EXPORTER_PROMETHEUS_HOST": "0.0.0.0"})
    assert everywhere.agent["prometheus_host"] == "0.0.0.0"
    assert settings({"endpoint": "h:1"}).agent["prometheus_port"] is None
    traced = settings({"endpoint": "h:1", "metrics-enabled": "false", "enable-prometheus-metrics-path": "true"})
    assert (traced.agent["metrics"], traced.metrics) == (None, True)


@pytest.mark.parametrize(
    ("flags", "environ", "resource"),
    [
        ({}, {}, {"service.name": "thv-time"}),
        ({"service-name": "mine"}, {"OTEL_SERVICE_NAME": "env"}, {"service.name": "mine"}),
        ({}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=attr,a=b"}, {"service.name": "attr", "a": "b"}),
        (
            {},
            {"OTEL_SERVICE_NAME": "env", "OTEL_RESOURCE_ATTRIBUTES": "service.name=attr"},
            {"service.name": "env"},
        ),
        ({"custom-attributes": "service.name=mine,a=b"}, {}, {"service.name": "mine", "a": "b"}),
        (
            {"custom-attributes": "a=flag"},
            {"OTEL_RESOURCE_ATTRIBUTES": "a=env"},
            {"service.name": "thv-time", "a": "flag"},
        ),
    ],
)
def test_the_resource_is_named_by_the_user_or_after_the_server(
    flags: dict[str, str], environ: dict[str, str], resource: dict[str, str]
) -> None:
    found = settings({"endpoint": "h:1", **flags}, environ).agent["resource"]
    assert found.pop("service.instance.id")
    assert found.pop("service.version") == __version__
    assert found == resource


def test_two_runs_are_told_apart_unless_the_user_names_them() -> None:
    first, second = (settings({"endpoint": "h:1"}).agent["resource"]["service.instance.id"] for _ in range(2))
    assert first != second
    for text in (first, second):
        assert (str(UUID(text)), UUID(text).version, UUID(text).variant) == (text, 4, RFC_4122)
    named = settings({"endpoint": "h:1", "custom-attributes": "service.instance.id=mine"})
    assert named.agent["resource"]["service.instance.id"] == "mine"


def test_sampling_follows_the_parent_unless_a_sampler_says_otherwise() -> None:
    for environ, expected in [
        ({}, (0.1, True)),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, (1.0, False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, (0.5, True)),
    ]:
        found = settings({"endpoint": "h:1"}, environ)
        assert (found.ratio, found.parent_based) == expected


def test_only_the_variables_that_are_asked_for_and_set_stand_on_spans_in_readable_form() -> None:
    environ = {"A": "1", "B": "", "SECRET": "hunter2", "BYTES": "a\udcffb"}
    found = settings({"endpoint": "h:1", "env-vars": "A,B,C,BYTES"}, environ)
    assert found.span_environment == {"A": "1", "B": "", "BYTES": "a\ufffdb"}
    assert settings({"endpoint": "h:1"}, environ).span_environment == {}


def test_switches_intervals_and_temporality_are_handed_on() -> None:
    environ = {
        "OTEL_METRIC_EXPORT_INTERVAL": "1500",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
    }
    found = settings({"endpoint": "h:1"}, environ, capture_arguments=True, propagate=True, debug=True)
    assert (found.capture_arguments, found.propagate, found.server) == (True, True, "time")
    agent = found.agent
    assert (agent["export_interval_s"], agent["temporality"], agent["debug"]) == (1.5, "delta", True)
    quiet = settings({"endpoint": "h:1"}, {"OTEL_METRIC_EXPORT_INTERVAL": "0"}).agent
    assert (quiet["export_interval_s"], quiet["temporality"], quiet["debug"]) == (60.0, "cumulative", False)


def test_what_cannot_be_captured_is_told() -> None:
    _, warnings = resolved({"enable-prometheus-metrics-path": "true"}, capture_arguments=True)
    assert warnings == ["--otel-capture-arguments changes nothing: no traces are sent"]
    found, warnings = resolved({}, capture_arguments=True, propagate=True)
    assert found is None
    assert warnings == [
        "--otel-capture-arguments changes nothing: no traces are sent",
        "--otel-propagate changes nothing: no traces are sent",
    ]


@pytest.mark.parametrize("endpoint", ["http://h:4318/v1/traces", "https://h/a/v1/metrics/?key=hunter2"])
def test_the_address_of_one_signal_as_endpoint_is_told(endpoint: str) -> None:
    _, [remark] = resolved({"endpoint": endpoint})
    assert "/v1/traces is appended to it: leave /v1/" in remark
    assert "hunter2" not in remark
    assert resolved({}, {TRACES: "http://h:4318/v1/traces", METRICS: "http://h:4318/v1/metrics"})[1] == []


VARIABLES = st.sampled_from(
    [
        *("OTEL_EXPORTER_OTLP_ENDPOINT", TRACES, METRICS, "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_INSECURE"),
        *("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
    ]
)
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["http://h", "https://u:p@h:4317/x?y", "h:1", "[::1]:4317", "a=b", "true", "grpc", "100", "http://@h", "http://h:"]
)


@given(st.dictionaries(VARIABLES, TEXTS))
def test_whatever_comes_out_is_what_the_agent_takes(environ: dict[str, str]) -> None:
    found, _ = resolved({}, environ)
    if found is not None:
        agent: dict[str, Any] = dict(found.agent)
        for signal in ("traces", "metrics"):
            agent[signal] = agent[signal] and Signal(**agent[signal])
            if agent[signal]:
                assert "@" not in agent[signal].endpoint
        AgentSettings(**agent)
        assert found.server == "time"


def test_resolving_imports_nothing_slow() -> None:
    name = "thv.telemetry.telemetry_settings"
    code = f"import sys; before = set(sys.modules); import {name}; print(*set(sys.modules) - before)"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(seen.stdout.split()) == {
        "__future__",
        "thv",
        "thv.telemetry",
        "thv.telemetry.telemetry_settings",
    }
