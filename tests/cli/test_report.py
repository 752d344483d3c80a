"""`thv report` in a terminal of any width: the figures that have no room are left out, and nothing is cut."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journal.journals import Journal, end
from thv.core.state_dir import user_state_dir


def in_terminal(columns: int, *words: str) -> list[str]:
    """The lines that thv shows in a terminal so wide."""
    ours, theirs = os.openpty()  # type: ignore[attr-defined,unused-ignore]  # not on Windows, where this is skipped
    try:
        subprocess.run(
            [sys.executable, "-P", "-m", "thv", *words],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm"},
            timeout=120,
            check=True,
        )
        return re.sub("\x1b\\[[0-9;]*m", "", os.read(ours, 1 << 16).decode()).splitlines()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")
@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (21, ["tool", "calls"]),
        (30, ["tool", "calls", "failed"]),
        (37, ["tool", "calls", "failed", "p95"]),
        (50, ["tool", "calls", "failed", "p50", "p95"]),
        (65, ["tool", "calls", "failed", "p50", "p95", "largest result"]),
        (80, ["tool", "calls", "failed", "p50", "p95", "largest result", "definition"]),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_narrow_terminal_gets_every_name_and_the_figures_that_it_has_room_for(
    columns: int, titles: list[str]
) -> None:
    journal = Journal(Path(user_state_dir()))
    session = journal.session("files")
    end(session, *["read_file"] * 12, size=1234)
    end(session, "a_tool_whose_name_is_long", outcome="error")
    session.closed("client")
    journal.close()
    title, heading, *rows = in_terminal(columns, "report")
    assert title.strip() == "files: 1 session"
    assert re.split(r"  +", heading.strip()) == titles
    assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(rows)
    names = "".join(row[: heading.index("calls")].strip() for row in rows)
    assert names == "read_filea_tool_whose_name_is_longall tools"
    assert rows[0].split()[:2] == ["read_file", "12"]
    assert all(len(row) <= columns for row in (heading, *rows))
