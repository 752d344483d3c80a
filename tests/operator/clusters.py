"""The clusters that the contract tests run against: the fake API server, and the real one of THV_TEST_KUBECONFIG.

Both are asked through the same few words, so that a test cannot tell them apart; what only the fake can do (take a
permission away, play the kubelet) is in tests that ask for the fake.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import kopf

from tests.operator.fake_api import FakeApi
from tests.operator.servers import OPTIONS
from thv.operator import names
from thv.operator.cluster_login import login
from thv.operator.controller import Run, operate
from thv.operator.kubernetes_api import ApiError, Cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from thv.operator.pod_settings import Options

REAL = os.environ.get("THV_TEST_KUBECONFIG", "")

KINDS = {
    "mcpservers": (names.API_VERSION, "MCPServer"),
    "statefulsets": ("apps/v1", "StatefulSet"),
    "deployments": ("apps/v1", "Deployment"),
    "services": ("v1", "Service"),
    "configmaps": ("v1", "ConfigMap"),
    "serviceaccounts": ("v1", "ServiceAccount"),
    "roles": ("rbac.authorization.k8s.io/v1", "Role"),
    "rolebindings": ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    "pods": ("v1", "Pod"),
}

PATIENCE = 60.0
POLL = 0.02


class User(Cluster):
    """Somebody at the API server with kubectl, in a namespace of their own."""

    def __init__(self, connect: Callable[[], kopf.ConnectionInfo], namespace: str) -> None:
        super().__init__(connect)
        self.namespace = namespace

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        plural = next(plural for plural, kind in KINDS.items() if kind == (body["apiVersion"], body["kind"]))
        return await self._ask("POST", self._collection(plural), body)

    async def patch(self, plural: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        where = f"{self._collection(plural)}/{name}?fieldManager=somebody"
        return await self._ask("PATCH", where, patch, kind="application/merge-patch+json")

    async def remove(self, plural: str, name: str) -> None:
        await self._ask("DELETE", f"{self._collection(plural)}/{name}")

    async def find(self, plural: str, name: str) -> dict[str, Any] | None:
        return await self.get(KINDS[plural], self.namespace, name)

    async def until(self, plural: str, name: str, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait until the object is there and `condition` holds of it."""
        found = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    found = await self.find(plural, name)
                    if found is not None and condition(found):
                        return found
                    await asyncio.sleep(POLL)
        except TimeoutError:
            raise AssertionError(f"{plural} {name} never became what it should: {found}") from None

    async def until_gone(self, plural: str, name: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                if await self.find(plural, name) is None:
                    return
                await asyncio.sleep(POLL)

    def _collection(self, plural: str) -> str:
        version = KINDS[plural][0]
        root = f"apis/{version}" if "/" in version else f"api/{version}"
        return f"{root}/namespaces/{self.namespace}/{plural}"


def to_the_fake(api: FakeApi, token: str = "") -> Callable[[], kopf.ConnectionInfo]:
    return lambda: kopf.ConnectionInfo(server=api.url, token=token or api.token)


@asynccontextmanager
async def fake() -> AsyncIterator[tuple[FakeApi, User]]:
    async with FakeApi() as api, User(to_the_fake(api), "default") as user:
        yield api, user


@asynccontextmanager
async def cluster(kind: str) -> AsyncIterator[tuple[Callable[[], kopf.ConnectionInfo], User]]:
    """A way to connect, and somebody who has; the namespace is gone afterwards."""
    if kind == "fake":
        async with fake() as (api, user):
            yield to_the_fake(api), user
        return
    os.environ["KUBECONFIG"] = REAL
    namespace = f"thv-test-{uuid.uuid4().hex[:8]}"
    async with User(login, namespace) as user:
        await user._ask("POST", "api/v1/namespaces", {"metadata": {"name": namespace}})
        try:
            yield login, user
        finally:
            await user._ask("DELETE", f"api/v1/namespaces/{namespace}")


@asynccontextmanager
async def operator(
    connect: Callable[[], kopf.ConnectionInfo],
    *namespaces: str,
    options: Options = OPTIONS,
    resync: float = 3600,
    liveness: str = "",
) -> AsyncIterator[None]:
    """The operator as `thv operator run` runs it, in a thread with a loop of its own, until the block ends."""
    stop, ready = threading.Event(), threading.Event()
    run = Run(options, namespaces, resync, liveness)

    def work() -> None:
        try:
            asyncio.run(operate(run, connect=connect, stop=stop, ready=ready))
        finally:
            ready.set()

    task = asyncio.create_task(asyncio.to_thread(work))
    await asyncio.to_thread(ready.wait)
    try:
        yield
    finally:
        stop.set()
        await task


__all__ = ["KINDS", "REAL", "ApiError", "User", "cluster", "fake", "operator", "to_the_fake"]
