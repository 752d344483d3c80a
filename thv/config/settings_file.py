"""The settings of one section as the commands use them: get, set, unset, list and check, by name and as text.

The section is data (`thv.config.settings.Section`), so `otel:` and `journal:` share every line of this.
Promises: a setting is checked before the file is touched, and no secret is shown unasked. Raises SettingError for what
the user asked and ConfigError for what the file says. What keeps a setting off besides the file is handed in as
`refused`. Reading a plain file imports nothing slow, because `thv config otel get` is a fast command.
"""

from __future__ import annotations

from thv.config import reader
from thv.config.settings import BOOLEAN, SECTIONS
from thv.config.yaml import plain_reader
from thv.core.booleans import BOOLEANS
from thv.errors import ConfigError, SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from thv.config.settings import Section, Setting
    from thv.config.yaml.scalar_writer import Value
    from thv.config.yaml.tree import YamlDocument

    Refused: TypeAlias = Callable[[Setting, Mapping[str, str]], tuple[str, str] | None]
    """What keeps a setting off besides its value in the file, for `Shown.origin` and in words; None if nothing does."""

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
        section: the setting's section.
        name: the setting.
        value: what is configured: the file's value, else the default, "" for none.
        line: where the file says so (from 1); None for the default.
        origin: what comes before the file, such as ``environment CI``; None where nothing does.
        variable: the variable of the environment that comes before the file; None where none does.
        effective: what counts: the variable's value, else `value`.
        is_overridden: the environment makes it something else than what is configured.
        reason: why, for what keeps a setting off; else "".
    """

    __slots__ = ("effective", "is_overridden", "line", "name", "origin", "reason", "section", "value", "variable")

    def __init__(self, section: str, name: str, value: str, line: int | None) -> None:
        self.section = section
        self.name = name
        self.value = value
        self.line = line
        self.origin: str | None = None
        self.variable: str | None = None
        self.effective = value
        self.is_overridden = False
        self.reason = ""


def get(
    path: str, section: Section, name: str, environ: Mapping[str, str], *, refused: Refused, reveal: bool = False
) -> Shown:
    """The value of one setting: the file's, else the default, "" if it has none. Secrets show only with `reveal`.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be read, or holds what the setting cannot be.
    """
    known = section.setting(name)
    read = value_reader(reader.read_text(path) or "", path)
    return _shown(known, read(known), environ, refused=refused, reveal=reveal)


def listing(
    path: str, section: Section, environ: Mapping[str, str], *, refused: Refused, reveal: bool = False
) -> list[Shown]:
    """Every setting, in the order of the section.

    Raises:
        ConfigError: as `get`.
    """
    read = value_reader(reader.read_text(path) or "", path)
    return [_shown(known, read(known), environ, refused=refused, reveal=reveal) for known in section.keys.values()]


def put(
    path: str,
    section: Section,
    name: str,
    text: str,
    environ: Mapping[str, str],
    *,
    refused: Refused,
    add: bool = False,
) -> Shown:
    """Writes one setting into the file, which is made if there is none. Returns it as `get` would, secrets hidden.

    Args:
        path: the file.
        section: the setting's section.
        name: the setting.
        text: its value, as on the command line.
        environ: the variables that may come before the file.
        refused: what else may.
        add: `text` holds further entries of a list or a map; those that the file has stay as they are.

    Raises:
        SettingError: there is no such setting, or it cannot be `text`.
        ConfigError: the file cannot be changed; it is untouched.
    """
    from thv.config import config_store, setting_types
    from thv.config.yaml import yaml_splice

    known = section.setting(name)
    value = setting_types.parse(known, text)
    if add and not isinstance(value, list | dict):
        raise SettingError(f"{name} is no list and no map; leave --add out")

    def change(before: str | None) -> str:
        nonlocal value
        text = HEADER if before is None else before
        if add:
            old = value_reader(text, path)(known)[0]
            if isinstance(old, dict) and isinstance(value, dict) and old:
                added, value = value, {**old, **value}
                if yaml_splice.is_section(text, (section.name, name), path=path):
                    for key, item in added.items():
                        text = yaml_splice.set_value(text, (section.name, name, key), item, path=path)
                    return text
            elif isinstance(old, list) and isinstance(value, list):
                value = list(dict.fromkeys([*old, *value]))
        return yaml_splice.set_value(text, (section.name, name), value, path=path)

    config_store.update(path, change)
    return _shown(known, (value, None), environ, refused=refused, reveal=False)


def unset(path: str, section: Section, name: str) -> bool:
    """Removes one setting from the file, which brings its default back. Returns whether the file had it.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be changed; it is untouched.
    """
    from thv.config import config_store
    from thv.config.yaml import yaml_splice

    section.setting(name)
    before = reader.read_text(path)
    if before is None or yaml_splice.unset(before, (section.name, name), path=path) == before:
        return False
    return config_store.update(path, lambda text: yaml_splice.unset(text or "", (section.name, name), path=path))


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

    A key that thv does not know is one of them, because it is probably one that was just typed, and so is a no to usage
    analytics in the wrong place.
    """
    from thv.config import boolean_reading
    from thv.config.yaml import key_lookup, tree

    unknown: set[tuple[int, int]] = set()  # the places of such keys
    found: dict[str, None] = {}  # a section that is none is wrong for each of its settings in the same words
    try:
        text = reader.read_text(path) or ""
        documents = tree.parse(text, path)
    except ConfigError as error:
        return [str(error)]
    read = value_reader(text, path)
    for section in SECTIONS.values():
        for known in section.keys.values():
            try:
                read(known)
            except ConfigError as error:
                found[str(error)] = None
        try:
            node = key_lookup.find(documents, (section.name,), path=path)
        except ConfigError as error:
            found[str(error)] = None
            continue
        for entry in node.entries if isinstance(node, tree.Mapping) else ():
            if not isinstance(entry.key, tree.Scalar) or entry.key.value == key_lookup.MERGE_KEY:
                continue
            try:
                section.setting(entry.key.value)
            except SettingError as error:
                place = entry.key.line, entry.key.column
                unknown.add(place)
                found[f"{path}:{place[0]}:{place[1]}: {error}"] = None
    noes = [stray for stray in boolean_reading.misplaced(text, path) if stray[2:] not in unknown]
    return [*found, *(str(boolean_reading.out_of_place(stray, path)) for stray in noes)]


