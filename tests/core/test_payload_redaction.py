"""What is secret is never shown, what is shown is short, and nothing that a client sends is too much."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.core.payload_redaction import (
    DEEPEST,
    READ,
    SHOWN,
    STRUCTURE_SHOWN,
    VALUE_SHOWN,
    is_secret,
    redact_structure,
    show,
)

SHOWS = [
    ('{"text": "hi there", "n": 1.5, "t": true}', '{"text":"hi there","n":1.5,"t":true}'),
    ('{"password": "hunter2", "user": "me"}', '{"password":"[redacted]","user":"me"}'),
    (
        '{"a": {"b": [{"apiKey": {"x": ["deep", {"y": "deeper"}]}, "c": 1}]}}',
        '{"a":{"b":[{"apiKey":"[redacted]","c":1}]}}',
    ),
    ('{"tokens": ["a", "b"], "c": [1, 2]}', '{"tokens":"[redacted]","c":[1,2]}'),
    ('{"pass\\u0077ord": "x"}', '{"password":"[redacted]"}'),
    ('{"secret": 42, "key": null, "a": null}', '{"secret":"[redacted]","key":"[redacted]","a":null}'),
    ('{"body": "{\\"token\\": \\"t0p\\", \\"a\\": 1}"}', '{"body":"{\\"token\\":\\"[redacted]\\",\\"a\\":1}"}'),
    ('{"a": "\\ud800"}', '{"a":"\ufffd"}'),
    ("[]", "[]"),
    ('"text"', '"text"'),
    ("5", "5"),
    ("", ""),
    ("]]}}", "]]}}"),
    ('{"a": "never closed', '{"a":"never closed"'),
    ('{"a": "never closed\\u00', '{"a":"never closed"'),
    ('{"a": "never closed\\', '{"a":"never closed"'),
    ('{"a": "\\"', '{"a":"\\""'),
    ('{"a": "\\\\"', '{"a":"\\\\"'),
    ('{"a": "{\\"token\\": \\"t0p', '{"a":"{\\"token\\":[redacted]"'),
    ('{"a": "[INFO] my password: x"}', '{"a":"[INFO] my password:[redacted]"}'),
    ('{"a": "[INFO] my password: x', '{"a":"[INFO]mypassword:[redacted]"'),
    ('{"a": "\ufeff{\\"token\\": \\"t0p\\"}"}', '{"a":"{\\"token\\":\\"[redacted]\\"}"}'),
    (
        '[{"name": "password", "value": "x", "more": "y"}]',
        '[{"name":"password","value":"[redacted]","more":"[redacted]"}]',
    ),
    ('[["Authorization", "Basic x"], ["Accept", "y"]]', '[["Authorization","[redacted]"],["Accept","y"]]'),
    ('["--password", "x", "-v"]', '["--password","[redacted]","-v"]'),
    ('["--verbose", "x"]', '["--verbose","x"]'),
    ('["curl", "-H", "X-Api-Key: x"]', '["curl","-H","X-Api-Key:[redacted]"]'),
    ('{"env": ["A=1", "API_KEY=x y"]}', '{"env":["A=1","API_KEY=[redacted]"]}'),
    ('{"a": "grant=1&client_secret=x&b=2"}', '{"a":"grant=1&client_secret=[redacted]"}'),
    ('{"a": "see {\\"token\\": \\"x\\"}"}', '{"a":"see {\\"token\\":[redacted]"}'),
    ('{"a": "use Bearer x"}', '{"a":"use Bearer [redacted]"}'),
    ('{"url": "https://me:x@host/?q=1"}', '{"url":"https://[redacted]@host/?q=1"}'),
    ('{"a": "a token is a piece of text"}', '{"a":"a token is a piece of text"}'),
]


@pytest.mark.parametrize(("raw", "shown"), SHOWS)
def test_what_is_shown(raw: str, shown: str) -> None:
    assert show(raw.encode("utf-8", "surrogatepass")) == shown


def test_a_value_and_the_whole_are_cut() -> None:
    shown = show(json.dumps({"a": "x" * 500, "b": "y" * 500, "c": 1}).encode())
    assert shown.startswith('{"a":"' + "x" * 99 + "…" + '","b":"' + "y" * 50)
    assert len(shown) == SHOWN
    assert shown.endswith("…")


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "accessToken",
        "X-API-Key",
        "PASSWORD",
        "client_secret",
        "Authorization",
        "set-cookie",
        "db.passwd",
        "p_w_d",
        "userPass",
        "db-pw",
        "PIN",
        "connectionString",
        "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44",
    ],
)
def test_such_keys_are_secret(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", ["text", "query", "path", "name", "", "1", "é", "spin", "passenger", "seedling"])
def test_such_are_not(key: str) -> None:
    assert not is_secret(key)


SECRET = "s3cr3t-never-shown"
KEYS = st.sampled_from(["a", "b c", "text", "Token", "pass_word", "api-key", "authorization", "é", 'q"', "\\"])


def hide(value: Any, *, secret: bool) -> Any:
    """The value with every text under a secret key made the secret, at any depth."""
    if isinstance(value, dict):
        return {key: hide(inner, secret=secret or is_secret(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [hide(inner, secret=secret) for inner in value]
    return SECRET if secret and isinstance(value, str) else value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.booleans(), st.booleans(), st.integers(0, 2), st.integers(0, 2_000))
def test_a_secret_is_never_shown(value: Any, ascii_: bool, spaced: bool, wrapped: int, end: int) -> None:
    text = json.dumps(hide(value, secret=False), ensure_ascii=ascii_, indent=1 if spaced else None)
    for _ in range(wrapped):
        text = json.dumps({"body": text})
    for raw in (text.encode("utf-8", "replace"), text.encode("utf-8", "replace")[:end]):
        shown = show(raw)
        assert SECRET not in shown
        assert len(shown) <= SHOWN
        shown.encode()


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(raw: bytes) -> None:
    assert len(show(raw)) <= SHOWN


@pytest.mark.parametrize(
    "piece", [b"[", b'{"a":', b'"[', b"\\", b"x", b'"', b'{"key":[', b"token", b"token ", b"://", b"pass:", b"a@"]
)
def test_the_work_is_bounded(piece: bytes) -> None:
    began = time.process_time()
    assert len(show((piece * READ)[:READ])) <= SHOWN
    assert len(show(b'"' + (piece * READ)[:READ])) <= SHOWN
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ('{"a":[1,2.5,true,null,"x"],"b":{"c":{}}}', {"a": [1, 2.5, True, None, "x"], "b": {"c": {}}}),
        ('{"token":"hunter2","b":{"apiKey":{"x":1}}}', {"token": "[redacted]", "b": {"apiKey": "[redacted]"}}),
        ('["--password","hunter2"]', ["--password", "[redacted]"]),
        ('{"name":"password","value":"hunter2"}', {"name": "password", "value": "[redacted]"}),
        ('{"q":"password=hunter2"}', {"q": "password=[redacted]"}),
        (r'{"q":"{\"token\":\"hunter2\"}"}', {"q": '{"token":"[redacted]"}'}),
        ('{"n":NaN,"big":123456789012345678901234567890}', {"n": "NaN", "big": "123456789012345678901234567890"}),
        ('{"n":1e999}', {"n": "1e999"}),
        ('"text"', "text"),
        ('{"cut":{"off":[1,"tw', {"cut": {"off": [1, "tw"]}}),
        ("", None),
    ],
)
def test_a_structure_stays_one_without_its_secrets(raw: str, value: object) -> None:
    assert redact_structure(raw.encode()) == value


def test_a_structure_is_bounded_in_its_values_as_a_whole_and_in_depth() -> None:
    long = redact_structure(json.dumps({"a": "x" * 500}).encode())
    assert len(long["a"]) == VALUE_SHOWN
    many = redact_structure(json.dumps([{"number": number} for number in range(1000)]).encode())
    assert many[:3] == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert len(json.dumps(many)) < 2 * STRUCTURE_SHOWN
    deep = redact_structure(b"[" * 5000)
    for _ in range(DEEPEST - 1):
        (deep,) = deep
    assert deep == ["…"]


@given(st.binary(max_size=300) | st.text('{}[]",:\\ tokenab1', max_size=300).map(str.encode))
def test_a_structure_never_raises_and_can_be_sent(raw: bytes) -> None:
    """Fails where reading raises, or where what was read is no JSON in UTF-8."""
    json.dumps(redact_structure(raw)).encode()
