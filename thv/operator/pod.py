"""The pod of one server, in its three shapes. Pure: a server and the operator's options in, a pod template out.

Promises: only thv's container ever gets a token, and only to attach; nothing runs with privileges, capabilities or a
writable root unless the user's own podTemplateSpec asks for it for the user's own containers; what is the operator's
cannot be overridden there.
"""

from __future__ import annotations

import hashlib
from posixpath import normpath
from typing import TYPE_CHECKING, Any

from thv.operator import install_tree, names
from thv.operator.mcpserver_spec import DeploymentMode
from thv.operator.pod_settings import config, exports_by_grpc, secret_variables, variables
from thv.servers.server_environment import PROXY_TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thv.operator.mcpserver_spec import McpServerSpec
    from thv.operator.pod_settings import Options

Manifest = dict[str, Any]

NOBODY = 65532
"""The user and group thv runs as: "nonroot" of distroless images, in no other use."""

TOKEN_SECONDS = 3600
"""How long a token lives; the kubelet renews it at 80 %, and thv reads it anew at each attach."""

THV_RESOURCES: Mapping[str, Any] = {
    # Measured: 16 MiB relaying, about 60 with the HTTP side and the telemetry agent; large results need the rest.
    "requests": {"cpu": "10m", "memory": "64Mi"},
    "limits": {"memory": "512Mi"},
}

TREE_VOLUME = "thv-tree"
TREE_MOUNT = f"/{TREE_VOLUME}"
TREE_LIMIT = "256Mi"
"""What the copied tree may hold: it is about 50 MiB, and 70 with gRPC."""

LOADING = ("LD_", "GLIBC_TUNABLES", "GCONV_PATH", "OPENSSL_")
"""Beginnings of variables that the dynamic loader, the C library and OpenSSL obey. thv has all three of its own."""

ATTACH_GRACE_SECONDS = 6
"""For a pod whose server thv attaches to: the server is the first process of its container, has no handler for SIGTERM
and cannot be given an end of file, so whatever this is, it passes in full. thv finishes open calls in 5 s at most."""

PROBE_SECONDS = 5
LIVENESS_FAILURES = 6
"""Half a minute without accepting a connection: hung, and not busy."""

LAST_WORDS: Mapping[str, str] = {"terminationMessagePolicy": "FallbackToLogsOnError"}
"""The end of a container's log becomes the reason of its failure; not where its stdout is the session itself."""

SECURE: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Pod security standard "restricted", and a root that cannot be written. The image says which user."""

SECURE_AS_NOBODY: Mapping[str, Any] = {**SECURE, "runAsUser": NOBODY, "runAsGroup": NOBODY}


def template(server: McpServerSpec, options: Options, labels: Mapping[str, str]) -> Manifest:
    """The pod template of `server`."""
    users: Mapping[str, Any] = server.pod_template.get("spec") or {}
    inits, container, volumes = _parts(server, options)
    its: Mapping[str, Any] = next(
        (each for each in users.get("containers") or () if each.get("name") == names.SERVER_CONTAINER), {}
    )
    others = [each for each in users.get("containers") or () if each.get("name") != names.SERVER_CONTAINER]
    spec = {
        **users,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # variables about every Service of the namespace are no server's business
        "serviceAccountName": server.service_account or server.name,
        "initContainers": [*inits, *(users.get("initContainers") or ())],
        "containers": [_with(its, container), *others],
        "volumes": [
            *(users.get("volumes") or ()),
            *volumes,
        ],
    }
    if server.shape is DeploymentMode.ATTACH:
        spec.setdefault("terminationGracePeriodSeconds", ATTACH_GRACE_SECONDS)
    if not spec["initContainers"]:
        del spec["initContainers"]
    meta: Mapping[str, Any] = server.pod_template.get("metadata") or {}
    digest = hashlib.sha256(config(server).encode()).hexdigest()[:16]
    return {
        "metadata": {
            "labels": {**(meta.get("labels") or {}), **labels},
            "annotations": {
                **(meta.get("annotations") or {}),
                names.CONFIG_HASH: digest,
                "kubectl.kubernetes.io/default-container": names.SERVER_CONTAINER,
            },
        },
        "spec": spec,
    }


def _parts(server: McpServerSpec, options: Options) -> tuple[list[Manifest], Manifest, list[Manifest]]:
    """Init containers, the server's container, and the volumes, as the operator wants them."""
    volumes: list[Manifest] = [
        {"name": "thv-config", "configMap": {"name": server.name}},
        {"name": "thv-server-tmp", "emptyDir": {}},
    ]
    container: Manifest = {
        "name": names.SERVER_CONTAINER,
        "image": server.image,
        "resources": dict(server.resources),
        "securityContext": dict(SECURE),
        "env": _server_variables(server),
        "volumeMounts": [{"name": "thv-server-tmp", "mountPath": "/tmp"}],  # noqa: S108  a volume of the pod's own
    }
    if server.shape is DeploymentMode.WRAP:
        volumes.append({"name": TREE_VOLUME, "emptyDir": {"sizeLimit": TREE_LIMIT}})
        return [_install(server, options)], _wrapped(container, server, options), volumes
    if server.command:
        container["command"] = list(server.command)
    if server.args:
        container["args"] = list(server.args)
    mounts = []
    if server.shape is DeploymentMode.ATTACH:
        # Said in full, because a template must not say otherwise: a terminal changes bytes, and `stdinOnce` would
        # close the server's stdin with the first link.
        container |= {"stdin": True, "stdinOnce": False, "tty": False}
        volumes.append(_token())
        mounts = [{"name": "thv-token", "mountPath": names.TOKEN_DIR, "readOnly": True}]
        words = [names.ATTACH_VERB, server.name, "--namespace", server.namespace, "--pod", f"{server.name}-0"]
        words += ["--container", names.SERVER_CONTAINER, "--proxy-port", str(server.port)]
    else:
        container |= LAST_WORDS
        container["ports"] = [{"name": "server", "containerPort": server.mcp_port, "protocol": "TCP"}]
        words = ["proxy", server.name, "--target-uri", f"http://127.0.0.1:{server.mcp_port}"]
        words += ["--port", str(server.port)]
    volumes.append({"name": "thv-tmp", "emptyDir": {}})
    sidecar = _sidecar(server, options, words, mounts)
    if server.shape is DeploymentMode.ATTACH:
        drain = [names.TREE_PYTHON, "-I", "-m", "thv.operator.drain", str(server.port)]
        sidecar["lifecycle"] = {"preStop": {"exec": {"command": drain}}}
        _move_token(container, sidecar)
    return [sidecar], container, volumes


