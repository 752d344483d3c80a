"""Reads one boolean of the config file, and names the keys that thv does not know.

Promises: reading never raises and never guesses; what is not surely a boolean is a problem, and consent takes a problem
for a no. Imports nothing slow for a plain file, because `thv run` needs it at once.
"""

from __future__ import annotations

from thv.config.settings import SECTIONS
from thv.core.booleans import BOOLEANS
from thv.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thv.config.settings import Setting
    from thv.config.yaml.tree import Scalar
    from thv.core.interfaces import BooleanReading


def read_boolean(path: str, known: Setting) -> BooleanReading:
    """What the file at `path` says about a boolean setting. Never raises.

    A missing file, section or key is silence. Whatever cannot surely be read as a boolean is a problem: an unreadable
    file, broken YAML, a value that stands behind an alias or a merge key, any word outside `BOOLEANS`.
    """
    from thv.core.interfaces import BooleanReading

    try:
        value, line = _read_boolean(path, known)
    except ConfigError as error:
        where = path if error.line is None else f"{path}:{error.line}"
        return BooleanReading(None, where, str(error))
    return BooleanReading(value, path if line is None else f"{path}:{line}")


def unknown_keys(path: str) -> list[str]:
    """One line for each key of thv's sections that thv does not know; none if the file cannot be read."""
    from thv.config import reader
    from thv.config.yaml import plain_reader

    try:
        text = reader.read_text(path) or ""
        found = plain_reader.entries(text)
        names = []
        for section in SECTIONS.values():
            if found is not None:
                keys = [(path_[1], line) for path_, _, line in found if path_[:-1] == (section.name,)]
            else:
                from thv.config.yaml import document

                keys = document.keys(text, (section.name,), path=path)
            names += [(f"{section.name}.{key}", line) for key, line in keys if key not in section.keys]
    except ConfigError:
        return []
    return [f"{path}:{line}: unknown key {name}, ignored" for name, line in names]


def _read_boolean(path: str, known: Setting) -> tuple[bool | None, int | None]:
    from thv.config import reader
    from thv.config.yaml import plain_reader

    text = reader.read_text(path)
    if text is None:
        return None, None
    found = plain_reader.entries(text)
    if found is not None:
        lines = {keys: (value, line) for keys, value, line in found}
        section, _ = lines.get((known.section,), ("", 0))
        value, line = lines.get((known.section, known.name), ("", 0))
        if not section and not line:
            return None, None
        if not section and value.lower() in BOOLEANS:
            return BOOLEANS[value.lower()], line

    from thv.config.yaml import document

    scalar = document.get_scalar(text, (known.section, known.name), path=path)
    return (None, None) if scalar is None else (boolean_in(scalar, known, path), scalar.line)


def boolean_in(scalar: Scalar, known: Setting, path: str) -> bool:
    """The boolean that a setting's value means, quoted or not. `path` is only named in errors.

    Raises:
        ConfigError: it means none.
    """
    from thv.config.yaml import document

    word = scalar.value.strip().lower()
    if word not in BOOLEANS or not document.has_core_tag(scalar):
        shown = "nothing" if scalar.is_empty else repr(scalar.value[:40])
        raise ConfigError(
            f"{known.section}.{known.name} is {shown}, which is not a boolean; write true or false",
            path=path,
            line=scalar.line,
            column=scalar.column,
        )
    return BOOLEANS[word]
