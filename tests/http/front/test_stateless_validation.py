"""Requests of 2026-07-28 that do not say what they must, or say two things, are refused before the server sees them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.fronts import CHATTY, META, FrontRun, call, stateless

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way")


def ask(method: str, id_: Any = 7, meta: Any = META, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": {**params, "_meta": meta}}


def headers(method: str, name: str | None = None, version: str = "2026-07-28", **more: str) -> dict[str, str]:
    found = {"MCP-Protocol-Version": version, "Mcp-Method": method, **more}
    return found if name is None else found | {"Mcp-Name": name}


REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], int, int]] = {
    "another method": (ask("x"), headers("y"), 400, -32020),
    "the method in capitals": (ask("tools/list"), headers("TOOLS/LIST"), 400, -32020),
    "another tool": (ask("tools/call", name="a"), headers("tools/call", "b"), 400, -32020),
    "no name": (ask("tools/call", name="a"), headers("tools/call"), 400, -32020),
    "a name that is encoded wrongly": (
        ask("tools/call", name="a"),
        headers("tools/call", "=?base64?YQ?="),
        400,
        -32020,
    ),
    "another resource": (ask("resources/read", uri="a"), headers("resources/read", "b"), 400, -32020),
    "another task": (ask("tasks/get", taskId="T1"), headers("tasks/get", "T2"), 400, -32020),
    "no task": (ask("tasks/cancel", taskId="T1"), headers("tasks/cancel"), 400, -32020),
    "no task to update": (ask("tasks/update", taskId="T1"), headers("tasks/update"), 400, -32020),
    "a name for what has none": (ask("tools/call"), headers("tools/call", "b"), 400, -32020),
    "another version": (ask("x"), headers("x", version="2026-12-31"), 400, -32020),
    "no _meta": ({"jsonrpc": "2.0", "id": 7, "method": "x"}, headers("x"), 400, -32602),
    "no version": (ask("x", meta={CAPABILITIES: {}}), headers("x"), 400, -32602),
    "no capabilities": (ask("x", meta={VERSION: "2026-07-28"}), headers("x"), 400, -32602),
    "capabilities that are a list": (ask("x", meta=META | {CAPABILITIES: []}), headers("x"), 400, -32602),
    "an unknown revision": (ask("x", meta={}), headers("x", version="v9"), 400, -32022),
    "a revision with sessions": (
        ask("x", meta=META | {VERSION: "2025-11-25"}),
        headers("x", version="2025-11-25"),
        400,
        -32022,
    ),
    "initialize": (ask("initialize"), headers("initialize"), 404, -32601),
    "ping": (ask("ping"), headers("ping"), 404, -32601),
    "logging/setLevel": (ask("logging/setLevel"), headers("logging/setLevel"), 404, -32601),
    "resources/subscribe": (ask("resources/subscribe", uri="u"), headers("resources/subscribe"), 404, -32601),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_is_refused_with_the_status_and_the_code_that_the_specification_gives(
    case: str, front: FrontRun
) -> None:
    message, given, status, code = REFUSED[case]
    reply = front.post(message, **given)
    assert (reply.status, reply.json()["error"]["code"], reply.json()["id"]) == (status, code, 7)
    if code == -32022:
        assert "2026-07-28" in reply.json()["error"]["data"]["supported"]
        assert reply.json()["error"]["data"]["requested"] == given["MCP-Protocol-Version"]


@pytest.mark.parametrize(
    ("message", "given"),
    [
        (ask("tools/call", name="listed"), headers("tools/call", "  listed \t")),
        (ask("tools/call", name="listed"), headers("tools/call", "=?base64?bGlzdGVk?=")),
        (ask("tasks/get", taskId="T1"), headers("tasks/get", "T1")),
        (ask("tasks/get"), headers("tasks/get")),
        (ask("x", meta={VERSION: "2026-07-28", CAPABILITIES: {}}), headers("x")),
        (ask("x", meta=META | {VERSION: "2026-12-31"}), headers("x", version="2026-12-31")),
        (ask("x", meta=META | {VERSION: "v9"}), headers("x", version="v9")),
    ],
)
def test_the_server_sees_everything_else(message: Any, given: dict[str, str], front: FrontRun) -> None:
    reply = front.post(message, **given)
    assert (reply.status, "result" in reply.json()) == (200, True)


def test_arguments_that_a_tool_wants_repeated_are_compared_and_the_server_is_asked_for_its_tools_once(
    tmp_path: Path,
) -> None:
    with FrontRun(CHATTY, tmp_path) as front:
        for region, given, status in (
            ("us", {"Mcp-Param-Region": "us"}, 200),
            ("us", {"mcp-param-region": "=?base64?dXM=?="}, 200),
            ("us", {}, 400),
            ("us", {"Mcp-Param-Region": "eu"}, 400),
            ("us", {"Mcp-Param-Region": "=?base64?dXM?="}, 400),
        ):
            message, expected = stateless(call(3, "echo", {"region": region}))
            reply = front.post(message, **expected, **given)
            assert (reply.status, reply.json()["id"]) == (status, 3)
            assert reply.json().get("error", {}).get("code") == (None if status == 200 else -32020)
        for name in ("unknown", "another", "listed"):
            message, expected = stateless(call(4, name, {}))
            reply = front.post(message, **expected)
            assert reply.status == 200
        assert reply.json()["result"] == {"listed": [None, "2"]}
        front.stop()


def test_a_list_that_passes_is_learned_from_and_costs_no_request_of_our_own(tmp_path: Path) -> None:
    with FrontRun(CHATTY, tmp_path) as front:
        page = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": "2"}}
        message, expected = stateless(page)
        assert front.post(message, **expected).status == 200
        message, expected = stateless(call(2, "echo", {"region": "us"}))
        assert front.post(message, **expected).status == 400
        front.stop()


def test_a_server_that_never_lists_its_tools_delays_a_call_and_does_not_lose_it(tmp_path: Path) -> None:
    program = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if m.get('method') != 'tools/list' and 'id' in m:\n"
        "        print(json.dumps({'id': m['id'], 'result': {}}), flush=True)"
    )
    with FrontRun(["--", sys.executable, "-c", program], tmp_path) as front:
        message, expected = stateless(call(1, "echo", {}))
        assert front.post(message, **expected).json()["result"] == {}
        assert front.post(message, **expected).json()["result"] == {}
        front.stop()
