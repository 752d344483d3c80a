"""What a setting's value may be, for each kind: from the command line, from the file, and back to text.

Promises: what `parse` takes, `show` gives back in one canonical form that `parse` takes again. Pure.
It answers `thv config otel get` at once: no regular expressions, and the YAML parser only where a node comes from it.
"""

from __future__ import annotations

from thv.config.boolean_reading import boolean_in
from thv.config.settings import (
    AGE,
    BOOLEAN,
    COMPRESSION,
    COUNT,
    ENDPOINT,
    FRACTION,
    HEADERS,
    MAP,
    MAPS,
    MILLISECONDS,
    NAMES,
    PORT,
    POSITIVE,
    PROTOCOL,
    SIZE,
    TEMPORALITY,
)
from thv.core.booleans import BOOLEANS
from thv.core.net.http_headers import is_header_name
from thv.core.net.urls import MAX_PORT, parse_port, split_url
from thv.errors import SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thv.config.settings import Setting
    from thv.config.yaml.scalar_writer import Value
    from thv.config.yaml.tree import Node

PROTOCOLS = ("http/protobuf", "grpc")
COMPRESSIONS = ("gzip", "none")
TEMPORALITIES = ("cumulative", "delta", "lowmemory")
HIDDEN = "********"
"""What is shown in place of a secret; its length tells nothing."""

HALF = "half of a character; write all of it"
"""What is wrong with text that has a surrogate without its other half: one escape of a pair such as `\\ud83d\\ude00` is
missing or, on the command line, bytes are no UTF-8."""

SIZES = {
    **dict.fromkeys(("kib", "k", "kb"), ("KiB", 1 << 10)),
    **dict.fromkeys(("mib", "m", "mb"), ("MiB", 1 << 20)),
    **dict.fromkeys(("gib", "g", "gb"), ("GiB", 1 << 30)),
}
"""Unit in lower case -> how it is written, and its bytes. What people write as MB is taken for MiB."""

AGES = {
    **dict.fromkeys(("d", "day", "days"), ("d", 86_400)),
    **dict.fromkeys(("h", "hour", "hours"), ("h", 3_600)),
    **dict.fromkeys(("m", "min", "minute", "minutes"), ("m", 60)),
}
"""Unit in lower case -> how it is written, and its seconds."""

MIN_SIZE, MAX_SIZE = 1 << 20, 1 << 40
"""Bytes: less holds no useful journal, more is a slip of the keyboard."""

MAX_DIGITS = 7
"""Of a size or an age."""

_DIGITS = frozenset("0123456789")
_HOST = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-")
_ADDRESS = _DIGITS | frozenset("abcdefABCDEF:.")
_MAX_INTEGER = 2**31 - 1
"""What a number in a variable may be ("Environment Variable Specification", "Integer")."""


def parse(setting: Setting, text: str) -> Value:
    """The value that `text` means for `setting`.

    Raises:
        SettingError: it means none; says what would.
    """
    try:
        return _PARSERS.get(setting.kind, _text)(text.strip())
    except ValueError as error:
        shown = "this" if setting.secret or (setting.kind == ENDPOINT and _may_hold_secret(text)) else repr(text)
        raise SettingError(f"{setting.name} cannot be {shown}: {error}") from None


