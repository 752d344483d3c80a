"""What is shipped for a cluster: it renders, Kubernetes would take it, and the operator can work with just that."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.operator.clusters import fake, operator, to_the_fake
from tests.operator.fake_api import OPERATOR
from tests.operator.fake_schema import complaints, defaulted
from tests.operator.openapi import complaint
from tests.operator.servers import OPTIONS, SPECS, body, server
from thv.analytics.constants import ENDPOINT
from thv.config import effective_settings
from thv.operator import names
from thv.operator.resources import manifests, workload

DEPLOY = Path(__file__).parents[2] / "deploy"
OVERLAYS = ("cluster-wide", "namespaced", "servers-network-policy", "servers-egress-policy")
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()


def loaded(*parts: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(DEPLOY.joinpath(*parts).read_text()))


def rendered(overlay: str) -> dict[str, dict[str, Any]]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kustomize" / overlay)], capture_output=True, text=True, check=True
    )
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(done.stdout)}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_renders_to_what_kubernetes_takes(overlay: str) -> None:
    for kind, manifest in rendered(overlay).items():
        assert complaint(manifest) is None, kind


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((DEPLOY / "kustomize").rglob("*.yaml")) if path.name != "kustomization.yaml"],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_file_is_one_that_kubernetes_takes(path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        assert complaint(manifest) is None


def test_the_operators_pod_is_restricted_and_names_its_own_image() -> None:
    for overlay in ("cluster-wide", "namespaced"):
        deployment = rendered(overlay)["Deployment"]
        assert deployment["spec"]["replicas"] == 1
        assert deployment["spec"]["strategy"] == {"type": "Recreate"}
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        environ = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert environ["THV_OPERATOR_IMAGE"] == container["image"]


def ports_of(rules: list[dict[str, Any]]) -> set[tuple[str, int]]:
    return {(each["protocol"], each["port"]) for rule in rules for each in rule["ports"]}


NAMES_AND_API = {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 6443)}


def test_the_operator_reaches_names_and_the_api_server_and_nobody_reaches_it() -> None:
    (policy,) = loaded("kustomize", "base", "network-policy.yaml")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]  # the API server drops an empty list: `kubectl diff` would never end
    assert ports_of(policy["spec"]["egress"]) == NAMES_AND_API


def test_servers_are_reached_at_thvs_ports_alone_and_by_whom_it_concerns() -> None:
    (policy,) = loaded("kustomize", "servers-network-policy", "network-policy.yaml")
    clients, prometheus = policy["spec"]["ingress"]
    assert ports_of([clients]) == {("TCP", names.DEFAULT_PORT)}
    assert ports_of([prometheus]) == {("TCP", names.METRICS_PORT)}
    assert all(rule["from"] for rule in (clients, prometheus))


def test_servers_that_reach_little_reach_all_that_thv_needs() -> None:
    (policy,) = loaded("kustomize", "servers-egress-policy", "network-policy.yaml")
    collector = {("TCP", 4317), ("TCP", 4318)}
    assert urlsplit(ENDPOINT).port in {None, 443}
    assert ports_of(policy["spec"]["egress"]) == NAMES_AND_API | collector


@pytest.mark.parametrize("shape", SPECS)
def test_the_policies_are_about_the_servers_pods(shape: str) -> None:
    template = workload(server(**SPECS[shape]), OPTIONS)["spec"]["template"]
    for folder in ("servers-network-policy", "servers-egress-policy"):
        (policy,) = loaded("kustomize", folder, "network-policy.yaml")
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_prometheus_finds_its_port_all_the_way(tmp_path: Path) -> None:
    """The Service's port, the container's, where thv listens, and the policy that lets Prometheus in."""
    made = {manifest["kind"]: manifest for manifest in manifests(server(**SPECS["proxy"]), OPTIONS)}
    (port,) = [each for each in made["Service"]["spec"]["ports"] if each["name"] == "metrics"]
    assert (port["port"], port["targetPort"]) == (names.METRICS_PORT, names.METRICS_PORT)
    thv = made["Deployment"]["spec"]["template"]["spec"]["initContainers"][0]
    assert names.METRICS_PORT in {each["containerPort"] for each in thv["ports"]}
    environ = {each["name"]: each.get("value", "") for each in thv["env"]}
    config = tmp_path / "config.yaml"
    config.write_text(made["ConfigMap"]["data"]["config.yaml"])
    values, _ = effective_settings.read(str(config), {}, environ)
    assert (values["prometheus-host"], values["enable-prometheus-metrics-path"]) == (names.EVERYWHERE, True)


def rules_of(manifest: dict[str, Any]) -> set[tuple[str, str]]:
    return {(verb, resource) for rule in manifest["rules"] for verb in rule["verbs"] for resource in rule["resources"]}


CLUSTER_WIDE = rules_of(loaded("kustomize", "cluster-wide", "rbac.yaml")[0])
NAMESPACED = rules_of(loaded("kustomize", "namespaced", "rbac.yaml")[0])


def test_nothing_may_be_done_with_secrets_or_by_a_star() -> None:
    for rules in (CLUSTER_WIDE, NAMESPACED):
        for verb, resource in rules:
            assert "*" not in verb + resource
            assert "secrets" not in resource
            assert verb not in {"escalate", "bind", "impersonate", "deletecollection"}


def test_both_installations_may_do_the_same_but_for_what_only_a_cluster_has() -> None:
    only = {("list", "namespaces"), ("watch", "namespaces")}
    only |= {("list", "customresourcedefinitions"), ("watch", "customresourcedefinitions")}
    assert only == CLUSTER_WIDE - NAMESPACED
    assert not NAMESPACED - CLUSTER_WIDE


@pytest.mark.parametrize("overlay", ["cluster-wide", "namespaced"])
def test_the_operator_does_all_its_work_with_just_these_rights(overlay: str) -> None:
    rules = CLUSTER_WIDE if overlay == "cluster-wide" else NAMESPACED

    async def main() -> None:
        async with fake() as (api, user):
            namespaces = () if overlay == "cluster-wide" else ("default",)
            api.allowed = rules
            async with operator(to_the_fake(api, OPERATOR), *namespaces, resync=0.2):
                for shape, spec in SPECS.items():
                    await user.create(body(shape, **spec))
                for shape in SPECS:
                    await user.until(
                        "mcpservers", shape, lambda found: found.get("status", {}).get("phase") == "Pending"
                    )
                # Another shape: what is left over goes.
                await user.patch("mcpservers", "attach", {"spec": {"command": ["/server"]}})
                await user.until("deployments", "attach", lambda _: True)
                await user.until_gone("statefulsets", "attach")
                await user.until_gone("roles", "attach")
                await user.patch("mcpservers", "wrap", {"spec": {"command": None}})
                await user.until("statefulsets", "wrap", lambda _: True)
                await user.until_gone("deployments", "wrap")
            given = {("update", "mcpservers/finalizers"), ("get", "pods/attach"), ("create", "pods/attach")}
            creates = {(verb, what) for verb, what in rules if verb == "create"}  # asked of whoever applies what is new
            assert rules - api.used - given - creates <= {("get", "mcpservers/status"), *namespace_rights()}

    asyncio.run(main())


def namespace_rights() -> set[tuple[str, str]]:
    """What kopf looks at to learn that a namespace or a definition is new."""
    return {(verb, what) for verb in ("list", "watch") for what in ("namespaces", "customresourcedefinitions")}


def test_the_image_is_what_the_pods_rely_on() -> None:
    final = DOCKERFILE.split("FROM ")[-1]
    assert final.startswith("scratch")
    entry = re.search(r"ENTRYPOINT \[(.*)\]", final)
    assert entry is not None
    assert [word.strip(' "') for word in entry[1].split(",")] == [names.TREE_PYTHON, "-I", "-m", "thv"]
    assert f"COPY --from=build {names.TREE} {names.TREE}" in final
    assert f"USER {65532}:{65532}" in final
    assert f"/tree.py {names.TREE} " in DOCKERFILE


def test_the_image_is_built_from_files_that_are_there() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    kept = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    for word in " ".join(copied).split():
        assert (DEPLOY.parent / word).exists(), word
        assert f"!{word}" in kept, word


def test_the_definition_on_record_is_the_one_that_is_shipped() -> None:
    shipped = rendered("cluster-wide")["CustomResourceDefinition"]
    schema = shipped["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert complaints(schema, defaulted(schema, body())) == []


@pytest.mark.parametrize(
    "path", sorted((DEPLOY.parent / "examples").glob("mcpserver*.yaml")), ids=lambda path: path.stem
)
def test_the_examples_are_what_the_definition_takes(path: Path) -> None:
    schema = loaded("crds", "mcpservers.yaml")[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert complaints(schema, defaulted(schema, yaml.safe_load(path.read_text()))) == []


def test_the_page_names_every_part_that_is_shipped() -> None:
    page = (DEPLOY.parent / "docs" / "operator.md").read_text()
    for folder in DEPLOY.joinpath("kustomize").iterdir():
        assert folder.name == "base" or f"deploy/kustomize/{folder.name}" in page
