"""The names that people give to the switch of usage analytics: misspelt, in another case, with another verb. Pure.

On the path of `thv run`: imports nothing slow.
"""

from __future__ import annotations

from thv.config.settings import SECTIONS

NOES = {
    "usageanalyticsenabled": False,
    "usageanalytics": False,
    "usagemetricsenabled": False,
    "usagemetrics": False,
    "disableusageanalytics": True,
    "disableusagemetrics": True,
    "usageanalyticsdisabled": True,
    "usagemetricsdisabled": True,
    "nousageanalytics": True,
    "analyticsenabled": False,
    "analyticsdisabled": True,
    "disableanalytics": True,
    "donottrack": True,
    "sdkdisabled": True,
}
"""Names without what separates their words, and the value that is a no. `disable_usage_metrics` is a key of ToolHive's
own command line."""

SHORT_NOES = {"analytics": False, "noanalytics": True}
"""The same in thv's own sections and at the top level only: elsewhere they may mean anything."""

PREFIXES = ("otel", "toolhive", "thv", "enable", "send", "allow", "collect", "anonymous")
"""Words before a name that change nothing about what it means."""

MAX_TYPOS = 2
"""Letters that may be wrong, missing, doubled or swapped in a name of at least `MIN_LENGTH`."""

MIN_LENGTH = 14


def no_under(keys: tuple[str, ...]) -> bool | None:
    """The value that is a no under these keys; None if they do not name the switch."""
    name = _letters(keys[-1])
    if name == "enabled" and len(keys) > 1:  # analytics: {enabled: false}
        name = _letters(keys[-2]) + name
    return _meaning(name)


def is_clear_no(keys: tuple[str, ...], value: bool | None) -> bool:
    """Whether a boolean, or None for anything else, is a no under one of the `SHORT_NOES`."""
    is_own = len(keys) == 1 or (len(keys) == len(("section", "key")) and keys[0] in SECTIONS)
    return is_own and value is not None and SHORT_NOES.get(_letters(keys[-1])) is value


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _meaning(name: str) -> bool | None:
    if name in NOES:
        return NOES[name]
    for prefix in PREFIXES:
        if name.startswith(prefix) and (found := _meaning(name[len(prefix) :])) is not None:
            return found
    near = [(typos, known) for known in NOES if (typos := _typos(name, known)) is not None]
    return NOES[min(near)[1]] if near else None


def _typos(name: str, known: str) -> int | None:
    """How many letters differ (restricted Damerau-Levenshtein distance); None if too many for it to be that name."""
    if len(known) < MIN_LENGTH or abs(len(name) - len(known)) > MAX_TYPOS:
        return None
    if len(set(name) ^ set(known)) > 2 * MAX_TYPOS:
        return None
    before: list[int] = []
    row = list(range(len(known) + 1))
    for at, letter in enumerate(name, 1):
        before, above, row = row, before, [at]
        for to, other in enumerate(known, 1):
            row.append(min(before[to] + 1, row[-1] + 1, before[to - 1] + (letter != other)))
            if at > 1 and to > 1 and letter == known[to - 2] and name[at - 2] == other:
                row[-1] = min(row[-1], above[to - 2] + 1)
    return row[-1] if row[-1] <= MAX_TYPOS else None
