"""What a stock MeterProvider with the stock OTLP exporter leaks or breaks, and that our pipeline does not.

Each trap is sprung twice, in fresh interpreters with the same hostile environment and against the same kind of sink:
first the stock parts, to show that the trap is real; then ours. When an SDK release closes a trap, its first half fails
and the trap can be retired with open eyes.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.analytics.scripts import COUNT_ONE, OURS, run, run_alone, stock
from tests.sink import Received, Sink
from thv.analytics.otlp import MINUTE_NS, Counts, encode

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "SECRET"

NOTICEABLE = 5.0
"""Seconds of waiting at exit that our pipeline stays below on the slowest machine, and the stock parts exceed."""


def everything(received: Received) -> str:
    """All a server learns from a request."""
    return f"{received.head}\n{json.dumps(received.message)}\n{received.client_certificate}"


def assert_only_the_contract(received: Received, counts: Counts) -> None:
    """The request holds these counts, a whole minute, and constants."""
    [resource_metrics] = received.message["resourceMetrics"]
    points = resource_metrics["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"]
    [minute] = {int(point["timeUnixNano"]) for point in points}
    assert received.body == encode(counts, minute)
    assert minute % MINUTE_NS == 0
    assert received.client_certificate is None
    assert received.request_line == "POST /v1/traces HTTP/1.1"
    assert received.headers == {
        "host": received.headers["host"],
        "user-agent": "toolhive-usage-analytics",
        "content-type": "application/x-protobuf",
        "content-length": str(len(received.body)),
        "connection": "close",
    }


def ours(sink: Sink, state: Path, job: str = COUNT_ONE, /, **environ: str) -> None:
    """Run a job with our pipeline; one request must say one success and nothing else, and stderr stay empty."""
    sink.requests.clear()
    ran = run(OURS, job, sink, state=state, **environ)
    assert (ran.exit_code, ran.errors) == (0, "")
    [received] = sink.requests
    assert_only_the_contract(received, Counts(1, 0))


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"])
@pytest.mark.parametrize("arguments", ["headers={}", "headers={'x': 'y'}"])
def test_the_users_api_key_is_not_sent(variable: str, arguments: str, sink: Sink, tmp_path: Path) -> None:
    environ = {variable: f"x-api-key={SECRET}"}
    run(stock(arguments), COUNT_ONE, sink, state=tmp_path, **environ)
    assert sink.requests[0].headers["x-api-key"] == SECRET
    ours(sink, tmp_path, **environ)


@pytest.mark.parametrize("resource", ["", "resource=Resource.create({})"])
def test_the_users_resource_is_not_sent(resource: str, sink: Sink, tmp_path: Path) -> None:
    environ = {
        "OTEL_RESOURCE_ATTRIBUTES": f"user.email={SECRET}",
        "OTEL_SERVICE_NAME": f"{SECRET}-service",
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "host,process,os",
    }
    run(stock(provider=resource), COUNT_ONE, sink, state=tmp_path, **environ)
    leaked = sink.requests[0].message["resourceMetrics"][0]["resource"]["attributes"]
    names = {attribute["key"] for attribute in leaked}
    assert {"user.email", "service.name", "service.instance.id", "telemetry.sdk.version", "host.name"} <= names
    assert any(name.startswith("process.") for name in names)
    ours(sink, tmp_path, **environ)


IN_A_SPAN = """
from opentelemetry.sdk.trace import TracerProvider
with TracerProvider().get_tracer("user").start_as_current_span("a tool call") as span:
    print(f"{span.get_span_context().trace_id:032x}")
    COUNT
