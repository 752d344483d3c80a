"""Where the Kubernetes API is and what lets the operator in: the pod's service account, or a kubeconfig.

Promises: what cannot be read is one line that names the file; the cluster's own authority is trusted as Go and Python
3.12 trust it, for kopf's session and for ours.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import kopf
import yaml

from thv.core.net.urls import is_http_url
from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
"""The API server's address in every pod (Kubernetes, "Accessing the API from a Pod"). It needs no name server."""

KUBECONFIG = "KUBECONFIG"
USUAL_KUBECONFIG = "~/.kube/config"


class ClusterConnection(kopf.ConnectionInfo):
    """kopf's connection, whose TLS context takes authorities that are not RFC 5280 to the letter.

    MicroK8s and EKS have an authority without keyUsage, others certificates without an authority key identifier. Python
    3.13 refuses both by default (`VERIFY_X509_STRICT`); the authority is the one that the user or the kubelet named.
    """

    def as_ssl_context(self) -> ssl.SSLContext:
        """The context for every connection to the API server."""
        context: ssl.SSLContext = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def login(environ: Mapping[str, str] = os.environ) -> ClusterConnection:
    """The pod's own service account, else what KUBECONFIG or ~/.kube/config says.

    Raises:
        ThvError: there is neither, or what there is cannot be read.
    """
    settings = kopf.OperatorSettings()
    try:
        found = kopf.login_with_service_account(settings=settings)
    except (OSError, UnicodeDecodeError) as error:
        raise ThvError(f"the pod's service account cannot be read: {error}") from error
    if found is not None:
        return _with_laxer_trust(replace(found, server=_address(environ) or found.server))
    file = environ.get(KUBECONFIG) or USUAL_KUBECONFIG
    try:
        found = kopf.login_with_kubeconfig(settings=settings)
        connection = None if found is None else _checked(found)
    except (OSError, yaml.YAMLError, kopf.LoginError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise ThvError(f"{file}: {_explained(error, file)}") from error
    if connection is None:
        raise ThvError("no cluster: neither a pod's service account nor a kubeconfig; set KUBECONFIG")
    if not isinstance(connection.server, str):
        raise ThvError(f"{file}: the current context's cluster names no server")
    if not is_http_url(connection.server):
        raise ThvError(f"{file}: the server {connection.server!r} is no URL such as https://HOST:6443")
    return connection


def _checked(found: kopf.ConnectionInfo) -> ClusterConnection:
    for path in (found.ca_path, found.certificate_path, found.private_key_path):
        if path:
            Path(os.fsdecode(path)).open("rb").close()  # OpenSSL would not say which file it misses
    connection = _with_laxer_trust(found)
    connection.as_ssl_context()
    return connection


def _explained(error: Exception, file: str) -> str:
    """What is wrong with a kubeconfig, in one line."""
    words = " ".join(str(error).split())
    if isinstance(error, OSError):  # `ssl.SSLError` is one: certificates that are none
        named = f"{error.filename}: " if error.filename and str(error.filename) not in file else ""
        return f"{named}{error.strerror or words}"
    if isinstance(error, yaml.YAMLError):
        return f"not valid YAML: {words}"
    if isinstance(error, KeyError):
        return f"it refers to {error}, which it does not define"
    return words if isinstance(error, kopf.LoginError) else f"not a kubeconfig: {words}"


def _address(environ: Mapping[str, str]) -> str | None:
    host = environ.get(HOST)
    if not host:
        return None
    return f"https://{f'[{host}]' if ':' in host else host}:{environ.get(PORT) or 443}"


def _with_laxer_trust(found: kopf.ConnectionInfo) -> ClusterConnection:
    return ClusterConnection(**{field.name: getattr(found, field.name) for field in fields(found)})
