"""The arguments of a tool call, from the KEY=VALUE words of a command line and the tool's input schema.

The schema decides what a word means: `a=2` is a number for a tool that takes a number, and a text for one that takes a
text. It is read for types alone; holding the arguments to it is the server's work.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from thv.core.printable import printable
from thv.core.surrogates import replace_surrogates
from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

JsonObject = dict[str, Any]

_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
"""JSON Schema type -> whether a decoded value is of it (JSON Schema 2020-12, Validation, 6.1.1)."""

_SPOKEN: Final = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "array": "a JSON array",
    "object": "a JSON object",
}
"""JSON Schema type -> what to tell people to write."""

_ALTERNATIVES: Final = ("anyOf", "oneOf", "allOf")

_DEEPEST: Final = 8
"""How far references and alternatives are followed: schemas may refer to themselves."""


def tool_arguments(
    pairs: Iterable[tuple[str, str]], schema: Mapping[str, Any], base: JsonObject | None = None
) -> JsonObject:
    """The arguments that keys and texts say, over those of `base`.

    Args:
        pairs: a key and its text each, as `split_word` gives them.
        schema: the tool's `inputSchema`; an empty one if the tool is not known.
        base: arguments already given as JSON.

    Raises:
        ThvError: a value is not of the type the tool takes.
    """
    properties = schema.get("properties")
    arguments = dict(base or {})
    for key, text in pairs:
        wanted = properties.get(key) if isinstance(properties, dict) else None
        arguments[key] = _value(key, text, schema_types(wanted, schema))
    return arguments


def split_word(word: str) -> tuple[str, str]:
    """The key and the text of ``KEY=VALUE``.

    Raises:
        ValueError: it is none; the message says what it is.
    """
    key, equals, text = word.partition("=")
    if not key or not equals:
        raise ValueError(f"{word!r} is not KEY=VALUE")
    if replace_surrogates(word) != word:  # how Python hands on bytes that are no text
        raise ValueError(
            f"{printable(word)} is not valid text in the encoding of this terminal, so JSON cannot hold it"
        )
    return key, text


def schema_types(schema: Any, root: Mapping[str, Any], depth: int = 0) -> frozenset[str]:
    """The JSON types a schema admits, as far as one can see; empty if it does not say.

    Args:
        schema: of one value.
        root: the document that its ``#/…`` references point into.
        depth: how many references and alternatives were followed to get here.
    """
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return frozenset()
    declared = schema.get("type")
    if isinstance(declared, str):
        return frozenset({declared})
    if isinstance(declared, list):
        return frozenset(name for name in declared if isinstance(name, str))
    for values in (schema.get("enum"), [schema["const"]] if "const" in schema else None):
        if isinstance(values, list):
            return frozenset(name for name in _CHECKS for value in values if _CHECKS[name](value))
    parts = [part for keyword in _ALTERNATIVES for part in _list(schema.get(keyword))]
    if "$ref" in schema:
        parts.append(_referenced(schema["$ref"], root))
    return frozenset().union(*(schema_types(part, root, depth + 1) for part in parts))


def _referenced(reference: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    node: Any = root
    for step in reference[2:].split("/"):
        if not isinstance(node, dict):
            return None
        node = node.get(step.replace("~1", "/").replace("~0", "~"))
    return node


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _value(key: str, text: str, types: frozenset[str]) -> Any:
    if types == {"string"}:
        return text
    try:
        decoded = decode_json(text)
    except (ValueError, RecursionError):
        if types and "string" not in types:
            raise ThvError(_wrong_type(key, text, types)) from None
        return text
    known = [_CHECKS[name] for name in types if name in _CHECKS]
    if not known or any(fits(decoded) for fits in known if fits is not _CHECKS["string"]):
        return decoded
    if "string" in types:
        return text
    if "integer" in types and isinstance(decoded, float) and decoded.is_integer():
        return int(decoded)
    raise ThvError(_wrong_type(key, text, types))


def decode_json(text: str) -> Any:
    """The decoded text.

    Raises:
        ValueError: it is not JSON, or holds a number that no JSON text of ours could carry.
        RecursionError: it nests too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _wrong_type(key: str, text: str, types: frozenset[str]) -> str:
    return f"{key}={text}: the tool takes {' or '.join(_SPOKEN.get(name, name) for name in sorted(types))} there"