finish()
"""


@pytest.mark.parametrize("exemplar_filter", ["", "always_on"])
def test_the_users_active_span_is_not_sent(exemplar_filter: str, sink: Sink, tmp_path: Path) -> None:
    environ = {"OTEL_METRICS_EXEMPLAR_FILTER": exemplar_filter} if exemplar_filter else {}
    ran = run(stock(), IN_A_SPAN.replace("COUNT", "record('success')"), sink, state=tmp_path, **environ)
    [metric] = sink.requests[0].message["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    [exemplar] = metric["sum"]["dataPoints"][0]["exemplars"]
    assert base64.b64decode(exemplar["traceId"]).hex() == ran.output
    ours(sink, tmp_path, IN_A_SPAN.replace("COUNT", "record('success')"), **environ)


def test_an_attribute_a_view_dropped_does_not_come_back_in_an_exemplar(sink: Sink, tmp_path: Path) -> None:
    view = "views=[View(instrument_name='*', attribute_keys={'status'})]"
    leak = IN_A_SPAN.replace("COUNT", f"counter.add(1, {{'status': 'success', 'tool': '{SECRET}'}})")
    run(stock(provider=view), leak, sink, state=tmp_path)
    assert SECRET in everything(sink.requests[0])
    sink.requests.clear()
    ours(sink, tmp_path, IN_A_SPAN.replace("COUNT", "record('success')"), OTEL_METRICS_EXEMPLAR_FILTER="always_on")


def test_the_users_client_certificate_is_not_shown(tmp_path: Path) -> None:
    with Sink(optional_client_certificate=True) as sink:
        identity = sink.authority.issue_cert(f"user@{SECRET.lower()}.example")
        identity.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        identity.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
        environ = {
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(tmp_path / "key.pem"),
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(tmp_path / "cert.pem"),
        }
        run(stock(), COUNT_ONE, sink, state=tmp_path, **environ)
        assert SECRET.lower() in str(sink.requests[0].client_certificate)
        ours(sink, tmp_path, **environ)


def test_a_variable_cannot_make_another_server_trusted(sink: Sink, tmp_path: Path) -> None:
    environ = {
        name: str(sink.ca_file)
        for name in ("OTEL_EXPORTER_OTLP_CERTIFICATE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    }
    run(stock("certificate_file=None"), COUNT_ONE, sink, state=tmp_path, **environ)
    assert len(sink.requests) == 1
    with_our_own_trust = OURS.replace("ca_file=ca", "ca_file=None")
    ran = run(with_our_own_trust, COUNT_ONE, sink, state=tmp_path, **environ)
    assert (ran.exit_code, ran.errors, len(sink.requests)) == (0, "", 1)
    assert sink.connections == 2  # it came, and did not trust what it found


def test_netrc_is_not_read(sink: Sink, home: Path, tmp_path: Path) -> None:
    netrc = home / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login user password {SECRET}\n")
    netrc.chmod(0o600)
    environ = {"NETRC": str(netrc)}
    run(stock(), COUNT_ONE, sink, state=tmp_path, **environ)
    assert sink.requests[0].headers["authorization"].startswith("Basic ")
    ours(sink, tmp_path, **environ)


def test_cookies_are_not_kept(sink: Sink, tmp_path: Path) -> None:
    run(stock(), "record('success'); provider.force_flush(); record('success'); finish()", sink, state=tmp_path)
    assert [request.headers.get("cookie") for request in sink.requests] == [None, "visitor=1"]
    sink.requests.clear()
    twice = """
        import time
        record("success")
        analytics.client_disconnected()
        while analytics._provider.has_news() or not analytics._unattended:
            time.sleep(0.01)
        record("error")
        finish()
    """
    run(OURS, twice, sink, state=tmp_path)
    assert len(sink.requests) == 2
    for received, counts in zip(sink.requests, [Counts(1, 0), Counts(0, 1)], strict=True):
        assert_only_the_contract(received, counts)


def test_redirects_are_not_followed(tmp_path: Path) -> None:
    with Sink(mode="redirect") as sink:
        # The exporter of 1.45 tells `requests` not to; `requests`, which it stands on, does by itself.
        follow = "import sys, requests; requests.post(sys.argv[1], data=b'', verify=sys.argv[2], timeout=20)"
        run_alone(follow, sink.endpoint, str(sink.ca_file))
        assert "POST /v1/elsewhere HTTP/1.1" in {request.request_line for request in sink.requests}
        ours(sink, tmp_path)


def test_the_user_agent_names_no_version(sink: Sink, tmp_path: Path) -> None:
    run(stock(), COUNT_ONE, sink, state=tmp_path)
    assert sink.requests[0].headers["user-agent"].startswith("OTel-OTLP-Exporter-Python/1.")
    ours(sink, tmp_path)


def test_proxies_are_not_used(sink: Sink, tmp_path: Path) -> None:
    with Sink(mode="silent") as proxy:
        environ = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), f"http://127.0.0.1:{proxy.port}")
        environ |= {"NO_PROXY": "", "no_proxy": ""}
        run(stock("timeout=1"), COUNT_ONE, sink, state=tmp_path, **environ)
        assert proxy.connections > 0
        assert sink.connections == 0
        before = proxy.connections
        ours(sink, tmp_path, **environ)
        assert proxy.connections == before


FORK = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of what is tested here
record("success")
PREPARE
child = os.fork()
if child == 0:
    finish()
    os._exit(0)
os.waitpid(child, 0)
finish()
"""


