"""Reconciling makes the cluster match an MCPServer, reports what prevents that, and leaves others' objects alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.operator.clusters import User, fake, to_the_fake
from tests.operator.fake_api import FakeApi
from tests.operator.servers import OPTIONS, SPECS, body
from thv.operator.kubernetes_api import ApiError, Cluster
from thv.operator.names import SERVER_LABEL
from thv.operator.reconcile import FULL_ROUND, Reconciler
from thv.operator.resources import SOMETIMES

WORKLOAD = {"attach": "statefulsets", "wrap": "deployments", "proxy": "deployments"}


async def reconciled(api: FakeApi, name: str = "files", times: int = 1) -> dict[str, Any]:
    async with Cluster(to_the_fake(api)) as cluster:
        for _ in range(times):
            await Reconciler(cluster, OPTIONS).reconcile("default", name)
    status: dict[str, Any] = (api.find("mcpservers", name) or {}).get("status", {})
    return status


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(each for each in status["conditions"] if each["type"] == kind)


def run(story: Any) -> None:
    async def main() -> None:
        async with fake() as (api, user):
            await story(api, user)

    asyncio.run(main())


@pytest.mark.parametrize("shape", SPECS)
def test_everything_a_server_needs_is_made(shape: str) -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body(**SPECS[shape]))
        status = await reconciled(api)
        assert status["phase"] == "Pending"
        assert status["usageAnalyticsEnabled"] is (shape != "proxy")
        for plural in ("configmaps", "services", WORKLOAD[shape]):
            assert api.find(plural, "files"), plural
        assert bool(api.find("roles", "files")) == (shape == "attach")

    run(story)


def test_doing_it_again_changes_nothing() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())
        await reconciled(api)
        before = {key: value["metadata"]["resourceVersion"] for key, value in api.objects.items()}
        await reconciled(api, times=3)
        assert {key: value["metadata"]["resourceVersion"] for key, value in api.objects.items()} == before

    run(story)


@pytest.mark.parametrize(
    ("first", "second"), [("attach", "proxy"), ("proxy", "attach"), ("attach", "wrap"), ("wrap", "attach")]
)
def test_a_change_of_shape_leaves_nothing_of_the_old_one(first: str, second: str) -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body(**SPECS[first]))
        await reconciled(api)
        api.objects["mcpservers", "default", "files"]["spec"] = body(**SPECS[second])["spec"]
        await reconciled(api)
        kinds = {kind.lower() + "s" for _, kind in SOMETIMES}
        left = {plural for plural in kinds if api.find(plural, "files")}
        assert left == ({"statefulsets", "roles", "rolebindings"} if second == "attach" else {"deployments"})

    run(story)


def test_a_field_that_is_no_longer_asked_for_goes() -> None:
    async def story(api: FakeApi, user: User) -> None:
        api.create("mcpservers", body(env=[{"name": "A", "value": "1"}], args=["x"]))
        await reconciled(api)
        await user.patch("mcpservers", "files", {"spec": {"env": None, "args": None}})
        await reconciled(api)
        pod = (api.find("statefulsets", "files") or {})["spec"]["template"]["spec"]
        assert not {"env", "args"} & pod["containers"][0].keys()

    run(story)


def test_what_somebody_else_put_beside_ours_stays() -> None:
    """`kubectl rollout restart` is how a rotated secret gets into a pod: the next round must not undo it."""

    async def story(api: FakeApi, user: User) -> None:
        api.create("mcpservers", body())
        await reconciled(api)
        restart = {"kubectl.kubernetes.io/restartedAt": "now"}
        template = {"template": {"metadata": {"annotations": restart}}}
        await user.patch("statefulsets", "files", {"spec": template})
        await reconciled(api)
        found = (api.find("statefulsets", "files") or {})["spec"]["template"]["metadata"]["annotations"]
        assert restart.items() <= found.items()

    run(story)


def test_what_somebody_else_changed_of_ours_is_put_right() -> None:
    async def story(api: FakeApi, user: User) -> None:
        api.create("mcpservers", body())
        await reconciled(api)
        await user.patch("services", "files", {"spec": {"selector": {"app": "evil"}}})
        await user.patch("statefulsets", "files", {"spec": {"replicas": 3}})
        await user.remove("configmaps", "files")
        await reconciled(api)
        assert (api.find("statefulsets", "files") or {})["spec"]["replicas"] == 1
        selector = (api.find("services", "files") or {})["spec"]["selector"]
        assert selector["toolhive.stacklok.dev/mcpserver"] == "files"
        assert api.find("configmaps", "files")

    run(story)


def test_an_object_of_somebody_else_is_left_alone_and_named() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        spec = {"selector": {"app": "shop"}, "ports": [{"port": 80}]}
        theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "files"}, "spec": spec}
        api.create("services", theirs)
        api.create("mcpservers", body())
        status = await reconciled(api)
        assert (api.find("services", "files") or {})["spec"] == spec
        assert status["phase"] == "Failed"
        degraded = condition(status, "Degraded")
        assert degraded["reason"] == "NameTaken"
        assert "Service files belongs to another owner" in degraded["message"]

    run(story)


NEEDED = [
    ("patch", "services"),
    ("patch", "configmaps"),
    ("patch", "serviceaccounts"),
    ("patch", "roles"),
    ("patch", "rolebindings"),
    ("patch", "statefulsets"),
    ("get", "services"),
    ("list", "pods"),
]


@pytest.mark.parametrize("missing", NEEDED, ids=" ".join)
def test_a_missing_permission_is_a_condition_until_it_is_given(missing: tuple[str, str]) -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())
        api.denied = {missing}
        with pytest.raises(ApiError, match="forbidden"):
            await reconciled(api)
        status = (api.find("mcpservers", "files") or {})["status"]
        degraded = condition(status, "Degraded")
        assert (degraded["status"], degraded["reason"]) == ("True", "Forbidden")
        assert f"cannot {missing[0]} resource" in degraded["message"]
        assert missing[1] in degraded["message"]
        assert condition(status, "Ready")["status"] == "False"
        api.denied = set()
        status = await reconciled(api)
        assert condition(status, "Degraded")["status"] == "False"

    run(story)


def test_a_status_written_by_two_at_once_is_the_newest() -> None:
    async def story(api: FakeApi, user: User) -> None:
        api.create("mcpservers", body())
        async with Cluster(to_the_fake(api)) as cluster:
            reconciler = Reconciler(cluster, OPTIONS)
            work = [reconciler.reconcile("default", "files") for _ in range(5)]
            others = [
                user.patch("mcpservers", "files", {"metadata": {"annotations": {"n": str(n)}}}) for n in range(20)
            ]
            await asyncio.gather(*work, *others)
        found = api.find("mcpservers", "files") or {}
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"]

    run(story)


def test_a_spec_that_the_definition_should_have_refused_is_told_and_nothing_is_made() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())
        api.objects["mcpservers", "default", "files"]["spec"] |= {"transport": "sse"}
        status = await reconciled(api)
        assert condition(status, "Degraded")["reason"] == "InvalidSpec"
        assert "mcpPort" in status["message"]
        assert api.find("services", "files") is None

    run(story)


def test_a_server_that_is_being_deleted_is_let_go() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())
        await reconciled(api)
        api.change("mcpservers", "files", {"metadata": {"deletionTimestamp": "2026-11-22T00:00:00Z"}})
        api.delete("services", "files")
        status = await reconciled(api)
        assert status["phase"] == "Terminating"
        assert api.find("services", "files") is None

    run(story)


def test_a_server_that_is_gone_is_no_error() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        assert await reconciled(api) == {}

    run(story)


def test_a_renewed_token_is_picked_up() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())
        async with Cluster(to_the_fake(api)) as cluster:
            api.token = "second"
            await Reconciler(cluster, OPTIONS).reconcile("default", "files")
        assert api.find("statefulsets", "files")

    run(story)


def test_an_api_server_that_is_away_is_an_error_that_may_pass() -> None:
    async def main() -> None:
        async with FakeApi() as api:
            connect = to_the_fake(api)
        async with Cluster(connect) as cluster:
            with pytest.raises(ApiError, match="cannot be reached") as caught:
                await Reconciler(cluster, OPTIONS).reconcile("default", "files")
        assert caught.value.may_pass

    asyncio.run(main())


def test_work_that_waits_already_is_not_queued_again() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())
        async with Cluster(to_the_fake(api)) as cluster:
            reconciler = Reconciler(cluster, OPTIONS)
            await asyncio.gather(*(reconciler.reconcile("default", "files") for _ in range(50)))
            assert reconciler._locks == {}
        # The first, and one for all that came meanwhile; that one found nothing to apply.
        assert len([path for _, path in api.requests if path.endswith("/mcpservers/files")]) == 2
        assert len([path for _, path in api.requests if "statefulsets/files?" in path]) == 1

    run(story)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_round_over_an_idle_server_costs_two_requests(spec: dict[str, Any]) -> None:
    async def story(api: FakeApi, _user: User) -> None:
        for name in ("files", "more", "most"):
            api.create("mcpservers", body(name, **spec))
            meta = {"name": f"{name}-0", "labels": {SERVER_LABEL: name}}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta}
            api.create("pods", {**pod, "spec": {"containers": [{"name": "mcp", "image": "i"}]}})
        async with Cluster(to_the_fake(api)) as cluster:
            reconciler = Reconciler(cluster, OPTIONS)
            for _ in range(2):
                await reconciler.reconcile_all(("default",))
            api.requests.clear()
            await reconciler.reconcile_all(("default",))
        assert not [method for method, _ in api.requests if method != "GET"]
        assert len(api.requests) <= 1 + 2 * 3  # one list of all servers

    run(story)


def test_every_tenth_round_trusts_nothing() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())
        async with Cluster(to_the_fake(api)) as cluster:
            reconciler = Reconciler(cluster, OPTIONS)
            await reconciler.reconcile_all(("default",))
            api.delete("configmaps", "files")  # and no watch tells of it
            for _ in range(FULL_ROUND - 1):
                await reconciler.reconcile_all(("default",))
                assert api.find("configmaps", "files") is None
            await reconciler.reconcile_all(("default",))
        assert api.find("configmaps", "files") is not None

    run(story)


def test_why_a_pod_may_not_be_created_is_asked_where_there_is_none() -> None:
    async def story(api: FakeApi, _user: User) -> None:
        api.create("mcpservers", body())
        async with Cluster(to_the_fake(api)) as cluster:
            reconciler = Reconciler(cluster, OPTIONS)
            await reconciler.reconcile("default", "files")
            uid = (api.find("statefulsets", "files") or {})["metadata"]["uid"]
            api.create(
                "events",
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": "files.1"},
                    "involvedObject": {"kind": "StatefulSet", "name": "files", "uid": uid},
                    "type": "Warning",
                    "reason": "FailedCreate",
                    "message": "create Pod files-0 failed: exceeded quota",
                    "lastTimestamp": "2026-11-22T00:00:00Z",
                },
            )
            await reconciler.refresh("default", "files")
        assert (api.find("mcpservers", "files") or {})["status"]["message"].endswith("exceeded quota")

    run(story)
