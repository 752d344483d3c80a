"""Reads one boolean of the config file, finds a no in the wrong place, and names the keys that thv does not know.

Promises: reading never raises and never guesses; what is not surely a boolean is a problem, and consent takes a problem
for a no. Imports nothing slow for a plain file, because `thv run` needs it at once.
"""

# ruff: noqa: PTH110, PTH114, PTH116, PTH120  pathlib costs milliseconds that the start of `thv run` does not have

from __future__ import annotations

import os

from thv.config import reader
from thv.config.settings import KEYS, SECTIONS, USAGE_ANALYTICS_ENABLED
from thv.core.booleans import BOOLEANS
from thv.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from thv.config.settings import Setting
    from thv.config.yaml.plain_reader import Entries
    from thv.config.yaml.tree import Node, Scalar, YamlDocument
    from thv.core.interfaces import BooleanReading

    Parsed: TypeAlias = tuple[str, Entries | None, list[YamlDocument]]
    """A text, its entries if it is plain, and its documents if it is not."""

    Found: TypeAlias = tuple[int, tuple[str, ...], int, int]
    """An entry: the number of its document from 0, the keys that lead to it, its line and column from 1."""


def read_consent(path: str, *, is_named: bool) -> BooleanReading:
    """What the file at `path` says about usage analytics. Never raises.

    As `read_boolean`. Problems are also a file that is named and not there, and a no in the wrong place: at the top
    level, in a section of another name or case, under a misspelled key, in a later document.

    Args:
        path: the config file.
        is_named: the user has named it; then a missing one is no silence.
    """
    from thv.core.interfaces import BooleanReading

    known = KEYS[USAGE_ANALYTICS_ENABLED]
    try:
        missing = _missing(path, is_named=is_named)
        if missing is not None:
            return BooleanReading(None, path, f"{path}: {missing}")
        # Read once for both: what moves between two readings would be found by neither.
        text = reader.read_text(path)
        if text is None:
            return BooleanReading(None, path)
        whole = _parsed(text, path)
        stray = _misplaced(whole)
        if not stray:
            return _as_reading(*_value(whole, known, path), path)
    except ConfigError as error:
        return _as_problem(error, path)
    return _as_problem(out_of_place(stray[0], path), path)


def out_of_place(found: Found, path: str) -> ConfigError:
    """What is wrong with a no that `misplaced` found, and where it belongs."""
    known = KEYS[USAGE_ANALYTICS_ENABLED]
    number, keys, line, column = found
    section = f"{known.section}:{' in the first document' if number else ''}"
    reason = f"{'.'.join(keys)} is a no in the wrong place; write {known.name}: false under {section}"
    return ConfigError(reason, path=path, line=line, column=column)


def _missing(path: str, *, is_named: bool) -> str | None:
    """Why a file that should be there is not; None if it is there, or need not be."""
    try:
        os.stat(path)
    except FileNotFoundError:
        try:
            os.lstat(path)
        except OSError:
            if dangling := _dangling(os.path.dirname(path)):
                return f"{dangling} is a link to a directory that does not exist"
            return "there is no such file (TOOLHIVE_CONFIG names it)" if is_named else None
        return "a link to a file that does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read: {reader.why(error)}"
    return None


def _dangling(directory: str) -> str | None:
    """The link to nowhere that leads to this directory; None if there is none."""
    while directory and not os.path.exists(directory):
        if os.path.islink(directory):
            return directory
        directory = os.path.dirname(directory)
    return None


def misplaced(text: str, path: str) -> list[Found]:
    """Every no to usage analytics that does not stand in its place. `path` is only named in errors.

    Raises:
        ConfigError: the text is not valid YAML.
    """
    return _misplaced(_parsed(text, path))


def _parsed(text: str, path: str, *, reads_all: bool = True) -> Parsed:
    """The text with what is in it: its entries where it is plain, else its documents.

    With `reads_all`, a mistake anywhere in a long file counts, and not only one in thv's own sections.

    Raises:
        ConfigError: it is not valid YAML.
    """
    from thv.config.yaml import plain_reader

    entries = plain_reader.entries(text)
    if entries is not None:
        return text, entries, []
    from thv.config.own_sections import own_sections
    from thv.config.yaml import tree

    return text, None, tree.parse(text if reads_all else own_sections(text), path)


def _misplaced(parsed: Parsed) -> list[Found]:
    text, entries, documents = parsed
    if entries is not None:
        return [
            (0, keys, line, text.split("\n")[line - 1].index(keys[-1]) + 1)
            for keys, value, line in entries
            if _is_no_elsewhere(keys, 0, value)
        ]
    return [found for number, document in enumerate(documents) for found in _strays(document, number)]


def _is_no_elsewhere(keys: tuple[str, ...], document: int, value: str | None) -> bool:
    """Whether these keys name the switch, are not those that thv reads, and have a no or what may be one.

    Args:
        keys: they lead to the value.
        document: its number in the file.
        value: None for what is not one value.
    """
    if document == 0 and is_known(keys):
        return False
    from thv.config.switch_names import is_no  # most files have known keys only

    return is_no(keys, value)


