"""Measures how long people and programs wait for `thv` to start, in units of a bare `python -c pass`.

    python benchmarks/startup.py [--pairs N] [--json FILE]

Each round runs every command once, the bare Python first; a ratio is taken within its round, and the median of those
ratios is what is shown, so that a machine that slows down for a while slows both sides. Nothing is sent anywhere.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from harness import lineup, machine, native, tab

if TYPE_CHECKING:
    from collections.abc import Sequence

PAIRS = 30
MILLISECONDS = 1e3
KEY = "usage-analytics-enabled"
CONFIG = f"# Mine.\notel:\n  endpoint: localhost:4318 # the collector\n  {KEY}: true\n"

INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}\n'

HELLO_C = """
#include <stdio.h>
int main(void) { return puts("hello") == EOF; }
"""

HELLO_TYPER = """
import typer
def main():
    print("hello")
typer.run(main)
"""

HELLO_TYPER_PARAMETER = """
import typer
def main(name: str = "world"):
    print("hello", name)
typer.run(main)
"""


@dataclass
class Row:
    """One command: what is run, the ratio it is held to, and what it took, in milliseconds, round by round."""

    name: str
    argv: Sequence[str]
    aim: float | None = None
    relayed: bool = False
    """It speaks MCP: the time to its first reply counts, and only what it takes over no relay."""
    took: list[float] = field(default_factory=list)

    def ratio(self, bare: Row, direct: Row) -> float:
        """The median over the rounds, in units of a bare Python."""
        over = direct.took if self.relayed and self is not direct else [0.0] * len(self.took)
        return median((own - less) / unit for own, less, unit in zip(self.took, over, bare.took, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"runs of each command (default: {PAIRS})")
    parser.add_argument("--thv", metavar="COMMAND", help="the thv to measure (default: the one beside this Python)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thv-benchmark-") as directory:
        workspace = Path(directory)
        installed = lineup.installed_thv()
        thv = tuple(shlex.split(options.thv)) if options.thv else without_re(installed, workspace)
        rows, bare, direct = line_up(workspace, thv)
        before = machine.cpu_seconds()
        measure(rows, workspace, options.pairs)
        total, used, own = (after - earlier for after, earlier in zip(machine.cpu_seconds(), before, strict=True))
    others = (used - own) / total
    print(f"{machine.line()}\n{options.pairs} pairs; other programs took {others:.0%} of the CPU time")
    if not options.thv and thv != installed:
        print(f"without the `import re` of {installed[0]}, as uv and newer pips write it: half a bare Python less")
    print()
    width = max(len(row.name) for row in rows)
    print(f"{'':<{width}}{'ms':>8}{'x bare':>9}{'aim':>8}")
    for row in rows:
        aim = "" if row.aim is None else f"<= {row.aim:g}"
        print(f"{row.name:<{width}}{median(row.took):>8.1f}{row.ratio(bare, direct):>9.2f}{aim:>8}".rstrip())
    tabs = tab.measure(options.pairs)
    print(f"\n{'TAB, more than the shell itself takes':<38}{'ms':>8}{'floor':>9}{'more':>8}{'aim':>9}")
    for shell, times in tabs.items():
        more = median(ours - floor for ours, floor in zip(times["thv"], times["floor"], strict=True))
        shown = f"{median(times['thv']):>8.1f}{median(times['floor']):>9.1f}{more:>8.1f}"
        print(f"{shell:<38}{shown}{f'<= {tab.AIM_MS}':>9}")
    if options.json:
        figures = {
            row.name: {"took_ms": row.took, "ratio": row.ratio(bare, direct), "aim": row.aim, "argv": [*row.argv]}
            for row in rows
        }
        report = {"machine": machine.line(), "others_share": others, "rows": figures, "tab_ms": tabs}
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def without_re(thv: tuple[str, ...], workspace: Path) -> tuple[str, ...]:
    """The command, unless it is a launcher of an older pip, which imports `re`: then one that does not, for the same.

    Which pip an environment was made with says nothing of thv, and would make the figures of two of them differ.
    """
    launcher = Path(thv[0])
    try:
        lines = launcher.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError):  # `thv.exe`
        return thv
    if "import re\n" not in lines:
        return thv
    faster = workspace / "thv"
    faster.write_text("".join(line for line in lines if line != "import re\n" and "re.sub(" not in line))
    faster.chmod(0o755)
    return (str(faster), *thv[1:])


def line_up(workspace: Path, thv: Sequence[str]) -> tuple[list[Row], Row, Row]:
    """Every row; and of those the bare Python and the bare server, which the others are measured by."""
    hello = workspace / "hello"
    hello.with_suffix(".c").write_text(HELLO_C)
    native.compile_c(hello.with_suffix(".c"), hello)
    scripts = {"plain": HELLO_TYPER, "parameter": HELLO_TYPER_PARAMETER}
    for name, text in scripts.items():
        (workspace / f"{name}.py").write_text(text)
    server = str(native.compiled(workspace).server)
    python = sys.executable
    bare = Row("python -c pass", (python, "-c", "pass"))
    direct = Row("a C server, no relay", (server,), relayed=True)
    rows = [
        bare,
        Row("a compiled hello world (as gh is one)", (str(hello),)),
        Row("a Typer hello world", (python, str(workspace / "plain.py"))),
        Row("a Typer hello world with a parameter", (python, str(workspace / "parameter.py"))),
        direct,
        Row("thv run, over no relay", (*thv, "run", "--", server), 2.5, relayed=True),
        Row(f"thv config otel get {KEY}", (*thv, "config", "otel", "get", KEY), 1.3),
        Row(f"thv config otel set {KEY}", (*thv, "config", "otel", "set", KEY), 6.0),
        Row("thv --version", (*thv, "--version"), 1.3),
        Row("thv completion bash", (*thv, "completion", "bash"), 1.3),
        Row("thv --help", (*thv, "--help"), 1.3),
        Row("thv run --help", (*thv, "run", "--help"), 8.0),
    ]
    return rows, bare, direct


def measure(rows: list[Row], workspace: Path, pairs: int) -> None:
    """Runs every row `pairs` times, interleaved; one more round comes first and does not count."""
    environment = lineup.clean_environment(workspace / "home")
    config = workspace / "home" / ".toolhive" / "config.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(CONFIG)
    for round_ in range(-1, pairs):
        for row in rows:
            # Writes every time: what is there already would not be written again.
            argv = [*row.argv, ("true", "false")[round_ % 2]] if "set" in row.argv else [*row.argv]
            milliseconds = first_reply(argv, environment) if row.relayed else until_its_end(argv, environment)
            if round_ >= 0:
                row.took.append(milliseconds)


def until_its_end(argv: Sequence[str], environment: dict[str, str]) -> float:
    """From the start of a command to its end."""
    start = time.perf_counter()
    done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    took = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{shlex.join(argv)} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return took * MILLISECONDS


def first_reply(argv: Sequence[str], environment: dict[str, str]) -> float:
    """From the start of a server, or of what stands before it, to its first reply."""
    start = time.perf_counter()
    with subprocess.Popen(
        argv, env=environment | lineup.OFF, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(INITIALIZE)
        reply = process.stdout.read(1)
        took = time.perf_counter() - start
        process.stdin.close()
        process.stdout.read()
    if not reply:
        raise SystemExit(f"{shlex.join(argv)} did not answer")
    return took * MILLISECONDS


if __name__ == "__main__":
    sys.exit(main())
