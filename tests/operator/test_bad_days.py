"""An API server that fails, and other clients that interfere: the operator neither stops, nor hangs, nor does harm."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.operator.clusters import User, fake, operator, to_the_fake
from tests.operator.servers import OPTIONS, body
from thv.operator import kubernetes_api as api_module
from thv.operator.kubernetes_api import CONFLICT, ApiError, Cluster
from thv.operator.reconcile import CONFLICTS, Reconciler

if TYPE_CHECKING:
    from tests.operator.fake_api import FakeApi


def run(story: Any) -> None:
    async def main() -> None:
        async with fake() as (api, user):
            await story(api, user)

    asyncio.run(main())


async def reconcile(api: FakeApi) -> None:
    async with Cluster(to_the_fake(api)) as cluster:
        await Reconciler(cluster, OPTIONS).reconcile("default", "files")


def is_about_objects(request: web.Request) -> bool:
    """Whether it is a request of ours, and none of kopf's, which has its own way with bad days."""
    return "/files" in request.path


def has_status(found: dict[str, Any]) -> bool:
    return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])


NONSENSE = [b"", b"nonsense", b"<html>Sign in</html>", b"[]", b"null", b"3", b"{}", b'{"metadata": 1}', b"[" * 100_000]


@pytest.mark.parametrize("text", NONSENSE, ids=lambda text: text[:20].decode() or "nothing")
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_makes_no_sense_is_an_error_that_may_pass(text: bytes, status: int) -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())

        async def mishap(_: web.Request) -> web.StreamResponse:
            return web.Response(body=text, status=status)

        api.mishap = mishap
        async with Cluster(to_the_fake(api)) as cluster:
            with pytest.raises(ApiError) as caught:
                await Reconciler(cluster, OPTIONS).reconcile("default", "files")
            assert caught.value.may_pass
            with pytest.raises(ApiError):
                await Reconciler(cluster, OPTIONS).reconcile_all(())
        api.mishap = None
        await reconcile(api)
        assert api.find("statefulsets", "files")

    run(story)


def test_an_api_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "SECONDS", 0.2)

    async def story(api: FakeApi, _user: User) -> None:
        async def mishap(_: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        api.mishap = mishap
        with pytest.raises(ApiError, match="cannot be reached") as caught:
            await reconcile(api)
        assert caught.value.may_pass

    run(story)


@pytest.mark.parametrize(
    ("status", "text"),
    [(429, '{"message": "too many requests", "reason": "TooManyRequests"}'), (503, "no healthy upstream"), (200, "?")],
)
def test_a_bad_minute_is_made_up_for(status: int, text: str) -> None:
    """Fails where the objects never come about: `user.until` raises."""

    async def story(api: FakeApi, user: User) -> None:
        left, over = 40, asyncio.Event()

        async def mishap(request: web.Request) -> web.StreamResponse | None:
            nonlocal left
            if left and is_about_objects(request):
                left -= 1
                if not left:
                    over.set()
                return web.Response(text=text, status=status)
            return None

        api.mishap = mishap
        async with operator(to_the_fake(api), "default", resync=0.1):
            await user.create(body())
            await asyncio.wait_for(over.wait(), 60)
            await user.until("mcpservers", "files", has_status)
            await user.until("statefulsets", "files", lambda _: True)

    run(story)


def test_conflicts_that_never_end_are_an_error_and_no_endless_loop() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())
        tries = 0

        async def mishap(request: web.Request) -> web.StreamResponse | None:
            nonlocal tries
            if not request.path.endswith("/status"):
                return None
            tries += 1
            return web.json_response({"message": "modified", "reason": "Conflict"}, status=CONFLICT)

        api.mishap = mishap
        with pytest.raises(ApiError, match="modified") as caught:
            await reconcile(api)
        assert caught.value.may_pass
        assert tries == CONFLICTS

    run(story)


def test_a_watch_that_is_too_old_is_begun_anew() -> None:
    """Fails where the new server is never noticed: `user.until` raises."""

    async def story(api: FakeApi, user: User) -> None:
        told, enough = 0, asyncio.Event()

        async def mishap(request: web.Request) -> web.StreamResponse | None:
            nonlocal told
            if enough.is_set() or "watch" not in request.query or "/mcpservers" not in request.path:
                return None
            told += 1
            if told == 4:
                enough.set()
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            return web.Response(text=json.dumps({"type": "ERROR", "object": gone}) + "\n")

        api.mishap = mishap
        async with operator(to_the_fake(api), "default"):
            await asyncio.wait_for(enough.wait(), 60)
            await user.create(body())
            await user.until("mcpservers", "files", has_status)

    run(story)


def test_the_last_of_many_quick_changes_is_what_stays() -> None:
    """Fails where another state stays: `user.until` raises."""

    async def story(api: FakeApi, user: User) -> None:
        async with operator(to_the_fake(api), "default"):
            await user.create(body())
            for port in range(8081, 8122):
                shape = (
                    {"transport": "sse", "mcpPort": 9000} if port % 3 == 0 else {"transport": "stdio", "mcpPort": None}
                )
                await user.patch("mcpservers", "files", {"spec": {"port": port, **shape}})
            await user.until("services", "files", lambda found: found["spec"]["ports"][0]["port"] == 8121)
            await user.until("deployments", "files", lambda _: True)
            for plural in ("statefulsets", "roles", "rolebindings"):
                await user.until_gone(plural, "files")
            await user.until("mcpservers", "files", has_status)

    run(story)


def test_two_operators_by_mistake_come_to_rest() -> None:
    """Fails where they go on changing objects: the time limit raises."""

    async def story(api: FakeApi, user: User) -> None:
        connect = to_the_fake(api)
        async with operator(connect, "default", resync=0.1), operator(connect, "default", resync=0.1):
            for number in range(3):
                await user.create(body(f"files-{number}"))
            for number in range(3):
                await user.until("mcpservers", f"files-{number}", has_status)

            def rounds() -> int:
                return sum(path.endswith("/mcpservers") for _, path in api.requests)

            async def more(count: int) -> None:
                seen = rounds()
                async with asyncio.timeout(60):
                    while rounds() < seen + count:  # noqa: ASYNC110  what the operators do is seen from outside
                        await asyncio.sleep(0.02)

            async with asyncio.timeout(60):
                before = -1
                while before != api._version:  # what kopf notes about each object is soon written
                    before = api._version
                    await more(8)

    run(story)
