"""Brings the cluster to what an MCPServer says, and the MCPServer's status to what the cluster says.

Promises: `reconcile` may be called at any time, any number of times, by anyone, also at once; it reads everything anew,
changes only objects that belong to the MCPServer, and puts whatever hinders it into the status. Knows nothing of kopf.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from thv.errors import ThvError
from thv.operator import names
from thv.operator.applied import AppliedObjects
from thv.operator.kubernetes_api import CONFLICT, FORBIDDEN, NOT_FOUND, ApiError
from thv.operator.logs import Facts
from thv.operator.mcpserver_spec import SpecError, read
from thv.operator.pod_settings import usage_analytics
from thv.operator.resources import leftovers, manifests, workload
from thv.operator.status import Observed, Problem, invalid, status, terminating

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from thv.operator.kubernetes_api import Cluster
    from thv.operator.mcpserver_spec import DeploymentMode, McpServerSpec
    from thv.operator.pod_settings import Options

logger = logging.getLogger("thv.operator")

MCP_SERVER = (names.API_VERSION, names.KIND)
POD = ("v1", "Pod")
EVENT = ("v1", "Event")

MAX_CONCURRENT = 8
"""Servers worked on at the same time: the API server's fairness gives one client about this many seats."""

FULL_ROUND = 10
"""Every so many rounds everything is applied, known or not: a watch that was down does not tell what was deleted."""

CONFLICTS = 5
"""How often a status is written anew because another client, such as kopf, changed the object in between."""


