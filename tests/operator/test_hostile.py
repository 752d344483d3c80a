"""Malicious and careless specs: none reaches thv or its token, and each is reported."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from tests.operator.clusters import User, fake, to_the_fake
from tests.operator.fake_api import SCHEMA, FakeApi
from tests.operator.fake_schema import complaints, defaulted
from tests.operator.servers import OPTIONS, SPECS, body, server
from tests.operator.test_pod_settings import expanded
from thv.cli.run_options import parse
from thv.operator import names
from thv.operator.kubernetes_api import Cluster
from thv.operator.mcpserver_spec import SpecError
from thv.operator.reconcile import Reconciler
from thv.operator.resources import manifests


def pod_of(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = manifests(server(**spec), OPTIONS)[-1]["spec"]["template"]["spec"]
    return found


def container_of(pod: dict[str, Any], name: str = "mcp") -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in [*pod["initContainers"], *pod["containers"]] if each["name"] == name)
    return found


def template(**spec: Any) -> dict[str, Any]:
    return {"podTemplateSpec": {"spec": spec}}


def of_mcp(**container: Any) -> dict[str, Any]:
    return template(containers=[{"name": "mcp", **container}])


def mount(name: str, path: str) -> dict[str, Any]:
    return of_mcp(volumeMounts=[{"name": name, "mountPath": path}])


HELPER = {"name": "helper", "image": "i", "volumeMounts": [{"name": "thv-token", "mountPath": "/x"}]}

REACHING: dict[str, tuple[str, dict[str, Any], str]] = {
    "the token, into the server": ("attach", mount("thv-token", "/x"), "thv's alone"),
    "the token, into a helper": ("attach", template(containers=[HELPER]), "thv's alone"),
    "the token, before the start": ("attach", template(initContainers=[HELPER]), "thv's alone"),
    "the token, through /proc": ("attach", template(shareProcessNamespace=True), "token"),
    "the token, through the node": ("attach", template(hostPID=True), "token"),
    "thv itself, to write to it": ("wrap", mount("thv-tree", "/x"), "thv's alone"),
    "a volume in thv's place": ("wrap", template(volumes=[{"name": "thv-tree", "emptyDir": {}}]), "operator's own"),
    "a folder over thv": ("wrap", mount("mine", "/opt/thv"), "where thv stands"),
    "a folder over thv, in other words": ("wrap", mount("mine", "//opt/./thv/"), "where thv stands"),
    "a folder within thv": ("wrap", mount("mine", "/opt/thv/lib"), "where thv stands"),
    "a folder over thv's parent": ("wrap", mount("mine", "/opt"), "where thv stands"),
    "a config in place of ours": ("wrap", mount("mine", "/etc/thv/config.yaml"), "where thv stands"),
    "two of the server": ("wrap", template(containers=[{"name": "mcp"}, {"name": "mcp"}]), "twice"),
}


@pytest.mark.parametrize(("shape", "more", "why"), REACHING.values(), ids=REACHING)
def test_no_template_reaches_into_what_is_the_operators(shape: str, more: dict[str, Any], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        server(**{**SPECS[shape], **more})


def test_what_lies_beside_thv_may_be_mounted() -> None:
    """Fails where `pod_of` refuses one of them, with an error."""
    for path in ("/opt/thv2", "/opt/other", "/etc/other", "/thv"):
        pod_of(**SPECS["wrap"], **mount("mine", path))
    pod_of(**SPECS["attach"], **mount("mine", "/opt/thv"))  # thv is elsewhere


def test_a_volume_at_tmp_takes_the_place_of_ours() -> None:
    for path in ("/tmp", "/tmp/"):
        mounts = container_of(pod_of(**SPECS["attach"], **mount("mine", path)))["volumeMounts"]
        assert mounts == [{"name": "mine", "mountPath": path}]


def test_attaching_never_gets_a_terminal_or_a_stdin_that_ends() -> None:
    its = container_of(pod_of(**SPECS["attach"], **of_mcp(tty=True, stdin=False, stdinOnce=True)))
    assert (its["stdin"], its["stdinOnce"], its["tty"]) == (True, False, False)


WRONG: list[dict[str, Any]] = [
    {"env": [{}]},
    {"env": "x"},
    {"env": {"A": "1"}},
    {"volumeMounts": [{}]},
    {"volumeMounts": [{"name": "a"}]},
    {"volumeMounts": [{"name": "a", "mountPath": 1}]},
    {"ports": [8080]},
    {"ports": "8080"},
    {"securityContext": "x"},
    {"securityContext": [1]},
    {"resources": "x"},
]

MALFORMED: list[Any] = [
    {"spec": "x"},
    {"spec": {"containers": "x"}},
    {"spec": {"containers": [None]}},
    {"spec": {"containers": ["mcp"]}},
    {"spec": {"containers": [{}]}},
    {"spec": {"containers": [{"name": 1}]}},
    {"spec": {"containers": {"name": "mcp"}}},
    {"spec": {"initContainers": [[]]}},
    {"spec": {"volumes": [{}]}},
    {"spec": {"volumes": "x"}},
    *(
        {"spec": {part: [{"name": name, **wrong}]}}
        for part, name in (("containers", "mcp"), ("containers", "helper"), ("initContainers", "helper"))
        for wrong in WRONG
    ),
]


@pytest.mark.parametrize("wrong", MALFORMED, ids=str)
@pytest.mark.parametrize("shape", SPECS)
def test_a_template_of_another_form_is_refused_by_the_definition_and_by_the_operator(shape: str, wrong: Any) -> None:
    spec = {**copy.deepcopy(SPECS[shape]), "podTemplateSpec": wrong}
    assert complaints(SCHEMA, defaulted(SCHEMA, body(**spec)))
    with pytest.raises(SpecError, match="podTemplateSpec"):
        server(**spec)


@pytest.mark.parametrize("empty", [None, {}, []], ids=str)
def test_what_is_empty_in_a_template_is_as_good_as_missing(empty: Any) -> None:
    """Fails where `pod_of` refuses one of them, with an error."""
    for key in ("env", "volumeMounts", "ports", "securityContext", "resources"):
        pod_of(**SPECS["attach"], **of_mcp(**{key: empty}))
    for key in ("containers", "initContainers", "volumes"):
        pod_of(**SPECS["attach"], **template(**{key: empty}))


def wrapped_environment(env: list[dict[str, Any]], secrets: dict[str, str]) -> dict[str, str]:
    """What thv in a wrapped server's container sees."""
    return expanded(container_of(pod_of(**{**SPECS["wrap"], "env": env}))["env"], secrets)


