"""Holds the policy page to the code: a change of what is sent needs a change of what is promised."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from thv.analytics import constants
from thv.analytics.consent import decide
from thv.analytics.history import BEGUN, HISTORY, Export, append
from thv.analytics.notice import MARKER, TERMINAL_MARKER
from thv.analytics.pipeline import EXIT_BUDGET
from thv.analytics.preview import request_for
from thv.cli.resolve_telemetry import usage_analytics
from thv.cli.run_options import parse
from thv.config.boolean_reading import read_consent
from thv.core.booleans import BOOLEANS
from thv.core.interfaces import BooleanReading
from thv.operator.mcpserver_spec import read

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "usage-analytics.md").read_text(encoding="utf-8")
PROSE = " ".join(PAGE.split())

EXAMPLE = request_for(12, 3, now_ns=1_790_000_040_000_000_000)
"""The report the page shows."""


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return str(text)


def section(title: str) -> str:
    [text] = re.findall(rf"\n## {re.escape(title)}\n(.*?)(?=\n## |\Z)", PAGE, flags=re.DOTALL)
    return str(text)


def test_the_example_is_what_the_code_would_send() -> None:
    head = EXAMPLE.to_bytes().partition(b"\r\n\r\n")[0].decode()
    assert block("http").rstrip("\n") == head.replace("\r\n", "\n")
    assert block("json").rstrip("\n") == EXAMPLE.readable_body()


def test_the_table_names_the_metric_the_attribute_and_its_values() -> None:
    cells = dict(re.findall(r"^\| ([^|]+?) \| (.+?) \|$", section("What is reported"), flags=re.MULTILINE))
    assert cells["name"] == f"`{constants.METRIC}`"
    assert cells["attribute"] == f"`{constants.STATUS}`, and no other"
    assert cells["its values"] == f"`{constants.SUCCESS}`, `{constants.ERROR}`"


def test_where_and_when_are_those_of_the_code() -> None:
    assert re.findall(r"https://analytics\S+?(?=`)", PAGE) == [constants.ENDPOINT]
    assert f"about every {constants.INTERVAL:.0f} seconds" in PROSE
    shortest, longest = (constants.INTERVAL * (1 + sign * constants.JITTER) for sign in (-1, 1))
    assert f"between {shortest:.0f} and {longest:.0f} seconds long" in PROSE
    assert f"at most {EXIT_BUDGET} seconds" in PROSE
    assert all(f"`{name}`" in PAGE for name in (MARKER, TERMINAL_MARKER, constants.OFF_MARK))


def test_the_history_on_the_page_is_what_the_code_would_keep(tmp_path: Path) -> None:
    lines = block("text")
    for result in (BEGUN, "taken"):
        append(Export("2026-11-22T16:23Z", 12, 3, result), lambda: tmp_path / "state")
    assert (tmp_path / "state" / f"{HISTORY}.1").read_text() == lines
    assert f"`{HISTORY}.1`" in PAGE


def test_every_header_on_the_page_and_every_header_sent_are_the_same() -> None:
    assert f"`{constants.SCOPE}`" in PAGE
    shown = {line.partition(":")[0] for line in block("http").splitlines()[1:]}
    assert shown == {name for name, _ in EXAMPLE.headers}


def test_the_key_is_that_of_the_code() -> None:
    assert yaml.safe_load(block("yaml")) == {"otel": {constants.SETTING: False}}
    assert f"thv config otel set {constants.SETTING} false" in block("sh")
    assert f"thv config otel get {constants.SETTING}" in PROSE


SWITCHES = re.findall(
    r"^\| environment \| `(\w+)(?:=(\w+))?`(.*)\|$", section("How to turn it off"), flags=re.MULTILINE
)


def test_every_switch_of_the_code_is_on_the_page() -> None:
    named = {name for name, _, _ in SWITCHES}
    assert named == {constants.DO_NOT_TRACK, constants.CI, *constants.SWITCHES, constants.SDK_DISABLED}


@pytest.mark.parametrize(("name", "value", "rest"), SWITCHES, ids=[name for name, _, _ in SWITCHES])
def test_each_switch_works_as_the_page_says(name: str, value: str, rest: str) -> None:
    def enabled(setting: str) -> bool:
        return decide({name: setting}, lambda: BooleanReading(value=True)).enabled

    assert enabled("")
    if value:
        assert not enabled(value)
        return
    exceptions = re.findall(r"`(\w+)`", rest)
    assert set(exceptions) == {word for word, meaning in BOOLEANS.items() if not meaning}
    assert all(enabled(word) for word in exceptions)
    assert not enabled("anything")


def test_the_option_on_the_page_turns_it_off() -> None:
    words = re.findall(r"`thv (run --otel\S+)`", section("How to turn it off"))
    assert words == [f"run {constants.FLAG}=false"]
    request = parse([*words[0].split()[1:], "demo"])
    assert usage_analytics(request.otel) is False
    assert not decide({}, lambda: BooleanReading(value=True), flag=usage_analytics(request.otel)).enabled


def test_what_must_be_said_is_said() -> None:
    for words in ("2 years", "IP address", "GDPR", "CCPA", "SOC 2", "toolhive-support@stacklok.com", "third party"):
        assert words in PROSE, words


def test_the_counts_of_the_example_are_those_of_the_text() -> None:
    points = json.loads(block("json"))["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"]
    success, error = (point["asInt"] for point in points)
    assert f"{success} calls that succeeded and {error} that failed" in PROSE


VERBS = {
    "run_stdio": "over stdio",
    "run_proxy_port": "with `--proxy-port`",
    "run_transport": "with `--transport`",
    "run_url": "with a URL",
    "proxy": "`thv proxy`",
    "mcp_call": "`thv mcp call`",
    "operator_pod": "the pods of the Kubernetes operator",
    "operator_wrap": "also where it wraps a server",
}
"""A verb of tests/e2e/test_consent_table.py, and how the page calls it."""


def test_every_verb_that_reports_is_on_the_page_and_in_the_table_of_consent() -> None:
    table = (TESTS / "e2e" / "test_consent_table.py").read_text(encoding="utf-8")
    [listed] = re.findall(r"^VERBS: list\[Verb\] = \[(.*)\]$", table, re.MULTILINE)
    assert listed.split(", ") == list(VERBS)
    assert [words for words in VERBS.values() if words not in PROSE] == []


@pytest.mark.parametrize(
    "text",
    [
        "usage-analytics-enabled: false\n",
        "Otel:\n  usage-analytics-enabled: false\n",
        "otel:\n  usage_analytics_enabled: false\n",
        "a: 1\n---\notel:\n  usage-analytics-enabled: false\n",
    ],
)
def test_a_no_in_a_wrong_place_that_the_page_names_is_a_no_with_a_line_that_says_where_it_belongs(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    reading = read_consent(str(tmp_path / "config.yaml"), is_named=False)
    consent = decide({}, lambda: reading)
    assert not consent.enabled
    assert re.search(
        r"config\.yaml:\d+:\d+: .* is a no in the wrong place; write usage-analytics-enabled: false under otel:",
        str(consent.warning),
    )


def test_the_field_of_the_operator_is_the_one_that_it_reads() -> None:
    spec = yaml.safe_load(block("yml"))["spec"]
    assert spec["telemetry"] == {"openTelemetry": {"usageAnalyticsEnabled": False}}
    body = {"metadata": {"name": "x", "namespace": "y", "uid": "z"}, "spec": {"image": "i", **spec}}
    assert not read(body).telemetry.usage_analytics


CLAIMS = """\
Calls that you cancel are not counted
    ledger/test_ledger.py::test_the_story_has_its_outcome[a cancelled call is not counted]
