"""A Kubernetes API server for tests, on aiohttp: what the operator relies on, and as strict about it as the real one.

Objects have versions and generations; status is a subresource; server-side apply knows its managers; lists and watches
follow label selectors; MCPServers are validated by their CRD, everything else by the OpenAPI schemas of Kubernetes;
deleting an owner deletes what it owns; a permission can be taken away. It runs no pods: a test plays the kubelet.
"""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from aiohttp import web

from tests.operator import fake_apply as ssa
from tests.operator import fake_schema, openapi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

CRD = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "crds" / "mcpservers.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
GROUP = CRD["spec"]["group"]

KINDS = {
    "v1": {
        "namespaces": "Namespace",
        "pods": "Pod",
        "events": "Event",
        "services": "Service",
        "configmaps": "ConfigMap",
        "serviceaccounts": "ServiceAccount",
    },
    "apps/v1": {"statefulsets": "StatefulSet", "deployments": "Deployment"},
    "rbac.authorization.k8s.io/v1": {"roles": "Role", "rolebindings": "RoleBinding"},
    "apiextensions.k8s.io/v1": {"customresourcedefinitions": "CustomResourceDefinition"},
    f"{GROUP}/v1alpha1": {"mcpservers": "MCPServer"},
}
CLUSTER_WIDE = {"namespaces", "customresourcedefinitions"}
OPERATOR = "operator"
"""The token of whoever has only the rights of `FakeApi.allowed`."""

VERBS = ["get", "list", "watch", "create", "patch", "delete"]

Key = tuple[str, str, str]
"""Plural, namespace, name."""


ANNOTATION_BYTES = 256 * 1024
"""Of all keys and values together (apimachinery, TotalAnnotationSizeLimitB)."""


