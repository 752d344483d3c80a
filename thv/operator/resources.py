"""Every object that one MCPServer becomes. Pure: a server and the operator's options in, manifests out.

Promises: the same spec gives the same manifests, byte for byte; each names its MCPServer as owner, so that they go
when it goes; what a shape does not need is not made. Knows no cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thv.operator import names
from thv.operator.mcpserver_spec import DeploymentMode
from thv.operator.pod import Manifest, template
from thv.operator.pod_settings import config

if TYPE_CHECKING:
    from thv.operator.mcpserver_spec import McpServerSpec
    from thv.operator.pod_settings import Options

STATEFUL_SET, DEPLOYMENT = ("apps/v1", "StatefulSet"), ("apps/v1", "Deployment")
ROLE, ROLE_BINDING = ("rbac.authorization.k8s.io/v1", "Role"), ("rbac.authorization.k8s.io/v1", "RoleBinding")

SOMETIMES = (STATEFUL_SET, DEPLOYMENT, ROLE_BINDING, ROLE)
"""The kinds that only some shapes need: what is left over after a change of shape is among these."""

OLD_REPLICA_SETS = 2
"""For `kubectl rollout undo`; more would only clutter."""


def manifests(server: McpServerSpec, options: Options) -> list[Manifest]:
    """What `server` needs, in the order in which it is to be applied: what the pod uses comes before the pod."""
    made = [_config_map(server), _service(server)]
    if not server.service_account:
        made.append(_object(server, ("v1", "ServiceAccount"), automountServiceAccountToken=False))
    if server.shape is DeploymentMode.ATTACH:
        made += [_role(server), _role_binding(server)]
    return [*made, workload(server, options)]


def workload(server: McpServerSpec, options: Options) -> Manifest:
    """What runs the pod."""
    pod = template(server, options, {**_labels(server), names.SERVER_LABEL: server.name})
    selector = {"matchLabels": {names.SERVER_LABEL: server.name}}
    if server.shape is DeploymentMode.ATTACH:
        return _object(
            server,
            STATEFUL_SET,
            spec={
                "replicas": 1,
                "serviceName": server.name,
                # OrderedReady would wait for ever for a broken pod, and never replace it by a corrected one.
                "podManagementPolicy": "Parallel",
                "selector": selector,
                "template": pod,
            },
        )
    return _object(
        server,
        DEPLOYMENT,
        spec={
            "replicas": 1,
            "revisionHistoryLimit": OLD_REPLICA_SETS,
            # The old pod serves until the new one is ready: a broken change takes nothing down.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": selector,
            "template": pod,
        },
    )


def leftovers(server: McpServerSpec) -> list[tuple[str, str]]:
    """The kinds that `server` does not need now, and may have needed before its spec changed."""
    attach = server.shape is DeploymentMode.ATTACH
    needed = {STATEFUL_SET, ROLE, ROLE_BINDING} if attach else {DEPLOYMENT}
    return [kind for kind in SOMETIMES if kind not in needed]


def _labels(server: McpServerSpec) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "mcpserver",
        "app.kubernetes.io/instance": server.name,
        names.MANAGED_BY: names.FIELD_MANAGER,
        names.SERVER_LABEL: server.name,
    }


def _object(server: McpServerSpec, kind: tuple[str, str], **rest: Any) -> Manifest:
    return {
        "apiVersion": kind[0],
        "kind": kind[1],
        "metadata": {
            "name": server.name,
            "namespace": server.namespace,
            "labels": _labels(server),
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.KIND,
                    "name": server.name,
                    "uid": server.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        **rest,
    }


def _config_map(server: McpServerSpec) -> Manifest:
    return _object(server, ("v1", "ConfigMap"), data={names.CONFIG_FILE: config(server)})


def _service(server: McpServerSpec) -> Manifest:
    # A number: the target's port follows the spec even while a pod with the old one is still there.
    ports = [{"name": "http", "port": server.port, "targetPort": server.port, "protocol": "TCP"}]
    if server.telemetry.prometheus and server.port != names.METRICS_PORT:
        number = names.METRICS_PORT
        ports.append({"name": "metrics", "port": number, "targetPort": number, "protocol": "TCP"})
    selector = {names.SERVER_LABEL: server.name}
    return _object(server, ("v1", "Service"), spec={"type": "ClusterIP", "selector": selector, "ports": ports})


def _role(server: McpServerSpec) -> Manifest:
    """To attach to the server's own pod, and to nothing else."""
    rule = {
        "apiGroups": [""],
        "resources": ["pods/attach"],
        "resourceNames": [f"{server.name}-0"],
        # A WebSocket is opened by a GET; the older upgrade by a POST.
        "verbs": ["get", "create"],
    }
    return _object(server, ROLE, rules=[rule])


def _role_binding(server: McpServerSpec) -> Manifest:
    account = server.service_account or server.name
    return _object(
        server,
        ROLE_BINDING,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": server.name},
        subjects=[{"kind": "ServiceAccount", "name": account, "namespace": server.namespace}],
    )
