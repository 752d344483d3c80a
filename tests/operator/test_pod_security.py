"""Every pod of ours runs in a namespace that enforces the pod security standard "restricted"."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.pod_security import violations
from tests.operator.servers import OPTIONS, SPECS
from thv.operator.mcpserver_spec import read
from thv.operator.resources import workload

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = sorted((ROOT / "examples").glob("mcpserver*.yaml"))


def pod_of(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [each["spec"]["template"]["spec"] for each in manifests if "template" in each.get("spec", {})]
    pod: dict[str, Any] = copy.deepcopy(found)
    return pod


@pytest.mark.parametrize("shape", SPECS)
def test_the_pods_on_record_are_restricted(shape: str) -> None:
    pod = pod_of(list(yaml.safe_load_all((GOLDEN / f"{shape}.yaml").read_text())))
    # `helper` is a user's own container, which says nothing of its security.
    pod["containers"] = [each for each in pod["containers"] if each["name"] != "helper"]
    assert violations(pod) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_pods_of_the_examples_are_restricted(path: Path) -> None:
    body = yaml.safe_load(path.read_text())
    body["metadata"] |= {"namespace": "default", "uid": "u"}
    assert violations(workload(read(body), OPTIONS)["spec"]["template"]["spec"]) == []


def test_the_operators_pod_is_restricted() -> None:
    file = ROOT / "deploy" / "kustomize" / "base" / "deployment.yaml"
    assert violations(pod_of([yaml.safe_load(file.read_text())])) == []


LOOSE: list[dict[str, Any]] = [
    {"privileged": True},
    {"allowPrivilegeEscalation": True},
    {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
    {"capabilities": {}},
    {"runAsNonRoot": False},
    {"runAsUser": 0},
    {"seccompProfile": {"type": "Unconfined"}},
    {"procMount": "Unmasked"},
    {"seLinuxOptions": {"user": "root"}},
    {"appArmorProfile": {"type": "Unconfined"}},
]


@pytest.mark.parametrize("loose", LOOSE, ids=str)
def test_what_a_user_loosens_is_seen(loose: dict[str, Any]) -> None:
    """The check itself is no blind one."""
    pod = pod_of(list(yaml.safe_load_all((GOLDEN / "attach.yaml").read_text())))
    pod["containers"][0]["securityContext"] |= loose
    assert violations(pod)
