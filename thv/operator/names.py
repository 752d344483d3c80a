"""The words of the operator: the API's, those of the objects it makes, and the command lines that run in their pods.

Constants and nothing else, so that manifests, RBAC and tests cannot drift apart.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "toolhive.stacklok.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "MCPServer"
PLURAL: Final = "mcpservers"

FIELD_MANAGER: Final = "thv-operator"
"""The name under which every field of a child is owned (server-side apply)."""

SERVER_LABEL: Final = f"{GROUP}/mcpserver"
"""Names the MCPServer that an object belongs to. Workloads select their pods by it, so it can never change."""

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
CONFIG_HASH: Final = f"{GROUP}/config-hash"
"""The annotation by which a changed ConfigMap rolls the pod."""

LONGEST_NAME: Final = 52
"""Bytes of a server's name: a StatefulSet labels its pods ``NAME-0123456789``, and a label holds 63 bytes."""

STDIO: Final = "stdio"
DEFAULT_PORT: Final = 8080

SERVER_CONTAINER: Final = "mcp"
PROXY_CONTAINER: Final = "thv"
INSTALL_CONTAINER: Final = "thv-install"
OUR_VOLUMES: Final = "thv-"
"""The prefix of the names of volumes that the operator adds."""

ATTACH_VERB: Final = "attach"
"""The hidden verb of thv that reaches a container's stdin and stdout through the API server."""

EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  inside a pod, a Service reaches nothing less
HEALTH_PATH: Final = "/health"
"""Where thv's HTTP side says whether the server can be reached."""

METRICS_PORT: Final = 9464
"""OpenTelemetry specification, OTEL_EXPORTER_PROMETHEUS_PORT."""

TREE: Final = "/opt/thv"
"""Where thv, its Python and its C library stand, in thv's image and in the container of a wrapped server."""

TREE_PYTHON: Final = f"{TREE}/bin/python3"
"""thv's own Python. It names its own loader and libraries: the server's image may have another C library, or none."""

CONFIG_DIR: Final = "/etc/thv"
CONFIG_FILE: Final = "config.yaml"
TOKEN_DIR: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  a folder, and not what is in it
"""Where every Kubernetes client looks for its token, the cluster's CA and its namespace."""

USAGE_ANALYTICS: Final = "TOOLHIVE_USAGE_ANALYTICS_ENABLED"
CONFIG_VARIABLE: Final = "TOOLHIVE_CONFIG"
HEADERS_VARIABLE: Final = "OTEL_EXPORTER_OTLP_HEADERS"
HEADER_VARIABLE: Final = "THV_OTEL_HEADER_"
"""The prefix of the variables that bring the values of secret headers; a number follows."""

PROMETHEUS_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
