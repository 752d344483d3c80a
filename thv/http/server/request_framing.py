"""Fields by name; requests that cannot be served, or whose body would end in two places for two readers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BAD_REQUEST, EXPECTATION_FAILED, NOT_IMPLEMENTED, VERSION_NOT_SUPPORTED = 400, 417, 501, 505


def by_name(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Fields by their names in lower case; those given twice joined by a comma (RFC 9110, 5.2)."""
    named: dict[bytes, bytes] = {}
    for spelled, value in fields:
        name = spelled.lower()
        named[name] = named[name] + b", " + value if name in named else value
    return named


def framing_problem(version: str, headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
    """Why a request with this head cannot be served: a status and a sentence. llhttp has checked its syntax."""
    if version not in {"1.1", "1.0"}:
        return VERSION_NOT_SUPPORTED, "only HTTP/1.1 and 1.0 are spoken here"
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked":
            return NOT_IMPLEMENTED, "the only Transfer-Encoding that is understood is chunked"
        if version == "1.0" or b"content-length" in headers:
            return BAD_REQUEST, "the length of the body is ambiguous"
    if any(
        each.strip(b" \t") not in {b"100-continue", b""} for each in headers.get(b"expect", b"").lower().split(b",")
    ):
        return EXPECTATION_FAILED, "the only expectation that can be met is 100-continue"
    return None
