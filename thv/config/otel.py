"""The settings under `otel:` as the commands use them: get, set, unset and list, by name and as text.

Promises: a setting is checked before the file is touched. Raises SettingError for what the user asked and ConfigError
for what the file says. Knows nothing of the environment: that a variable may override a setting is the caller's to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from thv.config import document, source, splice, store, values
from thv.config.settings import KEYS, SECTION, Setting, setting

HEADER = """\
# Settings of thv. Edit freely: thv changes only the value it is asked to change, and keeps comments.
# `thv config otel list` shows every key with its value.

"""
"""What a new config file begins with."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting and its value as text; `line` is where the file says so (from 1), None for the default."""

    name: str
    value: str
    line: int | None


def get(path: str, name: str, *, reveal: bool = False) -> Shown:
    """The value of one setting: the file's, else the default, "" if it has none. Secrets show only with `reveal`.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be read, or holds what the setting cannot be.
    """
    return _shown(setting(name), source.read_text(path) or "", path, reveal=reveal)


def listing(path: str, *, reveal: bool = False) -> list[Shown]:
    """Every setting, in the order of `KEYS`.

    Raises:
        ConfigError: as `get`.
    """
    text = source.read_text(path) or ""
    return [_shown(known, text, path, reveal=reveal) for known in KEYS.values()]


def put(path: str, name: str, text: str) -> Shown:
    """Writes one setting into the file, which is made if there is none. Returns it as `get` would, secrets hidden.

    Raises:
        SettingError: there is no such setting, or it cannot be `text`.
        ConfigError: the file cannot be changed; it is untouched.
    """
    known = setting(name)
    value = values.parse(known, text)

    def change(before: str | None) -> str:
        return splice.set_value(HEADER if before is None else before, (SECTION, name), value, path=path)

    store.update(path, change)
    return Shown(name, values.show(value, reveal=not known.secret), None)


def unset(path: str, name: str) -> bool:
    """Removes one setting from the file, which brings its default back. Returns whether the file had it.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be changed; it is untouched.
    """
    setting(name)
    before = source.read_text(path)
    if before is None or splice.unset(before, (SECTION, name), path=path) == before:
        return False
    return store.update(path, lambda text: splice.unset(text or "", (SECTION, name), path=path))


def _shown(known: Setting, text: str, path: str, *, reveal: bool) -> Shown:
    node = document.get(text, (SECTION, known.name), path=path)
    value = None if node is None else values.from_node(known, node, path=path)
    if node is None or value is None:
        return Shown(known.name, known.default, None)
    return Shown(known.name, values.show(value, reveal=reveal or not known.secret), node.line)
