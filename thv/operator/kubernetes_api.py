"""The few requests the operator makes of the Kubernetes API, over one aiohttp session.

Promises: whatever goes wrong is an `ApiError` with the API server's own sentence, no secret in it; a token that the
kubelet has renewed is picked up. Knows nothing of MCPServers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import aiohttp

from thv.errors import ThvError
from thv.operator.names import FIELD_MANAGER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    import kopf

SECONDS = 30.0
"""For one request: the API server's own limit is 60 s, and a resync must not hang on one server."""

NOT_FOUND, FORBIDDEN, CONFLICT, UNAUTHORIZED, ERRORS = 404, 403, 409, 401, 400
TOO_MANY, UNAVAILABLE = 429, 500

NAMESPACE_ENDING = "is being terminated"
"""In the API server's message (its admission plugin NamespaceLifecycle); the cause has no field in older releases."""

NO_ANSWER = "the API server's answer to {} {} cannot be read: is there something between it and us?"

PLURALS = {
    "ConfigMap": "configmaps",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "StatefulSet": "statefulsets",
    "Deployment": "deployments",
    "Pod": "pods",
    "Event": "events",
    "MCPServer": "mcpservers",
}


class ApiError(ThvError):
    """The API server refused, or could not be reached.

    Attributes:
        status: the HTTP status; 0 if there was none.
        reason: why, in one word of the API's (``Forbidden``, ``Invalid``).
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "Unreachable") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def may_pass(self) -> bool:
        """True if the same request may succeed later without anybody's help."""
        return self.status in {0, CONFLICT, TOO_MANY, UNAUTHORIZED} or self.status >= UNAVAILABLE

    @property
    def is_namespace_ending(self) -> bool:
        """True if nothing can be created any more because the namespace is being deleted."""
        return self.status == FORBIDDEN and NAMESPACE_ENDING in str(self)


class Cluster:
    """A connection to the API server; an async context manager.

    Args:
        login: gives the connection's address and credentials; asked again when they are refused.
    """

    def __init__(self, login: Callable[[], kopf.ConnectionInfo]) -> None:
        self._login = login
        self._info = login()
        self._session = self._open()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            base_url=self._info.server.rstrip("/") + "/",
            connector=aiohttp.TCPConnector(ssl=self._info.as_ssl_context()),
            headers={"Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=SECONDS),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Bring an object to what `manifest` says, whichever manager owned those fields before (server-side apply).

        Raises:
            ApiError: the API server refuses.
        """
        path = _path(manifest["apiVersion"], manifest["kind"], manifest["metadata"])
        return await self._ask(
            "PATCH",
            f"{path}?fieldManager={FIELD_MANAGER}&force=true",
            manifest,
            kind="application/apply-patch+yaml",  # JSON is YAML
        )

    async def get(self, kind: tuple[str, str], namespace: str, name: str) -> dict[str, Any] | None:
        """The object, or None if there is none.

        Raises:
            ApiError: the API server refuses.
        """
        path = _path(*kind, {"namespace": namespace, "name": name})
        try:
            found = await self._ask("GET", path)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        if not isinstance(found.get("metadata"), dict):
            raise ApiError(NO_ANSWER.format("GET", path))
        return {"apiVersion": kind[0], "kind": kind[1], **found}

    async def list(
        self, kind: tuple[str, str], namespace: str | None, *, label: str = "", fields: str = ""
    ) -> list[dict[str, Any]]:
        """The objects of `kind` in `namespace`, or everywhere.

        Args:
            kind: API version and kind.
            namespace: None for all of them.
            label: only those that carry it, written ``KEY=VALUE``.
            fields: only those with these fields, written ``NAME=VALUE,NAME=VALUE``.

        Raises:
            ApiError: the API server refuses.
        """
        path = _path(*kind, {"namespace": namespace})
        selectors = {"labelSelector": label, "fieldSelector": fields}
        query = urlencode({name: value for name, value in selectors.items() if value})
        found = await self._ask("GET", f"{path}?{query}" if query else path)
        items = found.get("items")
        if not isinstance(items, list):
            raise ApiError(NO_ANSWER.format("GET", path))
        return items

    async def delete(self, kind: tuple[str, str], namespace: str, name: str, *, uid: str) -> None:
        """Delete the object if it is still the one called `uid`; not being there is fine.

        Raises:
            ApiError: the API server refuses.
        """
        wish = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._ask("DELETE", _path(*kind, {"namespace": namespace, "name": name}), wish)
        except ApiError as error:
            if error.status not in {NOT_FOUND, CONFLICT}:
                raise

    async def put_status(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Replace what the status of `body` says; members that are gone are removed.

        Raises:
            ApiError: the API server refuses; 409 if `body` is not the newest.
        """
        gone = {key: None for key in body.get("status") or () if key not in status}
        patch = {
            "metadata": {"resourceVersion": body["metadata"]["resourceVersion"]},
            "status": {**gone, **status},
        }
        path = _path(body["apiVersion"], body["kind"], body["metadata"])
        await self._ask(
            "PATCH", f"{path}/status?fieldManager={FIELD_MANAGER}", patch, kind="application/merge-patch+json"
        )

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, kind: str = "application/json"
    ) -> dict[str, Any]:
        status, found = await self._send(method, path, body, kind)
        if status == UNAUTHORIZED:  # the token may have been renewed
            self._info = self._login()
            status, found = await self._send(method, path, body, kind)
        if status < ERRORS:
            if not isinstance(found, dict):
                raise ApiError(NO_ANSWER.format(method, path.partition("?")[0]))
            return found
        answer: dict[str, Any] = found if isinstance(found, dict) else {}
        message = answer.get("message") or f"the API server answered {status} to {method} {path.partition('?')[0]}"
        raise ApiError(message, status=status, reason=answer.get("reason") or "Failed")

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None, kind: str) -> tuple[int, Any]:
        headers = {"Content-Type": kind, **self._info.as_http_headers()}
        data = None if body is None else json.dumps(body)
        try:
            async with self._session.request(method, path, data=data, headers=headers) as response:
                text = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(f"the API server cannot be reached: {str(error) or type(error).__name__}") from error
        try:
            return response.status, json.loads(text)
        except (ValueError, RecursionError):
            return response.status, None


def _path(api_version: str, kind: str, meta: Mapping[str, Any]) -> str:
    root = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
    place = f"/namespaces/{meta['namespace']}" if meta.get("namespace") else ""
    return f"{root}{place}/{PLURALS[kind]}" + (f"/{meta['name']}" if meta.get("name") else "")
