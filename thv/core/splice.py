"""Edits one value inside JSON bytes and leaves every other byte as it is.

`Member` replaces a value whose place in a message is known by name. `members_of` and `Edit` are for edits that may have
to add members. A text that cannot be edited for certain is left alone. Pure: no I/O.
"""

from __future__ import annotations

import re
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import UNSET, Raw
from msgspec.json import Decoder, encode

from thv.core.message import SUBSCRIPTION_KEY, Meta, Params, read_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from thv.core.message import Id, Message, Result

MAX_TRIES: Final = 8
"""Places looked at for the member to replace before the message is put together anew: each costs one decoding."""

NEAR_THE_START: Final = 64
"""Bytes within which most implementations write the id."""

MAX_PIECES: Final = 20_000
"""Strings, numbers and brackets of a text that are scanned for its members: about 10 ms."""

_PIECE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]|[^\s\[\]{},:"]++', re.DOTALL)
_VALUE: Final = rb'[ \t\r\n]*+:[ \t\r\n]*+("(?:[^"\\]|\\.)*+"|-?[0-9][0-9.eE+-]*+)'
_BEHIND: Final = frozenset({b",", b"}"})
"""What follows the value of a member that is written without blanks."""

_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]")
"""A letter that is escaped without need: the name of a member may be written so."""

_DEPTH: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_name = Decoder(str).decode
_id = Decoder(int | float | str).decode
_members = Decoder(dict[str, Raw]).decode


class Edit(NamedTuple):
    """The bytes from `start` to `end` become `text`."""

    start: int
    end: int
    text: bytes


def apply(text: bytes, edits: Iterable[Edit]) -> bytes:
    """The text with these edits, which are in order and do not overlap."""
    parts = []
    done = 0
    for edit in edits:
        parts += [text[done : edit.start], edit.text]
        done = edit.end
    return b"".join((*parts, text[done:]))


class Member:
    """One member, a string or a number, that can be replaced in the bytes of a message.

    Args:
        path: the names that lead to it.
        get: reads it from the decoded message.
    """

    def __init__(self, path: tuple[str, ...], get: Callable[[Message], Id | None]) -> None:
        self._path = path
        self._get = get
        self._name = b'"%b"' % path[-1].encode()
        self._label = self._name + b":"
        self._pattern = re.compile(re.escape(self._name) + _VALUE, re.DOTALL)

    def replaced(self, line: bytes, new: bytes, message: Message | None = None, *, trusted: bool = False) -> bytes:
        """The message with this member's value replaced; the same bytes if there is no such member to be replaced."""
        return self.exchanged(line, new, message, trusted=trusted)[0]

    def exchanged(
        self, line: bytes, new: bytes, message: Message | None = None, *, trusted: bool = False
    ) -> tuple[bytes, bytes | None]:
        """The same, and the JSON text of the value so far, byte for byte; None if there is no such member.

        Where the name stands once there is no doubt. Elsewhere each candidate is tried, and the change decoded: the
        one that is seen from the path is it.

        Args:
            line: the message.
            new: the JSON text of the new value.
            message: what the line says, if it was decoded already.
            trusted: the line comes from the user's own server. Then an id that stands first or last in the message is
                taken for the id without decoding, which a member of the same name and value twice would deceive.
        """
        message = message or read_message(line)
        now = None if message is None else self._get(message)
        if message is None or now is None:
            return line, None
        old = encode(now)
        label = self._label if line.find(self._label) >= 0 else self._label + b" "
        member = label + old
        for split in (line.partition, line.rpartition):  # nearly all write it so, in one of these places
            before, _, after = split(member)
            if after[:1] in _BEHIND and self._is_sure(line, before, after, trusted=trusted):
                return b"".join((before, label, new, after)), old
        if old == new:
            return line, self.raw(line, message)
        spans = self._candidates(line)
        span = self._certain(line, spans, now, trusted=trusted)
        if span is None:
            return self._verified(line, new, spans), self.raw(line, message)
        return b"%b%b%b" % (line[: span[0]], new, line[span[1] :]), line[slice(*span)]

    def raw(self, line: bytes, message: Message) -> bytes | None:
        """The JSON text of the value, byte for byte as it stands in the line; None if there is none.

        Args:
            line: the message.
            message: what the line says.
        """
        now = self._get(message)
        if now is None:
            return None
        if isinstance(now, int) and now:  # 0 may be written -0
            return b"%d" % now
        span = self._certain(line, self._candidates(line), now, trusted=False)
        if span is not None:
            return line[span[0] : span[1]]
        try:
            value = Raw(line)
            for name in self._path:
                value = _members(value)[name]
        except (ValueError, KeyError, RecursionError):
            return encode(now)
        return bytes(value)

    def _is_sure(self, line: bytes, before: bytes, after: bytes, *, trusted: bool) -> bool:
        """Whether the member between these parts, which has the right value, must be the one that is meant."""
        if line.count(self._name) == 1:
            # A quote inside a string is escaped, so this is no part of one, and no other member is written so.
            return line.find(b"\\") < 0 or (before[-1:] != b"\\" and not _ESCAPED_LETTER.search(line))
        if not trusted or len(self._path) > 1:
            return False
        is_first = before.rfind(b"{") == 0 and before.find(b"[") < 0
        return is_first or after.strip() == b"}"

    def _candidates(self, line: bytes) -> list[tuple[int, int]]:
        """Where values of members of this name stand, the likeliest first; at most `MAX_TRIES`."""
        first = line.find(self._name)
        last = line.rfind(self._name)
        order = [first, last] if 0 <= first < NEAR_THE_START else [last, first]
        position = first
        while len(order) < MAX_TRIES and 0 <= position < last:
            position = line.find(self._name, position + 1)
            order.append(position)
        matches = (self._pattern.match(line, start) for start in dict.fromkeys(order) if start >= 0)
        return [match.span(1) for match in matches if match is not None]

    def _certain(self, line: bytes, spans: list[tuple[int, int]], now: Id, *, trusted: bool) -> tuple[int, int] | None:
        """The candidate that must be the member's value, if one must."""
        for start, end in spans:
            if _scalar(line[start:end]) != now:
                continue
            before = line[: line.rfind(self._name, 0, start)]
            if self._is_sure(line, before, line[end:], trusted=trusted):
                return start, end
        return None

    def _verified(self, line: bytes, new: bytes, spans: list[tuple[int, int]]) -> bytes:
        wanted = _scalar(new)
        for start, end in spans:
            changed = b"%b%b%b" % (line[:start], new, line[end:])
            message = read_message(changed)
            if message is not None and self._get(message) == wanted:
                return changed
        try:
            changed = _rejoined(Raw(line), self._path, new) + b"\n" * line.endswith(b"\n")
        except (ValueError, KeyError, RecursionError):
            return line
        message = read_message(changed)
        return changed if message is not None and self._get(message) == wanted else line