SECRETS = {"auth": "Bearer abc", "api-key": "k"}


@pytest.mark.parametrize("evil", ["", "x=y", "$(THV_OTEL_HEADER_1)"])
@pytest.mark.parametrize(
    "name",
    [names.HEADERS_VARIABLE, names.CONFIG_VARIABLE, names.USAGE_ANALYTICS, f"{names.HEADER_VARIABLE}1"],
)
def test_a_servers_variable_of_the_same_name_does_not_take_the_place_of_thvs(name: str, evil: str) -> None:
    plain = wrapped_environment([], SECRETS)
    assert "Bearer abc" in plain[names.HEADERS_VARIABLE]
    seen = wrapped_environment([{"name": name, "value": evil}], SECRETS)
    assert {**seen, names.USAGE_ANALYTICS: ""} == {**plain, names.USAGE_ANALYTICS: ""}


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GLIBC_TUNABLES", "OPENSSL_CONF"])
def test_what_changes_how_programs_load_is_for_the_wrapped_server_alone(name: str) -> None:
    value = "/usr/lib/libjemalloc.so.2 = $(A)"
    for more in (
        {"env": [{"name": name, "value": value}]},
        {"env": [], **of_mcp(env=[{"name": name, "value": value}])},
    ):
        its = container_of(pod_of(**{**SPECS["wrap"], **more}))
        assert name not in {entry["name"] for entry in its["env"]}
        assert f"{name}={value}" in parse(its["args"][1:]).env


