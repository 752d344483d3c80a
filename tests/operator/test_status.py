"""The status tells the truth: ready means ready, and a failure is reported in the container's own words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.servers import server
from thv.operator.status import Observed, Problem, status

NOW = "2026-11-22T00:00:00Z"


def stateful(*, ready: int = 1, generation: int = 2, seen: int = 2, updated: int = 1) -> dict[str, Any]:
    said = {
        "observedGeneration": seen,
        "replicas": 1,
        "readyReplicas": ready,
        "updatedReplicas": updated,
        "currentRevision": "a",
        "updateRevision": "a" if updated else "b",
    }
    return {"kind": "StatefulSet", "metadata": {"generation": generation}, "status": said}


def pod(created: str = "2026-11-22T00:00:00Z", deleted: bool = False, **said: Any) -> dict[str, Any]:
    meta = {"creationTimestamp": created, **({"deletionTimestamp": created} if deleted else {})}
    return {"metadata": meta, "status": said}


def waiting(reason: str, message: str = "", /, *, container: str = "mcp", **last: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {"name": container, "state": state, **({"lastState": {"terminated": last}} if last else {})}


def told(workload: dict[str, Any] | None = None, *pods: dict[str, Any], **more: Any) -> dict[str, Any]:
    observed = Observed(workload, pods, more.pop("refused", None), more.pop("events", ()))
    return status(server(), observed, usage_analytics=True, before=more.pop("before", {}), now=NOW)


def conditions(said: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in said["conditions"]}


def test_a_server_that_can_be_reached_is_ready() -> None:
    said = told(stateful(), pod())
    assert said["phase"] == "Ready"
    assert said["url"] == "http://files.default.svc:8080/mcp"
    assert said["readyReplicas"] == 1
    assert said["observedGeneration"] == 3
    assert conditions(said) == {
        "Ready": ("True", "Serving"),
        "Progressing": ("False", "Complete"),
        "Degraded": ("False", "AsExpected"),
    }


NOT_READY = {
    "nothing is there": (None, []),
    "no pod is ready": (stateful(ready=0), [pod()]),
    "the controller has not seen the newest spec": (stateful(seen=1), [pod()]),
    "the ready pod is an old one": (stateful(updated=0), [pod()]),
}


@pytest.mark.parametrize(("workload", "pods"), NOT_READY.values(), ids=NOT_READY)
def test_ready_is_said_of_nothing_less(workload: Any, pods: Any) -> None:
    said = told(workload, *pods)
    assert said["phase"] == "Pending"
    assert conditions(said)["Ready"][0] == "False"
    assert conditions(said)["Progressing"][0] == "True"
    assert said["message"].startswith("waiting for")


REASONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "an image that is not there": (
        pod(containerStatuses=[waiting("ImagePullBackOff", 'Back-off pulling image "nope"')]),
        "ImagePullBackOff",
        'container mcp: Back-off pulling image "nope"',
    ),
    "a server that ends": (
        pod(
            containerStatuses=[
                waiting("CrashLoopBackOff", "back-off 10s", exitCode=3, reason="Error", message="boom\n")
            ]
        ),
        "CrashLoopBackOff",
        "container mcp: back-off 10s; it ended with exit code 3: boom",
    ),
    "no memory": (
        pod(containerStatuses=[waiting("CrashLoopBackOff", "", exitCode=137, reason="OOMKilled")]),
        "CrashLoopBackOff",
        "it ended with exit code 137 (OOMKilled)",
    ),
    "an image of root's": (
        pod(
            containerStatuses=[
                waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")
            ]
        ),
        "CreateContainerConfigError",
        "securityContext.runAsUser",
    ),
    "a secret that is missing": (
        pod(containerStatuses=[waiting("CreateContainerConfigError", 'secret "keys" not found')]),
        "CreateContainerConfigError",
        'secret "keys" not found',
    ),
    "thv's own image": (
        pod(initContainerStatuses=[waiting("ErrImagePull", "denied", container="thv")]),
        "ErrImagePull",
        "container thv: denied",
    ),
    "a command that is not there": (
        pod(containerStatuses=[{"name": "mcp", "state": {"terminated": {"exitCode": 127, "reason": "Error"}}}]),
        "Error",
        "container mcp ended with exit code 127",
    ),
    "no node": (
        pod(
            conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
        ),
        "Unschedulable",
        "0/3 nodes",
    ),
    "an evicted pod": (pod(phase="Failed", reason="Evicted", message="low on memory"), "Evicted", "low on memory"),
}


@pytest.mark.parametrize(("its", "reason", "message"), REASONS.values(), ids=REASONS)
def test_what_keeps_it_from_starting_is_told(its: dict[str, Any], reason: str, message: str) -> None:
    said = told(stateful(ready=0), its)
    assert said["phase"] == "Failed"
    assert message in said["message"]
    assert conditions(said) == {
        "Ready": ("False", reason),
        "Progressing": ("False", "Blocked"),
        "Degraded": ("True", reason),
    }


def test_a_start_that_goes_well_is_no_failure() -> None:
    said = told(stateful(ready=0), pod(containerStatuses=[waiting("ContainerCreating")]))
    assert said["phase"] == "Pending"
    assert said["message"] == "waiting for container mcp (ContainerCreating)"


def test_one_that_runs_and_does_not_get_ready_has_a_place_where_it_says_why() -> None:
    """As where thv may not attach: no container has a word for that, and nobody is to wait without knowing for what."""
    its = pod(
        initContainerStatuses=[{"name": "thv", "ready": False, "started": True, "state": {"running": {}}}],
        containerStatuses=[{"name": "mcp", "ready": True, "state": {"running": {}}}],
    )
    its["metadata"] |= {"name": "files-0", "namespace": "default"}
    said = told(stateful(ready=0), its)
    assert said["phase"] == "Pending"
    assert said["message"].startswith("waiting for container thv to be ready")
    assert "kubectl logs -n default files-0 -c thv" in said["message"]


def test_the_newest_pod_counts_and_not_one_that_goes() -> None:
    old = pod("2026-01-01T00:00:00Z", containerStatuses=[waiting("ImagePullBackOff")])
    going = pod("2026-12-01T00:00:00Z", deleted=True, containerStatuses=[waiting("ImagePullBackOff")])
    assert told(stateful(ready=0), old, going, pod())["phase"] == "Pending"


def test_a_quota_that_forbids_the_pod_is_told() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    workload = {"kind": "Deployment", "metadata": {"generation": 1}, "status": {"conditions": [condition]}}
    assert told(workload)["message"] == "exceeded quota"


def test_a_refusal_is_degraded_even_while_the_old_pod_serves() -> None:
    said = told(stateful(), pod(), refused=Problem("Forbidden", "cannot patch services"))
    assert said["phase"] == "Failed"
    assert said["readyReplicas"] == 1
    assert conditions(said)["Ready"] == ("False", "Forbidden")
    assert conditions(said)["Degraded"] == ("True", "Forbidden")


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    before = told(stateful(ready=0), pod())
    for condition in before["conditions"]:
        condition["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    times = {each["type"]: each["lastTransitionTime"] for each in told(stateful(), pod(), before=before)["conditions"]}
    assert times == {"Ready": NOW, "Progressing": NOW, "Degraded": "2020-01-01T00:00:00Z"}


def test_a_message_stays_short_enough_for_the_api() -> None:
    said = told(stateful(ready=0), pod(containerStatuses=[waiting("Bad", "x" * 100_000)]))
    assert len(said["message"]) <= 1024
    assert all(len(condition["message"]) <= 1024 for condition in said["conditions"])


def event(reason: str, message: str, at: str, **more: Any) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": at, **more}


REFUSALS = {
    "a missing ServiceAccount": 'pods "files-0" is forbidden: error looking up service account default/nobody',
    "pod security": 'pods "files-0" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
    "a quota": 'pods "files-0" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=4, limited: pods=4',
    "a LimitRange": 'pods "files-0" is forbidden: maximum memory usage per Container is 64Mi, but limit is 512Mi',
    "a webhook": 'admission webhook "validate.policy.example" denied the request: no image from that registry',
}


@pytest.mark.parametrize("message", REFUSALS.values(), ids=REFUSALS)
def test_a_pod_that_may_not_be_created_has_the_events_reason(message: str) -> None:
    words = f"create Pod files-0 in StatefulSet files failed error: {message}"
    said = told(stateful(ready=0), events=[event("FailedCreate", words, "2026-11-22T00:00:00Z")])
    assert said["phase"] == "Failed"
    assert message in said["message"]
    assert conditions(said)["Degraded"] == ("True", "FailedCreate")


def test_the_newest_refusal_is_told_and_other_warnings_are_not() -> None:
    events = [
        event("FailedCreate", "the older one", "2026-11-22T00:00:00Z"),
        event("FailedCreate", "the newer one", "", series={"lastObservedTime": "2026-11-22T00:02:00Z"}),
        event("Unhealthy", "another matter", "2026-11-22T00:09:00Z"),
    ]
    assert told(stateful(ready=0), events=events)["message"] == "the newer one"


def test_a_pod_that_is_there_is_asked_before_old_events() -> None:
    refusals = [event("FailedCreate", "long ago", "2026-11-22T00:00:00Z")]
    broken = pod(containerStatuses=[waiting("ImagePullBackOff", "no such image")])
    assert "no such image" in told(stateful(ready=0), broken, events=refusals)["message"]


def proxied(started: str, *, ready: bool) -> dict[str, Any]:
    running = {"running": {"startedAt": started}}
    return pod(
        initContainerStatuses=[{"name": "thv", "state": running, "ready": ready}],
        containerStatuses=[{"name": "mcp", "state": running, "ready": True}],
    )


def of_proxied(each: dict[str, Any]) -> dict[str, Any]:
    http = server(transport="streamable-http", mcpPort=9000)
    return status(http, Observed(stateful(ready=0), [each]), usage_analytics=True, before={}, now=NOW)


def test_a_port_where_nothing_answers_is_named_once_the_server_had_time() -> None:
    said = of_proxied(proxied("2026-11-21T23:58:59Z", ready=False))
    assert said["phase"] == "Failed"
    assert conditions(said)["Degraded"] == ("True", "TargetUnreachable")
    assert "port 9000" in said["message"]
    assert "spec.mcpPort" in said["message"]


@pytest.mark.parametrize(("started", "ready"), [("2026-11-21T23:59:30Z", False), ("2026-11-21T23:00:00Z", True)])
def test_a_server_that_starts_or_answers_is_not_suspected(started: str, ready: bool) -> None:
    assert conditions(of_proxied(proxied(started, ready=ready)))["Degraded"][0] == "False"


def test_an_exit_code_that_is_not_known_is_not_called_0() -> None:
    ended = {
        "name": "mcp",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"reason": "ContainerStatusUnknown"}},
    }
    said = told(stateful(ready=0), pod(containerStatuses=[ended]))
    assert "exit code that is not known" in said["message"]
