"""Draws dashboard.json as a picture, from what a Prometheus answers: to look at it where there is no Grafana.

    python render.py http://127.0.0.1:9090 dashboard.svg [--range 300] [--step 15] [--at UNIX_TIME]

It asks the queries of the panels as they stand in the file, with Grafana's variables filled in.
"""

from __future__ import annotations

import argparse
import json
import time
from html import escape
from math import isfinite
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

DASHBOARD = Path(__file__).with_name("dashboard.json")

CELL, ROW, GAP = 42, 34, 8
"""Pixels of Grafana's grid: the width and the height of a cell, and what is left free between panels."""

COLOURS = ("#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0")

TIMEOUT_S = 30


def filled(query: str, *, window_s: int, step_s: int, server: str = ".*") -> str:
    """The query with Grafana's variables replaced; four steps are what its rate interval has at least."""
    values = {"$__range": window_s, "$__interval": step_s, "$__rate_interval": 4 * step_s}
    for name in sorted(values, key=len, reverse=True):
        query = query.replace(name, f"{values[name]}s")
    return query.replace("$server", server)


def ask(prometheus: str, query: str, at: float, *, window_s: int = 0, step_s: int = 0) -> list[dict]:
    """What Prometheus answers, at one time or, with a step, for every step of a window."""
    asked: dict[str, object] = {"query": query, "time": at}
    path = "query"
    if step_s:
        asked = {"query": query, "start": at - window_s, "end": at, "step": step_s}
        path = "query_range"
    with urlopen(f"{prometheus}/api/v1/{path}?{urlencode(asked)}", timeout=TIMEOUT_S) as response:  # noqa: S310  the user's
        return json.load(response)["data"]["result"]


def shown(value: float, unit: str) -> str:
    """A number as a panel writes it."""
    if not isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
    return f"{value:g}"


class Picture:
    """The shapes of an SVG, and how large it has become."""

    def __init__(self) -> None:
        self.shapes: list[str] = []
        self.width = self.height = 0

    def box(self, place: dict[str, int], title: str) -> tuple[int, int, int, int]:
        """An empty panel; returns the place of its contents."""
        x, y = place["x"] * CELL, place["y"] * ROW
        width, height = place["w"] * CELL - GAP, place["h"] * ROW - GAP
        self.width, self.height = max(self.width, x + width), max(self.height, y + height)
        self.shapes.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" fill="#181b1f"/>')
        self.text(x + 10, y + 20, title, size=13, colour="#ccccdc")
        return x + 10, y + 32, width - 20, height - 42

    def text(self, x: float, y: float, text: str, *, size: int = 11, colour: str = "#9fa7b3") -> None:
        """A line of text."""
        self.shapes.append(f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}">{escape(text)}</text>')

    def svg(self) -> str:
        """The whole file."""
        box = f"0 0 {self.width} {self.height}"
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif">'
        back = f'<rect width="{self.width}" height="{self.height}" fill="#111217"/>'
        return "\n".join((head, back, *self.shapes, "</svg>", ""))


def label(series: dict, legend: str) -> str:
    """What the legend calls a series."""
    for name, value in series["metric"].items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend


def draw_curves(
    picture: Picture,
    place: tuple[int, int, int, int],
    series: list[tuple[str, list]],
    ends: tuple[float, float],
    unit: str,
) -> None:
    """Curves or bars over time, with a legend below them."""
    x, y, width, height = place
    height -= 30
    numbers = [float(value) for _, values in series for _, value in values if isfinite(float(value))]
    top = max([*numbers, 1e-9])
    picture.text(x, y + 4, shown(top, unit))
    picture.shapes.append(f'<path d="M{x},{y + height}H{x + width}" stroke="#2c3235"/>')
    for number, (name, values) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        points = [
            (x + width * (when - ends[0]) / (ends[1] - ends[0]), y + height - (height - 10) * float(value) / top)
            for when, value in values
            if isfinite(float(value))
        ]
        path = "L".join(f"{left:.1f},{up:.1f}" for left, up in points)
        if points:
            picture.shapes.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        left = x + number % 4 * width / 4
        picture.text(left, y + height + 16 + 12 * (number // 4), f"— {name}", colour=colour)


def draw_bars(
    picture: Picture,
    place: tuple[int, int, int, int],
    series: list[tuple[str, list]],
    ends: tuple[float, float],
    step_s: int,
) -> None:
    """One bar for each step, the series on top of each other, with a legend below them."""
    x, y, width, height = place
    height -= 30
    sums: dict[float, float] = {}
    for _, values in series:
        for when, value in values:
            sums[when] = sums.get(when, 0) + float(value)
    top = max([*sums.values(), 1])
    picture.text(x, y + 4, shown(top, "short"))
    picture.shapes.append(f'<path d="M{x},{y + height}H{x + width}" stroke="#2c3235"/>')
    below: dict[float, float] = {}
    wide = width * step_s / (ends[1] - ends[0])
    for number, (name, values) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        for when, value in values:
            tall = (height - 10) * float(value) / top
            below[when] = below.get(when, 0) + tall
            left = x + (width - wide) * (when - ends[0]) / (ends[1] - ends[0])
            if tall:
                picture.shapes.append(
                    f'<rect x="{left:.1f}" y="{y + height - below[when]:.1f}" width="{wide * 0.8:.1f}" '
                    f'height="{tall:.1f}" fill="{colour}"/>'
                )
        picture.text(x + number % 4 * width / 4, y + height + 16 + 12 * (number // 4), f"— {name}", colour=colour)


def draw_table(picture: Picture, place: tuple[int, int, int, int], rows: list[dict]) -> None:
    """Labels and the value of each series."""
    x, y, width, height = place
    columns = [*rows[0]["metric"], "calls"] if rows else []
    for column, name in enumerate(columns):
        picture.text(x + column * width / len(columns), y + 4, name, colour="#6e9fff")
        for line, row in enumerate(rows[: height // 16 - 1]):
            text = row["metric"].get(name) if name != "calls" else shown(float(row["value"][1]), "short")
            picture.text(x + column * width / len(columns), y + 22 + 16 * line, str(text), colour="#ccccdc")


def draw(prometheus: str, at: float, *, window_s: int, step_s: int) -> str:
    """The dashboard at this time, as an SVG."""
    picture = Picture()
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        place = picture.box(panel["gridPos"], panel["title"])
        unit = panel["fieldConfig"]["defaults"]["unit"]
        curves: list[tuple[str, list]] = []
        for target in panel["targets"]:
            query = filled(target["expr"], window_s=window_s, step_s=step_s)
            if panel["type"] == "timeseries":
                found = ask(prometheus, query, at, window_s=window_s, step_s=step_s)
                curves += [(label(one, target["legendFormat"]), one["values"]) for one in found]
                continue
            found = ask(prometheus, query, at)
            if panel["type"] == "table":
                draw_table(picture, place, found)
            else:
                value = float(found[0]["value"][1]) if found else float("nan")
                picture.text(place[0], place[1] + 48, shown(value, unit), size=34, colour="#73bf69")
        if "custom" in panel["fieldConfig"]["defaults"]:
            draw_bars(picture, place, curves, (at - window_s, at), step_s)
        elif panel["type"] == "timeseries":
            draw_curves(picture, place, curves, (at - window_s, at), unit)
    return picture.svg()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prometheus", help="its address")
    parser.add_argument("file", type=Path, help="where the picture goes")
    parser.add_argument("--range", type=int, default=300, help="seconds that are shown (default: 300)")
    parser.add_argument("--step", type=int, default=15, help="seconds of a step of the curves (default: 15)")
    parser.add_argument("--at", type=float, default=None, help="the time at the right end (default: now)")
    options = parser.parse_args()
    at = time.time() if options.at is None else options.at
    options.file.write_text(draw(options.prometheus, at, window_s=options.range, step_s=options.step), encoding="utf-8")


if __name__ == "__main__":
    main()