class NotOursError(ThvError):
    """An object of this name has another owner; it is not changed.

    Attributes:
        may_pass: it is about to go by itself.
    """

    def __init__(self, message: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class Reconciler:
    """Works on one server at a time per name, and on a few names at once."""

    def __init__(self, cluster: Cluster, options: Options, *, now: Callable[[], datetime] | None = None) -> None:
        self._cluster = cluster
        self._options = options
        self._now = now or (lambda: datetime.now(UTC))
        self.facts = Facts(logger)
        self._children = AppliedObjects()
        self._without_leftovers: set[tuple[str, str, DeploymentMode]] = set()
        self._rounds = 0
        self._seats = asyncio.Semaphore(MAX_CONCURRENT)
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._waiting: set[tuple[str, str, bool]] = set()

    async def reconcile(self, namespace: str, name: str) -> None:
        """Bring everything of one MCPServer to what its spec says, then say in its status how it is.

        Raises:
            ApiError: the API server refused something that may succeed later; the status says so as well, if it could.
        """
        async with self._turn(namespace, name, apply=True) as is_ours:
            if is_ours:
                await self._work(namespace, name, apply=True)

    async def refresh(self, namespace: str, name: str) -> None:
        """Say in the status of one MCPServer how it is.

        Raises:
            ApiError: as for `reconcile`.
        """
        async with self._turn(namespace, name, apply=False) as is_ours:
            if is_ours:
                await self._work(namespace, name, apply=False)

    async def reconcile_all(self, namespaces: tuple[str, ...]) -> None:
        """Reconcile every MCPServer in `namespaces`, everywhere if there are none; one that fails stops no other.

        Raises:
            ApiError: the MCPServers cannot be listed.
        """
        is_full = self._rounds % FULL_ROUND == 0
        self._rounds += 1
        for namespace in namespaces or (None,):
            found = await self._cluster.list(MCP_SERVER, namespace)
            keys = [(body["metadata"]["namespace"], body["metadata"]["name"]) for body in found]
            if is_full:
                for key in keys:
                    self._forget(*key)
            done = await asyncio.gather(*(self.reconcile(*key) for key in keys), return_exceptions=True)
            for key, failure in zip(keys, done, strict=True):
                self.facts.tell("/".join(key), failure)

    def has_drifted(self, kind: str, body: Mapping[str, Any], *, deleted: bool) -> bool:
        """Whether a child is not what was applied any more; then the next `reconcile` applies it again."""
        return self._children.has_drifted(kind, body, deleted=deleted)

    def _forget(self, namespace: str, name: str) -> None:
        self._children.forget(namespace, name)
        self._without_leftovers = {each for each in self._without_leftovers if each[:2] != (namespace, name)}

    @asynccontextmanager
    async def _turn(self, namespace: str, name: str, *, apply: bool) -> AsyncIterator[bool]:
        """Acquire this server's lock; yields False if an identical request is already queued."""
        key = (namespace, name, apply)
        if key in self._waiting:
            yield False
            return
        lock = self._locks.setdefault((namespace, name), asyncio.Lock())
        self._waiting.add(key)
        try:
            await lock.acquire()
        finally:
            self._waiting.discard(key)
        try:
            async with self._seats:
                yield True
        finally:
            lock.release()
            if not any((namespace, name, kind) in self._waiting for kind in (True, False)):
                self._locks.pop((namespace, name), None)

    async def _work(self, namespace: str, name: str, *, apply: bool) -> None:
        body = await self._cluster.get(MCP_SERVER, namespace, name)
        if body is None:
            return
        if body["metadata"].get("deletionTimestamp"):
            await self._write_status(body, terminating)
            return
        try:
            server = read(body)
            wanted = manifests(server, self._options)
        except SpecError as error:
            problem = Problem("InvalidSpec", str(error))
        except Exception as error:  # what an object holds must neither stop the operator nor stay without a word
            logger.exception("%s/%s cannot be understood", namespace, name)
            problem = Problem("InvalidSpec", f"the operator does not understand this spec: {error!r}")
        else:
            await self._apply_and_report(server, body, wanted if apply else None)
            return
        await self._write_status(body, lambda newest: invalid(newest, problem, self._time()))

    async def _apply_and_report(
        self, server: McpServerSpec, body: dict[str, Any], wanted: list[dict[str, Any]] | None
    ) -> None:
        """Apply what is wanted, if anything is, and say how the server is."""
        refused, failure = (None, None) if wanted is None else await self._applied(server, wanted)
        try:
            observed = replace(await self._observe(server), refused=refused)
        except ApiError as error:
            failure = failure or error
            observed = Observed(refused=refused or Problem(error.reason, _explained(error)))
        enabled = usage_analytics(server, self._options)

        def newest(latest: Mapping[str, Any]) -> dict[str, Any]:
            before = latest.get("status") or {}
            return status(server, observed, usage_analytics=enabled, before=before, now=self._time())

        await self._write_status(body, newest)
        if failure is not None:
            raise failure

    async def _applied(
        self, server: McpServerSpec, wanted: list[dict[str, Any]]
    ) -> tuple[Problem | None, ApiError | None]:
        """Why the cluster could not be brought to what `server` says, and what may be tried again."""
        try:
            await self._apply(server, wanted)
        except NotOursError as error:
            problem = Problem("NameTaken", str(error))
            return problem, ApiError(str(error), status=CONFLICT, reason=problem.reason) if error.may_pass else None
        except ApiError as error:
            return Problem(error.reason, _explained(error)), error
        return None, None

    async def _apply(self, server: McpServerSpec, wanted: list[dict[str, Any]]) -> None:
        for manifest in wanted:
            if self._children.is_current(manifest):
                continue
            kind = (manifest["apiVersion"], manifest["kind"])
            found = await self._cluster.get(kind, server.namespace, server.name)
            if found is not None and not _is_owned(found, server.uid):
                raise _not_ours(kind[1], server.name, found)
            self._children.remember(manifest, await self._cluster.apply(manifest))
        key = (server.namespace, server.name, server.shape)
        if key in self._without_leftovers:
            return
        for kind in leftovers(server):
            found = await self._cluster.get(kind, server.namespace, server.name)
            if found is not None and _is_owned(found, server.uid):
                uid = found["metadata"]["uid"]
                await self._cluster.delete(kind, server.namespace, server.name, uid=uid)
        self._without_leftovers = {each for each in self._without_leftovers if each[:2] != key[:2]} | {key}

    async def _observe(self, server: McpServerSpec) -> Observed:
        wanted = workload(server, self._options)
        kind = (wanted["apiVersion"], wanted["kind"])
        found = self._children.workload(wanted) or await self._cluster.get(kind, server.namespace, server.name)
        label = f"{names.SERVER_LABEL}={server.name}"
        pods = await self._cluster.list(POD, server.namespace, label=label)
        if found is None:
            self._forget(server.namespace, server.name)
        events = await self._refusals(server, found) if found is not None and not pods else []
        return Observed(found, pods, events=events)

    async def _refusals(self, server: McpServerSpec, workload: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The events of a workload without pods: where a StatefulSet says why its pod may not be created."""
        fields = f"involvedObject.uid={workload['metadata']['uid']},type=Warning"
        try:
            return await self._cluster.list(EVENT, server.namespace, fields=fields)
        except ApiError as error:
            if error.status == FORBIDDEN:  # an older role; the status is then as bare as it was
                return []
            raise

    async def _write_status(self, body: dict[str, Any], make: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        """Write the status that `make` makes of the object's newest form, if it is another one."""
        for _ in range(CONFLICTS):
            wanted = make(body)
            if wanted == body.get("status"):
                return
            try:
                await self._cluster.put_status(body, wanted)
            except ApiError as error:
                if error.status == NOT_FOUND:
                    return  # deleted while we worked
                if error.status != CONFLICT:
                    raise
                conflict = error
            else:
                return
            meta = body["metadata"]
            newer = await self._cluster.get(MCP_SERVER, meta["namespace"], meta["name"])
            # A newer spec has an event of its own, which says how that one is.
            if newer is None or newer["metadata"]["uid"] != meta["uid"]:
                return
            body = newer
        raise conflict

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_owned(found: Mapping[str, Any], uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in found["metadata"].get("ownerReferences") or ())


def _not_ours(kind: str, name: str, found: Mapping[str, Any]) -> NotOursError:
    meta = found["metadata"]
    before = any(
        (owner.get("kind"), owner.get("name")) == (names.KIND, name) for owner in meta.get("ownerReferences") or ()
    )
    if before or meta.get("deletionTimestamp"):
        return NotOursError(f"the {kind} {name} of before is still being deleted", may_pass=True)
    return NotOursError(
        f"the {kind} {name} belongs to another owner and is left as it is; "
        f"delete it, or call this {names.KIND} otherwise",
        may_pass=False,
    )


def _explained(error: ApiError) -> str:
    if error.status == FORBIDDEN:
        return f"the operator may not do what this needs: {error}; compare its role with deploy/kustomize"
    return str(error)
