"""The figures of one run: medians over its rounds, ratios taken within a round, aims, as a table or as JSON.

A shared machine slows down for seconds at a time. Peers measured in the same round are slowed alike, so a ratio is
taken in each round first, and the median of those ratios is what is reported.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from harness.measures import Memory

DIRECT = "direct"
CAT = "cat"
THV_ON = "thv-on"
THV_NO_JOURNAL = "thv-no-journal"
THV_OFF = "thv-off"
THV_OTEL = "thv-otel"
THV_OTEL_TENTH = "thv-otel-0.1"
START = "start_ms"
P50 = "round_trip_p50_us"
P99 = "round_trip_p99_us"
PIPELINED = "pipelined_per_s"
RESULTS_1 = "results_1_mib_per_s"
RESULTS_16 = "results_16_mib_per_s"

COLUMNS: tuple[tuple[str, str, str], ...] = (
    (START, "start ms", "{:,.1f}"),
    (P50, "p50 µs", "{:,.1f}"),
    (P99, "p99 µs", "{:,.1f}"),
    (PIPELINED, "calls/s", "{:,.0f}"),
    (RESULTS_1, "1 MiB", "{:,.0f}"),
    (RESULTS_16, "16 MiB", "{:,.0f}"),
)
NOTHING = "-"


@dataclass
class Figures:
    """What one run measured."""

    machine: str
    titles: Mapping[str, str]
    rounds: int
    values: dict[str, dict[str, dict[int, list[float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    """Measure → peer → round → values."""
    python_ms: list[float] = field(default_factory=list)
    small: dict[str, Memory] = field(default_factory=dict)
    large: dict[str, Memory] = field(default_factory=dict)
    others_share: float = 0
    """Which part of the machine's CPU time went to other programs meanwhile."""
    idle_s: float = 0
    idle: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    """Peer → context switches in `idle_s` seconds: fresh, and after the first export."""
    notes: list[str] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    """The peers that could not do something they were asked to."""

    def add(self, measure: str, peer: str, number: int, value: float) -> None:
        """Keeps one value of one round."""
        self.values[measure][peer].setdefault(number, []).append(value)

    def by_round(self, measure: str, peer: str) -> dict[int, float]:
        """The median of each round."""
        return {number: median(values) for number, values in self.values[measure][peer].items()}

    def of(self, measure: str, peer: str) -> float | None:
        """The median of all rounds; None if the peer was not measured."""
        values = self.by_round(measure, peer).values()
        return median(values) if values else None

    def ratio(self, measure: str, peer: str, to: str = CAT) -> float | None:
        """The median of the ratios taken within each round."""
        mine, other = self.by_round(measure, peer), self.by_round(measure, to)
        ratios = [mine[number] / other[number] for number in mine if number in other]
        return median(ratios) if ratios else None

    def start_in_pythons(self, peer: str) -> float | None:
        """The start over no relay, as a multiple of a bare `python -c pass`."""
        mine, direct = self.by_round(START, peer), self.by_round(START, DIRECT)
        over = [mine[number] - direct[number] for number in mine if number in direct]
        return median(over) / median(self.python_ms) if over and self.python_ms else None


@dataclass(frozen=True)
class Aim:
    """One line of what "analytics on" must reach."""

    name: str
    value: float | None
    bound: float
    at_most: bool

    @property
    def verdict(self) -> str:
        """`met`, `missed` or `not measured`."""
        if self.value is None:
            return "not measured"
        return "met" if (self.value <= self.bound) == self.at_most or self.value == self.bound else "missed"


def aims(figures: Figures) -> list[Aim]:
    """The aims of the project, for thv with analytics on."""

    def largest(of: Callable[[Memory], float | None]) -> float | None:
        found = [of(table[THV_ON]) for table in (figures.small, figures.large) if THV_ON in table]
        return max((value for value in found if value is not None), default=None)

    def over_direct() -> float | None:
        return figures.start_in_pythons(THV_ON)

    fresh, later = figures.idle.get(THV_ON, (None, None))
    return [
        Aim("start over no relay, in bare pythons", over_direct(), 1.6, at_most=True),
        Aim("round trip p50, over cat", figures.ratio(P50, THV_ON), 1.4, at_most=True),
        Aim("round trip p99, over cat", figures.ratio(P99, THV_ON), 1.8, at_most=True),
        Aim("pipelined calls, over cat", figures.ratio(PIPELINED, THV_ON), 0.45, at_most=False),
        Aim("pipelined calls/s", figures.of(PIPELINED, THV_ON), 400_000, at_most=False),
        Aim("1 MiB results, over cat", figures.ratio(RESULTS_1, THV_ON), 1, at_most=False),
        Aim("16 MiB results, over cat", figures.ratio(RESULTS_16, THV_ON), 1, at_most=False),
        Aim("memory before a report, small calls, MiB", _before(figures.small), 20, at_most=True),
        Aim("memory with reports, worst, MiB", largest(lambda memory: memory.at_exit), 28, at_most=True),
        Aim("wake-ups while idle, fresh", fresh, 0, at_most=True),
        Aim("wake-ups while idle, after an export", later, 0, at_most=True),
    ]


