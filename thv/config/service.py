"""The settings under `otel:` as the commands use them: get, set, unset, list and check, by name and as text.

Promises: a setting is checked before the file is touched, and no secret is shown unasked. Raises SettingError for what
the user asked and ConfigError for what the file says. Who decides on usage analytics is handed in as `refused`.
Reading a plain file imports nothing slow: `thv config otel get` is asked all day.
"""

from __future__ import annotations

from thv.config import reader
from thv.config.settings import (
    BOOLEAN,
    JOURNAL_ENABLED,
    SECTION,
    SECTIONS,
    USAGE_ANALYTICS_ENABLED,
    Setting,
    setting,
)
from thv.config.yaml import plain_reader
from thv.core.booleans import BOOLEANS
from thv.errors import ConfigError, SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from thv.config.yaml.scalar_writer import Value
    from thv.config.yaml.tree import Document

    Refused: TypeAlias = Callable[[Mapping[str, str]], str | None]
    """Says in a few words, the variable's name first, which variable keeps usage analytics off; None if none does."""

    Read: TypeAlias = tuple[Value | None, int | None]
    """What the file says of a setting, and on which line; None and None where it is silent."""

HEADER = """\
# Settings of thv. Edit freely: thv changes only the value it is asked to change, and keeps comments.
# `thv config otel list` shows every key with its value.

"""
"""What a new config file begins with."""


class Shown:
    """One setting and its value as text.

    Attributes:
        name: the setting.
        value: what is configured: the file's value, else the default, "" for none.
        line: where the file says so (from 1); None for the default.
        variable: the variable of the environment that comes before the file; None where none does.
        effective: what counts: the variable's value, else `value`.
        is_overridden: the environment makes it something else than what is configured.
        reason: why, for a variable that keeps usage analytics off; else "".
    """

    __slots__ = ("effective", "is_overridden", "line", "name", "reason", "value", "variable")

    def __init__(self, name: str, value: str, line: int | None) -> None:
        self.name = name
        self.value = value
        self.line = line
        self.variable: str | None = None
        self.effective = value
        self.is_overridden = False
        self.reason = ""


def get(
    path: str,
    name: str,
    environ: Mapping[str, str],
    *,
    refused: Refused,
    reveal: bool = False,
    section: str = SECTION,
) -> Shown:
    """The value of one setting: the file's, else the default, "" if it has none. Secrets show only with `reveal`.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be read, or holds what the setting cannot be.
    """
    known = setting(name, section)
    read = value_reader(reader.read_text(path) or "", path)
    return _shown(known, read(known), environ, refused=refused, reveal=reveal)


def listing(
    path: str, environ: Mapping[str, str], *, refused: Refused, reveal: bool = False, section: str = SECTION
) -> list[Shown]:
    """Every setting of the section, in the order in which they are defined.

    Raises:
        ConfigError: as `get`.
    """
    read = value_reader(reader.read_text(path) or "", path)
    return [_shown(known, read(known), environ, refused=refused, reveal=reveal) for known in SECTIONS[section].values()]


def put(
    path: str, name: str, text: str, environ: Mapping[str, str], *, refused: Refused, section: str = SECTION
) -> Shown:
    """Writes one setting into the file, which is made if there is none. Returns it as `get` would, secrets hidden.

    Raises:
        SettingError: there is no such setting, or it cannot be `text`.
        ConfigError: the file cannot be changed; it is untouched.
    """
    from thv.config import config_store, setting_types
    from thv.config.yaml import splice

    known = setting(name, section)
    value = setting_types.parse(known, text)

    def change(before: str | None) -> str:
        return splice.set_value(HEADER if before is None else before, (section, name), value, path=path)

    config_store.update(path, change)
    return _shown(known, (value, None), environ, refused=refused, reveal=False)


def unset(path: str, name: str, section: str = SECTION) -> bool:
    """Removes one setting from the file, which brings its default back. Returns whether the file had it.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be changed; it is untouched.
    """
    from thv.config import config_store
    from thv.config.yaml import splice

    setting(name, section)
    before = reader.read_text(path)
    if before is None or splice.unset(before, (section, name), path=path) == before:
        return False
    return config_store.update(path, lambda text: splice.unset(text or "", (section, name), path=path))


