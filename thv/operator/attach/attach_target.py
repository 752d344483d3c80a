"""Where a pod reaches the Kubernetes API, what to attach to, and by which token.

Promises: token and CA are read anew whenever they are asked for, since the kubelet renews both; a token is handed to
whoever sends it and never becomes part of a name, an error or a `repr`. Opens no connection.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from thv.core.net.tls_context import create_tls_context
from thv.errors import ThvError
from thv.operator.names import TOKEN_DIR

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
"""The variables that name the API server in every container."""

TOKEN_FILE, CA_FILE = "token", "ca.crt"


@dataclass(frozen=True, slots=True)
class AttachTarget:
    """One container of one pod."""

    namespace: str
    pod: str
    container: str

    def __str__(self) -> str:
        return f"container {self.container} of pod {self.namespace}/{self.pod}"

    @property
    def path(self) -> str:
        """What the API server calls its stdin and stdout (Kubernetes API, `connectCoreV1GetNamespacedPodAttach`)."""
        wanted = {"container": self.container, "stdin": "true", "stdout": "true", "stderr": "false", "tty": "false"}
        place = f"namespaces/{quote(self.namespace, safe='')}/pods/{quote(self.pod, safe='')}"
        return f"/api/v1/{place}/attach?{urlencode(wanted)}"


@dataclass(frozen=True, slots=True)
class ApiServer:
    """The API server as it is seen from inside a pod.

    Attributes:
        url: where it is, without a path.
        credentials: the folder of the projected volume that holds token and CA.
    """

    url: str
    credentials: Path = Path(TOKEN_DIR)

    @classmethod
    def of_this_pod(cls, environ: Mapping[str, str], credentials: Path = Path(TOKEN_DIR)) -> ApiServer:
        """The API server of the cluster that we run in.

        Args:
            environ: our variables.
            credentials: the folder of token and CA.

        Raises:
            ThvError: we run in none.
        """
        host = environ.get(HOST)
        if not host:
            raise ThvError(f"{HOST} is not set: thv attaches from inside a Kubernetes pod only")
        if ":" in host:  # an IPv6 address
            host = f"[{host}]"
        return cls(f"https://{host}:{environ.get(PORT) or 443}", credentials)

    def token(self) -> str:
        """The token of this moment.

        Raises:
            ThvError: there is none.
        """
        path = self.credentials / TOKEN_FILE
        try:
            token = path.read_text(encoding="ascii").strip()
        except UnicodeDecodeError:
            raise ThvError(f"the token in {path} is no text") from None
        except OSError as error:
            raise ThvError(f"the token cannot be read: {path}: {error.strerror}") from None
        if not token or not token.isprintable():
            raise ThvError(f"there is no token in {path}")
        return token

    def trust(self) -> ssl.SSLContext:
        """What the API server's certificate is held to: the cluster's own CA, and no other.

        Raises:
            ThvError: the CA is not there, or is none.
        """
        path = self.credentials / CA_FILE
        try:
            return create_tls_context(str(path), system=False)
        except ssl.SSLError:
            raise ThvError(f"{path} holds no CA certificate") from None
        except OSError as error:
            raise ThvError(f"the cluster's CA cannot be read: {path}: {error.strerror}") from None
