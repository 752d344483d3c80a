"""Wraps or unwraps servers of one text: plans the edits, makes them, and reads the result again.

Promises: every leaf of the text but the commands and arguments of the chosen entries is as it was, those are what they
must be, and what was wrapped can be unwrapped to the very text it was. Otherwise the text is refused with line and
column. Pure: reads and writes no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thv.clients import mark, splice
from thv.clients.catalog import JSON, TOML
from thv.clients.documents.jsonc import JsonDocument
from thv.clients.documents.nodes import Edit, apply, refusal
from thv.clients.documents.toml import TomlDocument
from thv.clients.documents.yaml import YamlDocument
from thv.clients.entries import Entry, State, entries, layout_of
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from thv.clients.catalog import Client
    from thv.clients.documents.nodes import Document
    from thv.clients.places import ClientFile

CANNOT = "cannot be changed without changing something else; change it by hand"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a text.

    Attributes:
        text: the text after the change; the same text where nothing changed.
        edits: what was changed, with offsets in the old text.
        changed: the entries that were changed.
        others: all other entries that were asked for, with the state that says why not.
    """

    text: str
    edits: tuple[Edit, ...]
    changed: tuple[Entry, ...]
    others: tuple[Entry, ...]


def decode(data: bytes, path: str) -> str:
    """The text of a file; every client writes UTF-8.

    Raises:
        ConfigError: it is something else.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            raise ConfigError("is UTF-16, which clients do not read; save it as UTF-8", path=path) from None
        raise ConfigError(
            f"is not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8",
            path=path,
            line=before.count(b"\n") + 1,
            column=error.start - (before.rfind(b"\n") + 1) + 1,
        ) from None


def parse(text: str, file: ClientFile) -> tuple[Document | None, Client | None]:
    """The document and the client whose layout it has; no document for a text that holds nothing at all.

    Raises:
        ConfigError: the text is not valid.
    """
    if not text.strip("\ufeff \t\r\n"):
        return None, file.client
    path = str(file.path)
    document: Document
    if file.syntax == JSON:
        document = JsonDocument(text, path=path)
    elif file.syntax == TOML:
        document = TomlDocument(text, path=path)
    else:
        document = YamlDocument(text, path=path)
    return document, layout_of(file, document)


def read(text: str, file: ClientFile) -> list[Entry]:
    """The servers of a text.

    Raises:
        ConfigError: the text is not valid, or its servers are not what the client wants.
    """
    document, client = parse(text, file)
    return [] if document is None or client is None else entries(document, client)


def wrap(
    text: str, file: ClientFile, thv: str, *, names: Collection[str] = (), analytics_off: bool = False
) -> Change:
    """Puts thv in front of the servers called `names`, or of all.

    Raises:
        ConfigError: the text is refused; nothing of it is changed.
    """
    document, client = parse(text, file)
    if document is None or client is None:
        return Change(text, (), (), ())
    asked = [entry for entry in entries(document, client) if not names or entry.name in names]
    chosen = [entry for entry in asked if entry.state is State.DIRECT]
    others = tuple(entry for entry in asked if entry.state is not State.DIRECT)
    if not chosen:
        return Change(text, (), (), others)
    planned = [splice.wrap(document, entry, thv, analytics_off=analytics_off) for entry in chosen]
    edits = [edit for group in planned for edit in group]
    result = apply(text, edits)
    _check_wrapped(document, client, result, file, chosen, thv)
    if unwrap(result, file, keys={entry.keys for entry in chosen}).text != text:
        raise _refused(document, chosen)
    return Change(result, tuple(edits), tuple(chosen), others)


def unwrap(
    text: str, file: ClientFile, *, names: Collection[str] = (), keys: Collection[tuple[str | int, ...]] = ()
) -> Change:
    """Takes thv away from the wrapped servers called `names`, or with these `keys`, or from all wrapped ones.

    Raises:
        ConfigError: the text is refused; nothing of it is changed.
    """
    document, client = parse(text, file)
    if document is None or client is None:
        return Change(text, (), (), ())
    asked = [
        entry
        for entry in entries(document, client)
        if (not names or entry.name in names) and (not keys or entry.keys in keys)
    ]
    chosen = [entry for entry in asked if entry.state is State.WRAPPED]
    others = tuple(entry for entry in asked if entry.state is not State.WRAPPED)
    if not chosen:
        return Change(text, (), (), others)
    edits = [edit for entry in chosen for edit in splice.unwrap(document, entry, _mark(entry))]
    result = apply(text, edits)
    _check_unwrapped(document, client, result, file, chosen)
    return Change(result, tuple(edits), tuple(chosen), others)


def _mark(entry: Entry) -> mark.Mark:
    found = mark.find_mark(entry.args or ())
    assert found is not None  # noqa: S101  that is what made it a wrapped one
    return found


def _check_wrapped(
    document: Document, client: Client, result: str, file: ClientFile, chosen: Sequence[Entry], thv: str
) -> None:
    for old, new in _counterparts(document, client, result, file, chosen):
        found = mark.find_mark(new.args or ())
        started = () if found is None else (new.args or ())[found.command :]
        if new.command != thv or tuple(started) != (old.command, *(old.args or ())):
            raise _refused(document, [old])


def _check_unwrapped(
    document: Document, client: Client, result: str, file: ClientFile, chosen: Sequence[Entry]
) -> None:
    for old, new in _counterparts(document, client, result, file, chosen):
        started = (old.args or ())[_mark(old).command :]
        if (new.command, *(new.args or ())) != started:
            raise _refused(document, [old])


def _counterparts(
    document: Document, client: Client, result: str, file: ClientFile, chosen: Sequence[Entry]
) -> list[tuple[Entry, Entry]]:
    """Each chosen entry and what it is in the result, which must agree with the document in everything else."""
    leaves = [keys for entry in chosen if entry.place for keys in entry.place.leaves]
    try:
        after, _ = parse(result, file)
        if after is None or after.without(leaves) != document.without(leaves):
            raise _refused(document, chosen)
        found = {entry.keys: entry for entry in entries(after, client)}
    except RecursionError:
        raise refusal(document, 0, "is nested too deep") from None
    except ConfigError as error:
        raise _refused(document, chosen) from error
    return [(entry, found[entry.keys]) for entry in chosen]


def _refused(document: Document, chosen: Sequence[Entry]) -> ConfigError:
    place = chosen[0].place
    offset = place.program.start if place is not None else 0
    return refusal(document, offset, f"the server {chosen[0].name} {CANNOT}")