def create(path: str) -> None:
    """Makes the file, with the comment it begins with, where there is none.

    Raises:
        ConfigError: it cannot be made.
    """
    import os

    from thv.config import config_store

    if not os.path.exists(path):  # noqa: PTH110  this module reads settings without pathlib
        config_store.update(path, lambda before: HEADER if before is None else before)
    elif not os.path.isfile(path):  # noqa: PTH113  as above
        raise ConfigError("is not a regular file; TOOLHIVE_CONFIG can name another", path=path)


def problems(path: str) -> list[str]:
    """What is wrong with the file, each in one line that begins with its place and says what to do; none if it is fine.

    A key that thv does not know is one of them: whoever has just typed it will want to hear of it.
    """
    from thv.config.yaml import document, tree

    found: dict[str, None] = {}  # what is no section is wrong for every setting in the same words
    try:
        text = reader.read_text(path) or ""
        sections = [(name, keys, document.get(text, (name,), path=path)) for name, keys in SECTIONS.items()]
    except ConfigError as error:
        return [str(error)]
    read = value_reader(text, path)
    for name, keys, section in sections:
        for known in keys.values():
            try:
                read(known)
            except ConfigError as error:
                found[str(error)] = None
        for entry in section.entries if isinstance(section, tree.Mapping) else ():
            if not isinstance(entry.key, tree.Scalar) or entry.key.value == document.MERGE_KEY:
                continue
            try:
                setting(entry.key.value, name)
            except SettingError as error:
                found[f"{path}:{entry.key.line}:{entry.key.column}: {error}"] = None
    return list(found)


def value_reader(text: str, path: str) -> Callable[[Setting], Read]:
    """Reads one setting after the other out of a text that is parsed once.

    What it returns raises ConfigError: the text is no YAML, or holds what the setting cannot be.
    """
    entries = plain_reader.entries(text)
    documents: list[Document] | None = None

    def read(known: Setting) -> Read:
        nonlocal documents
        answer = None if entries is None else _read_plain(known, entries)
        if answer is not None:
            return answer
        from thv.config import setting_types
        from thv.config.yaml import document, tree

        if documents is None:
            documents = tree.parse(text, path)
        node = document.find(documents, (known.section, known.name), path=path)
        value = None if node is None else setting_types.from_node(known, node, path=path)
        return (None, None) if node is None or value is None else (value, node.line)

    return read


def _read_plain(known: Setting, found: plain_reader.Entries) -> Read | None:
    """The same for a file of the plain subset; None for what needs the real parser, if only for its words."""
    text = line = None
    for keys, value, number in found:
        if keys == (known.section,) and value:
            return None
        if keys == (known.section, known.name):
            text, line = value, number
        elif keys[:2] == (known.section, known.name):
            return None
    if text is None:
        return None, None
    if known.kind == BOOLEAN:
        word = text.lower()
        return (BOOLEANS[word], line) if word in BOOLEANS else None
    if not text or text.lower() == "null":
        return None
    from thv.config.setting_types import parse

    try:
        return parse(known, text), line
    except SettingError:
        return None


def _shown(
    known: Setting,
    read: Read,
    environ: Mapping[str, str],
    *,
    refused: Refused,
    reveal: bool,
) -> Shown:
    shown = Shown(known.name, known.default if read[0] is None else _text(known, read[0], reveal=reveal), read[1])
    if not any(environ.get(variable) for variable in known.env):
        return shown
    if known.name in {USAGE_ANALYTICS_ENABLED, JOURNAL_ENABLED}:
        reason = refused(environ)
        if reason is not None:
            shown.variable, shown.effective, shown.reason = reason.split()[0], "false", reason
            shown.is_overridden = shown.value != "false"
        return shown
    from thv.config import otel_environment

    found = otel_environment.over(known, read[0], environ)
    if found is not None:
        shown.variable, shown.effective = found[0], _text(known, found[1], reveal=reveal)
        # Compared as they are: two secrets look alike when they are hidden.
        configured = known.default if read[0] is None else _text(known, read[0], reveal=True)
        shown.is_overridden = configured != _text(known, found[1], reveal=True)
    return shown


def _text(known: Setting, value: Value, *, reveal: bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    from thv.config.setting_types import shown

    return shown(known, value, reveal=reveal)
