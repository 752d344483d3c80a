"""The operator as a whole, where only the fake API server can make it happen: a kubelet's words, a lost permission."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.clocks import play_jumping
from tests.operator.clusters import User, fake, operator, to_the_fake
from tests.operator.servers import body
from tests.ports import free_port
from thv.operator import controller, names
from thv.operator.controller import PREFIX

if TYPE_CHECKING:
    from tests.operator.fake_api import FakeApi


def run(story: Any) -> None:
    async def main() -> None:
        async with fake() as (api, user):
            await story(api, user)

    asyncio.run(main())


def kubelet(api: FakeApi, name: str, **status: Any) -> None:
    """What a controller and a kubelet would say of the server's pod."""
    labels = {names.SERVER_LABEL: name, names.MANAGED_BY: names.FIELD_MANAGER}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-0", "labels": labels}, "status": status}
    if api.find("pods", f"{name}-0") is None:
        bare = {name: value for name, value in pod.items() if name != "status"}
        api.create("pods", {**bare, "spec": {"containers": [{"name": "mcp", "image": "i"}]}})
    api.change("pods", f"{name}-0", {"status": status})


def rolled_out(api: FakeApi, name: str) -> None:
    generation = (api.find("statefulsets", name) or {})["metadata"]["generation"]
    said = {"observedGeneration": generation, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
    api.change("statefulsets", name, {"status": {**said, "currentRevision": "a", "updateRevision": "a"}})


def phase(wanted: str) -> Any:
    return lambda found: found.get("status", {}).get("phase") == wanted


def test_the_status_follows_the_pod() -> None:
    async def story(api: FakeApi, user: User) -> None:
        async with operator(to_the_fake(api), "default"):
            api.create("mcpservers", body())
            await user.until("statefulsets", "files", lambda _: True)
            waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nope"'}
            kubelet(api, "files", containerStatuses=[{"name": "mcp", "state": {"waiting": waiting}}])
            failed = await user.until("mcpservers", "files", phase("Failed"))
            assert "Back-off pulling image" in failed["status"]["message"]
            kubelet(api, "files", containerStatuses=[{"name": "mcp", "state": {"running": {}}}])
            await user.until("mcpservers", "files", phase("Pending"))
            rolled_out(api, "files")
            await user.until("mcpservers", "files", phase("Ready"))
            api.change("statefulsets", "files", {"status": {"readyReplicas": 0}})
            await user.until("mcpservers", "files", phase("Pending"))

    run(story)


def test_a_permission_that_is_given_later_is_used() -> None:
    async def story(api: FakeApi, user: User) -> None:
        api.denied = {("patch", "services")}
        async with operator(to_the_fake(api), "default", resync=0.3):
            api.create("mcpservers", body())
            failed = await user.until("mcpservers", "files", phase("Failed"))
            assert "cannot patch resource" in failed["status"]["message"]
            api.denied = set()
            await user.until("mcpservers", "files", phase("Pending"))
            assert api.find("statefulsets", "files")

    run(story)


def test_nothing_is_written_while_nothing_changes() -> None:
    """Otherwise two operators, or one and its own events, would keep a cluster busy for ever."""

    async def story(api: FakeApi, user: User) -> None:
        async with operator(to_the_fake(api), "default", resync=0.1):
            api.create("mcpservers", body())
            await user.until("statefulsets", "files", lambda _: True)
            rolled_out(api, "files")
            await user.until("mcpservers", "files", phase("Ready"))

            def lists() -> int:
                return sum(path.endswith("/mcpservers") for _, path in api.requests)

            seen = lists()
            await asyncio.wait_for(_until(lambda: lists() >= seen + 3), 60)
            before = api._version
            await asyncio.wait_for(_until(lambda: lists() >= seen + 6), 60)
            assert api._version == before

    run(story)


async def _until(condition: Any) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.02)


def test_what_kopf_remembers_is_under_our_own_name() -> None:
    async def story(api: FakeApi, user: User) -> None:
        async with operator(to_the_fake(api), "default"):
            api.create("mcpservers", body())
            found = await user.until("mcpservers", "files", lambda each: each["metadata"].get("annotations"))
            assert all(name.startswith(PREFIX) for name in found["metadata"]["annotations"])
            assert "kopf" not in found.get("status", {})
            assert "finalizers" not in found["metadata"]

    run(story)


def test_only_pods_of_the_operator_are_asked_for() -> None:
    async def story(api: FakeApi, user: User) -> None:
        async with operator(to_the_fake(api)):  # cluster-wide
            api.create("mcpservers", body())
            await user.until("statefulsets", "files", lambda _: True)
        pods = [path for _, path in api.requests if "/pods" in path and "labelSelector" not in path]
        assert pods == []
        assert not [path for _, path in api.requests if "/secrets" in path]

    run(story)


def test_the_liveness_probe_is_answered() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        url = f"http://127.0.0.1:{free_port()}/healthz"
        async with operator(to_the_fake(api), "default", liveness=url), aiohttp.ClientSession() as session:
            async with asyncio.timeout(60):
                while True:
                    try:
                        async with session.get(url, headers={"Connection": "close"}) as response:
                            assert response.status == 200
                            return
                    except aiohttp.ClientConnectionError:
                        await asyncio.sleep(0.02)

    run(story)


def test_what_kopf_leaves_open_behind_its_cleanup_is_waited_for_a_second() -> None:
    async def story() -> None:
        clock, stopped = asyncio.get_running_loop().time, asyncio.Event()
        running = asyncio.create_task(asyncio.sleep(3600))
        leaving = asyncio.create_task(controller._until_it_ends(running, stopped))
        await asyncio.sleep(50)
        assert not leaving.done()
        stopped.set()
        cleaned_up = clock()
        await leaving
        assert clock() - cleaned_up == pytest.approx(1)
        with pytest.raises(asyncio.CancelledError):
            await running

    play_jumping(story())


def test_what_ends_kopf_ends_the_operator_with_its_reason() -> None:
    async def fail() -> None:
        raise LookupError("no cluster")

    async def story() -> None:
        with pytest.raises(LookupError, match="no cluster"):
            await controller._until_it_ends(asyncio.create_task(fail()), asyncio.Event())

    play_jumping(story())