class Refused(Exception):  # noqa: N818  not an error of the test
    """An answer that is a Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


class FakeApi:
    """The server; an async context manager.

    Attributes:
        denied: what nobody may do, in pairs such as ``("patch", "services")``.
        allowed: all that may be done with the token `OPERATOR`; None if there is no such token.
        used: what was done with it.
        mishap: asked before each request is answered; its answer, if it has one, is given instead.
    """

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.owners: dict[Key, dict[str, set[ssa.Path]]] = {}
        self.denied: set[tuple[str, str]] = set()
        self.allowed: set[tuple[str, str]] | None = None
        self.used: set[tuple[str, str]] = set()
        self.requests: list[tuple[str, str]] = []
        self.mishap: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
        self.token = "first"
        self.port = 0
        self._version = 1
        self._log: list[tuple[int, str, str, dict[str, Any]]] = []
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._store("namespaces", {"metadata": {"name": "default"}, "apiVersion": "v1", "kind": "Namespace"})
        self._store("customresourcedefinitions", copy.deepcopy(CRD))

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- what a test does in place of users and controllers

    def find(self, plural: str, name: str, namespace: str = "default") -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get((plural, namespace, name)))

    def change(self, plural: str, name: str, patch: dict[str, Any], *, namespace: str = "default") -> dict[str, Any]:
        """A merge patch by somebody else, of any part, `status` included."""
        key = (plural, namespace, name)
        before = self.objects[key]
        after = ssa.merged(before, patch)
        touched = ssa.leaves(patch).keys()
        for paths in self.owners.get(key, {}).values():
            paths.difference_update(touched)
        return self._put(key, before, after)

    async def wait_for(self, condition: Any, seconds: float = 60.0) -> Any:
        """Wait until `condition()` is true; its value."""
        async with asyncio.timeout(seconds), self._news:
            while not (found := condition()):
                await self._news.wait()
            return found

    def delete(self, plural: str, name: str, namespace: str = "default") -> None:
        key = (plural, namespace, name)
        gone = self.objects.pop(key)
        self.owners.pop(key, None)
        self._tell("DELETED", plural, gone)
        uid = gone["metadata"]["uid"]
        for other, body in list(self.objects.items()):
            if any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences", ())):
                self.delete(other[0], other[2], other[1])

    def create(self, plural: str, body: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
        """Create an object as `kubectl create` does: defaulted and validated."""
        body = copy.deepcopy(body)
        body.setdefault("metadata", {}).setdefault("namespace", namespace)
        if (plural, namespace, body["metadata"]["name"]) in self.objects:
            raise Refused(409, "AlreadyExists", f"{plural} {body['metadata']['name']} already exists")
        body = self._valid(plural, body)
        return self._store(plural, body)

    # -- the machinery

    def _store(self, plural: str, body: dict[str, Any]) -> dict[str, Any]:
        meta = body["metadata"]
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": datetime.now(UTC).isoformat(), "generation": 1}
        key = (plural, meta.get("namespace", ""), meta["name"])
        self._version += 1
        meta["resourceVersion"] = str(self._version)
        self.objects[key] = body
        self._tell("ADDED", plural, body)
        stored = copy.deepcopy(body)
        owners = {owner["uid"] for owner in meta.get("ownerReferences", ())}
        if owners and not owners & {other["metadata"]["uid"] for other in self.objects.values()}:
            self.delete(plural, meta["name"], meta.get("namespace", ""))  # the garbage collector: its owner is gone
        return stored

    def _put(self, key: Key, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
        """Store a changed object; one that is the same keeps its version, and nobody is told."""
        ignored = {"resourceVersion", "generation"}
        meta = {name: value for name, value in after["metadata"].items() if name not in ignored}
        if {**after, "metadata": meta} == {
            **before,
            "metadata": {name: value for name, value in before["metadata"].items() if name not in ignored},
        }:
            return copy.deepcopy(before)
        content = [{k: v for k, v in body.items() if k not in {"metadata", "status"}} for body in (before, after)]
        generation = before["metadata"].get("generation", 1) + (content[0] != content[1])
        self._version += 1
        after["metadata"] = {
            **after["metadata"],
            "generation": generation,
            "resourceVersion": str(self._version),
            "uid": before["metadata"]["uid"],
        }
        self.objects[key] = after
        self._tell("MODIFIED", key[0], after)
        return copy.deepcopy(after)

    def _tell(self, kind: str, plural: str, body: dict[str, Any]) -> None:
        self._version += kind == "DELETED"
        self._log.append((self._version, kind, plural, copy.deepcopy(body)))
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        loop.call_soon(lambda: loop.create_task(self._wake()))

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _valid(self, plural: str, body: dict[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        notes = body["metadata"].get("annotations") or {}
        if sum(len(key) + len(value) for key, value in notes.items()) > ANNOTATION_BYTES:
            raise Refused(422, "Invalid", "metadata.annotations: Too long: may not be more than 262144 bytes")
        if plural == "mcpservers":
            checked = fake_schema.defaulted(SCHEMA, copy.deepcopy(body))
            complaints = fake_schema.complaints(SCHEMA, checked)
            if complaints:
                raise Refused(422, "Invalid", f'MCPServer "{name}" is invalid: {"; ".join(complaints)}')
            return dict(checked)
        complaint = openapi.complaint(body)
        if complaint is not None:
            raise Refused(422, "Invalid", f'{body["kind"]} "{name}" is invalid: {complaint}')
        controllers = [owner for owner in body["metadata"].get("ownerReferences", ()) if owner.get("controller")]
        if len(controllers) > 1:
            raise Refused(422, "Invalid", "Only one reference can have Controller set to true")
        return body

    def _check_status(self, name: str, status: dict[str, Any]) -> None:
        """A spec that was stored before a rule came does not keep its status from being written (ratcheting)."""
        complaints = fake_schema.complaints(SCHEMA["properties"]["status"], status)
        if complaints:
            raise Refused(422, "Invalid", f'MCPServer "{name}" is invalid: {"; ".join(complaints)}')

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        try:
            instead = await self.mishap(request) if self.mishap else None
            return instead or await self._route(request)
        except Refused as error:
            body = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "message": error.message,
                "reason": error.reason,
                "code": error.code,
            }
            return web.json_response(body, status=error.code)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in {self.token, OPERATOR if self.allowed is not None else self.token}:
            raise Refused(401, "Unauthorized", "Unauthorized")
        words = request.path.strip("/").split("/")
        if words == ["version"]:
            return web.json_response({"major": "1", "minor": "36", "gitVersion": "v1.36.0"})
        if words == ["api"]:
            return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        if words == ["apis"]:
            groups = [
                {"name": name.split("/")[0], "versions": [version], "preferredVersion": version}
                for name in KINDS
                if "/" in name
                for version in [{"groupVersion": name, "version": name.split("/")[1]}]
            ]
            return web.json_response({"kind": "APIGroupList", "groups": groups})
        version = "/".join(words[1:2] if words[0] == "api" else words[1:3])
        rest = words[2:] if words[0] == "api" else words[3:]
        if version not in KINDS:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if not rest:
            return web.json_response(self._resources(version))
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = (*rest, "", "")[:3]
        if plural not in KINDS[version]:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        self._authorize(request, plural, name, subresource)
        if not name:
            return await self._collection(request, version, plural, namespace)
        return await self._object(request, plural, (plural, namespace, name), subresource)

    def _resources(self, version: str) -> dict[str, Any]:
        found = []
        for plural, kind in KINDS[version].items():
            entry = {
                "kind": kind,
                "singularName": kind.lower(),
                "namespaced": plural not in CLUSTER_WIDE,
                "verbs": VERBS,
            }
            found.append({"name": plural, **entry})
            if plural == "mcpservers":
                found.append({"name": f"{plural}/status", **entry})
        return {"kind": "APIResourceList", "groupVersion": version, "resources": found}

    def _authorize(self, request: web.Request, plural: str, name: str, subresource: str) -> None:
        verb = {"GET": "get" if name else "list", "PATCH": "patch", "POST": "create", "DELETE": "delete"}[
            request.method
        ]
        if "watch" in request.query:
            verb = "watch"
        resource = f"{plural}/{subresource}" if subresource else plural
        limits = self.allowed if request.headers["Authorization"].endswith(OPERATOR) else None
        if limits is not None:
            self.used.add((verb, resource))
        if (verb, resource) in self.denied or (limits is not None and (verb, resource) not in limits):
            raise Refused(
                403,
                "Forbidden",
                f'{resource} "{name}" is forbidden: User "system:serviceaccount:thv:thv-operator" cannot {verb} '
                f'resource "{resource}" in API group',
            )

    async def _collection(self, request: web.Request, version: str, plural: str, namespace: str) -> web.StreamResponse:
        def fits(body: dict[str, Any]) -> bool:
            labels = body["metadata"].get("labels", {})
            wanted = [term.split("=", 1) for term in request.query.get("labelSelector", "").split(",") if term]
            place = not namespace or body["metadata"].get("namespace") == namespace
            fields = [term.split("=", 1) for term in request.query.get("fieldSelector", "").split(",") if term]
            return (
                place
                and all(labels.get(name) == value for name, value in wanted)
                and all(_field(body, path) == value for path, value in fields)
            )

        if request.method == "POST":
            return web.json_response(self.create(plural, await request.json(), namespace), status=201)
        if "watch" in request.query:
            return await self._watch(request, plural, fits)
        items = [body for key, body in self.objects.items() if key[0] == plural and fits(body)]
        # As an API server does: the items of a list do not repeat the kind that the list has.
        bare = [{name: value for name, value in body.items() if name not in {"kind", "apiVersion"}} for body in items]
        meta = {"resourceVersion": str(self._version)}
        kind = KINDS[version][plural]
        return web.json_response({"kind": f"{kind}List", "apiVersion": version, "metadata": meta, "items": bare})

    async def _watch(self, request: web.Request, plural: str, fits: Any) -> web.StreamResponse:
        since = int(request.query.get("resourceVersion", "0") or 0)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        position = 0
        while True:
            async with self._news:
                while position >= len(self._log):
                    await self._news.wait()
            version, kind, whose, body = self._log[position]
            position += 1
            if whose == plural and version > since and fits(body):
                try:
                    await response.write(json.dumps({"type": kind, "object": body}).encode() + b"\n")
                except ConnectionResetError:  # whoever watched is gone
                    return response

    async def _object(self, request: web.Request, plural: str, key: Key, subresource: str) -> web.StreamResponse:
        current = self.objects.get(key)
        if request.method == "PATCH" and request.content_type == "application/apply-patch+yaml":
            return self._apply(request, plural, key, yaml.safe_load(await request.text()))
        if current is None:
            raise Refused(404, "NotFound", f'{plural} "{key[2]}" not found')
        if request.method == "DELETE":
            wish = await request.json() if request.can_read_body else {}
            uid = wish.get("preconditions", {}).get("uid")
            if uid not in {None, current["metadata"]["uid"]}:
                raise Refused(409, "Conflict", "the UID in the precondition does not match")
            self.delete(plural, key[2], key[1])
            return web.json_response({"kind": "Status", "status": "Success"})
        if request.method != "PATCH":
            return web.json_response(current)
        patch = await request.json()
        expected = patch.get("metadata", {}).get("resourceVersion")
        if expected not in {None, current["metadata"]["resourceVersion"]}:
            raise Refused(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        if plural == "mcpservers":
            part = {"status"} if subresource == "status" else set(patch) - {"status"}
            patch = {name: value for name, value in patch.items() if name in part}
        after = ssa.merged(current, patch)
        if subresource == "status":
            self._check_status(key[2], after["status"])
        else:
            after = self._valid(plural, after)
        return web.json_response(self._put(key, current, after))

    def _apply(self, request: web.Request, plural: str, key: Key, wanted: dict[str, Any]) -> web.StreamResponse:
        manager, force = request.query["fieldManager"], request.query.get("force") == "true"
        current = self.objects.get(key)
        owners = self.owners.setdefault(key, {})
        try:
            after, conflicts = ssa.applied(current or {}, owners, wanted, manager, force=force)
        except ValueError as error:
            raise Refused(422, "Invalid", str(error)) from None
        if conflicts:
            raise Refused(409, "Conflict", f"Apply failed with {len(conflicts)} conflicts: {'; '.join(conflicts)}")
        content = {name: value for name, value in after.items() if name != "status"}
        self._valid(plural, _writable(content))
        if current is None:
            return web.json_response(self._store(plural, after), status=201)
        return web.json_response(self._put(key, current, after))


def _field(body: dict[str, Any], path: str) -> Any:
    found: Any = body
    for name in path.split("."):
        found = found.get(name, "")
    return found


def _writable(body: dict[str, Any]) -> dict[str, Any]:
    """Without the metadata that the server itself writes, times above all, which its own schema cannot judge."""
    meta = {name: value for name, value in body["metadata"].items() if name != "creationTimestamp"}
    return {**body, "metadata": meta}
