"""Decides whether usage analytics may exist in this process, and names the source that decided. Pure.

Off always wins: one source that says no, or that cannot be understood, is enough. It must stay cheap to import, so it
imports constants and the table of booleans, and it asks for the config file last.
"""

from __future__ import annotations

from thv.analytics.constants import CI, DO_NOT_TRACK, FLAG, SDK_DISABLED, SETTING, SWITCH, SWITCHES
from thv.core.booleans import BOOLEANS
from thv.core.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Literal, TypeAlias

    from thv.core.interfaces import BooleanReading

    Kind: TypeAlias = Literal["flag", "environment", "server-environment", "file", "remembered", "default"]


_NAMES = frozenset({DO_NOT_TRACK, CI, SDK_DISABLED, *SWITCHES})
"""Every variable that can say no."""


class Consent(Frozen):
    """Whether usage analytics are on, which source decided, and what to tell the user about it.

    Attributes:
        enabled: True if outcomes may be counted and sent.
        kind: the kind of the source that decided.
        source: the source in words: ``default``, ``CI is set``, ``/home/u/.toolhive/config.yaml:3``.
        warning: one line for stderr when a source could not be understood and analytics are off because of it.
    """

    enabled: bool
    kind: Kind
    source: str
    warning: str | None = None


def decide(
    environ: Mapping[str, str],
    read_setting: Callable[[], BooleanReading],
    *,
    flag: bool | None = None,
    server_environ: Mapping[str, str] | None = None,
    remembered: Callable[[], str | None] | None = None,
) -> Consent:
    """Ask every source in turn; the first that says no decides.

    Args:
        environ: the process's environment. A variable that is empty counts as unset.
        read_setting: reads `otel.usage-analytics-enabled`; called only when nothing has said no already.
        flag: what the command line says; None where it is silent.
        server_environ: the variables that the server is given by ``-e`` and ``--env-file``: a no there is a no, too.
        remembered: what is remembered of a no that the environment said once, or None; asked unless the file says yes.

    Never raises: a source that cannot be read means off, with a warning.
    """
    return next(answers(environ, read_setting, flag=flag, server_environ=server_environ, remembered=remembered))


def answers(
    environ: Mapping[str, str],
    read_setting: Callable[[], BooleanReading],
    *,
    flag: bool | None = None,
    server_environ: Mapping[str, str] | None = None,
    remembered: Callable[[], str | None] | None = None,
) -> Iterator[Consent]:
    """The decision, and behind it every further source that says no: what would decide if those before it were gone."""
    refused = False
    for refusal in _refusals_before_the_file(environ, server_environ or {}, flag):
        refused = True
        yield refusal
    try:
        reading = read_setting()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the file, `thv run` must go on, with analytics off
        yield _no("file", "the config file cannot be read", problem=str(error))
        return
    if reading.problem is not None:
        refused = True
        yield _no("file", reading.where or "config file", problem=reading.problem)
    elif reading.value is False:
        refused = True
        yield _no("file", reading.where)
    reason = None if reading.value is True or remembered is None else remembered()
    if reason is not None:
        yield _no("remembered", f"{reason}, remembered")
    elif not refused:
        yield _yes(environ, reading, flag)


def _refusals_before_the_file(
    environ: Mapping[str, str], server_environ: Mapping[str, str], flag: bool | None
) -> Iterator[Consent]:
    if flag is False:
        yield _no("flag", f"{FLAG}=false")
    for reason, is_clear in _refusals(environ):
        yield _no("environment", reason, problem=None if is_clear else reason)
    for reason, is_clear in _refusals(server_environ):
        source = f"{reason} for the server"
        yield _no("server-environment", source, problem=None if is_clear else source)


def _no(kind: Kind, source: str, *, problem: str | None = None) -> Consent:
    warning = None if problem is None else f"{problem}; usage analytics ({SETTING}) are off until this is corrected"
    return Consent(enabled=False, kind=kind, source=source, warning=warning)


def _yes(environ: Mapping[str, str], reading: BooleanReading, flag: bool | None) -> Consent:
    if flag is True:
        return Consent(enabled=True, kind="flag", source=FLAG)
    if reading.value is True:
        return Consent(enabled=True, kind="file", source=reading.where)
    if word := _word(environ, SWITCH):
        return Consent(enabled=True, kind="environment", source=f"{SWITCH} is {word}")
    return Consent(enabled=True, kind="default", source="default")


def refusal_to_remember(environ: Mapping[str, str]) -> str | None:
    """The first no of the environment that is the user's own; None if there is none. A CI service's is not."""
    return next((reason for reason, _ in _refusals(environ, but=CI)), None)


def _refusals(environ: Mapping[str, str], *, but: str = "") -> Iterator[tuple[str, bool]]:
    """What each variable that says no says, and whether it says so clearly. `but` is not asked.

    The case of a name does not count: on Windows it never does, and elsewhere small letters can mean nothing else.
    """
    said = [(key, key.upper(), _word(environ, key)) for key in environ if key.upper() in _NAMES]
    for name in (DO_NOT_TRACK, CI):
        # https://consoledonottrack.com and the CI services agree on "set to anything"; only a plain no means no.
        for key, known, word in said:
            if known == name != but and word and BOOLEANS.get(word, True):
                yield f"{key} is set", True
    # OpenTelemetry specification, "Boolean value": only the word true, in any case, is true.
    for key, known, word in said:
        if known == SDK_DISABLED and word == "true":
            yield f"{key} is true", True
    for name in SWITCHES:
        for key, known, word in said:
            if known == name and BOOLEANS.get(word) is False:
                yield f"{key} is {word}", True
            elif known == name and word and word not in BOOLEANS:
                yield f"{key} is neither true nor false", False


def _word(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip().lower()