def test_a_forked_child_does_not_count_again_under_an_identity(sink: Sink, tmp_path: Path) -> None:
    run(stock(provider="resource=Resource({})"), FORK.replace("PREPARE", ""), sink, state=tmp_path)
    assert [request.counts for request in sink.requests] == [{"success": 1}, {"success": 1}]
    assert "service.instance.id" in everything(sink.requests[0])
    ours(sink, tmp_path, FORK.replace("PREPARE", "from thv.analytics import exporter, transport"))


OTHER_LIBRARY = """
from opentelemetry import metrics
GLOBAL
metrics.get_meter("another library").create_counter("another_counter").add(1, {"user": "SECRET"})
record("success")
finish()
"""


def test_what_other_libraries_measure_is_not_sent(sink: Sink, tmp_path: Path) -> None:
    job = OTHER_LIBRARY.replace("GLOBAL", "metrics.set_meter_provider(provider)")
    run(stock(), job, sink, state=tmp_path)
    assert "another_counter" in everything(sink.requests[0])
    ours(sink, tmp_path, OTHER_LIBRARY.replace("GLOBAL", ""))


def test_what_the_sdk_measures_of_itself_is_not_sent(sink: Sink, tmp_path: Path) -> None:
    environ = {"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true"}
    run(stock(), "provider.force_flush(); record('success'); finish()", sink, state=tmp_path, **environ)
    assert "otel.sdk." in everything(sink.requests[-1])
    ours(sink, tmp_path, **environ)