TELEMETRY_PEERS = (THV_OTEL, THV_OTEL_TENTH)


def telemetry_aims(figures: Figures, peer: str) -> list[Aim]:
    """What a session with the user's telemetry must reach: no session is delayed, whatever the SDK can take."""
    peaks = [table[peer].at_exit for table in (figures.small, figures.large) if peer in table]
    return [
        Aim("round trip p50, over cat", figures.ratio(P50, peer), 1.8, at_most=True),
        Aim("round trip p99, over cat", figures.ratio(P99, peer), 3, at_most=True),
        Aim("pipelined calls/s", figures.of(PIPELINED, peer), 150_000, at_most=False),
        Aim("memory with its agent, worst, MiB", max(peaks, default=None), 64, at_most=True),
    ]


def _before(table: Mapping[str, Memory]) -> float | None:
    return table[THV_ON].before if THV_ON in table else None


def as_text(figures: Figures) -> str:
    """The report for people."""
    peers = [name for name in figures.titles if figures.values[P50][name] or figures.values[START][name]]
    title = figures.titles
    speed = [[title[peer], *(_cell(figures.of(key, peer), form) for key, _, form in COLUMNS)] for peer in peers]
    ratios = [
        [
            title[peer],
            _cell(figures.start_in_pythons(peer), "{:.1f}"),
            *(_cell(figures.ratio(key, peer), "{:.2f}") for key, _, _ in COLUMNS[1:]),
        ]
        for peer in peers
    ]
    usage = [
        [
            title[peer],
            *(
                _cell(getattr(table[peer], moment) if peer in table else None, "{:.1f}")
                for table in (figures.small, figures.large)
                for moment in ("before", "after", "at_exit")
            ),
            *(_cell(count, "{:d}") for count in figures.idle.get(peer, (None, None))),
        ]
        for peer in peers
        if peer in figures.small or peer in figures.idle
    ]
    python = f"{median(figures.python_ms):.1f}" if figures.python_ms else NOTHING
    summary = (
        f"medians of {figures.rounds} interleaved rounds; a bare `python -c pass` takes {python} ms; "
        f"other programs took {figures.others_share:.0%} of the CPU time meanwhile"
    )
    parts = [
        figures.machine,
        summary,
        _table(["", *(head for _, head, _ in COLUMNS)], speed),
        "ratios to cat | server | cat, taken within each round (start: over no relay, in bare pythons)",
        _table(["", "start", *(head for _, head, _ in COLUMNS[1:])], ratios),
    ]
    if usage:
        head = ["", "small", "after", "exit", "16 MiB", "after", "exit", "idle", "after export"]
        parts.append(
            "peak memory of all relay processes, MiB: before the TLS library is loaded, after, and up to the exit;\n"
            f"context switches of all relay threads in {figures.idle_s:g} idle s: fresh, and after the first export"
        )
        parts.append(_table(head, usage))
    judged = [(THV_ON, aims(figures)), *((peer, telemetry_aims(figures, peer)) for peer in TELEMETRY_PEERS)]
    for peer, its_aims in judged:
        if any(figures.values[P50][peer]):
            rows = [
                [
                    aim.name,
                    _cell(aim.value, "{:,.2f}"),
                    ("≤ " if aim.at_most else "≥ ") + f"{aim.bound:,g}",
                    aim.verdict,
                ]
                for aim in its_aims
            ]
            parts += [f"aims, for {title[peer]}", _table(["", "measured", "aim", ""], rows)]
    return "\n\n".join([*parts, *(f"note: {note}" for note in figures.notes)])


def as_json(figures: Figures) -> dict[str, object]:
    """The report for programs: every single value, the medians, the ratios and the aims."""
    keys = [key for key, _, _ in COLUMNS]
    return {
        "machine": figures.machine,
        "rounds": figures.rounds,
        "python_ms": figures.python_ms,
        "peers": {
            peer: {
                "title": title,
                "values": {key: list(figures.values[key][peer].values()) for key in keys},
                "medians": {key: figures.of(key, peer) for key in keys},
                "ratios_to_cat": {key: figures.ratio(key, peer) for key in keys},
                "start_in_pythons": figures.start_in_pythons(peer),
                "memory_mib": {
                    kind: asdict(table[peer]) if peer in table else None
                    for kind, table in (("small", figures.small), ("16_mib", figures.large))
                },
                "idle_switches": figures.idle.get(peer),
            }
            for peer, title in figures.titles.items()
        },
        "others_share_of_cpu_time": figures.others_share,
        "idle_s": figures.idle_s,
        "aims": [{**asdict(aim), "verdict": aim.verdict} for aim in aims(figures)],
        "telemetry_aims": {
            peer: [{**asdict(aim), "verdict": aim.verdict} for aim in telemetry_aims(figures, peer)]
            for peer in TELEMETRY_PEERS
        },
        "notes": figures.notes,
        "failed": sorted(figures.failed),
    }


def _cell(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned text: the first column to the left, numbers to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
