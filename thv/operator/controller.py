"""Runs the operator: kopf watches, `reconcile` works.

Promises: no finalizer is ever put on an object, so that nothing hangs when the operator is gone; no handler's result
goes into a status; what kopf must remember stands in annotations under our own prefix. One replica only.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import kopf

from thv.operator import names
from thv.operator.applied import WORKLOADS
from thv.operator.cluster_login import login
from thv.operator.kubernetes_api import FORBIDDEN, PLURALS, ApiError, Cluster
from thv.operator.reconcile import Reconciler

if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable, Iterable

    from thv.operator.pod_settings import Options

logger = logging.getLogger("thv.operator")

PREFIX = f"kopf.{names.GROUP}"
"""Before the slash in the annotations in which kopf keeps what it has handled."""

INACTIVITY_SECONDS = 70.0
SERVER_SECONDS = 300
CLIENT_SECONDS = 330
"""A watch without even a bookmark (one a minute) is dead. The server ends each watch, and the client if that fails."""

RETRY_SECONDS = 15.0
"""After a refusal that may be temporary or can be lifted, such as a missing permission."""

EXIT_SECONDS = 5.0
"""After the signal, kopf kills its own process."""

LEAVE_SECONDS = 1.0
"""After cleanup, the last thing that kopf does. If told to end while it logs in or looks for resources, kopf would wait
forever for credentials that nothing provides any more."""

WATCHED = (
    ("apps", "v1", "statefulsets"),
    ("apps", "v1", "deployments"),
    ("", "v1", "pods"),
    ("", "v1", "configmaps"),
    ("", "v1", "services"),
    ("", "v1", "serviceaccounts"),
    ("rbac.authorization.k8s.io", "v1", "roles"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings"),
)
"""What is made for servers. Watching it is cheaper than asking for it in every round."""

KINDS = {plural: kind for kind, plural in PLURALS.items()}

ROUND = "the round over all servers"

DELETED = "DELETED"

OWNED: dict[str, str | Any] = {names.MANAGED_BY: names.FIELD_MANAGER, names.SERVER_LABEL: kopf.PRESENT}


@dataclass(frozen=True, slots=True)
class Run:
    """How one operator runs.

    Attributes:
        options: what holds for every server.
        namespaces: where to look for MCPServers; everywhere if empty.
        resync: seconds between two rounds over all of them, which repair what no event tells.
        liveness: where a liveness probe may ask, as ``http://0.0.0.0:8080/healthz``; nowhere if empty.
    """

    options: Options
    namespaces: tuple[str, ...] = ()
    resync: float = 120.0
    liveness: str = ""


async def operate(
    run: Run,
    *,
    connect: Callable[[], kopf.ConnectionInfo] = login,
    stop: asyncio.Event | threading.Event | None = None,
    ready: asyncio.Event | threading.Event | None = None,
) -> None:
    """Run the operator until `stop` is set or a signal ends it.

    Raises:
        ThvError: there is no cluster to talk to.
    """
    async with Cluster(connect) as cluster:
        handlers = _Handlers(Reconciler(cluster, run.options), run)
        running = asyncio.create_task(
            kopf.operator(
                registry=_registry(handlers, connect),
                settings=_settings(run),
                standalone=True,
                clusterwide=not run.namespaces,
                namespaces=run.namespaces,
                liveness_endpoint=run.liveness or None,
                stop_flag=stop,
                ready_flag=ready,
            )
        )
        await _until_it_ends(running, handlers.stopped)


async def _until_it_ends(running: asyncio.Task[None], stopped: asyncio.Event) -> None:
    """Wait for kopf, but not for what it leaves open behind its cleanup."""
    cleanup = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({running, cleanup}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({running}, timeout=LEAVE_SECONDS)
        if running.done():
            await running
    finally:
        cleanup.cancel()
        running.cancel()


def _settings(run: Run) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=PREFIX)
    settings.persistence.diffbase_storage = SpecDigestStorage(prefix=PREFIX)
    settings.watching.inactivity_timeout = INACTIVITY_SECONDS
    settings.watching.server_timeout = SERVER_SECONDS
    settings.watching.client_timeout = CLIENT_SECONDS
    for kind in WATCHED:  # asked of the API server: all other pods stay where they are
        settings.watching.label_selectors[kind] = f"{names.MANAGED_BY}={names.FIELD_MANAGER}"
    settings.process.ultimate_exiting_timeout = EXIT_SECONDS
    # Namespaces by name are there or not: watching for new ones, or for definitions, would need rights in the cluster.
    settings.scanning.disabled = bool(run.namespaces)
    settings.posting.enabled = False  # the status tells it all, and stays
    return settings


class SpecDigestStorage(kopf.AnnotationsDiffBaseStorage):
    """Remembers the digest of the last handled spec in place of the spec.

    The API server refuses annotations of more than 256 KiB in all; a spec may have more.
    """

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> Any:
        """What of an object is remembered, and compared with what it is later."""
        essence: Any = super().build(body=body, extra_fields=extra_fields)
        spec = json.dumps(essence.get("spec"), sort_keys=True, default=str)
        return {"spec": {"sha256": hashlib.sha256(spec.encode()).hexdigest()}}


class _Handlers:
    """What is done when kopf tells of something."""

    def __init__(self, reconciler: Reconciler, run: Run) -> None:
        self._reconciler = reconciler
        self._run = run
        self._rounds: asyncio.Task[None] | None = None
        self.stopped = asyncio.Event()

    async def start(self, **_: Any) -> None:
        self._rounds = asyncio.create_task(self._resync())

    async def stop(self, **_: Any) -> None:
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)
        self.stopped.set()

    async def server_changed(self, *, namespace: str | None, name: str, **_: Any) -> None:
        try:
            await self._reconciler.reconcile(namespace or "", name)
        except ApiError as error:
            if error.is_namespace_ending:
                return
            if error.may_pass or error.status == FORBIDDEN:
                raise kopf.TemporaryError(str(error), delay=RETRY_SECONDS) from error
            # The same again would be refused again; the status says why, and each round tries it once more.
            raise kopf.PermanentError(str(error)) from error

    async def child_changed(self, *, type: str, body: Any, resource: Any, namespace: str | None, **_: Any) -> None:  # noqa: A002  kopf's name
        """A child that is not as it was applied is repaired; a workload's status is read."""
        kind, name = KINDS[resource.plural], body["metadata"]["labels"][names.SERVER_LABEL]
        if self._reconciler.has_drifted(kind, body, deleted=type == DELETED):
            await self._quietly(self._reconciler.reconcile(namespace or "", name), f"{namespace}/{name}")
        elif kind in WORKLOADS:
            await self._quietly(self._reconciler.refresh(namespace or "", name), f"{namespace}/{name}")

    async def pod_changed(self, *, body: Any, namespace: str | None, **_: Any) -> None:
        name = body["metadata"]["labels"][names.SERVER_LABEL]
        await self._quietly(self._reconciler.refresh(namespace or "", name), f"{namespace}/{name}")

    async def _quietly(self, work: Awaitable[None], about: str) -> None:
        """An event is not repeated; what fails now is in the status, and done again in the next round."""
        failure: Exception | None = None
        try:
            await work
        except Exception as error:  # noqa: BLE001  one object, or one answer, must not end the rounds
            failure = error
        if not (isinstance(failure, ApiError) and failure.is_namespace_ending):
            self._reconciler.facts.tell(about, failure)

    async def _resync(self) -> None:
        while True:
            await self._quietly(self._reconciler.reconcile_all(self._run.namespaces), ROUND)
            await asyncio.sleep(self._run.resync)


def _registry(handlers: _Handlers, connect: Callable[[], kopf.ConnectionInfo]) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    def log_in(**_: Any) -> kopf.ConnectionInfo:
        return connect()

    kopf.on.login(registry=registry)(log_in)
    kopf.on.startup(registry=registry)(handlers.start)
    kopf.on.cleanup(registry=registry)(handlers.stop)
    ours = (names.GROUP, names.VERSION, names.PLURAL)
    kopf.on.create(*ours, id="reconcile", registry=registry)(handlers.server_changed)
    kopf.on.resume(*ours, id="reconcile", registry=registry)(handlers.server_changed)
    kopf.on.update(*ours, field="spec", id="reconcile", registry=registry)(handlers.server_changed)
    for kind in WATCHED:
        changed = handlers.pod_changed if kind[-1] == "pods" else handlers.child_changed
        kopf.on.event(*kind, labels=OWNED, registry=registry)(changed)
    return registry
