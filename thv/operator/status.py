"""How a server is, from what the cluster says of its workload and its pods. Pure.

Promises: Ready is never said of a server that cannot be reached or that runs an older spec; what keeps a server from
starting is told in the container's own words, and where the way out is known, with it. Reads no clock: it is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from thv.operator.mcpserver_spec import DeploymentMode
from thv.operator.names import PROXY_CONTAINER, SERVER_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thv.operator.mcpserver_spec import McpServerSpec

PENDING, READY, FAILED, TERMINATING = "Pending", "Ready", "Failed", "Terminating"

HARMLESS = ("ContainerCreating", "PodInitializing")
"""Reasons for waiting that every start passes through (kubelet, container states)."""

START_SECONDS = 60
"""How long a server may take to listen before it is a problem that it does not."""

POD_REFUSED = ("FailedCreate",)
"""Reasons of events by which a controller says that a pod may not be created: a missing ServiceAccount, pod security, a
quota, a LimitRange, a webhook. A Deployment repeats it in a condition, a StatefulSet nowhere else."""

LONGEST_MESSAGE = 1024
"""Characters of a message; the API allows 32768, and nobody reads them (metav1.Condition)."""

NAME_A_USER = (
    "the image must not run as root: name a user by its number in "
    "spec.podTemplateSpec.spec.containers[mcp].securityContext.runAsUser"
)

HINTS = {
    "runAsNonRoot": NAME_A_USER,
    "non-numeric user": NAME_A_USER,
    "ead-only file system": "its root is read-only: give it a volume where it writes, by spec.podTemplateSpec",
}
"""What helps, by what a kubelet's or a program's message holds."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a server from running: a reason in CamelCase, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What the cluster says. None is "there is none".

    Attributes:
        workload: the StatefulSet or Deployment.
        pods: its pods, in any order.
        refused: why the objects could not be brought to what the spec says, if they could not.
        events: warnings about the workload, asked for where it has no pod.
    """

    workload: Mapping[str, Any] | None = None
    pods: Sequence[Mapping[str, Any]] = ()
    refused: Problem | None = None
    events: Sequence[Mapping[str, Any]] = ()


def status(
    server: McpServerSpec, observed: Observed, *, usage_analytics: bool, before: Mapping[str, Any], now: str
) -> dict[str, Any]:
    """The status of `server`.

    Args:
        server: what is asked for.
        observed: what there is.
        usage_analytics: the effective value.
        before: the status so far; a condition that stays keeps its time.
        now: the time, as the API writes it (RFC 3339).
    """
    ready, rolled_out = _progress(observed.workload)
    problem = observed.refused or _problem(observed) or _unreachable(server, observed, now)
    serving = ready > 0 and observed.refused is None and (rolled_out or problem is None)
    is_ready = ready > 0 and rolled_out and observed.refused is None
    if is_ready:
        phase, message = READY, f"serving at {server.url}"
    elif problem:
        phase, message = FAILED, problem.message
    else:
        phase, message = PENDING, _waiting(observed)
    why = problem or Problem("Starting", message)
    conditions = [
        ("Ready", is_ready, "Serving" if is_ready else why.reason, message),
        (
            "Progressing",
            not is_ready and problem is None,
            "Complete" if is_ready else "Blocked" if problem else "RollingOut" if serving else "Starting",
            message,
        ),
        (
            "Degraded",
            problem is not None,
            problem.reason if problem else "AsExpected",
            problem.message if problem else "",
        ),
    ]
    return {
        "phase": phase,
        "url": server.url,
        "message": message[:LONGEST_MESSAGE],
        "readyReplicas": ready,
        "observedGeneration": server.generation,
        "usageAnalyticsEnabled": usage_analytics,
        "conditions": _conditions(conditions, server.generation, before, now),
    }


def invalid(body: Mapping[str, Any], problem: Problem, now: str) -> dict[str, Any]:
    """The status of an MCPServer that cannot be read; nothing is claimed of what may still run."""
    generation = body["metadata"].get("generation", 1)
    before = body.get("status") or {}
    conditions = [
        ("Ready", False, problem.reason, problem.message),
        ("Progressing", False, "Blocked", problem.message),
        ("Degraded", True, problem.reason, problem.message),
    ]
    return {
        **{key: value for key, value in before.items() if key not in {"phase", "message", "conditions"}},
        "phase": FAILED,
        "message": problem.message[:LONGEST_MESSAGE],
        "observedGeneration": generation,
        "conditions": _conditions(conditions, generation, before, now),
    }


def terminating(body: Mapping[str, Any]) -> dict[str, Any]:
    """The status of an MCPServer that is being deleted."""
    before = dict(body.get("status") or {})
    return {**before, "phase": TERMINATING, "message": "being deleted"}


def _progress(workload: Mapping[str, Any] | None) -> tuple[int, bool]:
    """How many replicas are ready, and whether they are all of the newest spec."""
    if workload is None:
        return 0, False
    said: Mapping[str, Any] = workload.get("status") or {}
    ready = said.get("readyReplicas", 0)
    seen = said.get("observedGeneration", 0) >= workload["metadata"].get("generation", 1)
    newest = said.get("updatedReplicas", 0) >= 1 and said.get("replicas", 0) == said.get("updatedReplicas", 0)
    if workload["kind"] == "StatefulSet" and said.get("currentRevision") == said.get("updateRevision"):
        newest = True  # once rolled out, a StatefulSet need not count its updated replicas
    return ready, seen and newest


def _problem(observed: Observed) -> Problem | None:
    """What the newest pod complains of, else the workload."""
    alive = [pod for pod in observed.pods if "deletionTimestamp" not in pod["metadata"]]
    for pod in sorted(alive, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)[:1]:
        found = _of_pod(pod)
        if found is not None:
            return found
    for event in sorted(observed.events, key=_time_of, reverse=True):
        if event.get("reason") in POD_REFUSED:
            return _with_hint(event["reason"], str(event.get("message", "no pod can be created")))
    for condition in ((observed.workload or {}).get("status") or {}).get("conditions") or ():
        is_failure = condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        if is_failure or (condition["type"] == "Progressing" and condition["status"] == "False"):
            return _with_hint(condition.get("reason", condition["type"]), condition.get("message", ""))
    return None


def _time_of(event: Mapping[str, Any]) -> str:
    """When an event was last seen; RFC 3339 in UTC sorts as text."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def _of_pod(pod: Mapping[str, Any]) -> Problem | None:
    said: Mapping[str, Any] = pod.get("status") or {}
    for part in ("initContainerStatuses", "containerStatuses"):
        for container in said.get(part) or ():
            found = _of_container(container)
            if found is not None:
                return found
    if said.get("phase") == "Failed":
        return _with_hint(said.get("reason", "PodFailed"), said.get("message", "the pod failed"))
    for condition in said.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _with_hint(
                condition.get("reason", "Unschedulable"), condition.get("message", "no node takes the pod")
            )
    return None


