"""Our trace context is written into the requests of a client, and nothing else changes by a byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from thv.core.lines import MAX_REWRITTEN
from thv.core.splice import MAX_PIECES
from thv.instrumentation.inspector import TrafficInspector
from thv.instrumentation.propagation import Propagation, with_contexts
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = "00-11111111111111111111111111111111-2222222222222222-01"
THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MEMBER = f'"traceparent":"{OURS}"'


class Contexts:
    """A request observer that gives each request a context of its own."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, str]] = []
        self.given = 0

    def on_request_started(self, request: Any, at_ns: int) -> object:
        self.given += 1
        self.waiting.append((request.id, f"00-{self.given:032x}-{self.given:016x}-01"))
        return None

    def on_request_finished(
        self, token: object, reason: str, reply: object, at_ns: int, http_status: int | None
    ) -> None:
        pass

    def on_server_request(self, request: object, at_ns: int, scope: object) -> None:
        pass

    def on_server_request_answered(self, reply: object, at_ns: int, scope: object) -> None:
        pass

    def on_tool_outcome(self, token: object, outcome: str) -> None:
        pass

    def on_session_closed(self, error_type: str | None) -> None:
        pass

    def take(self) -> Sequence[tuple[Any, str]]:
        waiting, self.waiting = self.waiting, []
        return waiting


def propagation() -> tuple[Propagation, Contexts]:
    contexts = Contexts()
    tap = TrafficInspector(ToolCallLedger(requests=contexts))
    return Propagation(tap.on_client_data, contexts.take), contexts


LINES: dict[str, tuple[str, str]] = {
    "a member is replaced": (
        f'{{"id": 1, "method": "ping", "params": {{"_meta": {{"traceparent": "{THEIRS}", "tracestate": "a=b"}}}}}}',
        f'{{"id": 1, "method": "ping", "params": {{"_meta": {{"traceparent": "{OURS}", "tracestate": "a=b"}}}}}}',
    ),
    "whatever it is": (
        '{"id":1,"method":"ping","params":{"_meta":{"traceparent":[{"x":1}]}}}',
        f'{{"id":1,"method":"ping","params":{{"_meta":{{{MEMBER}}}}}}}',
    ),
    "a member is added": (
        '{"id":1,"method":"ping","params":{"_meta":{"progressToken":5}}}',
        f'{{"id":1,"method":"ping","params":{{"_meta":{{"progressToken":5,{MEMBER}}}}}}}',
    ),
    "to an empty _meta": (
        '{"id":1,"method":"ping","params":{"_meta":{ } } }',
        f'{{"id":1,"method":"ping","params":{{"_meta":{{{MEMBER} }} }} }}',
    ),
    "with its _meta": (
        '{"id":1,"method":"tools/call","params":{"name":"\\"}","a":{"_meta":{"traceparent":1}} }}\r',
        '{"id":1,"method":"tools/call","params":{"name":"\\"}","a":{"_meta":{"traceparent":1}},"_meta":{@} }}\r',
    ),
    "to empty params": (
        '{"params":{},"id":1,"method":"ping"}',
        f'{{"params":{{"_meta":{{{MEMBER}}}}},"id":1,"method":"ping"}}',
    ),
    "with its params": (
        ' {"jsonrpc":"2.0","id":1,"method":"ping" } ',
        f' {{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{{{MEMBER}}}}} }} ',
    ),
    "under a name that is written otherwise": (
        '{"id":1,"method":"ping","par\\u0061ms":{"\\u005fmeta":{}}}',
        f'{{"id":1,"method":"ping","par\\u0061ms":{{"\\u005fmeta":{{{MEMBER}}}}}}}',
    ),
}

