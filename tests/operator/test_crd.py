"""The CRD says what an MCPServer may be, before the operator ever sees it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.fake_schema import complaints, defaulted
from tests.operator.openapi import complaint
from thv.operator import names
from thv.operator.mcpserver_spec import TRANSPORTS, SpecError, read

ROOT = Path(__file__).parents[2]
CRD = yaml.safe_load((ROOT / "deploy" / "crds" / "mcpservers.yaml").read_text())
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]

EXAMPLE = """
apiVersion: toolhive.stacklok.dev/v1alpha1
kind: MCPServer
metadata:
  name: example-server
spec:
  image: example/mcp-server:latest
  telemetry:
    openTelemetry:
      enabled: true
      endpoint: "otel-collector:4317"  # Your own telemetry
      usageAnalyticsEnabled: false     # Disable analytics for this server
"""


def server(name: str = "s", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": "default", "uid": "u"},
        "spec": {"image": "i", **spec},
    }


def otel(**settings: Any) -> dict[str, Any]:
    return {"telemetry": {"openTelemetry": settings}}


def verdict(body: dict[str, Any]) -> list[str]:
    return complaints(SCHEMA, defaulted(SCHEMA, copy.deepcopy(body)))


def test_kubernetes_itself_would_take_the_definition() -> None:
    assert complaint(CRD) is None


def test_the_code_and_the_definition_use_the_same_words() -> None:
    assert CRD["spec"]["group"] == names.GROUP
    assert CRD["spec"]["names"]["plural"] == names.PLURAL
    assert CRD["spec"]["names"]["kind"] == names.KIND
    assert CRD["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"
    assert VERSION["name"] == names.VERSION
    assert tuple(SPEC["properties"]["transport"]["enum"]) == TRANSPORTS
    assert SPEC["properties"]["port"]["default"] == names.DEFAULT_PORT
    columns = [(column["name"], column.get("priority", 0)) for column in VERSION["additionalPrinterColumns"]]
    assert columns == [("Status", 0), ("Ready", 0), ("URL", 0), ("Analytics", 1), ("Age", 0)]
    assert VERSION["subresources"] == {"status": {}}


def test_every_part_of_the_schema_is_structural() -> None:
    """Kubernetes, CustomResourceDefinitions, "Specifying a structural schema"."""

    def visit(schema: dict[str, Any], path: str) -> None:
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
        assert not {"$ref", "definitions", "patternProperties", "uniqueItems", "deprecated"} & schema.keys(), path
        assert not ("properties" in schema and "additionalProperties" in schema), path
        for name, below in schema.get("properties", {}).items():
            visit(below, f"{path}.{name}")
        for part in ("items", "additionalProperties"):
            if isinstance(schema.get(part), dict):
                visit(schema[part], f"{path}.{part}")
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            entry = schema["items"]
            assert key in entry["required"] or "default" in entry["properties"][key], path

    visit(SCHEMA, "")


def test_no_default_breaks_a_rule() -> None:
    """The API server refuses a definition whose defaults are not valid themselves."""
    assert verdict(server()) == []
    assert verdict(server(**otel())) == []
    assert verdict(server(telemetry={})) == []
    assert verdict(server(telemetry={"prometheus": {}, "openTelemetry": {"tracing": {}, "metrics": {}}})) == []


def test_the_example_of_the_design_applies_unchanged() -> None:
    body = yaml.safe_load(EXAMPLE)
    body["metadata"] |= {"namespace": "default", "uid": "u"}
    assert verdict(body) == []
    read_server = read(defaulted(SCHEMA, body))
    assert read_server.telemetry.endpoint == "otel-collector:4317"
    assert read_server.telemetry.usage_analytics is False


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("mcpserver*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_valid(path: Path) -> None:
    bodies = [body for body in yaml.safe_load_all(path.read_text()) if body["kind"] == names.KIND]
    assert bodies
    for body in bodies:
        assert verdict(body) == [], body["metadata"]["name"]


HTTP = {"transport": "streamable-http", "mcpPort": 9000}

REFUSED = {
    "no image": ({"image": None}, "image"),
    "an empty image": ({"image": ""}, "image"),
    "an unknown transport": ({"transport": "carrier-pigeon"}, "transport"),
    "HTTP without its port": ({"transport": "sse"}, "mcpPort is for"),
    "stdio with a port": ({"mcpPort": 9000}, "mcpPort is for"),
    "the same port twice": ({**HTTP, "mcpPort": 8080}, "must differ"),
    "a port that is none": ({"port": 70000}, "port"),
    "a privileged port": ({"port": 80}, "port"),
    "telemetry without endpoint": (otel(enabled=True), "endpoint is needed"),
    "telemetry with an empty endpoint": (otel(enabled=True, endpoint=""), "endpoint is needed"),
    "telemetry of nothing": (
        otel(enabled=True, endpoint="c:4317", tracing={"enabled": False}, metrics={"enabled": False}),
        "nothing to send",
    ),
    "a sampling rate over one": (otel(tracing={"samplingRate": 1.5}), "samplingRate"),
    "a protocol thv does not speak": (otel(protocol="http/json"), "protocol"),
    "a header with two values": (
        otel(headers=[{"name": "a", "value": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        "either a value or a valueFrom",
    ),
    "a header without value": (otel(headers=[{"name": "a"}]), "either a value or a valueFrom"),
    "a header that would be two": (otel(headers=[{"name": "a=b,c", "value": ""}]), "name"),
    "a variable twice": ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "duplicate"),
    "an opt-out that is a word": (otel(usageAnalyticsEnabled="no"), "usageAnalyticsEnabled"),
    "a misspelt field": (otel(usageAnalyticEnabled=False), "unknown field"),
    "the port of the metrics": ({"port": 9464, "telemetry": {"prometheus": {"enabled": True}}}, "9464"),
}


@pytest.mark.parametrize(("spec", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_with_a_reason(spec: dict[str, Any], why: str) -> None:
    body = server(**spec)
    if body["spec"]["image"] is None:
        del body["spec"]["image"]
    assert why in "; ".join(verdict(body))


ALLOWED = {
    "HTTP": HTTP,
    "SSE": {"transport": "sse", "mcpPort": 9000},
    "disabled telemetry with an opt-out": otel(enabled=False, usageAnalyticsEnabled=False),
    "a setting without enabled": otel(endpoint="c:4317"),
    "a secret header": otel(headers=[{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
    "resources": {"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}},
    "anything for the pod": {
        "podTemplateSpec": {"spec": {"nodeSelector": {"a": "b"}, "containers": [{"name": "mcp"}]}}
    },
    "one variable from two secrets": {"secrets": [{"name": "a", "key": "k"}, {"name": "b", "key": "k"}]},
}


@pytest.mark.parametrize("spec", ALLOWED.values(), ids=ALLOWED)
def test_what_can_work_is_let_through_and_understood(spec: dict[str, Any]) -> None:
    body = server(**spec)
    assert verdict(body) == []
    read(defaulted(SCHEMA, body))
    read(body)


@pytest.mark.parametrize("name", ["9lives", "a.b", "A", "-a", "a-", "a" * 53, "ä"])
def test_a_name_that_no_service_can_bear_is_refused_by_both(name: str) -> None:
    assert any("metadata.name" in complaint for complaint in verdict(server(name)))
    with pytest.raises(SpecError, match=r"metadata\.name"):
        read(server(name))


def test_a_name_may_have_52_characters() -> None:
    assert verdict(server("a" * 52)) == []
    read(server("a" * 52))


def undescribed(schema: dict[str, Any], path: str) -> list[str]:
    """The fields below `schema` of which `kubectl explain` has nothing to say."""
    found = []
    for name, below in schema.get("properties", {}).items():
        found += [] if below.get("description", "").strip() else [f"{path}.{name}"]
        found += undescribed(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += undescribed(schema[key], f"{path}[]")
    return found


def test_kubectl_explain_describes_every_field() -> None:
    assert undescribed(SCHEMA, "mcpserver") == []
