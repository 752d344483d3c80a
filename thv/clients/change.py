"""Wraps or unwraps servers of one text: plans the edits, makes them, and reads the result again.

Promises: every leaf of the text but the commands and arguments of the chosen entries is as it was, those are what they
must be, and what was wrapped can be unwrapped to the very text it was. Otherwise the text is refused with line and
column. Pure: reads and writes no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thv.clients import entry_wrapping, mark
from thv.clients.catalog import JSON, TOML
from thv.clients.documents.json_document import JsonDocument
from thv.clients.documents.nodes import TextEdit, apply, refusal
from thv.clients.documents.toml_document import TomlDocument
from thv.clients.documents.yaml_document import YamlClientDocument
from thv.clients.entries import ServerEntry, State, entries, layout_of
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from thv.clients.catalog import Client
    from thv.clients.client_file_locations import ClientFile
    from thv.clients.documents.nodes import ParsedDocument

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
    edits: tuple[TextEdit, ...]
    changed: tuple[ServerEntry, ...]
    others: tuple[ServerEntry, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file: its document, and the client whose layout it has."""

    file: ClientFile
    document: ParsedDocument
    client: Client

    def entries(self) -> list[ServerEntry]:
        """The servers, in order.

        Raises:
            ConfigError: they are not what the client wants them to be.
        """
        return entries(self.document, self.client)


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


def parse(text: str, file: ClientFile) -> Source | None:
    """The parsed text; None for one that holds nothing, or nothing that any client reads.

    Raises:
        ConfigError: the text is not valid.
    """
    if not text.strip("\ufeff \t\r\n"):
        return None
    path = str(file.path)
    document: ParsedDocument
    if file.syntax == JSON:
        document = JsonDocument(text, path=path)
    elif file.syntax == TOML:
        document = TomlDocument(text, path=path)
    else:
        document = YamlClientDocument(text, path=path)
    client = layout_of(file, document)
    return None if client is None else Source(file, document, client)


def read(text: str, file: ClientFile) -> list[ServerEntry]:
    """The servers of a text.

    Raises:
        ConfigError: the text is not valid, or its servers are not what the client wants.
    """
    source = parse(text, file)
    return [] if source is None else source.entries()


def wrap(text: str, file: ClientFile, thv: str, *, names: Collection[str] = (), analytics_off: bool = False) -> Change:
    """Puts thv in front of the servers called `names`, or of all.

    Raises:
        ConfigError: the text is refused; nothing of it is changed.
    """
    source = parse(text, file)
    chosen, others = _split(source, names, State.DIRECT)
    if source is None or not chosen:
        return Change(text, (), (), others)
    edits = [
        edit
        for entry in chosen
        for edit in entry_wrapping.wrap(source.document, entry, thv, analytics_off=analytics_off)
    ]
    result = apply(text, edits)
    after, pairs = _compared(source, result, chosen)
    for old, new in pairs:
        found = mark.find_mark(new.args or ())
        started = () if found is None else (new.args or ())[found.command :]
        if new.command != thv or started != (old.command, *(old.args or ())):
            raise _refused(source, old)
    if apply(result, _unwrapping(after, [new for _, new in pairs])) != text:
        raise _refused(source, chosen[0])
    return Change(result, tuple(edits), chosen, others)


def unwrap(text: str, file: ClientFile, *, names: Collection[str] = ()) -> Change:
    """Takes thv away from the wrapped servers called `names`, or from all wrapped ones.

    Raises:
        ConfigError: the text is refused; nothing of it is changed.
    """
    source = parse(text, file)
    chosen, others = _split(source, names, State.WRAPPED)
    if source is None or not chosen:
        return Change(text, (), (), others)
    edits = _unwrapping(source, chosen)
    result = apply(text, edits)
    for old, new in _compared(source, result, chosen)[1]:
        if (new.command, *(new.args or ())) != (old.args or ())[_mark(old).command :]:
            raise _refused(source, old)
    return Change(result, tuple(edits), chosen, others)


def _split(
    source: Source | None, names: Collection[str], state: State
) -> tuple[tuple[ServerEntry, ...], tuple[ServerEntry, ...]]:
    """The servers called `names`, or all: those in this state, and the others."""
    asked = [entry for entry in source.entries() if not names or entry.name in names] if source is not None else []
    chosen = tuple(entry for entry in asked if entry.state is state)
    return chosen, tuple(entry for entry in asked if entry.state is not state)


def _unwrapping(source: Source, chosen: Sequence[ServerEntry]) -> list[TextEdit]:
    return [edit for entry in chosen for edit in entry_wrapping.unwrap(source.document, entry, _mark(entry))]


def _mark(entry: ServerEntry) -> mark.Mark:
    found = mark.find_mark(entry.args or ())
    assert found is not None  # noqa: S101  that is what made it a wrapped one
    return found


def _compared(
    source: Source, result: str, chosen: Sequence[ServerEntry]
) -> tuple[Source, list[tuple[ServerEntry, ServerEntry]]]:
    """The parsed result, and each chosen entry with what it is there.

    Raises:
        ConfigError: the result differs from the source in anything else.
    """
    leaves = [keys for entry in chosen if entry.place for keys in entry.place.leaves]
    try:
        after = parse(result, source.file)
        if after is None or after.document.without(leaves) != source.document.without(leaves):
            raise _refused(source, chosen[0])
        found = {entry.keys: entry for entry in after.entries()}
    except RecursionError:
        raise refusal(source.document, 0, "is nested too deep") from None
    except ConfigError as error:
        raise _refused(source, chosen[0]) from error
    return after, [(entry, found[entry.keys]) for entry in chosen]


def _refused(source: Source, entry: ServerEntry) -> ConfigError:
    offset = entry.place.program.start if entry.place is not None else 0
    return refusal(source.document, offset, f"the server {entry.name} {CANNOT}")