def value_reader(text: str, path: str) -> Callable[[Setting], Read]:
    """Reads one setting after the other out of a text that is parsed once.

    What it returns raises ConfigError: the text is no YAML, or holds what the setting cannot be.
    """
    entries = plain_reader.entries(text)
    documents: list[YamlDocument] | None = None

    def read(known: Setting) -> Read:
        nonlocal documents
        answer = None if entries is None else _read_plain(known, entries)
        if answer is not None:
            return answer
        from thv.config import setting_types
        from thv.config.own_sections import own_sections
        from thv.config.yaml import key_lookup, tree

        if documents is None:
            documents = tree.parse(own_sections(text), path)
        node = key_lookup.find(documents, (known.section, known.name), path=path)
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
    shown = Shown(
        known.section, known.name, known.default if read[0] is None else _text(known, read[0], reveal=reveal), read[1]
    )
    if known.refusable:
        reason = refused(known, environ)
        if reason is not None:
            shown.origin, shown.reason = reason
            shown.effective = "false"
            shown.is_overridden = shown.value != "false"
        return shown
    if not any(environ.get(variable) for variable in known.env):
        return shown
    from thv.config import settings_from_environment

    found = settings_from_environment.over(known, read[0], environ)
    if found is not None:
        shown.variable, shown.effective = found[0], _text(known, found[1], reveal=reveal)
        shown.origin = f"environment {shown.variable}"
        # Compared as they are: two secrets look alike when they are hidden.
        configured = known.default if read[0] is None else _text(known, read[0], reveal=True)
        shown.is_overridden = configured != _text(known, found[1], reveal=True)
    return shown


def _text(known: Setting, value: Value, *, reveal: bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    from thv.config.setting_types import shown

    return shown(known, value, reveal=reveal)