when the server goes away without answering
    e2e/test_analytics.py::test_a_dead_server_leaves_its_open_calls
times are cut down to the whole minute
    analytics/test_otlp.py::test_a_point_spans_the_last_whole_minute
one report cannot be matched to the next
    analytics/test_traps.py::test_times_do_not_join_the_exports
the part of thv that makes reports is never given it
    test_architecture.py::test_analytics_are_handed_outcomes
no trace, span, resource attribute, header or certificate
    analytics/test_traps.py::test_the_users_resource
It sends nothing.
    cli/test_analytics.py::test_show_sends_nothing
no option, setting or variable changes it
    e2e/test_analytics.py::test_under_every_hostile_variable
If no call ended since the last report, there is no report
    analytics/test_exporter.py::test_with_nothing_to_report
the certificate is verified
    analytics/test_transport.py::test_a_server_with_another_name
There is no authentication, cookie, proxy or redirect
    analytics/test_traps.py::test_redirects_are_not_followed
One name is looked up, with a final dot
    analytics/test_transport.py::test_one_absolute_name
is added to the next
    analytics/test_exporter.py::test_counts_that_were_surely_not_taken
One of which that is not certain is dropped
    analytics/test_exporter.py::test_counts_that_may_have_been_taken
nothing is counted twice
    analytics/test_provider.py::test_every_outcome_is_collected_once_or_forgotten
