"""The operator's log names the object in every line, and says each fact once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.clusters import fake, operator, to_the_fake
from tests.operator.fake_api import Refused
from tests.operator.servers import body
from thv.errors import ThvError
from thv.operator.logs import Facts, ObjectFormatter
from thv.operator.mcpserver_spec import read

if TYPE_CHECKING:
    from aiohttp import web

LOGGER = logging.getLogger("thv.operator")


def record(message: str, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("kopf.objects", logging.INFO, "file", 1, message, None, None)
    vars(made).update(more)
    return made


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "words"),
        ({"k8s_ref": {"namespace": "ns", "name": "files"}}, "[ns/files] words"),
        ({"k8s_ref": {"namespace": None, "name": "files"}}, "[files] words"),
        ({"k8s_ref": None}, "words"),
    ],
)
def test_a_line_about_an_object_names_it(more: dict[str, Any], line: str) -> None:
    assert ObjectFormatter("%(message)s").format(record("words", **more)) == line


def test_a_line_that_names_its_object_does_not_name_it_twice() -> None:
    ours = record("[ns/files] words", k8s_ref={"namespace": "ns", "name": "files"})
    assert ObjectFormatter("%(message)s").format(ours) == "[ns/files] words"


def test_a_failure_that_stays_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    facts = Facts(LOGGER)
    for failure in (None, ThvError("no"), ThvError("no"), ThvError("still no"), None, None, ThvError("no")):
        facts.tell("ns/files", failure)
    assert [each.getMessage() for each in caplog.records] == [
        "[ns/files] no",
        "[ns/files] still no",
        "[ns/files] that has passed",
        "[ns/files] no",
    ]


def test_two_objects_with_one_failure_are_two_facts(caplog: pytest.LogCaptureFixture) -> None:
    facts = Facts(LOGGER)
    for about in ("ns/a", "ns/b", "ns/a"):
        facts.tell(about, ThvError("no"))
    assert [each.getMessage() for each in caplog.records] == ["[ns/a] no", "[ns/b] no"]


def test_the_end_of_a_namespace_leaves_no_failure_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Its children go one by one; to make one anew is refused, and nothing that anyone could mend."""

    refused = asyncio.Event()

    async def story() -> None:
        async with fake() as (api, user), operator(to_the_fake(api), "default", resync=0.2):
            api.create("mcpservers", body())
            await user.until("statefulsets", "files", lambda _: True)

            async def ending(request: web.Request) -> None:
                if request.method == "PATCH" and "fieldManager" in request.query and "status" not in request.path:
                    refused.set()
                    raise Refused(
                        403,
                        "Forbidden",
                        'configmaps "files" is forbidden: unable to create new content in namespace default because '
                        "it is being terminated",
                    )

            caplog.clear()
            api.mishap = ending
            api.delete("configmaps", "files")
            await refused.wait()
            api.delete("mcpservers", "files")
            await user.until_gone("mcpservers", "files")

    asyncio.run(story())
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_a_spec_larger_than_all_annotations_may_be_is_served() -> None:
    """kopf would keep the spec it handled last in an annotation, and those hold 256 KiB in all."""

    async def story() -> None:
        async with fake() as (api, user), operator(to_the_fake(api), "default"):
            large = [{"name": f"V{number}", "value": "x" * 10_000} for number in range(40)]
            api.create("mcpservers", body(env=large))
            await user.until("statefulsets", "files", lambda _: True)
            await user.until("mcpservers", "files", lambda found: found.get("status", {}).get("phase") == "Pending")
            await user.patch("mcpservers", "files", {"spec": {"port": 9090}})
            await user.until("services", "files", lambda found: found["spec"]["ports"][0]["port"] == 9090)
            stored = api.find("mcpservers", "files") or {}
            assert read(stored).port == 9090
            assert sum(map(len, (stored["metadata"].get("annotations") or {}).values())) < 4096

    asyncio.run(story())
