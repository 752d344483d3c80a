"""Decides whether this process keeps a journal, and within which bounds. Off wins: one source that says no is enough.

`TOOLHIVE_JOURNAL=off` is remembered, because MCP clients hand on few variables to the servers they start: it leaves a
mark in the state directory, which counts until the config file says `journal.enabled: true`. Reading never raises.
"""

from __future__ import annotations

import os

from thv.config.boolean_reading import read_boolean
from thv.config.settings import (
    JOURNAL_ENABLED,
    JOURNAL_KEYS,
    JOURNAL_MAX_AGE,
    JOURNAL_MAX_SIZE,
    JOURNAL_VARIABLE,
)
from thv.core.booleans import BOOLEANS
from thv.core.frozen import Frozen
from thv.core.remembered import RememberedNo
from thv.core.state_dir import user_state_dir
from thv.errors import ThvError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

DIRECTORY: Final = "journal"
FILE: Final = "journal.db"

OFF_MARK: Final = "journal-off"
"""The mark in the state directory that remembers a no."""

MAX_BYTES: Final = 64 << 20
MAX_AGE_S: Final = 30 * 86_400
"""The defaults of the settings, which `thv.config.settings` has as text: reading that would cost every session."""


def journal_path() -> str:
    """Where the journal's file is, or would be.

    Raises:
        RuntimeError, OSError: the system names no state directory.
    """
    return os.path.join(user_state_dir(), DIRECTORY, FILE)  # noqa: PTH118  pathlib would cost every session 1 MiB


class JournalSettings(Frozen):
    """What counts for this process.

    Attributes:
        enabled: whether sessions are journalled.
        source: what decided, in a person's words.
        max_bytes: the bound of the store.
        max_age_s: how old anything in it may become.
        warnings: lines for stderr about settings that cannot be read.
    """

    enabled: bool
    source: str
    max_bytes: int
    max_age_s: int
    warnings: tuple[str, ...] = ()


def resolve(environ: Mapping[str, str], path: str) -> JournalSettings:
    """Ask every source.

    Args:
        environ: the environment of the process.
        path: the config file.
    """
    warnings: list[str] = []
    bounds = _bounds(path, warnings)
    reading = read_boolean(path, JOURNAL_KEYS[JOURNAL_ENABLED])
    refused = refusal(environ)
    mark = RememberedNo(OFF_MARK)
    remembered = mark.settle(refused=refused, in_file=False if reading.problem is not None else reading.value)
    if refused is not None:
        decision = False, refused
    elif reading.problem is not None:
        warnings.append(f"{reading.problem}; the journal is off until this is corrected")
        decision = False, reading.where
    elif reading.value is not None:
        decision = reading.value, reading.where
    elif remembered:
        reason = mark.reason() or f"{JOURNAL_VARIABLE} was off"
        decision = False, f"{reason}, remembered; `thv config journal set enabled true` undoes it"
    else:
        decision = True, "default"
    return JournalSettings(*decision, *bounds, tuple(warnings))


def refusal(environ: Mapping[str, str]) -> str | None:
    """What the environment says against a journal, beginning with the variable; None if nothing."""
    word = environ.get(JOURNAL_VARIABLE, "").strip().lower()
    if not word or BOOLEANS.get(word) is True:
        return None
    return f"{JOURNAL_VARIABLE} is {word if word in BOOLEANS else 'neither on nor off'}"


def _bounds(path: str, warnings: list[str]) -> tuple[int, int]:
    from thv.config.reader import read_text

    try:
        text = read_text(path) or ""
    except ThvError:
        return MAX_BYTES, MAX_AGE_S  # `enabled` cannot be read either, and says so
    if not any(name in text for name in (JOURNAL_MAX_SIZE, JOURNAL_MAX_AGE)):
        return MAX_BYTES, MAX_AGE_S
    from thv.config.setting_types import age_seconds, size_bytes
    from thv.config.settings_file import value_reader

    read = value_reader(text, path)
    try:
        size, age = (read(JOURNAL_KEYS[name])[0] for name in (JOURNAL_MAX_SIZE, JOURNAL_MAX_AGE))
    except ThvError as error:
        warnings.append(f"{error}; the journal keeps to its default bounds")
        return MAX_BYTES, MAX_AGE_S
    return (size_bytes(str(size)) if size else MAX_BYTES), (age_seconds(str(age)) if age else MAX_AGE_S)
