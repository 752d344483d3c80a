"""What an MCPServer becomes: the same bytes every time, nothing more than it needs, and nothing it must not have."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.openapi import complaint
from tests.operator.servers import IMAGE, OPTIONS, SPECS, server
from thv.operator import names
from thv.operator.mcpserver_spec import SpecError
from thv.operator.names import TOKEN_DIR
from thv.operator.pod_settings import Options
from thv.operator.resources import leftovers, manifests, workload
from thv.servers.server_environment import PROXY_TOKEN_VARIABLE

GOLDEN = Path(__file__).parent / "golden"

KINDS = {
    "attach": ["ConfigMap", "Service", "ServiceAccount", "Role", "RoleBinding", "StatefulSet"],
    "wrap": ["ConfigMap", "Service", "ServiceAccount", "Deployment"],
    "proxy": ["ConfigMap", "Service", "Deployment"],
}


def made(shape: str, **more: Any) -> list[dict[str, Any]]:
    return manifests(server(**{**SPECS[shape], **more}), OPTIONS)


def pod_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = found[-1]["spec"]["template"]["spec"]
    return spec


def containers(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in [*pod.get("initContainers", ()), *pod["containers"]]}


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in container.get("env", ())}


def words(container: dict[str, Any]) -> list[str]:
    return [*container.get("command", ()), *container.get("args", ())]


@pytest.mark.parametrize("shape", SPECS)
def test_the_manifests_are_those_on_record(shape: str) -> None:
    """Written anew by `python -m tests.operator.golden`; read the difference before you commit it."""
    assert list(yaml.safe_load_all((GOLDEN / f"{shape}.yaml").read_text())) == made(shape)


@pytest.mark.parametrize("shape", SPECS)
def test_kubernetes_would_take_every_manifest(shape: str) -> None:
    for manifest in made(shape):
        assert complaint(manifest) is None, manifest["kind"]


@pytest.mark.parametrize("shape", SPECS)
def test_a_shape_gets_what_it_needs_and_no_more(shape: str) -> None:
    assert [manifest["kind"] for manifest in made(shape)] == KINDS[shape]
    gone = {kind for _, kind in leftovers(server(**SPECS[shape]))}
    assert not gone & set(KINDS[shape])
    assert gone | set(KINDS[shape]) >= {"StatefulSet", "Deployment", "Role", "RoleBinding"}


@pytest.mark.parametrize("shape", SPECS)
def test_every_object_belongs_to_its_server(shape: str) -> None:
    for manifest in made(shape):
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("MCPServer", "files", server().uid)
        assert owner["controller"]
        assert manifest["metadata"]["labels"][names.SERVER_LABEL] == "files"
        assert "finalizers" not in manifest["metadata"]


@pytest.mark.parametrize("shape", SPECS)
def test_no_token_is_in_the_servers_container(shape: str) -> None:
    pod = pod_of(made(shape))
    assert pod["automountServiceAccountToken"] is False
    tokens = {volume["name"] for volume in pod["volumes"] if "projected" in volume}
    assert bool(tokens) == (shape == "attach")
    for name, container in containers(pod).items():
        mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", ())}
        if name == names.PROXY_CONTAINER and shape == "attach":
            assert mounts["thv-token"] == TOKEN_DIR
        else:
            assert not tokens & mounts.keys(), name


def test_a_template_cannot_bring_the_token_back() -> None:
    template = {"spec": {"automountServiceAccountToken": True, "serviceAccountName": "cluster-admin"}}
    pod = pod_of(made("attach", podTemplateSpec=template))
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "files"


@pytest.mark.parametrize("shape", SPECS)
def test_nothing_has_privileges_and_every_root_is_read_only(shape: str) -> None:
    pod = pod_of(made(shape))
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not any("hostPath" in volume for volume in pod["volumes"])
    for name, container in containers(pod).items():
        if name == "helper":  # the user's own
            continue
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["runAsNonRoot"] is True, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert "privileged" not in security


@pytest.mark.parametrize("shape", SPECS)
def test_whoever_has_a_read_only_root_can_write_to_tmp(shape: str) -> None:
    pod = pod_of(made(shape))
    for name, container in containers(pod).items():
        if name in {names.SERVER_CONTAINER, names.PROXY_CONTAINER}:
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, name


def test_the_role_is_for_attaching_to_one_pod() -> None:
    role = next(manifest for manifest in made("attach") if manifest["kind"] == "Role")
    (rule,) = role["rules"]
    assert rule == {
        "apiGroups": [""],
        "resources": ["pods/attach"],
        "resourceNames": ["files-0"],
        "verbs": ["get", "create"],
    }


def test_a_named_service_account_gets_the_role_and_is_not_made() -> None:
    found = made("attach", serviceAccount="mine")
    assert "ServiceAccount" not in [manifest["kind"] for manifest in found]
    binding = next(manifest for manifest in found if manifest["kind"] == "RoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "mine", "namespace": "default"}]
    assert pod_of(found)["serviceAccountName"] == "mine"


def test_attaching_leaves_the_servers_image_as_it_is() -> None:
    pod = pod_of(made("attach", args=["--verbose"]))
    its, thv = containers(pod)["mcp"], containers(pod)["thv"]
    assert "command" not in its
    assert its["args"] == ["--verbose"]
    assert its["stdin"] is True
    assert its.get("env", []) == []
    assert thv["restartPolicy"] == "Always"  # a native sidecar: it starts first, and ends last
    assert words(thv)[0] == names.ATTACH_VERB
    assert words(thv)[words(thv).index("--pod") + 1] == "files-0"


@pytest.mark.parametrize("shape", SPECS)
def test_what_fails_says_why_and_a_session_is_no_reason(shape: str) -> None:
    """The log of an attached server is its half of the session: payloads have no place in a status."""
    for name, container in containers(pod_of(made(shape))).items():
        kept = container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        assert kept == (name != "helper" and (shape, name) != ("attach", "mcp"))


def test_a_wrapped_server_is_started_by_thvs_own_python() -> None:
    container = containers(pod_of(made("wrap")))["mcp"]
    said = words(container)
    assert said[:5] == ["/opt/thv/bin/python3", "-I", "-m", "thv", "run"]
    assert said[said.index("--") + 1 :] == ["/server", "--stdio"]
    assert container["image"] == "example/mcp-server:latest"
    assert environment(container)["A"] == "1"


def test_a_proxy_stands_before_the_servers_port() -> None:
    found = made("proxy")
    its, thv = containers(pod_of(found))["mcp"], containers(pod_of(found))["thv"]
    said = words(thv)
    assert said[:2] == ["proxy", "files"]
    assert said[said.index("--target-uri") + 1] == "http://127.0.0.1:9000"
    assert environment(its)["MCP_PORT"] == "9000"
    assert "8081" in said


@pytest.mark.parametrize("shape", SPECS)
def test_every_port_follows_the_spec(shape: str) -> None:
    found = made(shape, port=8888)
    service = next(manifest for manifest in found if manifest["kind"] == "Service")
    assert (service["spec"]["ports"][0]["port"], service["spec"]["ports"][0]["targetPort"]) == (8888, 8888)
    thv = containers(pod_of(found))["mcp" if shape == "wrap" else "thv"]
    assert "8888" in words(thv)
    assert thv["ports"][0]["containerPort"] == 8888
    assert thv["readinessProbe"]["httpGet"]["port"] == 8888
    assert thv["livenessProbe"]["tcpSocket"]["port"] == 8888


def test_a_users_template_is_kept_but_for_what_is_the_operators() -> None:
    found = made("proxy")
    pod, meta = pod_of(found), found[-1]["spec"]["template"]["metadata"]
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert "helper" in containers(pod)
    assert {"name": "data", "emptyDir": {}} in pod["volumes"]
    its = containers(pod)["mcp"]
    assert its["image"] == "example/mcp-http:latest"
    assert its["securityContext"]["runAsUser"] == 1000
    assert its["resources"] == {"limits": {"memory": "1Gi"}}
    assert {mount["mountPath"] for mount in its["volumeMounts"]} == {"/tmp", "/data"}
    assert [port["containerPort"] for port in its["ports"]] == [9000, 9001]
    assert meta["labels"]["team"] == "a"
    assert meta["annotations"]["note"] == "n"


def test_a_template_cannot_take_the_selectors_label() -> None:
    template = {"metadata": {"labels": {names.SERVER_LABEL: "other"}}}
    assert made("proxy", podTemplateSpec=template)[-1]["spec"]["template"]["metadata"]["labels"] == {
        "app.kubernetes.io/name": "mcpserver",
        "app.kubernetes.io/instance": "files",
        names.MANAGED_BY: names.FIELD_MANAGER,
        names.SERVER_LABEL: "files",
    }


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "thv", "image": "evil"}]},
        {"initContainers": [{"name": "thv-install", "image": "evil"}]},
        {"initContainers": [{"name": "mcp", "image": "evil"}]},
    ],
)
def test_a_template_cannot_replace_thvs_containers(spec: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="operator's own"):
        server(podTemplateSpec={"spec": spec})


def test_a_variable_given_twice_is_there_once() -> None:
    """The API server refuses a container with the same variable twice, and then nothing would run."""
    template = {
        "spec": {"containers": [{"name": "mcp", "env": [{"name": "A", "value": "0"}, {"name": "B", "value": "0"}]}]}
    }
    more = {
        "podTemplateSpec": template,
        "env": [{"name": names.USAGE_ANALYTICS, "value": "true"}, {"name": "A", "value": "1"}],
    }
    for shape in SPECS:
        for name, container in containers(pod_of(made(shape, **more))).items():
            found = [entry["name"] for entry in container.get("env", ())]
            assert len(found) == len(set(found)), (shape, name)
        assert environment(containers(pod_of(made(shape, **more)))["mcp"])["A"] == "1"


@pytest.mark.parametrize("shape", SPECS)
def test_a_changed_config_rolls_the_pod(shape: str) -> None:
    before = made(shape)[-1]["spec"]["template"]
    otel = {"openTelemetry": {"enabled": True, "endpoint": "elsewhere:4317"}}
    after = made(shape, telemetry=otel)[-1]["spec"]["template"]
    assert before["metadata"]["annotations"][names.CONFIG_HASH] != after["metadata"]["annotations"][names.CONFIG_HASH]


@pytest.mark.parametrize("shape", SPECS)
def test_the_same_spec_gives_the_same_manifests_and_is_not_changed(shape: str) -> None:
    spec = copy.deepcopy(SPECS[shape])
    assert made(shape) == made(shape)
    assert spec == SPECS[shape]


def test_thvs_image_and_origins_are_the_operators() -> None:
    options = Options(IMAGE, OPTIONS.refusal, allowed_origins=("https://a.example", "https://b.example"))
    for shape, spec in SPECS.items():
        pod = workload(server(**spec), options)["spec"]["template"]["spec"]
        thv = containers(pod)["mcp" if shape == "wrap" else "thv"]
        said = words(thv)
        assert said.count("--allowed-origins") == 2
        assert said[said.index("--allowed-origins") + 1] == "https://a.example"
        assert IMAGE in {each["image"] for each in pod["initContainers"]}


def test_an_attached_pod_drains_and_ends_in_six_seconds_unless_its_template_says_otherwise() -> None:
    pod = workload(server(), OPTIONS)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 6
    (thv,) = pod["initContainers"]
    assert thv["lifecycle"]["preStop"]["exec"]["command"][-2:] == ["thv.operator.drain", "8080"]
    longer = server(podTemplateSpec={"spec": {"terminationGracePeriodSeconds": 60}})
    assert workload(longer, OPTIONS)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60


TOKEN_FROM = {"name": PROXY_TOKEN_VARIABLE, "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}}


@pytest.mark.parametrize(
    "token",
    [
        {"secrets": [{"name": "token", "key": "value", "targetEnvName": PROXY_TOKEN_VARIABLE}]},
        {"env": [{"name": PROXY_TOKEN_VARIABLE, "value": "t"}]},
        {"podTemplateSpec": {"spec": {"containers": [{"name": "mcp", "env": [TOKEN_FROM]}]}}},
    ],
    ids=lambda token: next(iter(token)),
)
@pytest.mark.parametrize("shape", ["attach", "wrap"])
def test_clients_need_a_token_where_the_user_gives_thv_one_and_the_server_does_not_see_it(
    shape: str, token: dict[str, Any]
) -> None:
    pod = workload(server(**{**SPECS[shape], **token}), OPTIONS)["spec"]["template"]["spec"]
    containers = {each["name"]: each for each in (*pod["initContainers"], *pod["containers"])}
    names_in = {name: [entry["name"] for entry in each.get("env", [])] for name, each in containers.items()}
    if shape == "attach":
        assert PROXY_TOKEN_VARIABLE in names_in["thv"]
        assert PROXY_TOKEN_VARIABLE not in names_in["mcp"]
    else:  # thv takes it out of what it gives its server
        assert PROXY_TOKEN_VARIABLE in names_in["mcp"]
        assert "--no-auth" not in containers["mcp"]["args"]
        assert (
            "--no-auth"
            in workload(server(**SPECS[shape]), OPTIONS)["spec"]["template"]["spec"]["containers"][0]["args"]
        )
