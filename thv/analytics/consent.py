"""Decides whether usage analytics exist in this process, and which source decided.

Off always wins: one source that says no, or that cannot be understood, is enough. It must stay cheap to
import, so it imports words and the table of booleans, and it reads the config file last.
"""

from __future__ import annotations

from thv.analytics.constants import CI, DO_NOT_TRACK, FLAG, SDK_DISABLED, SETTING, SWITCH, SWITCHES
from thv.core.booleans import BOOLEANS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from thv.core.interfaces import BooleanReading


class Consent:
    """Whether usage analytics are on, who said so, and what to tell the user about it.

    Attributes:
        enabled: True if outcomes may be counted and sent.
        source: what decided, in a person's words: ``default``, ``CI is set``, ``/home/u/.toolhive/config.yaml:3``.
        warning: one line for stderr when a source could not be understood and analytics are off because of it.
    """

    __slots__ = ("enabled", "source", "warning")

    enabled: bool
    source: str
    warning: str | None

    def __init__(self, enabled: bool, source: str, warning: str | None = None) -> None:
        set_once = object.__setattr__
        set_once(self, "enabled", enabled)
        set_once(self, "source", source)
        set_once(self, "warning", warning)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a decision is final: {name} cannot be changed")

    def __repr__(self) -> str:
        return f"Consent(enabled={self.enabled}, source={self.source!r}, warning={self.warning!r})"


def decide(
    environ: Mapping[str, str], read_setting: Callable[[], BooleanReading], *, flag: bool | None = None
) -> Consent:
    """Ask every source in turn; the first that says no decides.

    Args:
        environ: the process's environment. A variable that is empty counts as unset.
        read_setting: reads `otel.usage-analytics-enabled`; called only when nothing has said no already.
        flag: what the command line says; None where it is silent.

    Never raises: a source that cannot be read means off, with a warning.
    """
    return next(answers(environ, read_setting, flag=flag))


def answers(
    environ: Mapping[str, str], read_setting: Callable[[], BooleanReading], *, flag: bool | None = None
) -> Iterator[Consent]:
    """The decision, and behind it every further source that says no: what would decide if those before it were gone."""
    refused = False
    if flag is False:
        refused = True
        yield Consent(enabled=False, source=f"{FLAG}=false")
    for refusal in _refusals_of_environment(environ):
        refused = True
        yield refusal
    try:
        reading = read_setting()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the file, `thv run` must go on, with analytics off
        yield Consent(enabled=False, source="the config file cannot be read", warning=_off_because(str(error)))
        return
    if reading.problem is not None:
        yield Consent(enabled=False, source=reading.where or "config file", warning=_off_because(reading.problem))
    elif reading.value is False:
        yield Consent(enabled=False, source=reading.where)
    elif refused:
        return
    elif flag is True:
        yield Consent(enabled=True, source=FLAG)
    elif reading.value is True:
        yield Consent(enabled=True, source=reading.where)
    elif _word(environ, SWITCH):
        yield Consent(enabled=True, source=f"{SWITCH} is {_word(environ, SWITCH)}")
    else:
        yield Consent(enabled=True, source="default")


def _refusals_of_environment(environ: Mapping[str, str]) -> Iterator[Consent]:
    for name in (DO_NOT_TRACK, CI):
        # https://consoledonottrack.com and the CI services agree on "set to anything"; only a plain no means no.
        if _word(environ, name) and BOOLEANS.get(_word(environ, name), True):
            yield Consent(enabled=False, source=f"{name} is set")
    # OpenTelemetry specification, "Boolean value": only the word true, in any case, is true.
    if _word(environ, SDK_DISABLED) == "true":
        yield Consent(enabled=False, source=f"{SDK_DISABLED} is true")
    for name in SWITCHES:
        switch = _word(environ, name)
        if BOOLEANS.get(switch) is False:
            yield Consent(enabled=False, source=f"{name} is {switch}")
        elif switch and switch not in BOOLEANS:
            problem = f"{name} is neither true nor false"
            yield Consent(enabled=False, source=problem, warning=_off_because(problem))


def _word(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip().lower()


def _off_because(problem: str) -> str:
    return f"{problem}; usage analytics ({SETTING}) are off until this is corrected"