thv waits for it at most 0.3 seconds
    analytics/test_pipeline_exit.py::test_closing_never_waits_for_a_bad_endpoint
Only then is a report made
    analytics/test_pipeline.py::test_the_notice_comes_before_the_first_connection
If that file cannot be written, you see the notice each time
    analytics/test_notice.py::test_a_notice_that_cannot_be_recorded
it does not count as shown, and nothing is reported
    analytics/test_pipeline_consent.py::test_where_stderr_cannot_be_read
shows the notice once more
    analytics/test_notice.py::test_what_was_shown_in_a_log_is_due_once_more
The files are readable by your user only
    analytics/test_history.py::test_the_file_holds_a_minute
If they cannot be written, reports are made all the same
    analytics/test_pipeline_history.py::test_a_history_that_cannot_be_written
`thv analytics clear` removes it
    cli/test_analytics.py::test_clear_forgets
Off always wins
    analytics/test_consent.py::test_every_source_that_says_no_is_listed
given by `-e` or `--env-file`
    e2e/test_consent_table.py::test_a_variable_that_is_given_to_the_server
and the same for `thv proxy` and `thv mcp`
    e2e/test_consent_table.py::test_the_switch_of_one_run
that `TOOLHIVE_CONFIG` names and that is not there
    e2e/test_consent_table.py::test_a_file_that_is_named
asks for your consent again right before each report
    analytics/test_pipeline_consent.py::test_consent_is_asked_before
After a no, it forgets what it has counted
    analytics/test_pipeline_consent.py::test_a_no_during_the_session
that session counts no more, whatever is changed back later
    analytics/test_pipeline_consent.py::test_after_a_no
are reached by everything that can change
    e2e/test_consent_table.py::test_a_no_during_the_session_reaches_it
until the config file says `true`
    e2e/test_consent_table.py::test_a_remembered_no
what to type to change it
    cli/test_analytics.py::test_a_no_that_one_command_saw
the code for them is not even loaded
    e2e/test_analytics.py::test_off_means_that_nothing_of_the_pipeline
changes nothing in what your collector receives
    e2e/test_analytics_http.py::test_each_counts_every_call_once
record the session's keys
    analytics/test_transport.py::test_session_secrets
change a byte of the handshake
    analytics/test_clean_process.py::test_openssl_conf
They first show how the stock OpenTelemetry exporter would leak
    analytics/test_traps.py::test_the_users_api_key
quiet for a quarter of a second
    analytics/test_pipeline.py::test_the_relay_is_left_alone
no error is shown
    e2e/test_analytics.py::test_a_bad_endpoint_neither_delays
except those to the `demo` server
    e2e/test_analytics.py::test_the_demo_is_counted_and_shown
prints every report on stderr while it happens
    e2e/test_analytics.py::test_debug_shows_each_request
"""
"""What the page promises, in its own words, and below it the beginning of the name of the test that holds it, with the
case of it if it has a table."""

HELD = re.findall(r"^(\S.*)\n    (\S+)::(test_\w+)(?:\[(.+)\])?$", CLAIMS, re.MULTILINE)


@pytest.mark.parametrize(("words", "file", "name", "case"), HELD, ids=[re.sub(r"\W+", "-", one[0]) for one in HELD])
def test_each_claim_is_on_the_page_and_held_by_a_test(words: str, file: str, name: str, case: str) -> None:
    assert words in PROSE
    source = (TESTS / file).read_text(encoding="utf-8")
    [_] = re.findall(rf"^(?:async )?def {name}", source, re.MULTILINE)
    assert not case or f'"{case}": (' in source


def test_no_claim_is_lost_by_its_own_layout() -> None:
    assert 2 * len(HELD) == len(CLAIMS.splitlines())
