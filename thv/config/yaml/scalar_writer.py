"""Writes one value as YAML that stands anywhere on one line and that YAML 1.1 and 1.2 read alike.

Promises: a string is written without quotes only where no YAML version could take it for anything else; what is written
`quoted` is JSON. Pure.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TypeAlias

Value: TypeAlias = bool | float | str | list[str] | dict[str, str]
"""What one setting can hold."""

_PLAIN = re.compile(
    r"(?!(?:true|false|null|yes|no|on|off|y|n|nan|inf)\Z)[A-Za-z_/][A-Za-z0-9_./@+-]*(?::[A-Za-z0-9_./@+-]+)*\Z"
    r"|[1-9][0-9]*(?:[KMG]iB|[dhm])\Z",  # sizes and ages: numbers in no YAML version
    re.IGNORECASE,
)
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f-\xa0\xad\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]')


def flow_text(value: Value, *, quoted: bool = False) -> str:
    """The value on one line: a scalar, or a list or mapping in brackets.

    Args:
        value: what to write.
        quoted: every string gets quotes, as in JSON.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return decimal_text(value)
    if isinstance(value, str):
        return _string(value, quoted=quoted)
    if isinstance(value, list):
        return f"[{', '.join(_string(item, quoted=quoted) for item in value)}]"
    pairs = (f"{_string(key, quoted=quoted)}: {_string(item, quoted=quoted)}" for key, item in value.items())
    return f"{{{', '.join(pairs)}}}"


def block_lines(value: list[str] | dict[str, str]) -> list[str]:
    """The value with one line for each item, as a person would write a list or a section."""
    if isinstance(value, list):
        return [f"- {_string(item)}" for item in value]
    return [f"{_string(key)}: {_string(item)}" for key, item in value.items()]


def decimal_text(number: float) -> str:
    """A number with a point and without an exponent: YAML 1.1 reads `1e-05` as a string."""
    text = f"{Decimal(repr(number)):f}"
    return text if "." in text else text + ".0"


def _string(text: str, *, quoted: bool = False) -> str:
    if _PLAIN.match(text) and not quoted:
        return text
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return "\\" + character if character in '"\\' else f"\\u{ord(character):04x}"
