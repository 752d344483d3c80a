"""`thv analytics`: whether usage analytics are on and who decided, what a report is, what was sent. Sends nothing.

Answers go to stdout, in words or as JSON; what `clear` has to say goes to stderr. No logic: `thv.analytics` has it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thv.cli.help_text import Command, Group, listed
from thv.cli.output import answer
from thv.core.console import warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thv.analytics.consent import Consent
    from thv.analytics.explain import Field
    from thv.analytics.history import Export
    from thv.analytics.otlp import ReportRequest

app = typer.Typer(
    cls=Group,
    help="See whether usage analytics are on, and what is sent.",
    epilog=listed("Examples:", [("thv analytics status", ""), ("thv analytics show", "")]),
)

Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print the answer.")]

EXAMPLE = (12, 3)
"""The successes and errors of the report that `show` takes apart: those of docs/usage-analytics.md."""

REMEMBERED = (
    "a no that thv saw in its environment, because MCP clients do not pass your variables on; "
    "thv config otel set usage-analytics-enabled true ends it"
)

LONGEST_TITLE = len("to turn off")

LATEST = 20
"""Exports that `show` lists in words: what a screen holds beside the rest."""

HEX_ROW = 16
"""Bytes on one line of the dump, as hex dumps have them."""


@app.command(
    "status",
    cls=Command,
    epilog=listed("Examples:", [("thv analytics status", ""), ("thv analytics status --format json", "")]),
)
def status(*, output: Format = "text") -> None:
    """Print whether usage analytics are on, and what decided that."""
    from thv.analytics.constants import ENDPOINT, INTERVAL
    from thv.analytics.notice import was_shown

    decision, *further = _answers()
    known = was_shown()
    if output == "json":
        found = {
            **_state(decision),
            "also_off": [other.source for other in further],
            "endpoint": ENDPOINT,
            "interval_seconds": INTERVAL,
            "notice_shown": known,
        }
        answer(json.dumps(found, indent=2))
        return
    rows = [
        *(("also off", other.source) for other in further),
        *(("problem", one.warning) for one in (decision, *further) if one.warning is not None),
        *(("remembered", REMEMBERED) for one in (decision, *further) if one.kind == "remembered"),
        ("where to", ENDPOINT),
        ("how often", f"about every {INTERVAL:.0f} seconds while there is something new, and when a session ends"),
        ("notice", "shown" if known else "not shown yet; it comes before the first report"),
        ("what", "thv analytics show"),
        *_how_to_change([decision, *further]),
    ]
    answer("\n".join([_state_in_words(decision), *(f"  {title:{LONGEST_TITLE}}  {text}" for title, text in rows)]))


@app.command(
    "show",
    cls=Command,
    epilog=listed("Examples:", [("thv analytics show", ""), ("thv analytics show --format json", "")]),
)
def show(*, output: Format = "text") -> None:
    """Print a report byte by byte, and the history of those sent. Sends nothing."""
    from thv.analytics import history
    from thv.analytics.explain import fields
    from thv.analytics.preview import request_for
    from thv.core.state_dir import user_state_dir

    decision = _answers()[0]
    request = request_for(*EXAMPLE)
    parts = fields(request.body)
    sent = history.read()
    where = f"{Path(user_state_dir()) / history.HISTORY}.*"
    if output == "json":
        found = {**_state(decision), "example": _example(request, parts), "history": _history(sent, where)}
        answer(json.dumps(found, indent=2))
        return
    answer("\n".join([*_state_lines(decision), *_example_lines(request, parts), *_history_lines(sent, where)]))


@app.command("clear", cls=Command, epilog=listed("Example:", [("thv analytics clear", "")]))
def clear() -> None:
    """Forget what this machine has sent. Whether analytics are on stays as it is."""
    from thv.analytics import history

    forgotten = history.clear()
    warn(f"the history of {_reports(forgotten)} is removed" if forgotten else "there was no history to remove")


def _answers() -> list[Consent]:
    from thv.instrumentation.usage_consent import UsageConsent

    consent = UsageConsent(os.environ)
    consent.settle()  # what this command sees is remembered before it is shown
    return consent.answers()


def _state(decision: Consent) -> dict[str, Any]:
    return {"enabled": decision.enabled, "source": decision.source}


def _state_in_words(decision: Consent) -> str:
    return f"{'on' if decision.enabled else 'off'} ({decision.source})"


def _how_to_change(answers: list[Consent]) -> Iterator[tuple[str, str]]:
    """What to type to have it the other way; every source that says no has to go."""
    from thv.analytics.constants import SETTING

    if answers[0].enabled:
        yield "to turn off", f"thv config otel set {SETTING} false"
        return
    steps: dict[str, None] = {}
    for one in answers:
        if one.kind == "environment":
            steps[f"unset {one.source.partition(' ')[0]}"] = None
        elif one.warning is not None:
            steps["correct the config file"] = None
        else:
            steps[f"thv config otel set {SETTING} true"] = None
    for number, step in enumerate(steps):
        yield "and" if number else "to turn on", step


def _example(request: ReportRequest, parts: list[Field]) -> dict[str, Any]:
    return {
        "request_line": _head(request)[0],
        "url": request.url,
        "headers": [{"name": name, "value": value} for name, value in request.headers],
        "body": json.loads(request.readable_body()),
        "body_hex": request.body.hex(),
        "fields": [
            {
                "offset": part.offset,
                "depth": part.depth,
                "number": part.number,
                "name": part.name,
                "value": part.value,
                "why": part.why,
                "hex": part.raw.hex(),
            }
            for part in parts
        ],
    }


def _history(sent: list[Export], where: str) -> dict[str, Any]:
    return {
        "files": where,
        "exports": [
            {"minute": one.minute, "success": one.success, "error": one.error, "result": one.result} for one in sent
        ],
    }


def _state_lines(decision: Consent) -> Iterator[str]:
    yield f"Usage analytics are {_state_in_words(decision)}."
    if not decision.enabled:
        yield "Nothing is sent. If they were on, a report would look like this."
    yield ""


def _example_lines(request: ReportRequest, parts: list[Field]) -> Iterator[str]:
    success, error = EXAMPLE
    yield f"A report of {success} calls that succeeded and {error} that failed, if it were made now."
    yield from ("", f"To {request.host}, port {request.port}, inside TLS:", "")
    yield from (f"  {line}" for line in _head(request))
    yield from ("", f"The body, {len(request.body)} bytes:", "")
    for offset in range(0, len(request.body), HEX_ROW):
        yield f"  {offset:4}  {request.body[offset : offset + HEX_ROW].hex(' ')}"
    yield from ("", "The same bytes as OTLP/JSON:", "")
    yield from (f"  {line}" for line in request.readable_body().splitlines())
    yield from ("", "The same bytes field by field: where it begins, its number, name and value, and why it is there:")
    for part in parts:
        indent = "  " * part.depth
        yield ""
        yield f"  {part.offset:4}  {indent}{part.number:2} {part.name} = {part.value}"
        yield f"        {indent}   {part.why}"
    yield ""


def _history_lines(sent: list[Export], where: str) -> Iterator[str]:
    if not sent:
        yield "No report by this machine is remembered."
        return
    results = Counter(one.result for one in sent)
    shown = ", ".join(f"{number} {result}" for result, number in results.items())
    yield f"{_reports(len(sent))} by this machine ({shown}), in {where}"
    if len(sent) > LATEST:
        yield f"The latest {LATEST}; all with --format json:"
    yield ""
    for one in sent[-LATEST:]:
        yield f"  {one.minute}  {one.success} success, {one.error} error: {one.result}"


def _head(request: ReportRequest) -> list[str]:
    """The request line and the headers, taken from the very bytes that would be written."""
    return request.to_bytes().partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")


def _reports(number: int) -> str:
    return "1 report" if number == 1 else f"{number} reports"