def _unreachable(server: McpServerSpec, observed: Observed, now: str) -> Problem | None:
    """The server's container runs, and thv beside it finds nothing at its port: most often a wrong `mcpPort`."""
    if server.shape is not DeploymentMode.PROXY:
        return None
    for pod in observed.pods:
        said: Mapping[str, Any] = pod.get("status") or {}
        containers = {
            each["name"]: each
            for each in (*(said.get("initContainerStatuses") or ()), *(said.get("containerStatuses") or ()))
        }
        theirs, ours = containers.get(SERVER_CONTAINER, {}), containers.get(PROXY_CONTAINER, {})
        since = ((theirs.get("state") or {}).get("running") or {}).get("startedAt", now)
        if "running" in (ours.get("state") or {}) and not ours.get("ready") and _seconds(since, now) > START_SECONDS:
            return Problem(
                "TargetUnreachable",
                f"container {SERVER_CONTAINER} runs, but nothing speaks MCP at its port {server.mcp_port} after "
                f"{START_SECONDS} seconds; is spec.mcpPort the port it listens on, and spec.transport what it speaks? "
                f"{_logs_of(pod, PROXY_CONTAINER)} says what thv gets there",
            )
    return None


def _seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def _logs_of(pod: Mapping[str, Any], container: str) -> str:
    meta = pod["metadata"]
    return f"kubectl logs -n {meta.get('namespace')} {meta.get('name')} -c {container}"


def _of_container(container: Mapping[str, Any]) -> Problem | None:
    state: Mapping[str, Any] = container.get("state") or {}
    ended = (container.get("lastState") or {}).get("terminated")
    waiting, terminated = state.get("waiting"), state.get("terminated")
    if waiting and waiting.get("reason") not in (*HARMLESS, None):
        words = [f"container {container['name']}: {waiting.get('message') or waiting['reason']}"]
        if ended:
            words.append(f"it ended with {_ending(ended)}")
        return _with_hint(waiting["reason"], "; ".join(words))
    if terminated and terminated.get("exitCode"):
        return _with_hint(
            terminated.get("reason", "Error"), f"container {container['name']} ended with {_ending(terminated)}"
        )
    return None


def _ending(terminated: Mapping[str, Any]) -> str:
    code = terminated.get("exitCode")
    words = "an exit code that is not known" if code is None else f"exit code {code}"
    if terminated.get("reason") not in {None, "Error", "Completed"}:
        words += f" ({terminated['reason']})"
    return f"{words}: {terminated['message'].strip()}" if terminated.get("message") else words


def _with_hint(reason: str, message: str) -> Problem:
    hint = next((hint for part, hint in HINTS.items() if part in message), None)
    return Problem(reason, f"{message}; {hint}" if hint else message)


def _waiting(observed: Observed) -> str:
    """What a start that goes well waits for."""
    if observed.workload is None:
        return "waiting for its workload"
    if not observed.pods:
        return "waiting for its pod"
    waiting, unready = [], []
    for pod in observed.pods:
        said, meta = pod.get("status") or {}, pod["metadata"]
        for container in (*(said.get("initContainerStatuses") or ()), *(said.get("containerStatuses") or ())):
            state = container.get("state") or {}
            reason = (state.get("waiting") or {}).get("reason")
            if reason:
                waiting.append(f"{container['name']} ({reason})")
            elif "running" in state and not container.get("ready") and "deletionTimestamp" not in meta:
                unready.append(f"{container['name']} to be ready; {_logs_of(pod, container['name'])} says what for")
    if waiting or unready:
        return f"waiting for container {', '.join(waiting) or unready[0]}"
    return "waiting for the server to answer"


def _conditions(
    wanted: Iterable[tuple[str, bool, str, str]], generation: int, before: Mapping[str, Any], now: str
) -> list[dict[str, Any]]:
    times = {(known["type"], known["status"]): known["lastTransitionTime"] for known in before.get("conditions") or ()}
    return [
        {
            "type": kind,
            "status": "True" if holds else "False",
            "reason": reason,
            "message": message[:LONGEST_MESSAGE],
            "observedGeneration": generation,
            "lastTransitionTime": times.get((kind, "True" if holds else "False"), now),
        }
        for kind, holds, reason, message in wanted
    ]