def show(value: Value, *, reveal: bool = True) -> str:
    """The value as `get` prints it; with `reveal` false the values of a map are hidden."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if "e" not in (text := repr(value)):
            return text
        from thv.config.yaml.scalar_writer import decimal_text

        return decimal_text(value)
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, dict):
        return ",".join(f"{key}={item if reveal else HIDDEN}" for key, item in value.items())
    return value


def shown(setting: Setting, value: Value, *, reveal: bool) -> str:
    """As `show`; without `reveal`, secrets are hidden: headers, and the user, query and fragment of an endpoint."""
    if isinstance(value, str) and setting.kind == ENDPOINT and _may_hold_secret(value) and not reveal:
        scheme, user, host, rest = split_url(value)
        path, mark, _ = rest.partition("?" if "?" in rest.partition("#")[0] else "#")
        return f"{scheme}{HIDDEN + '@' if user else ''}{host}{path}{mark + HIDDEN if mark else ''}"
    return show(value, reveal=reveal or not setting.secret)


def _may_hold_secret(endpoint: str) -> bool:
    return any(mark in endpoint for mark in "@?#")


def from_node(setting: Setting, node: Node, *, path: str) -> Value | None:
    """The value that the file's node means for `setting`; None for a node that says nothing. `path` is for errors.

    Raises:
        ConfigError: it means none; with its line and column.
    """
    from thv.config.yaml.key_lookup import name, refusal
    from thv.config.yaml.tree import Mapping, Scalar, Sequence

    where = name((setting.section, setting.name))
    if isinstance(node, Scalar) and setting.kind == BOOLEAN:
        return boolean_in(node, setting, path)
    if isinstance(node, Scalar) and node.is_null:
        return None
    if isinstance(node, Scalar):
        text = node.value
    elif isinstance(node, Sequence) and setting.kind == NAMES:
        text = ",".join(_scalar_text(item, where, path) for item in node.items)
    elif isinstance(node, Mapping) and setting.kind in MAPS:
        # Not joined and parsed: in the file, unlike on the command line, a value may hold a comma.
        pairs = {_scalar_text(e.key, where, path): _scalar_text(e.value, where, path) for e in node.entries}
        text = "".join(map("".join, pairs.items()))
        if has_control(text):  # a header with a line break would be two
            raise refusal(f"{where} holds {HALF if _has_half(text) else 'a control character'}", node, path)
        if setting.kind == HEADERS and (bad := bad_header(pairs)) is not None:
            raise refusal(f"{where}: {bad!r} cannot be the name of an HTTP header", node, path)
        return pairs
    else:
        kind = "a list" if isinstance(node, Sequence) else "a section"
        raise refusal(f"{where} is {kind}, which it cannot be", node, path)
    try:
        return parse(setting, text)
    except SettingError as error:
        raise refusal(str(error), node, path) from None


def _scalar_text(node: Node, where: str, path: str) -> str:
    from thv.config.yaml.key_lookup import refusal
    from thv.config.yaml.tree import Scalar

    if not isinstance(node, Scalar):
        raise refusal(f"{where} may hold only single values", node, path)
    return node.value


def has_control(text: str) -> bool:
    """Whether a control character stands in it, or half of a character that UTF-8 cannot write."""
    return any(letter < " " or "\x7f" <= letter <= "\x9f" for letter in text) or _has_half(text)


def _has_half(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _boolean(text: str) -> bool:
    try:
        return BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("write true or false") from None


def _fraction(text: str) -> float:
    if not _is_decimal(text) or not 0 <= (number := float(text)) <= 1:
        raise ValueError("write a number from 0.0 to 1.0")
    return number


def _text(text: str) -> str:
    if _has_half(text):
        raise ValueError(f"it holds {HALF}")
    if not text or has_control(text):
        raise ValueError("write one line of text; unset removes it")
    return text


def _endpoint(text: str) -> str:
    refused = ValueError("write host:port, or a URL that begins with http:// or https://")
    if "://" in text:
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise refused from None
        if not usable or any(map(str.isspace, text)) or has_control(text):
            raise refused
        return text
    host, _, port = text.rpartition(":")
    in_brackets = host[:1] == "[" and host[-1:] == "]"
    named = _ADDRESS.issuperset(host[1:-1]) and host != "[]" if in_brackets else _HOST.issuperset(host) and host
    if not named or parse_port(port) is None:
        raise refused
    return text


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"write {', '.join(words[:-1])} or {words[-1]}")
        return text.lower()

    return read


def _whole(what: str, least: int) -> Callable[[str], float]:
    def read(text: str) -> float:
        is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_INTEGER))
        if not is_number or not least <= int(text) <= _MAX_INTEGER:
            raise ValueError(f"write {what} from {least} to {_MAX_INTEGER}")
        return float(text)

    return read


def _port(text: str) -> float:
    if parse_port(text) is None:
        raise ValueError(f"write a port, from 1 to {MAX_PORT}")
    return float(text)


def _names(text: str) -> list[str]:
    names = [item.strip() for item in text.split(",") if item.strip()]
    for item in names:
        if not (item.isascii() and item.isidentifier()):
            raise ValueError(f"{item!r} is no name of a variable; write NAME,NAME")
    return list(dict.fromkeys(names))


def _map(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, item in enumerate((item for item in text.split(",") if item.strip()), 1):
        key, equals, value = item.partition("=")
        key = key.strip()
        # The item itself is not named: it may be half of a secret.
        if not equals or not key:
            raise ValueError(f"item {number} is no KEY=VALUE; write KEY=VALUE,KEY=VALUE")
        if has_control(item):
            raise ValueError(f"item {number} holds {HALF if _has_half(item) else 'a control character'}")
        if key in found:
            raise ValueError(f"{key!r} is here twice")
        found[key] = value.strip()
    return found


def _headers(text: str) -> dict[str, str]:
    found = _map(text)
    if (bad := bad_header(found)) is not None:
        raise ValueError(f"{bad!r} cannot be the name of an HTTP header")
    return found


def bad_header(names: Iterable[str]) -> str | None:
    """The first name that no header can have."""
    return next((name for name in names if not is_header_name(name)), None)


def _size(text: str) -> str:
    number, unit = _number_and_unit(text)
    if unit not in SIZES or not MIN_SIZE <= number * SIZES[unit][1] <= MAX_SIZE:
        raise ValueError("write a size from 1MiB to 1024GiB, such as 64MiB")
    return f"{number}{SIZES[unit][0]}"


def _age(text: str) -> str:
    number, unit = _number_and_unit(text)
    if unit not in AGES:
        raise ValueError("write an age such as 30d, with d for days, h for hours or m for minutes")
    return f"{number}{AGES[unit][0]}"


def size_bytes(text: str) -> int:
    """The bytes that a value of the kind `SIZE` means."""
    number, unit = _number_and_unit(text)
    return number * SIZES[unit][1]


def age_seconds(text: str) -> int:
    """The seconds that a value of the kind `AGE` means."""
    number, unit = _number_and_unit(text)
    return number * AGES[unit][1]


def _number_and_unit(text: str) -> tuple[int, str]:
    """The positive whole number and the unit, in lower case; 0 and "" for what does not begin with such a number."""
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    if not digits or len(digits) > MAX_DIGITS or int(digits) == 0:
        return 0, ""
    return int(digits), text[len(digits) :].strip().lower()


def _is_decimal(text: str) -> bool:
    """Digits with or without a point and an exponent; no sign, none of what `float` takes besides."""
    mantissa, mark, exponent = text.replace("E", "e").partition("e")
    whole, _, part = mantissa.partition(".")
    power = exponent[1:] if exponent[:1] in {"+", "-"} else exponent
    return text.isascii() and (whole + part).isdigit() and (not mark or power.isdigit())


_PARSERS: dict[str, Callable[[str], Value]] = {
    BOOLEAN: _boolean,
    FRACTION: _fraction,
    ENDPOINT: _endpoint,
    PROTOCOL: _one_of(PROTOCOLS),
    COMPRESSION: _one_of(COMPRESSIONS),
    TEMPORALITY: _one_of(TEMPORALITIES),
    MILLISECONDS: _whole("milliseconds, a whole number", 0),
    COUNT: _whole("a whole number", 0),
    POSITIVE: _whole("a whole number", 1),
    PORT: _port,
    NAMES: _names,
    MAP: _map,
    HEADERS: _headers,
    SIZE: _size,
    AGE: _age,
}