@pytest.mark.parametrize(
    "args", [["--", "-e", "A=1"], ["--host", "1.2.3.4"], ["--help"], ["-c", "é \n \U0001f600"], [""]]
)
@pytest.mark.parametrize("command", [["--debug"], ["run"], [""], ["https://evil.example"], ["demo"]])
def test_words_of_a_server_are_never_thvs(command: list[str], args: list[str]) -> None:
    said = container_of(pod_of(image="i", command=command, args=args))["args"]
    request = parse(said[1:])
    assert request.args == (*command, *args)
    assert request.host == names.EVERYWHERE
    assert request.server is None


async def reconciled(api: FakeApi) -> dict[str, Any]:
    async with Cluster(to_the_fake(api)) as cluster:
        await Reconciler(cluster, OPTIONS).reconcile("default", "files")
    status: dict[str, Any] = (api.find("mcpservers", "files") or {})["status"]
    return status


@pytest.mark.parametrize(
    "spec",
    [
        {"podTemplateSpec": {"spec": {"containers": [{"name": "mcp", "env": "x"}]}}},
        {"env": "x"},
        {"env": [{}]},
        {"secrets": [None]},
        {"telemetry": [1]},
        {"telemetry": {"openTelemetry": {"headers": [{"name": "a", "valueFrom": 1}]}}},
        {"port": "8080"},
        {"resources": 1},
        {"image": ["x"]},
        {"transport": []},
    ],
    ids=str,
)
def test_whatever_is_stored_has_a_status_and_stops_nobody(spec: dict[str, Any]) -> None:
    """An object may be older than the definition that would refuse it."""

    async def main() -> None:
        async with fake() as (api, _user):
            api.create("mcpservers", body())
            api.objects["mcpservers", "default", "files"]["spec"] |= spec
            try:
                status = await reconciled(api)
            except Exception:  # noqa: BLE001  the API server's own word, which comes as a condition, too
                status = (api.find("mcpservers", "files") or {})["status"]
            assert status["phase"] == "Failed"
            assert status["conditions"]

    asyncio.run(main())


def test_deleted_while_it_is_being_made() -> None:
    async def story(api: FakeApi, user: User) -> None:
        for number in range(12):
            await user.create(body())
            async with Cluster(to_the_fake(api)) as cluster:
                work = asyncio.create_task(Reconciler(cluster, OPTIONS).reconcile("default", "files"))
                upto = len(api.requests) + number
                async with asyncio.timeout(60):
                    while len(api.requests) < upto and not work.done():  # noqa: ASYNC110  each step of it
                        await asyncio.sleep(0)
                api.delete("mcpservers", "files")
                await work
            assert [key for key in api.objects if key[2] == "files"] == []

    async def main() -> None:
        async with fake() as (api, user):
            await story(api, user)

    asyncio.run(main())


def test_what_an_earlier_server_of_this_name_left_is_waited_for() -> None:
    async def main() -> None:
        async with fake() as (api, _user):
            api.create("mcpservers", body())
            await reconciled(api)
            left = api.objects["services", "default", "files"]
            api.delete("mcpservers", "files")
            api.objects["services", "default", "files"] = left  # the garbage collector has not come by yet
            api.create("mcpservers", body())
            with pytest.raises(Exception, match="still being deleted") as caught:
                await reconciled(api)
            assert getattr(caught.value, "may_pass", False)
            status = (api.find("mcpservers", "files") or {})["status"]
            assert "still being deleted" in status["message"]
            api.delete("services", "files")
            assert (await reconciled(api))["phase"] == "Pending"

    asyncio.run(main())
