"""What a setting's value may be, for each kind: from the command line, from the file, and back to text.

Promises: what `parse` takes, `show` gives back in one canonical form that `parse` takes again. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thv.config.document import name, refusal
from thv.config.render import Value, decimal_text
from thv.config.settings import (
    BOOLEAN,
    BOOLEANS,
    ENDPOINT,
    FRACTION,
    MAP,
    NAMES,
    PROTOCOL,
    SECTION,
    Setting,
    boolean_in,
)
from thv.config.tree import Mapping, Node, Scalar, Sequence
from thv.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOLS = ("http/protobuf", "grpc")
HIDDEN = "********"
"""What is shown in place of a secret; its length tells nothing."""

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\Z", re.ASCII)
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})\Z", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_PORT = 65535


def parse(setting: Setting, text: str) -> Value:
    """The value that `text` means for `setting`.

    Raises:
        SettingError: it means none; says what would.
    """
    try:
        return _PARSERS.get(setting.kind, _text)(text.strip())
    except ValueError as error:
        shown = "this" if setting.secret else repr(text)
        raise SettingError(f"{setting.name} cannot be {shown}: {error}") from None


def show(value: Value, *, reveal: bool = True) -> str:
    """The value as `get` prints it; with `reveal` false the values of a map are hidden."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return decimal_text(value)
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, dict):
        return ",".join(f"{key}={item if reveal else HIDDEN}" for key, item in value.items())
    return value


def from_node(setting: Setting, node: Node, *, path: str) -> Value | None:
    """The value that the file's node means for `setting`; None for a node that says nothing. `path` is for errors.

    Raises:
        ConfigError: it means none; with its line and column.
    """
    where = name((SECTION, setting.name))
    if isinstance(node, Scalar) and setting.kind == BOOLEAN:
        return boolean_in(node, setting.name, path)
    if isinstance(node, Scalar) and node.is_null:
        return None
    if isinstance(node, Scalar):
        text = node.value
    elif isinstance(node, Sequence) and setting.kind == NAMES:
        text = ",".join(_scalar_text(item, where, path) for item in node.items)
    elif isinstance(node, Mapping) and setting.kind == MAP:
        # Not joined and parsed: in the file, unlike on the command line, a value may hold a comma.
        pairs = [(_scalar_text(e.key, where, path), _scalar_text(e.value, where, path)) for e in node.entries]
        return dict(pairs)
    else:
        kind = "a list" if isinstance(node, Sequence) else "a section"
        raise refusal(f"{where} is {kind}, which it cannot be", node, path)
    try:
        return parse(setting, text)
    except SettingError as error:
        raise refusal(str(error), node, path) from None


def _scalar_text(node: Node, where: str, path: str) -> str:
    if not isinstance(node, Scalar):
        raise refusal(f"{where} may hold only single values", node, path)
    return node.value


def _boolean(text: str) -> bool:
    try:
        return BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("write true or false") from None


def _fraction(text: str) -> float:
    if not _NUMBER.match(text) or not 0 <= (number := float(text)) <= 1:
        raise ValueError("write a number from 0.0 to 1.0")
    return number


def _text(text: str) -> str:
    if not text or _CONTROL.search(text):
        raise ValueError("write one line of text; unset removes it")
    return text


def _endpoint(text: str) -> str:
    refused = ValueError("write host:port, or a URL that begins with http:// or https://")
    if "://" in text:
        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise refused from None
        if not usable or re.search(r"\s", text) or _CONTROL.search(text):
            raise refused
        return text
    match = _HOST_AND_PORT.match(text)
    if not match or not 1 <= int(match[1]) <= _MAX_PORT:
        raise refused
    return text


def _protocol(text: str) -> str:
    if text.lower() not in PROTOCOLS:
        raise ValueError(f"write {' or '.join(PROTOCOLS)}")
    return text.lower()


def _names(text: str) -> list[str]:
    names = [item.strip() for item in text.split(",") if item.strip()]
    for item in names:
        if not _NAME.match(item):
            raise ValueError(f"{item!r} is no name of a variable; write NAME,NAME")
    return list(dict.fromkeys(names))


def _map(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, item in enumerate((item for item in text.split(",") if item.strip()), 1):
        key, equals, value = item.partition("=")
        key = key.strip()
        # The item itself is not named: it may be half of a secret.
        if not equals or not key:
            raise ValueError(f"item {number} has no name; write KEY=VALUE,KEY=VALUE")
        if _CONTROL.search(item):
            raise ValueError(f"item {number} holds a control character")
        if key in found:
            raise ValueError(f"{key!r} is here twice")
        found[key] = value.strip()
    return found


_PARSERS: dict[str, Callable[[str], Value]] = {
    BOOLEAN: _boolean,
    FRACTION: _fraction,
    ENDPOINT: _endpoint,
    PROTOCOL: _protocol,
    NAMES: _names,
    MAP: _map,
}