def test_times_do_not_join_the_exports_of_one_machine(sink: Sink, tmp_path: Path) -> None:
    environ = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
    job = "record('success'); provider.force_flush(); record('success'); finish()"
    run(stock(), job, sink, state=tmp_path, **environ)
    first, second = (
        request.message["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0]
        for request in sink.requests
    )
    assert first["timeUnixNano"] == second["startTimeUnixNano"]
    assert int(first["timeUnixNano"]) % MINUTE_NS
    ours(sink, tmp_path, **environ)  # only whole minutes, and each interval as long as any other


def test_a_cumulative_preference_changes_nothing(sink: Sink, tmp_path: Path) -> None:
    job = "record('success'); provider.force_flush(); record('success'); finish()"
    run(stock(), job, sink, state=tmp_path)
    starts = {
        request.message["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0][
            "startTimeUnixNano"
        ]
        for request in sink.requests
    }
    assert len(starts) == 1  # the same to the nanosecond in every export: an instance id
    ours(sink, tmp_path, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="cumulative")


BAD_VALUES = {
    "OTEL_METRICS_EXEMPLAR_FILTER": "bogus",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "bogus",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "bogus",
}
"""Malformed settings that make the stock parts raise when imported or constructed."""

NOISY_VALUES = {
    "OTEL_PYTHON_CONTEXT": "bogus",
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "bogus",
}
"""Malformed settings that make the stock parts write to stderr."""

HOSTILE = {
    **BAD_VALUES,
    **NOISY_VALUES,
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:1",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://127.0.0.1:1/v1/metrics",
    "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={SECRET}",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS": f"authorization={SECRET}",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "bogus",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "bogus",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "bogus",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/nowhere",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/nowhere",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "bogus",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "bogus",
    "OTEL_METRIC_EXPORT_INTERVAL": "bogus",
    "OTEL_METRIC_EXPORT_TIMEOUT": "bogus",
    "OTEL_METRICS_EXPORTER": "console",
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_TRACES_SAMPLER": "bogus",
    "OTEL_PROPAGATORS": "bogus",
    "OTEL_PYTHON_METER_PROVIDER": "bogus",
    "OTEL_PYTHON_TRACER_PROVIDER": "bogus",
    "OTEL_PYTHON_ID_GENERATOR": "bogus",
    "OTEL_BSP_MAX_QUEUE_SIZE": "bogus",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "bogus",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3",
    "OTEL_RESOURCE_ATTRIBUTES": f"user.email={SECRET},==,%%",
    "OTEL_SERVICE_NAME": SECRET,
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "bogus,host,process",
    "OTEL_LOG_LEVEL": "debug",
    "OTEL_CONFIG_FILE": "/nowhere",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",
    "PYTHONWARNINGS": "error",
    "SSLKEYLOGFILE": "/nowhere/keys.log",
    "SSL_CERT_FILE": "/nowhere/ca.pem",
    "SSL_CERT_DIR": "/nowhere",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "socks5://127.0.0.1:1",
    "NO_PROXY": "",
}


@pytest.mark.parametrize("variable", list(BAD_VALUES))
def test_a_malformed_variable_does_not_stop_the_count(variable: str, sink: Sink, tmp_path: Path) -> None:
    environ = {variable: BAD_VALUES[variable]}
    broken = run(stock(), COUNT_ONE, sink, state=tmp_path, **environ)
    assert broken.exit_code == 1
    assert "Error: " in broken.errors
    assert sink.requests == []
    ours(sink, tmp_path, **environ)


@pytest.mark.parametrize("variable", list(NOISY_VALUES))
def test_a_malformed_variable_is_not_complained_of(variable: str, sink: Sink, tmp_path: Path) -> None:
    environ = {variable: NOISY_VALUES[variable]}
    assert "bogus" in run(stock(), COUNT_ONE, sink, state=tmp_path, **environ).errors
    ours(sink, tmp_path, **environ)


def test_all_hostile_variables_together_change_nothing(sink: Sink, tmp_path: Path) -> None:
    ours(sink, tmp_path, **HOSTILE)
    assert SECRET not in everything(sink.requests[0])


def test_a_failed_export_writes_nothing_on_stderr(tmp_path: Path) -> None:
    with Sink(mode="refuse") as sink:
        assert "Failed to export" in run(stock("timeout=1"), COUNT_ONE, sink, state=tmp_path).errors
        assert run(OURS, COUNT_ONE, sink, state=tmp_path).errors == ""


TIMED = """
import time
record("success")
begun = time.monotonic()
END
print(time.monotonic() - begun)
import os
os._exit(0)
"""


@pytest.mark.parametrize("end", ["provider.shutdown()", "provider.force_flush(timeout_millis=200)"])
def test_a_time_budget_at_exit_is_kept(end: str, tmp_path: Path) -> None:
    with Sink(mode="blackhole") as sink:
        waited = run(stock("timeout=7"), TIMED.replace("END", end), sink, state=tmp_path).output
        assert float(waited) > NOTICEABLE
        waited = run(OURS, TIMED.replace("END", "analytics.close()"), sink, state=tmp_path).output
        assert float(waited) < NOTICEABLE


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    with Sink() as sink:
        sink._certificate = authority.issue_cert("elsewhere.example")
        authority.cert_pem.write_to_path(str(sink.ca_file))
        ran = run(OURS, COUNT_ONE, sink, state=tmp_path)
    assert (ran.exit_code, ran.errors, sink.requests) == (0, "", [])
