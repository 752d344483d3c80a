"""`thv report --html`: one page that needs nothing else. Plots are SVG; no script, no font, no address is in it.

It follows the reader's choice of light or dark, and fits a phone. Every name is escaped: a tool may be called anything.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from thv.core.printable import one_line
from thv.journal.call_format import duration_text, size_text
from thv.journal.report_data import EDGES_US, INTERVALS
from thv.journal.time_range import local_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.journal.report_data import Report, ServerUse, ToolUse

WIDTH, HEIGHT = 720, 150
"""The plots' own units; they are scaled to the page."""

LEFT, BOTTOM, TOP = 44, 28, 10

NOTHING: Final = "\N{EN DASH}"
SMALLEST_SHARE: Final = 0.1
"""Per cent: a share below it shows as less than that."""

BAD: Final = ' class="bad"'
KEY: Final = (
    '<p class="key"><i style="background:var(--ok)"></i>succeeded<i style="background:var(--bad)"></i>failed</p>'
)

STYLE: Final = """
:root { color-scheme: light dark; --bg: #ffffff; --fg: #1c2128; --dim: #59636e; --line: #d1d9e0; --card: #f6f8fa;
  --ok: #2f6fdb; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --bg: #0d1117; --fg: #e6edf3; --dim: #9198a1; --line: #30363d;
  --card: #151b23; --ok: #58a6ff; --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 3rem; background: var(--bg); color: var(--fg);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.2rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h3 { font-size: .9rem; font-weight: 600; margin: 1.2rem 0 .3rem; color: var(--dim); }
p { margin: .2rem 0 1rem; color: var(--dim); }
section { margin-top: 1.5rem; padding: 1rem; border: 1px solid var(--line); border-radius: 10px;
  background: var(--card); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: .5rem; margin: .5rem 0 0; }
.figures div { border: 1px solid var(--line); border-radius: 8px; padding: .4rem .7rem; background: var(--bg); }
.figures b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--dim); font-size: .8rem; }
.bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--dim); font-weight: 600; font-size: .85rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; overflow-wrap: anywhere;
  min-width: 8rem; }
tr:last-child td { border-bottom: 0; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--dim); font-size: 11px; }
.grid { stroke: var(--line); stroke-width: 1; }
.ok { fill: var(--ok); } .no { fill: var(--bad); }
.key { font-size: .8rem; color: var(--dim); } .key i { display: inline-block; width: .7em; height: .7em;
  border-radius: 2px; margin: 0 .35em 0 .8em; } .key i:first-child { margin-left: 0; }
code { font-size: .9em; overflow-wrap: anywhere; }
footer { margin-top: 2rem; color: var(--dim); font-size: .85rem; }
@media (max-width: 40rem) { section { padding: .8rem; } th, td { padding: .3rem .4rem; } svg text { font-size: 19px; } }
"""