def is_known(keys: tuple[str, ...]) -> bool:
    """Whether these keys lead to a setting of thv."""
    section = SECTIONS.get(keys[0])
    return section is not None and (
        len(keys) == 1 or (len(keys) == len(("section", "key")) and keys[1] in section.keys)
    )


def _strays(document: YamlDocument, number: int) -> Iterator[Found]:
    from thv.config.yaml.tree import Alias, Mapping, Scalar, Sequence

    todo: list[tuple[tuple[str, ...], Node]] = [((), document.root)]
    while todo:
        keys, node = todo.pop(0)
        if isinstance(node, Sequence):
            todo += [(keys, item) for item in node.items]
        if not isinstance(node, Mapping):
            continue
        for entry in node.entries:
            key = entry.key.target if isinstance(entry.key, Alias) else entry.key
            name = key.value if isinstance(key, Scalar) else ""
            inner = (*keys, name)
            value = entry.value.target if isinstance(entry.value, Alias) else entry.value
            # The key itself may not be an alias: thv reads it only where it is written out.
            place = number if key is entry.key else -1
            if name and _is_no_elsewhere(inner, place, value.value if isinstance(value, Scalar) else None):
                yield number, inner, entry.key.line, entry.key.column
            elif not isinstance(entry.value, Alias):
                todo.append((inner, entry.value))


def read_boolean(path: str, known: Setting) -> BooleanReading:
    """What the file at `path` says about a boolean setting. Never raises.

    A missing file, section or key is silence. Whatever cannot surely be read as a boolean is a problem: an unreadable
    file, broken YAML, a value that stands behind an alias or a merge key, any word outside `BOOLEANS`.
    """
    from thv.core.interfaces import BooleanReading

    try:
        text = reader.read_text(path)
        if text is None:
            return BooleanReading(None, path)
        return _as_reading(*_value(_parsed(text, path, reads_all=False), known, path), path)
    except ConfigError as error:
        return _as_problem(error, path)


def _as_reading(value: bool | None, line: int | None, path: str) -> BooleanReading:
    from thv.core.interfaces import BooleanReading

    return BooleanReading(value, path if line is None else f"{path}:{line}")


def _as_problem(error: ConfigError, path: str) -> BooleanReading:
    from thv.core.interfaces import BooleanReading

    return BooleanReading(None, path if error.line is None else f"{path}:{error.line}", str(error))


def unknown_keys(path: str) -> list[str]:
    """One line for each key of thv's sections that thv does not know; none if the file cannot be read."""
    from thv.config.yaml import plain_reader

    try:
        text = reader.read_text(path) or ""
        found = plain_reader.entries(text)
        noes = {keys for _, keys, *_ in _misplaced(_parsed(text, path, reads_all=False))}  # these are reported already
        names = []
        for section in SECTIONS.values():
            if found is not None:
                keys = [(path_[1], line) for path_, _, line in found if path_[:-1] == (section.name,)]
            else:
                from thv.config.own_sections import own_sections
                from thv.config.yaml import key_lookup

                keys = key_lookup.keys(own_sections(text), (section.name,), path=path)
            names += [
                (f"{section.name}.{key}", line)
                for key, line in keys
                if key not in section.keys and (section.name, key) not in noes
            ]
    except ConfigError:
        return []
    return [f"{path}:{line}: unknown key {name}, ignored" for name, line in names]


def _value(parsed: Parsed, known: Setting, path: str) -> tuple[bool | None, int | None]:
    """The setting's value and its line; None where the text is silent."""
    text, entries, documents = parsed
    if entries is not None:
        lines = {keys: (value, line) for keys, value, line in entries}
        section, _ = lines.get((known.section,), ("", 0))
        value, line = lines.get((known.section, known.name), ("", 0))
        if not section and not line:
            return None, None
        if not section and value.lower() in BOOLEANS:
            return BOOLEANS[value.lower()], line
        from thv.config.yaml import tree

        documents = tree.parse(text, path)
    from thv.config.yaml import key_lookup

    scalar = key_lookup.find_scalar(documents, (known.section, known.name), path=path)
    return (None, None) if scalar is None else (boolean_in(scalar, known, path), scalar.line)


def boolean_in(scalar: Scalar, known: Setting, path: str) -> bool:
    """The boolean that a setting's value means, quoted or not. `path` is only named in errors.

    Raises:
        ConfigError: it means none.
    """
    from thv.config.yaml import key_lookup

    word = scalar.value.strip().lower()
    if word not in BOOLEANS or not key_lookup.has_core_tag(scalar):
        shown = "nothing" if scalar.is_empty else repr(scalar.value[:40])
        raise ConfigError(
            f"{known.section}.{known.name} is {shown}, which is not a boolean; write true or false",
            path=path,
            line=scalar.line,
            column=scalar.column,
        )
    return BOOLEANS[word]
