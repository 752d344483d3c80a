"""What thv is told in a pod: the whole truth table of usage analytics, and the user's own telemetry."""

from __future__ import annotations

import itertools
import json
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from ruamel.yaml import YAML

from tests.operator.servers import IMAGE, OPTIONS, SPECS, refusal, server
from thv.analytics.consent import decide
from thv.config.settings import KEYS, OTEL, SECTION
from thv.core.interfaces import BooleanReading
from thv.operator import names
from thv.operator.pod_settings import JOURNAL, Options, config, exports_by_grpc, usage_analytics, variables
from thv.operator.resources import manifests
from thv.operator.status import Observed, status

ABSENT = object()

TABLE = list(
    itertools.product(
        SPECS,
        [True, False, ABSENT],  # usageAnalyticsEnabled
        [True, False],  # the operator's switch
        [True, False, ABSENT, None],  # openTelemetry.enabled; None: no openTelemetry at all
    )
)


def spec_of(shape: str, wish: Any, enabled: Any) -> dict[str, Any]:
    spec = {key: value for key, value in SPECS[shape].items() if key != "telemetry"}
    otel: dict[str, Any] = {"endpoint": "collector:4317"}
    if enabled is not ABSENT and enabled is not None:
        otel["enabled"] = enabled
    if wish is not ABSENT:
        otel["usageAnalyticsEnabled"] = wish
    if enabled is None and wish is ABSENT:
        return spec
    return {**spec, "telemetry": {"openTelemetry": otel}}


def thv_environment(shape: str, found: list[dict[str, Any]]) -> dict[str, str]:
    pod = found[-1]["spec"]["template"]["spec"]
    name = "mcp" if shape == "wrap" else "thv"
    container = next(each for each in [*pod["initContainers"], *pod["containers"]] if each["name"] == name)
    return {entry["name"]: entry.get("value", "from a secret") for entry in container["env"]}


@pytest.mark.parametrize(("shape", "wish", "switch", "enabled"), TABLE)
def test_usage_analytics_are_on_only_if_everyone_agrees(shape: str, wish: Any, switch: bool, enabled: Any) -> None:
    options = Options(IMAGE, refusal, usage_analytics=switch)
    asked = server(**spec_of(shape, wish, enabled))
    expected = wish is not False and switch
    assert usage_analytics(asked, options) is expected
    environ = thv_environment(shape, manifests(asked, options))
    assert environ[names.USAGE_ANALYTICS] == str(expected).lower()
    # thv itself, given these variables, says the same.
    assert decide(environ, BooleanReading).enabled is expected
    said = status(asked, Observed(), usage_analytics=usage_analytics(asked, options), before={}, now="t")
    assert said["usageAnalyticsEnabled"] is expected


@pytest.mark.parametrize("shape", SPECS)
def test_an_opt_out_changes_the_pod_and_nothing_of_the_users_telemetry(shape: str) -> None:
    pods = {}
    for wish in (True, False):
        found = manifests(server(**spec_of(shape, wish, enabled=True)), OPTIONS)
        environ = thv_environment(shape, found)
        assert environ.pop(names.USAGE_ANALYTICS) == str(wish).lower()
        pods[wish] = json.dumps(found), environ, config(server(**spec_of(shape, wish, enabled=True)))
    assert pods[True][0] != pods[False][0]
    assert pods[True][1:] == pods[False][1:]


@pytest.mark.parametrize("shape", SPECS)
@pytest.mark.parametrize("name", ["CI", "DO_NOT_TRACK"])
def test_what_a_servers_variables_refuse_is_refused_and_said(name: str, shape: str) -> None:
    env = [{"name": name, "value": "1"}]
    template = {"spec": {"containers": [{"name": "mcp", "env": env}]}}
    bare = {key: value for key, value in SPECS[shape].items() if key not in {"env", "telemetry"}}
    assert usage_analytics(server(**bare), OPTIONS) is True
    for more in ({"env": env}, {"podTemplateSpec": template}):
        asked = server(**{**bare, **more})
        assert usage_analytics(asked, OPTIONS) is False
        assert thv_environment(shape, manifests(asked, OPTIONS))[names.USAGE_ANALYTICS] == "false"