def page(report: Report) -> str:
    """The whole page."""
    span = f"{local_time(report.since_us, date=True)} to {local_time(report.until_us, date=True)}"
    calls = sum(use.total.calls for use in report.servers)
    failed = sum(use.total.failed for use in report.servers)
    body = [
        "<h1>MCP calls</h1>",
        f"<p>{escape(span)}</p>",
        _figures(
            [
                ("calls", f"{calls:,}", False),
                ("failed", _percent(failed, calls), failed > 0),
                ("sessions", f"{sum(use.sessions for use in report.servers):,}", False),
                ("servers", f"{len(report.servers):,}", False),
            ]
        ),
        *(_server(use, report) for use in report.servers),
    ]
    if not report.servers:
        body.append("<section><p>No session of this time is in the journal.</p></section>")
    lost = f" {report.lost:,} requests could not be written into the journal." if report.lost else ""
    body.append(
        f"<footer>Made by <code>thv report</code> from the journal on this machine.{lost} "
        "It holds no arguments and no results of calls, and nothing here is loaded from anywhere.</footer>"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>MCP calls, {escape(span)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _figures(figures: Sequence[tuple[str, str, bool]]) -> str:
    cells = (
        f"<div><b{BAD if bad else ''}>{escape(text)}</b><span>{escape(title)}</span></div>"
        for title, text, bad in figures
    )
    return f'<div class="figures">{"".join(cells)}</div>'


def _server(use: ServerUse, report: Report) -> str:
    total = use.total
    figures = [
        ("calls", f"{total.calls:,}", False),
        ("failed", _percent(total.failed, total.calls), total.failed > 0),
        ("median", _duration(total.p50_us), False),
        ("95th percentile", _duration(total.p95_us), False),
        ("sessions", f"{use.sessions:,}", False),
    ]
    if use.listed:
        figures.append((f"definitions of {use.listed} tools", size_text(use.definitions_bytes), False))
    parts = [f"<section>\n<h2>{_name(use.name)}</h2>", _figures(figures)]
    if total.calls:
        parts += [
            "<h3>Calls over time</h3>",
            _over_time(use, report),
            KEY,
            "<h3>Durations</h3>",
            _distribution(use.distribution),
            "<h3>Tools</h3>",
            _tools(use.used_tools),
        ]
    if use.never_called:
        names = ", ".join(f"<code>{_name(name)}</code>" for name in use.never_called)
        parts.append(f"<h3>Never called</h3>\n<p>{names}</p>")
    parts.append("</section>")
    return "\n".join(parts)


def _tools(tools: Sequence[ToolUse]) -> str:
    titles = ("Tool", "Calls", "Failed", "Median", "95 %", "Largest result", "Definition")
    head = "".join(f"<th>{title}</th>" for title in titles)
    rows = []
    for tool in tools:
        cells = [
            f"<td>{_name(tool.name)}</td>",
            f"<td>{tool.calls:,}</td>",
            f"<td{BAD if tool.failed else ''}>{_percent(tool.failed, tool.calls)}</td>",
            f"<td>{_duration(tool.p50_us)}</td>",
            f"<td>{_duration(tool.p95_us)}</td>",
            f"<td>{size_text(tool.largest_result) if tool.largest_result else NOTHING}</td>",
            f"<td>{NOTHING if tool.definition_bytes is None else size_text(tool.definition_bytes)}</td>",
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _over_time(use: ServerUse, report: Report) -> str:
    highest = max(use.calls_by_interval) or 1
    width = (WIDTH - LEFT) / INTERVALS
    bars = []
    for number, (calls, failed) in enumerate(zip(use.calls_by_interval, use.failed_by_interval, strict=True)):
        if calls:
            when = local_time(int(report.since_us + number * report.interval_us), date=True)
            bars.append(
                f"<g><title>{escape(when)}: {calls:,} calls, {failed:,} failed</title>"
                + _bar(LEFT + number * width, width, (calls - failed) / highest, failed / highest)
                + "</g>"
            )
    days = report.until_us - report.since_us > 2 * 86_400_000_000
    labels = [
        _text(LEFT + (WIDTH - LEFT) * share, HEIGHT - 6, _when(report, share, days=days), anchor)
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    ]
    return _plot("Calls and failures over time", highest, [*bars, *labels])


def _distribution(counts: Sequence[int]) -> str:
    highest = max(counts) or 1
    width = (WIDTH - LEFT) / len(counts)
    parts = []
    for number, count in enumerate(counts):
        is_last = number == len(EDGES_US)
        title = f"{duration_text(EDGES_US[-1])} or more" if is_last else f"below {duration_text(EDGES_US[number])}"
        if count:
            parts.append(
                f"<g><title>{escape(title)}: {count:,} calls</title>"
                + _bar(LEFT + number * width, width, count / highest, 0)
                + "</g>"
            )
        if not is_last and number % 2 == 0:
            parts.append(_text(LEFT + (number + 1) * width, HEIGHT - 6, duration_text(EDGES_US[number]), "middle"))
    return _plot("Distribution of durations", highest, parts)


def _plot(title: str, highest: int, parts: Sequence[str]) -> str:
    base = HEIGHT - BOTTOM
    grid = "".join(
        f'<line class="grid" x1="{LEFT}" y1="{y:g}" x2="{WIDTH}" y2="{y:g}"/>' for y in (TOP, (TOP + base) / 2, base)
    )
    scale = _text(LEFT - 6, TOP + 6, f"{highest:,}", "end") + _text(LEFT - 6, base, "0", "end")
    label = f'role="img" aria-label="{escape(title)}"'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" {label}>{grid}{scale}{"".join(parts)}</svg>'


def _bar(x: float, width: float, good: float, bad: float) -> str:
    base, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    inner = max(1.0, width - 1.5)
    found = []
    for share, start, kind in ((good, 0.0, "ok"), (bad, good, "no")):
        if share:
            height = max(1.5, room * share)
            found.append(
                f'<rect class="{kind}" x="{x + 0.75:.1f}" y="{base - room * start - height:.1f}" width="{inner:.1f}" '
                f'height="{height:.1f}" rx="1"/>'
            )
    return "".join(found)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _when(report: Report, share: float, *, days: bool) -> str:
    moment = local_time(int(report.since_us + (report.until_us - report.since_us) * share), date=True)
    return moment[:10] if days else moment[11:16]


def _name(name: str) -> str:
    return escape(one_line(name))


def _duration(microseconds: float | None) -> str:
    return NOTHING if microseconds is None else escape(duration_text(microseconds))


def _percent(part: int, whole: int) -> str:
    if not whole:
        return NOTHING
    share = part / whole * 100
    if not share:
        return "0 %"
    return f"{share:.1f} %" if share >= SMALLEST_SHARE else f"&lt;{SMALLEST_SHARE} %"
