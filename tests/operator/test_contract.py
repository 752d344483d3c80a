"""What users of the operator rely on, against the fake API server and the real one of THV_TEST_KUBECONFIG."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.operator.clusters import REAL, cluster, operator
from tests.operator.servers import IMAGE, SPECS, body, refusal
from thv.operator import names
from thv.operator.pod_settings import Options

KINDS = ["fake", "real"] if REAL else ["fake"]

WORKLOAD = {"attach": "statefulsets", "wrap": "deployments", "proxy": "deployments"}


def run(kind: str, story: Any) -> None:
    async def main() -> None:
        async with cluster(kind) as (connect, user):
            await story(connect, user)

    asyncio.run(main())


def has_status(found: dict[str, Any]) -> bool:
    return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])


def thv_variables(workload: dict[str, Any]) -> dict[str, Any]:
    pod = workload["spec"]["template"]["spec"]
    container = next(each for each in [*pod["initContainers"], *pod["containers"]] if each["name"] == "thv")
    return {entry["name"]: entry.get("value") for entry in container["env"]}


@pytest.mark.parametrize("kind", KINDS)
def test_created_changed_and_deleted(kind: str) -> None:
    async def story(connect: Any, user: Any) -> None:
        async with operator(connect, user.namespace):
            await user.create(body(namespace=user.namespace))
            found = await user.until("mcpservers", "files", has_status)
            assert found["status"]["url"] == f"http://files.{user.namespace}.svc:8080/mcp"
            assert not found["metadata"].get("finalizers")
            before = await user.until("statefulsets", "files", lambda _: True)
            assert thv_variables(before)[names.USAGE_ANALYTICS] == "true"

            telemetry = {"openTelemetry": {"usageAnalyticsEnabled": False}}
            await user.patch("mcpservers", "files", {"spec": {"telemetry": telemetry, "port": 8090}})
            after = await user.until("statefulsets", "files", lambda each: each["metadata"]["generation"] > 1)
            assert thv_variables(after)[names.USAGE_ANALYTICS] == "false"
            await user.until("services", "files", lambda each: each["spec"]["ports"][0]["port"] == 8090)
            found = await user.until("mcpservers", "files", has_status)
            assert found["status"]["usageAnalyticsEnabled"] is False

            await user.remove("mcpservers", "files")
            for plural in ("statefulsets", "services", "configmaps", "serviceaccounts", "roles", "rolebindings"):
                await user.until_gone(plural, "files")

    run(kind, story)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["wrap", "proxy"])
def test_the_other_shapes(kind: str, shape: str) -> None:
    """Fails where the workload or its status never comes about: `user.until` raises."""

    async def story(connect: Any, user: Any) -> None:
        async with operator(connect, user.namespace):
            await user.create(body(namespace=user.namespace, **SPECS[shape]))
            await user.until(WORKLOAD[shape], "files", lambda _: True)
            await user.until("mcpservers", "files", has_status)

    run(kind, story)


@pytest.mark.parametrize("kind", KINDS)
def test_drift_of_a_workload_is_repaired_at_once(kind: str) -> None:
    """Fails where it is never repaired: `user.until` raises."""

    async def story(connect: Any, user: Any) -> None:
        async with operator(connect, user.namespace):
            await user.create(body(namespace=user.namespace))
            await user.until("mcpservers", "files", has_status)
            await user.patch("statefulsets", "files", {"spec": {"replicas": 3}})
            await user.until("statefulsets", "files", lambda each: each["spec"]["replicas"] == 1)
            uid = (await user.find("statefulsets", "files"))["metadata"]["uid"]
            await user.remove("statefulsets", "files")
            await user.until("statefulsets", "files", lambda each: each["metadata"]["uid"] != uid)

    run(kind, story)


@pytest.mark.parametrize("kind", KINDS)
def test_drift_of_anything_else_is_repaired_in_the_next_round(kind: str) -> None:
    """Fails where it is never repaired: `user.until` raises."""

    async def story(connect: Any, user: Any) -> None:
        async with operator(connect, user.namespace, resync=0.2):
            await user.create(body(namespace=user.namespace))
            await user.until("mcpservers", "files", has_status)
            await user.patch("services", "files", {"spec": {"selector": {names.SERVER_LABEL: "other"}}})
            await user.until("services", "files", lambda each: each["spec"]["selector"][names.SERVER_LABEL] == "files")
            await user.remove("configmaps", "files")
            await user.until("configmaps", "files", lambda _: True)

    run(kind, story)


@pytest.mark.parametrize("kind", KINDS)
def test_what_changed_while_the_operator_was_away_is_done_when_it_is_back(kind: str) -> None:
    """Fails where a change is never carried out: `user.until` raises."""

    async def story(connect: Any, user: Any) -> None:
        async with operator(connect, user.namespace):
            await user.create(body("first", namespace=user.namespace))
            await user.create(body("second", namespace=user.namespace))
            await user.until("mcpservers", "first", has_status)
            await user.until("mcpservers", "second", has_status)
        await user.patch("mcpservers", "first", {"spec": {"port": 8090}})
        await user.remove("mcpservers", "second")  # nothing hangs on a finalizer while nobody is there
        await user.create(body("third", namespace=user.namespace))
        await user.until_gone("mcpservers", "second")
        async with operator(connect, user.namespace):
            await user.until("services", "first", lambda each: each["spec"]["ports"][0]["port"] == 8090)
            await user.until("statefulsets", "third", lambda _: True)
            await user.until_gone("statefulsets", "second")

    run(kind, story)


@pytest.mark.parametrize("kind", KINDS)
def test_the_operators_switch_wins_over_every_server(kind: str) -> None:
    async def story(connect: Any, user: Any) -> None:
        await user.create(body(namespace=user.namespace))
        for switch in (True, False):
            async with operator(connect, user.namespace, options=Options(IMAGE, refusal, usage_analytics=switch)):
                await user.until(
                    "mcpservers",
                    "files",
                    lambda each, switch=switch: each.get("status", {}).get("usageAnalyticsEnabled") is switch,
                )
                found = await user.find("statefulsets", "files")
                assert thv_variables(found)[names.USAGE_ANALYTICS] == str(switch).lower()

    run(kind, story)


@pytest.mark.parametrize("kind", KINDS)
def test_fifty_servers_at_once(kind: str) -> None:
    async def story(connect: Any, user: Any) -> None:
        async with operator(connect, user.namespace):
            names_of_all = [f"server-{number}" for number in range(50)]
            await asyncio.gather(*(user.create(body(name, namespace=user.namespace)) for name in names_of_all))
            for name in names_of_all:
                await user.until("mcpservers", name, has_status)
                assert await user.find("statefulsets", name), name

    run(kind, story)


@pytest.mark.parametrize("kind", KINDS)
def test_the_definition_refuses_what_cannot_work(kind: str) -> None:
    async def story(_connect: Any, user: Any) -> None:
        from tests.operator.clusters import ApiError

        with pytest.raises(ApiError, match="mcpPort is for transport"):
            await user.create(body(namespace=user.namespace, transport="sse"))

    run(kind, story)