@pytest.mark.parametrize("wish", ["false", "true", 0, 1, None, [], {}])
def test_what_is_no_boolean_is_no_consent(wish: Any) -> None:
    """No definition lets it through; whoever changed the definition has not changed this."""
    assert usage_analytics(server(telemetry={"openTelemetry": {"usageAnalyticsEnabled": wish}}), OPTIONS) is False


def test_a_server_cannot_turn_on_what_is_off() -> None:
    env = [{"name": names.USAGE_ANALYTICS, "value": "true"}]
    options = Options(IMAGE, refusal, usage_analytics=False)
    found = manifests(server(**{**SPECS["wrap"], "env": env}), options)
    assert thv_environment("wrap", found)[names.USAGE_ANALYTICS] == "false"


def test_nothing_of_telemetry_is_told_where_there_is_none() -> None:
    asked = server(
        telemetry={
            "openTelemetry": {"enabled": False, "endpoint": "collector:4317", "headers": [{"name": "a", "value": "b"}]}
        }
    )
    assert yaml.safe_load(config(asked)) == {SECTION: {}}
    told = {entry["name"] for entry in variables(asked, OPTIONS)}
    assert told == {names.CONFIG_VARIABLE, names.USAGE_ANALYTICS, JOURNAL}


def test_no_journal_is_kept_in_a_pod() -> None:
    assert {"name": "TOOLHIVE_JOURNAL", "value": "off"} in variables(server(), OPTIONS)


def test_the_users_telemetry_is_what_the_spec_says() -> None:
    assert yaml.safe_load(config(server(**SPECS["proxy"]))) == {
        "otel": {
            "endpoint": "https://otel.example/prefix",
            "protocol": "http/protobuf",
            "tracing-enabled": True,
            "metrics-enabled": False,
            "sampling-rate": 0.5,
            "enable-prometheus-metrics-path": True,
            "service-name": "files",
            "custom-attributes": {"k8s.namespace.name": "default"},
        }
    }


@pytest.mark.parametrize("shape", SPECS)
def test_the_config_is_one_that_thv_takes(shape: str, tmp_path: Any) -> None:
    from thv.config import settings_file

    path = tmp_path / "config.yaml"
    path.write_text(config(server(**SPECS[shape])))
    for key in yaml.safe_load(path.read_text()).get(SECTION) or {}:
        assert key in KEYS
        settings_file.get(str(path), OTEL, key, {}, refused=lambda _known, _environ: None)


def test_a_text_with_quotes_and_newlines_stays_one_value() -> None:
    for text in ('a"b\\c\nusage: 1', "#", "\U0001f600", "\\ud83d\\ude00", "\x7f\x85\u2028\ufeff\u0001", "ä"):
        asked = server(telemetry={"openTelemetry": {"enabled": True, "endpoint": text, "serviceName": text}})
        for loaded in (yaml.safe_load(config(asked)), YAML(typ="safe").load(config(asked))):
            assert loaded["otel"]["endpoint"] == text
            assert loaded["otel"]["service-name"] == text


def expanded(entries: list[dict[str, Any]], secrets: dict[str, str]) -> dict[str, str]:
    """The environment that a kubelet makes of `env` (Kubernetes, "Define dependent environment variables")."""
    found: dict[str, str] = {}
    for entry in entries:
        value = entry.get("value")
        if value is None:
            found[entry["name"]] = secrets[entry["valueFrom"]["secretKeyRef"]["key"]]
            continue
        out, position = "", 0
        while position < len(value):
            if value.startswith("$$", position):
                out, position = out + "$", position + 2
            elif value.startswith("$(", position) and (end := value.find(")", position)) > 0:
                name = value[position + 2 : end]
                out, position = out + found.get(name, f"$({name})"), end + 1
            else:
                out, position = out + value[position], position + 1
        found[entry["name"]] = out
    return found


