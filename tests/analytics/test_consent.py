"""Off always wins, and the source that decided is named."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.conftest import PATIENT
from thv.analytics.consent import Consent, answers, decide, refusal_to_remember
from thv.core.interfaces import BooleanReading

SILENT = BooleanReading(value=None, where="/home/u/.toolhive/config.yaml")
YES = BooleanReading(value=True, where="/home/u/.toolhive/config.yaml:3")
NO = BooleanReading(value=False, where="/home/u/.toolhive/config.yaml:3")
BROKEN = BooleanReading(where="/home/u/.toolhive/config.yaml", problem="/home/u/.toolhive/config.yaml:2:1: a tab")


def decided(environ: dict[str, str], reading: BooleanReading = SILENT) -> Consent:
    return decide(environ, lambda: reading)


def test_analytics_are_on_by_default() -> None:
    consent = decided({})
    assert (consent.enabled, consent.source, consent.warning) == (True, "default", None)


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({"DO_NOT_TRACK": "1"}, "DO_NOT_TRACK is set"),
        ({"DO_NOT_TRACK": "true"}, "DO_NOT_TRACK is set"),
        ({"DO_NOT_TRACK": "please"}, "DO_NOT_TRACK is set"),
        ({"CI": "true"}, "CI is set"),
        ({"CI": "woodpecker"}, "CI is set"),
        ({"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED is true"),
        ({"OTEL_SDK_DISABLED": " TRUE "}, "OTEL_SDK_DISABLED is true"),
        ({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "false"}, "TOOLHIVE_USAGE_ANALYTICS_ENABLED is false"),
        ({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "Off"}, "TOOLHIVE_USAGE_ANALYTICS_ENABLED is off"),
        ({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "NO"}, "TOOLHIVE_USAGE_ANALYTICS_ENABLED is no"),
        ({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "0"}, "TOOLHIVE_USAGE_ANALYTICS_ENABLED is 0"),
        ({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "true", "CI": "1"}, "CI is set"),
        ({"TOOLHIVE_USAGE_METRICS_ENABLED": "false"}, "TOOLHIVE_USAGE_METRICS_ENABLED is false"),
        ({"do_not_track": "1"}, "do_not_track is set"),
        ({"DO_NOT_TRACK": "0", "Do_Not_Track": "1"}, "Do_Not_Track is set"),
        ({"ci": "true"}, "ci is set"),
        ({"otel_sdk_disabled": "true"}, "otel_sdk_disabled is true"),
        ({"toolhive_usage_analytics_enabled": "false"}, "toolhive_usage_analytics_enabled is false"),
        ({"Toolhive_Usage_Metrics_Enabled": "off"}, "Toolhive_Usage_Metrics_Enabled is off"),
    ],
)
@pytest.mark.parametrize("reading", [SILENT, YES, NO, BROKEN])
def test_a_variable_turns_analytics_off_whatever_the_file_says(
    environ: dict[str, str], source: str, reading: BooleanReading
) -> None:
    consent = decided(environ, reading)
    assert (consent.enabled, consent.source, consent.warning) == (False, source, None)


@pytest.mark.parametrize("name", ["DO_NOT_TRACK", "CI", "OTEL_SDK_DISABLED", "TOOLHIVE_USAGE_ANALYTICS_ENABLED"])
@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_variable_is_unset(name: str, value: str) -> None:
    assert decided({name: value}).source == "default"


@pytest.mark.parametrize("name", ["DO_NOT_TRACK", "CI"])
@pytest.mark.parametrize("value", ["0", "false", "False", " no ", "OFF"])
def test_a_plain_no_to_do_not_track_or_ci_leaves_analytics_on(name: str, value: str) -> None:
    assert decided({name: value}).enabled


@pytest.mark.parametrize("value", ["1", "yes", "on", "disabled", "false"])
def test_only_the_word_true_disables_the_sdk(value: str) -> None:
    assert decided({"OTEL_SDK_DISABLED": value}).enabled


@pytest.mark.parametrize("value", ["maybe", "tru", "2", "-1", "null", "\x1b[31m"])
def test_a_switch_that_is_no_boolean_means_off_with_a_warning(value: str) -> None:
    consent = decided({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": value}, YES)
    assert not consent.enabled
    assert consent.warning is not None
    assert "TOOLHIVE_USAGE_ANALYTICS_ENABLED is neither true nor false" in consent.warning
    assert "\x1b" not in consent.warning + consent.source


@pytest.mark.parametrize("value", ["true", "YES", "on", "1"])
def test_the_switch_cannot_turn_on_what_the_file_turned_off(value: str) -> None:
    assert not decided({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": value}, NO).enabled
    assert not decided({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": value}, BROKEN).enabled
    assert decided({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": value}, SILENT).enabled


def test_the_file_says_where_it_decided() -> None:
    assert (decided({}, NO).enabled, decided({}, NO).source) == (False, "/home/u/.toolhive/config.yaml:3")
    assert (decided({}, YES).enabled, decided({}, YES).source) == (True, "/home/u/.toolhive/config.yaml:3")


def test_an_unreadable_file_means_off_with_its_problem_in_the_warning() -> None:
    consent = decided({}, BROKEN)
    assert not consent.enabled
    assert consent.warning is not None
    assert consent.warning.startswith("/home/u/.toolhive/config.yaml:2:1: a tab;")
    assert "\n" not in consent.warning


def test_a_reader_that_fails_means_off_with_a_warning() -> None:
    def fail() -> BooleanReading:
        raise OSError("the disk is on fire")

    consent = decide({}, fail)
    assert not consent.enabled
    assert "the disk is on fire" in (consent.warning or "")


def test_the_file_is_not_read_when_a_variable_has_decided() -> None:
    def fail() -> BooleanReading:
        raise AssertionError("read in vain")

    assert decide({"CI": "1"}, fail).source == "CI is set"


@pytest.mark.parametrize("reading", [SILENT, YES, NO, BROKEN])
def test_the_flag_turns_analytics_off_for_the_run_whatever_else_is_said(reading: BooleanReading) -> None:
    consent = decide({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "true"}, lambda: reading, flag=False)
    assert (consent.enabled, consent.source) == (False, "--otel-usage-analytics-enabled=false")


@pytest.mark.parametrize("environ", [{"CI": "1"}, {"DO_NOT_TRACK": "1"}, {"OTEL_SDK_DISABLED": "true"}, {}])
def test_the_flag_turns_on_nothing_that_another_source_turned_off(environ: dict[str, str]) -> None:
    for reading in (SILENT, YES, NO, BROKEN):
        silent, asked = decide(environ, lambda: reading), decide(environ, lambda: reading, flag=True)  # noqa: B023  called at once
        assert asked.enabled == silent.enabled
        assert silent.enabled or (asked.source, asked.warning) == (silent.source, silent.warning)


IN_ORDER = (
    "DO_NOT_TRACK",
    "CI",
    "OTEL_SDK_DISABLED",
    "TOOLHIVE_USAGE_ANALYTICS_ENABLED",
    "TOOLHIVE_USAGE_METRICS_ENABLED",
)
"""The variables, the one that decides before the others first."""

environs = st.dictionaries(
    st.sampled_from(IN_ORDER),
    st.sampled_from(["", "0", "1", "true", "false", "yes", "no", "maybe"]) | st.text(max_size=5),
)
readings = st.sampled_from([SILENT, YES, NO, BROKEN])
marks = st.sampled_from([None, "DO_NOT_TRACK is set"])
flags = st.sampled_from([None, True, False])


@PATIENT
@given(environ=environs, server=environs, reading=readings, mark=marks, flag=flags)
def test_every_source_that_says_no_is_listed_the_deciding_one_first(
    environ: dict[str, str], server: dict[str, str], reading: BooleanReading, mark: str | None, flag: bool | None
) -> None:
    def ask(
        environ: dict[str, str] | None = None,
        server: dict[str, str] | None = None,
        reading: BooleanReading = SILENT,
        mark: str | None = None,
        flag: bool | None = None,
    ) -> list[Consent]:
        return list(answers(environ or {}, lambda: reading, flag=flag, server_environ=server, remembered=lambda: mark))

    found = ask(environ, server, reading, mark, flag)
    alone = ask(flag=flag)
    alone += [one for name in IN_ORDER if name in environ for one in ask({name: environ[name]})]
    alone += [one for name in IN_ORDER if name in server for one in ask(server={name: server[name]})]
    alone += ask(reading=reading)
    alone += ask(mark=mark) if reading.value is not True else []
    refusals = [one for one in alone if not one.enabled]
    assert found[: len(refusals)] == refusals
    assert [one.enabled for one in found[len(refusals) :]] == ([] if refusals else [True])
    decided = decide(environ, lambda: reading, flag=flag, server_environ=server, remembered=lambda: mark)
    assert decided == found[0]


@PATIENT
@given(environ=environs, reading=readings)
def test_off_always_wins(environ: dict[str, str], reading: BooleanReading) -> None:
    each = [decided({name: value}).enabled for name, value in environ.items()] + [decided({}, reading).enabled]
    assert decided(environ, reading).enabled == all(each)


def test_a_no_that_the_server_is_given_is_a_no() -> None:
    consent = decide({}, lambda: YES, server_environ={"DO_NOT_TRACK": "1"})
    assert (consent.enabled, consent.kind) == (False, "server-environment")
    assert consent.source == "DO_NOT_TRACK is set for the server"


def test_a_remembered_no_holds_unless_the_file_says_yes() -> None:
    for reading, enabled in ((SILENT, False), (YES, True), (NO, False), (BROKEN, False)):
        assert decide({}, lambda: reading, remembered=lambda: "DO_NOT_TRACK is set").enabled is enabled  # noqa: B023  called at once
    consent = decide({}, lambda: SILENT, remembered=lambda: "DO_NOT_TRACK is set")
    assert (consent.kind, consent.source) == ("remembered", "DO_NOT_TRACK is set, remembered")


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, None),
        ({"CI": "true"}, None),
        ({"DO_NOT_TRACK": "0"}, None),
        ({"CI": "true", "DO_NOT_TRACK": "1"}, "DO_NOT_TRACK is set"),
        ({"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED is true"),
        ({"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "off"}, "TOOLHIVE_USAGE_ANALYTICS_ENABLED is off"),
        ({"TOOLHIVE_USAGE_METRICS_ENABLED": "perhaps"}, "TOOLHIVE_USAGE_METRICS_ENABLED is neither true nor false"),
    ],
)
def test_what_is_remembered_is_the_users_own_no_and_not_that_of_a_build(
    environ: dict[str, str], reason: str | None
) -> None:
    assert refusal_to_remember(environ) == reason


def test_a_decision_cannot_be_changed() -> None:
    consent = decided({})
    with pytest.raises(AttributeError):
        consent.enabled = False  # type: ignore[misc]  # refused at run time, too
    assert "enabled=True" in repr(consent)


def test_deciding_imports_nothing_slow() -> None:
    code = (
        "import sys; before = set(sys.modules); import thv.analytics.consent as c; "
        "c.decide({'CI': '1'}, lambda: None); print(sorted(set(sys.modules) - before))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(ast.literal_eval(seen.stdout)) - {"__future__"}
    assert {name for name in imported if not name.startswith("thv")} == set()
    assert {name for name in imported if name.startswith("thv.analytics.")} == {
        "thv.analytics.consent",
        "thv.analytics.constants",
    }
