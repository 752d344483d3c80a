"""The names that people give to the switch of usage analytics: misspelt, with other verbs, in another order. Pure.

On the path of `thv run`: imports nothing slow.
"""

from __future__ import annotations

from thv.config.settings import SECTIONS
from thv.core.booleans import BOOLEANS

DO_NOT_TRACK = ("donottrack", "donttrack", "notrack", "dnt")
"""Words that are the switch and a no in one."""

NEGATING = (
    *("disable", "disabled", "off", "no", "not", "none", "dont", "never", "without", "stop", "deny", "denied"),
    *("forbid", "out", *DO_NOT_TRACK),
)
"""Each turns what a name means round: `disable_usage_metrics` is a key of ToolHive's own command line."""

AFFIRMING = (
    *("enable", "enabled", "on", "active", "allow", "allowed", "permit", "consent", "send", "collect", "collected"),
    *("share", "report", "optin", "optedin"),
)

NEUTRAL = ("otel", "opentelemetry", "telemetry", "toolhive", "thv", "anonymous", "opt", "opted", "do", "is", "of", "to")
"""Words that change nothing about what a name means."""

ANALYTICS = ("analytics", "analytic")
USAGE = "usage"
SDK = "sdk"

WORDS = tuple(
    sorted((*NEGATING, *AFFIRMING, *NEUTRAL, *ANALYTICS, USAGE, "metrics", "metric", SDK), key=len, reverse=True)
)
"""All that a name of the switch consists of, longest first. No name can be split into them in two ways."""

MAX_NAME = 100
"""Letters of a name that is looked at: far more than any has."""

DOUBTFUL = ("enabled", "enable", "disabled", "disable")
"""Where one of these is the switch's own key, as in `analytics: {enabled: maybe}`, what is no sure yes is a no."""

MAX_TYPOS = 2
"""Letters that may be wrong, missing, doubled or swapped in a name of at least `MIN_LENGTH`."""

MIN_LENGTH = 14

_VERBS = {"": False, "enabled": False, "enable": False, "disabled": True, "disable": True, "optout": True}

SPELT = {
    **{
        name: is_no
        for verb, is_no in _VERBS.items()
        for subject in ("usageanalytics", "analyticsusage", "usagemetrics", "metricsusage")
        for name in (subject + verb, verb + subject)
        if len(name) >= MIN_LENGTH
    },
    "nousageanalytics": True,
    "analyticsenabled": False,
    "analyticsdisabled": True,
    "disableanalytics": True,
    "analyticsoptout": True,
}
"""Names that are known by their letters, too, when they are misspelt, and the value that is a no."""

_LETTERS_OF = {name: set(name) for name in SPELT}

PREFIXES = ("otel", "toolhive", "thv", "enable", "send", "allow", "collect", "anonymous")
"""Words before a misspelt name that change nothing about what it means."""


def is_no(keys: tuple[str, ...], value: str | None) -> bool:
    """Whether these keys name the switch and have a no, or, where they name nothing else, no sure yes.

    Args:
        keys: they lead to the value; parents count with the last one as far as they are words of such names.
        value: its text; None for what is not one value.
    """
    word = None if value is None else BOOLEANS.get(value.strip().lower())
    name = ""
    for count, key in enumerate(reversed(keys), 1):
        name = _letters(key) + name
        if len(name) > MAX_NAME:
            return False
        words = _words(name)
        refusal = _misspelt(name) if words is None else _refusal(words, keys, count)
        if refusal is not None:
            is_doubtful = (count == 1 or _letters(keys[-1]) in DOUBTFUL) and not _is_short(words)
            if word is refusal or (word is None and (is_doubtful or _is_no_in_words(value, refusal=refusal))):
                return True
        if words is None:
            return False
    return False


def _refusal(words: list[str], keys: tuple[str, ...], count: int) -> bool | None:
    """The value that is a no under a name of these words; None if it is no name of the switch.

    Args:
        words: those of the last `count` keys.
        keys: all that lead to the value.
        count: how many of them are looked at.
    """
    refusal = _is_negative(words)
    has_verb = any(word in NEGATING or word in AFFIRMING for word in words)
    has_analytics = any(word in ANALYTICS for word in words)
    # `metrics: {usage: false}` may mean anything.
    has_metrics = any(USAGE in key and "metric" in key for key in map(_letters, keys[-count:]))
    # So may `analytics: false`, except at the top level, in thv's own sections, and under words like these only.
    is_own = "analytic" in _letters(keys[-1]) and (
        count == len(keys) or (len(keys) == len(("section", "key")) and keys[0] in SECTIONS)
    )
    if (
        has_metrics
        or (has_analytics and (has_verb or USAGE in words or is_own))
        or (SDK in words and (refusal or "otel" in words))
        or any(word in DO_NOT_TRACK for word in words)
    ):
        return refusal
    return None


def _is_short(words: list[str] | None) -> bool:
    """Whether a name says `analytics` and nothing that makes it the switch's own."""
    return words is not None and not any(word == USAGE or word in NEGATING or word in AFFIRMING for word in words)


def _is_no_in_words(value: str | None, *, refusal: bool) -> bool:
    """Whether a value says no in another word than the booleans': disabled, none, opt-out."""
    words = None if value is None or refusal or len(value) > MAX_NAME else _words(_letters(value))
    return words is not None and all(word in NEGATING + NEUTRAL for word in words) and _is_negative(words)


def _is_negative(words: list[str]) -> bool:
    return sum(word in NEGATING for word in words) % 2 == 1


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _words(letters: str) -> list[str] | None:
    """The known words that a name consists of; None if there is anything else in it."""
    if not letters:
        return []
    for word in WORDS:
        if letters.startswith(word) and (rest := _words(letters[len(word) :])) is not None:
            return [word, *rest]
    return None


def _misspelt(name: str) -> bool | None:
    """The value that is a no under a name that is nearly one of `SPELT`; None if it is none."""
    if len(name) < MIN_LENGTH - MAX_TYPOS:
        return None
    for prefix in PREFIXES:
        if name.startswith(prefix) and (found := _misspelt(name[len(prefix) :])) is not None:
            return found
    letters = set(name)
    alike = [known for known, theirs in _LETTERS_OF.items() if len(letters ^ theirs) <= 2 * MAX_TYPOS]
    near = [(typos, known) for known in alike if (typos := _typos(name, known)) is not None]
    return SPELT[min(near)[1]] if near else None


def _typos(name: str, known: str) -> int | None:
    """How many letters differ (restricted Damerau-Levenshtein distance); None if too many for it to be that name."""
    if abs(len(name) - len(known)) > MAX_TYPOS:
        return None
    if sum(abs(name.count(letter) - known.count(letter)) for letter in {*name, *known}) > 2 * MAX_TYPOS:
        return None
    before: list[int] = []
    row = list(range(len(known) + 1))
    for at, letter in enumerate(name, 1):
        before, above, row = row, before, [at]
        for to, other in enumerate(known, 1):
            row.append(min(before[to] + 1, row[-1] + 1, before[to - 1] + (letter != other)))
            if at > 1 and to > 1 and letter == known[to - 2] and name[at - 2] == other:
                row[-1] = min(row[-1], above[to - 2] + 1)
        if min(*row, *before) > MAX_TYPOS:  # what follows builds on these two rows
            return None
    return row[-1] if row[-1] <= MAX_TYPOS else None