def _scalar(value: bytes) -> Id | None:
    try:
        id_: Id = _id(value)
    except ValueError:
        return None
    return id_


def _rejoined(text: Raw, path: tuple[str, ...], new: bytes) -> bytes:
    """The object put together anew from the bytes of its members, with the one at the end of `path` replaced."""
    members: dict[str, bytes | Raw] = dict(_members(text))
    name, *rest = path
    members[name] = _rejoined(Raw(bytes(members[name])), tuple(rest), new) if rest else new
    return b"{%b}" % b",".join(b"%b:%b" % (encode(key), bytes(value)) for key, value in members.items())


_NO_META: Final = Meta()
_NO_PARAMS: Final = Params()


def _result_meta(message: Message) -> Meta:
    result: Result | None = None if message.result is UNSET else message.result
    return (result and result.meta) or _NO_META


ID: Final = Member(("id",), attrgetter("key"))
REQUEST_TOKEN: Final = Member(
    ("params", "_meta", "progressToken"), lambda message: (message.meta or _NO_META).progress_token
)
PROGRESS_TOKEN: Final = Member(
    ("params", "progressToken"), lambda message: (message.params or _NO_PARAMS).progress_token
)
CANCELLED_ID: Final = Member(("params", "requestId"), lambda message: (message.params or _NO_PARAMS).request_id)
SUBSCRIPTION: Final = Member(
    ("params", "_meta", SUBSCRIPTION_KEY), lambda message: (message.meta or _NO_META).subscription
)
RESULT_SUBSCRIPTION: Final = Member(
    ("result", "_meta", SUBSCRIPTION_KEY), lambda message: _result_meta(message).subscription
)


class UnclearError(Exception):
    """The text cannot be edited for certain: a member stands twice, or there is too much of it."""


class Value(NamedTuple):
    """Where a value stands, and its first piece: a bracket, a string or a word."""

    start: int
    end: int
    first: bytes


class ObjectSpan(NamedTuple):
    """An object's members, and the place behind the last one, or behind the opening bracket."""

    members: dict[str, Value]
    behind: int

    def insertion(self, member: bytes) -> Edit:
        """One more member."""
        return Edit(self.behind, self.behind, b"," + member if self.members else member)


def objects_in(text: bytes) -> Iterator[ObjectSpan]:
    """The objects of a batch, or the one object that the text is. It must be valid JSON.

    Raises:
        UnclearError: a member stands twice, or there are more than `MAX_PIECES` pieces.
    """
    scan = _Scan(text, 0)
    opening = scan.next()
    if opening[0] == b"{":
        yield scan.object(opening)
        return
    while (piece := scan.next())[0] != b"]":
        if piece[0] == b"{":
            yield scan.object(piece)
        else:
            scan.end_of(piece)


def members_of(text: bytes, value: Value) -> ObjectSpan:
    """The members of the object that a value is. Raises UnclearError, as `objects_in` does."""
    scan = _Scan(text, value.start)
    return scan.object(scan.next())


class _Scan:
    """One pass over JSON that is known to be valid."""

    def __init__(self, text: bytes, start: int) -> None:
        self._matches = islice(_PIECE.finditer(text, start), MAX_PIECES)

    def object(self, opening: re.Match[bytes]) -> ObjectSpan:
        members: dict[str, Value] = {}
        behind = opening.end()
        while (piece := self.next())[0] != b"}":
            if piece[0] == b",":
                continue
            self.next()  # the colon
            first = self.next()
            name, behind = _name(piece[0]), self.end_of(first)
            if name in members:
                raise UnclearError
            members[name] = Value(first.start(), behind, first[0])
        return ObjectSpan(members, behind)

    def end_of(self, first: re.Match[bytes]) -> int:
        depth = _DEPTH.get(first[0], 0)
        piece = first
        while depth:
            piece = self.next()
            depth += _DEPTH.get(piece[0], 0)
        return piece.end()

    def next(self) -> re.Match[bytes]:
        piece = next(self._matches, None)
        if piece is None:  # there are too many
            raise UnclearError
        return piece