UNTOUCHED = {
    "a notification": '{"method":"notifications/initialized"}',
    "a reply": '{"id":1,"result":{"_meta":{}}}',
    "params that are a list": '{"id":1,"method":"x","params":[1]}',
    "params null": '{"id":1,"method":"x","params":null}',
    "_meta null": '{"id":1,"method":"x","params":{"_meta":null}}',
    "params twice": '{"id":1,"method":"x","params":{},"params":{}}',
    "an id twice": '{"id":2,"method":"x","id":1}',
    "_meta twice": '{"id":1,"method":"x","params":{"_meta":{},"_meta":{}}}',
    "traceparent twice": '{"id":1,"method":"x","params":{"_meta":{"traceparent":"","traceparent":""}}}',
    "traceparent twice, once in disguise": (
        '{"id":1,"method":"x","params":{"_meta":{"traceparent":"","tr\\u0061ceparent":""}}}'
    ),
    "NaN": '{"id":1,"method":"x","params":{"n":NaN}}',
    "no JSON": '{"id":1,"method":"x"',
    "a byte order mark": '\ufeff{"id":1,"method":"x"}',
    "half a surrogate pair in a name": '{"id":1,"method":"x","\\ud800":1}',
    "a blank line": "  ",
    "text": "hello",
    "a string": '"id"',
    "deep nesting": '{"id":1,"method":"x","params":' + "[" * 5000 + "]" * 5000 + "}",
    "too many pieces": '{"id":1,"method":"x","params":{"a":[' + "1," * MAX_PIECES + "1]}}",
    "too long a line": '{"id":1,"method":"x","params":{"a":"' + "a" * MAX_REWRITTEN + '"}}',
}


@pytest.mark.parametrize("name", LINES)
def test_in_a_request(name: str) -> None:
    before, after = LINES[name]
    assert with_contexts(before.encode() + b"\n", [(1, OURS)]).decode() == after.replace("@", MEMBER) + "\n"


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_passes_as_it_is(name: str) -> None:
    line = UNTOUCHED[name].encode() + b"\n"
    stage, _ = propagation()
    assert stage.rewrite(line) + stage.rewrite(b"") == line
    assert with_contexts(line, [(1, OURS)]) == line or len(line) > MAX_REWRITTEN


def test_each_request_of_a_batch_gets_its_own() -> None:
    stage, _ = propagation()
    line = b'[{"id":"a","method":"x"}, {"id":1,"result":{}},{"method":"n"},7,[],{"id":2,"method":"y","params":{}}]\n'
    first, _, _, _, _, second = json.loads(stage.rewrite(line))
    assert first["params"]["_meta"]["traceparent"] == f"00-{1:032x}-{1:016x}-01"
    assert second["params"]["_meta"]["traceparent"] == f"00-{2:032x}-{2:016x}-01"


def test_contexts_of_other_requests_are_not_used() -> None:
    line = b'{"id":1,"method":"x"}\n'
    for contexts in ([(2, OURS)], [("1", OURS)], [(1, OURS), (2, OURS)], []):
        assert with_contexts(line, contexts) == line


def test_a_line_that_is_too_long_passes_before_it_ends_and_the_next_is_rewritten() -> None:
    stage, _ = propagation()
    long = b'{"id":1,"method":"x","params":"' + b"a" * (MAX_REWRITTEN + 10)
    assert stage.rewrite(long) == long
    rest = stage.rewrite(b'a"}\n{"id":2,"method":"x"}\n')
    assert rest.startswith(b'a"}\n')
    assert b"traceparent" in rest


def test_a_last_line_without_newline_is_rewritten_at_the_end() -> None:
    stage, contexts = propagation()
    assert stage.rewrite(b'{"id":2,"method":"x"}') == b""
    assert b"traceparent" in stage.rewrite(b"")
    assert contexts.given == 1
    assert stage.rewrite(b"") == b""