def test_headers_reach_the_collector_as_written_and_no_command_line() -> None:
    asked = server(**SPECS["wrap"])
    environ = expanded(variables(asked, OPTIONS), {"auth": "Bearer abc=="})
    pairs = dict(pair.split("=", 1) for pair in environ[names.HEADERS_VARIABLE].split(","))
    assert {name: unquote(value) for name, value in pairs.items()} == {
        "x-team": "a, b=$(HOME) 100%",
        "authorization": "Bearer abc==",
    }
    for manifest in manifests(asked, OPTIONS):
        for container in manifest["spec"]["template"]["spec"]["containers"] if manifest["kind"] == "Deployment" else ():
            said = [*container.get("command", ()), *container["args"]]
            assert not any("b=$(HOME)" in word or "abc" in word for word in said)
            # The server is started without them.
            assert f"{names.HEADERS_VARIABLE}=" in said
            assert f"{names.HEADER_VARIABLE}1=" in said


@pytest.mark.parametrize(
    "value", ["", "plain", "a,b", "a=b", "100%", "$(X)", "$$", "$$(X)", "$", '"q"', "ä", "a;b\\c", " s "]
)
def test_any_header_value_survives(value: str) -> None:
    headers = [{"name": "h", "value": value}, {"name": "i", "value": "end"}]
    asked = server(telemetry={"openTelemetry": {"enabled": True, "endpoint": "c:1", "headers": headers}})
    environ = expanded(variables(asked, OPTIONS), {})
    pairs = [pair.split("=", 1) for pair in environ[names.HEADERS_VARIABLE].split(",")]
    assert [(name, unquote(value)) for name, value in pairs] == [("h", value), ("i", "end")]


def otlp(name: str, value: str) -> dict[str, Any]:
    """A variable of the exporters for the server's container."""
    return {"env": [{"name": f"OTEL_EXPORTER_OTLP_{name}", "value": value}]}


def in_template(**container: Any) -> dict[str, Any]:
    return {"podTemplateSpec": {"spec": {"containers": [{"name": "mcp", **container}]}}}


FROM_SECRET = {"valueFrom": {"secretKeyRef": {"name": "otel", "key": "k"}}}


def secret_as(name: str) -> dict[str, Any]:
    return {"secrets": [{"name": "otel", "key": "k", "targetEnvName": f"OTEL_EXPORTER_OTLP_{name}"}]}


def telemetry(**otel: Any) -> dict[str, Any]:
    return {"telemetry": {"openTelemetry": {"enabled": True, **otel}}}


@pytest.mark.parametrize(
    "spec",
    [
        telemetry(endpoint="otel:4317"),
        telemetry(endpoint="http://otel:4317/"),
        telemetry(endpoint="http://otel:4317?tenant=a"),
        telemetry(endpoint="otel:4317 "),
        telemetry(endpoint="otel:4318", protocol="grpc"),
        otlp("ENDPOINT", " otel:4317 "),
        otlp("TRACES_ENDPOINT", "http://$(HOST):$(PORT)"),
        otlp("PROTOCOL", "GRPC"),
        otlp("METRICS_PROTOCOL", " grpc"),
        secret_as("ENDPOINT"),
        secret_as("PROTOCOL"),
        in_template(env=[{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", **FROM_SECRET}]),
        in_template(envFrom=[{"configMapRef": {"name": "otel"}}]),
    ],
)
def test_a_wrapped_server_brings_grpc_wherever_thv_might_ask_for_it(spec: dict[str, Any]) -> None:
    assert exports_by_grpc(server(command=["/server"], **spec))


@pytest.mark.parametrize(
    "spec",
    [
        {},
        telemetry(endpoint="otel:4318"),
        telemetry(endpoint="otel:43170"),
        {"telemetry": {"openTelemetry": {"enabled": False, "endpoint": "otel:4317"}}},
        otlp("ENDPOINT", "http://otel:4318"),
        otlp("HEADERS", "a=$(KEY)"),
        secret_as("HEADERS"),
        {"env": [{"name": "URL", "value": "http://db:4317"}]},
        {
            "podTemplateSpec": {
                "spec": {"containers": [{"name": "other", "envFrom": [{"configMapRef": {"name": "o"}}]}]}
            }
        },
    ],
)
def test_a_wrapped_server_goes_without_grpc_where_nothing_can_ask_for_it(spec: dict[str, Any]) -> None:
    assert not exports_by_grpc(server(command=["/server"], **spec))