def _move_token(container: Manifest, sidecar: Manifest) -> None:
    """Give the token that clients present to thv, and not to the server."""
    token = [entry for entry in container["env"] if entry["name"] == PROXY_TOKEN_VARIABLE]
    container["env"] = [entry for entry in container["env"] if entry["name"] != PROXY_TOKEN_VARIABLE]
    sidecar["env"] = [*sidecar["env"], *token]


def _sidecar(server: McpServerSpec, options: Options, words: list[str], mounts: list[Manifest]) -> Manifest:
    """A container with thv alone: started before the server, and ended after it."""
    return {
        "name": names.PROXY_CONTAINER,
        "image": options.image,
        "restartPolicy": "Always",
        **LAST_WORDS,
        "args": [*words, *_listening(options)],
        "env": [*variables(server, options), {"name": "HOME", "value": "/tmp"}],  # noqa: S108  as above
        "resources": dict(THV_RESOURCES),
        "securityContext": dict(SECURE_AS_NOBODY),
        "volumeMounts": [
            {"name": "thv-config", "mountPath": names.CONFIG_DIR, "readOnly": True},
            {"name": "thv-tmp", "mountPath": "/tmp"},  # noqa: S108  as above
            *mounts,
        ],
        **_served(server),
    }


def _install(server: McpServerSpec, options: Options) -> Manifest:
    """Copies thv into the volume from which the server's container runs it."""
    options_of_copy = [install_tree.GRPC] if exports_by_grpc(server) else []
    return {
        "name": names.INSTALL_CONTAINER,
        "image": options.image,
        **LAST_WORDS,
        "command": [names.TREE_PYTHON, "-I", "-m", install_tree.__name__, names.TREE, TREE_MOUNT, *options_of_copy],
        "resources": dict(THV_RESOURCES),
        "securityContext": dict(SECURE_AS_NOBODY),
        "volumeMounts": [{"name": TREE_VOLUME, "mountPath": TREE_MOUNT}],
    }


