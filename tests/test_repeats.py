"""What is written once stays written once: the numbers and names of protocols, and constants that mean the same."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import thv
from thv.core import jsonrpc, message, revisions
from thv.mcp_client import protocol
from thv.servers import demo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(thv.__file__).parent
SOURCES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}

STAND_ALONE = {"servers/demo.py", "mcp_client/protocol.py"}
"""They run without msgspec, or without anything of thv, and repeat what is held against the original below."""


def literals(tree: ast.AST) -> Iterator[object]:
    for node in ast.walk(tree):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            if isinstance(node.operand.value, int):
                yield -node.operand.value
        elif isinstance(node, ast.Constant):
            yield node.value


def test_error_codes_are_written_in_core_alone() -> None:
    codes = range(-32_800, -31_999)
    found = {
        name
        for name, tree in SOURCES.items()
        if any(isinstance(value, int) and value in codes for value in literals(tree))
    }
    assert found - STAND_ALONE == {"core/jsonrpc.py"}


def test_protocol_revisions_are_written_in_core_alone() -> None:
    known = {*revisions.WITH_SESSIONS, revisions.STATELESS}
    found = {
        name
        for name, tree in SOURCES.items()
        if any(value in known for value in literals(tree) if isinstance(value, str))
        or any(each.encode() in value for value in literals(tree) if isinstance(value, bytes) for each in known)
    }
    assert found - STAND_ALONE == {"core/revisions.py"}


@pytest.mark.parametrize(
    ("module", "original", "names"),
    [
        (demo, jsonrpc, ("PARSE_ERROR", "INVALID_REQUEST", "METHOD_NOT_FOUND", "INVALID_PARAMS", "INTERNAL_ERROR")),
        (demo, jsonrpc, ("UNSUPPORTED_VERSION",)),
        (protocol, jsonrpc, ("METHOD_NOT_FOUND", "UNSUPPORTED_VERSION")),
        (protocol, message, ("CLIENT_INFO_KEY",)),
    ],
)
def test_what_stands_alone_says_the_same(module: ModuleType, original: ModuleType, names: tuple[str, ...]) -> None:
    for name in names:
        assert getattr(module, name) == getattr(original, name)


def test_the_demo_and_the_client_speak_the_revisions_that_thv_knows() -> None:
    assert demo.HANDSHAKE_VERSIONS == revisions.WITH_SESSIONS
    assert revisions.WITH_SESSIONS[::-1] == protocol.HANDSHAKE_VERSIONS
    assert demo.STATELESS_VERSIONS == protocol.STATELESS_VERSIONS == (revisions.STATELESS,)
    assert demo.VERSION_KEY == protocol.VERSION_KEY == message.PROTOCOL_VERSION_KEY
    assert demo.CAPABILITIES_KEY == protocol.CAPABILITIES_KEY == message.CLIENT_CAPABILITIES_KEY