KEYS = st.sampled_from(["id", "method", "params", "_meta", "traceparent", "a", "", 'b"', "\\", "é"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4) | st.just(THEIRS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=10,
)
REQUEST = st.fixed_dictionaries(
    {"id": st.integers(0, 3) | st.sampled_from(["x", 1.5]), "method": st.sampled_from(["ping", "tools/call"])},
    optional={
        "params": st.fixed_dictionaries(
            {},
            optional={
                "_meta": st.fixed_dictionaries(
                    {}, optional={"traceparent": JSON, "tracestate": st.just("a=b"), "t": JSON}
                ),
                "name": JSON,
                "a": JSON,
            },
        )
        | JSON,
        "jsonrpc": st.just("2.0"),
    },
)
LINE = st.builds(
    lambda value, spaced, ascii_: json.dumps(
        value, separators=None if spaced else (",", ":"), ensure_ascii=ascii_
    ).encode("utf-8", "replace"),
    REQUEST | st.lists(REQUEST | JSON, max_size=4) | JSON,
    st.booleans(),
    st.booleans(),
) | st.binary(max_size=12).map(lambda data: data.replace(b"\n", b""))


def without_header(value: Any) -> Any:
    """The parsed line as it is without the header, and with what a header would be wrapped in."""
    if isinstance(value, list):
        return [without_header(item) for item in value]
    if not isinstance(value, dict) or value.get("method") is None or "id" not in value:
        return value
    params = value.get("params", {})
    meta = params.get("_meta", {}) if isinstance(params, dict) else None
    if not isinstance(meta, dict):
        return value
    return {**value, "params": {**params, "_meta": {key: meta[key] for key in meta if key != "traceparent"}}}


def canonical(line: bytes) -> str:
    return json.dumps(without_header(json.loads(line)), sort_keys=True)


@given(st.lists(LINE, max_size=4), st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_however_it_is_cut_only_that_member_changes(lines: list[bytes], sizes: list[int], ended: bool) -> None:
    stream = b"\n".join(lines) + (b"\n" if ended else b"")
    stage, contexts = propagation()
    out = b""
    rest = stream
    for size in sizes:
        out += stage.rewrite(rest[:size]) if rest[:size] else b""
        rest = rest[size:]
    out += (stage.rewrite(rest) if rest else b"") + stage.rewrite(b"")
    event(f"{min(out.count(b'traceparent') - stream.count(b'traceparent'), 3)} added")
    before, after = stream.split(b"\n"), out.split(b"\n")
    assert len(before) == len(after)
    assert not contexts.waiting
    for old, new in zip(before, after, strict=True):
        if old != new:
            assert canonical(old) == canonical(new)


@given(REQUEST, st.booleans())
def test_a_plain_request_is_always_rewritten_and_keeps_its_other_bytes(request_: dict[str, Any], spaced: bool) -> None:
    line = json.dumps(request_, separators=None if spaced else (",", ":"), allow_nan=True).encode() + b"\n"
    new = with_contexts(line, [(request_["id"], OURS)])
    params = request_.get("params", {})
    clear = isinstance(params, dict) and isinstance(params.get("_meta", {}), dict)
    if not clear or b"NaN" in line or b"Infinity" in line or b"\\ud" in line:
        return
    assert json.loads(new)["params"]["_meta"]["traceparent"] == OURS
    start = next(index for index, (a, b) in enumerate(zip(line + b"\0", new, strict=False)) if a != b)
    back = next(
        index for index, (a, b) in enumerate(zip(b"\0" + line[::-1], b"\0" + new[::-1], strict=False)) if a != b
    )
    # All differences lie within one stretch, no longer than the member and what it may have to be wrapped in.
    assert len(new) - start - back < len(f',"params":{{"_meta":{{{MEMBER}}}}}')
    meta = meta_of(request_)
    assert len(line) - start - back <= (len(json.dumps(meta["traceparent"])) if "traceparent" in meta else 0)


def meta_of(request_: dict[str, Any]) -> dict[str, Any]:
    meta: dict[str, Any] = request_.get("params", {}).get("_meta", {})
    return meta