def _wrapped(container: Manifest, server: McpServerSpec, options: Options) -> Manifest:
    """The server's container with thv as its command, and the server's command as thv's."""
    # Isolated: a PYTHONPATH or PYTHONHOME meant for the server must not reach thv's Python.
    thv = [names.TREE_PYTHON, "-I", "-m", "thv"]
    ours = variables(server, options)
    hidden = [word for name in secret_variables(server) for word in ("-e", f"{name}=")]
    theirs = [entry for entry in container["env"] if _is_of_programs(entry)]
    given = [word for entry in theirs for word in ("-e", f"{entry['name']}={entry.get('value', '')}")]
    words = ["run", "--name", server.name, "--proxy-port", str(server.port), "--exit-with-server"]
    words += [] if _has_token(container) else ["--no-auth"]  # who may reach a pod is the cluster's affair
    words += [*_listening(options), *hidden, *given]
    # Ours last, and once: Kubernetes expands in a value only what stands before it, such as a header's secret.
    taken = {entry["name"] for entry in (*ours, *theirs)}
    return {
        **container,
        **LAST_WORDS,
        "command": thv,
        "args": [*words, "--", *server.command, *server.args],
        "env": [*(entry for entry in container["env"] if entry["name"] not in taken), *ours],
        "volumeMounts": [
            *container["volumeMounts"],
            {"name": TREE_VOLUME, "mountPath": names.TREE, "readOnly": True},
            {"name": "thv-config", "mountPath": names.CONFIG_DIR, "readOnly": True},
        ],
        **_served(server),
    }


def _served(server: McpServerSpec) -> Manifest:
    """The ports and probes of the container that thv serves in."""
    ports = [{"name": "http", "containerPort": server.port, "protocol": "TCP"}]
    if server.telemetry.prometheus:
        ports.append({"name": "metrics", "containerPort": names.METRICS_PORT, "protocol": "TCP"})
    return {
        "ports": ports,
        "readinessProbe": {
            "httpGet": {"path": names.HEALTH_PATH, "port": server.port},
            "periodSeconds": PROBE_SECONDS,
            "timeoutSeconds": PROBE_SECONDS,
        },
        # Not by the health path: a server that is down makes thv unready, and is no reason to restart thv.
        "livenessProbe": {
            "tcpSocket": {"port": server.port},
            "periodSeconds": PROBE_SECONDS,
            "timeoutSeconds": PROBE_SECONDS,
            "failureThreshold": LIVENESS_FAILURES,
        },
    }


def _has_token(container: Manifest) -> bool:
    """Whether clients have to present a token: the user gave thv one, by a Secret, a variable or the template."""
    return any(entry["name"] == PROXY_TOKEN_VARIABLE for entry in container["env"])


def _listening(options: Options) -> list[str]:
    origins = [word for origin in options.allowed_origins for word in ("--allowed-origins", origin)]
    return ["--host", names.EVERYWHERE, *origins]


def _server_variables(server: McpServerSpec) -> list[Manifest]:
    found: list[Manifest] = [dict(entry) for entry in server.template_variables]
    if server.shape is DeploymentMode.PROXY:
        # The names that server frameworks look for; the user's own values come after, and win.
        port = str(server.mcp_port)
        told = [{"name": "MCP_TRANSPORT", "value": server.transport}]
        told += [{"name": name, "value": port} for name in ("MCP_PORT", "FASTMCP_PORT", "PORT")]
        found = [*told, *found]
    found += [{"name": name, "value": value} for name, value in server.env]
    for secret in server.secrets:
        reference = {"name": secret.name, "key": secret.key}
        found.append({"name": secret.variable, "valueFrom": {"secretKeyRef": reference}})
    return _by_name(found)


def _is_of_programs(entry: Manifest) -> bool:
    """Whether a variable changes how any program is loaded: meant for the server, it would break thv beside it."""
    return entry["name"].startswith(LOADING) and "valueFrom" not in entry


def _token() -> Manifest:
    """What the API server needs to know thv, as a volume for thv alone."""
    return {
        "name": "thv-token",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}],
                    }
                },
            ]
        },
    }


def _with(users: Mapping[str, Any], ours: Manifest) -> Manifest:
    """The user's wishes for the server's container under ours; security is the user's to loosen, key by key."""
    merged = {**users, **ours}
    merged["securityContext"] = {**ours["securityContext"], **(users.get("securityContext") or {})}
    merged["resources"] = {**(users.get("resources") or {}), **ours["resources"]}
    taken = {normpath(mount["mountPath"]) for mount in users.get("volumeMounts") or ()}
    merged["volumeMounts"] = [
        *(users.get("volumeMounts") or ()),
        *(mount for mount in ours["volumeMounts"] if mount["mountPath"] not in taken),
    ]
    if users.get("ports"):
        numbers = {port["containerPort"] for port in ours.get("ports", ())}
        extra = [port for port in users["ports"] if port.get("containerPort") not in numbers]
        merged["ports"] = [*ours.get("ports", ()), *extra]
    return {key: value for key, value in merged.items() if value not in ({}, [])}


def _by_name(entries: Iterable[Manifest]) -> list[Manifest]:
    """Variables by name, the last of each winning: the API server refuses a name that is there twice."""
    return list({entry["name"]: entry for entry in entries}.values())
