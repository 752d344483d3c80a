"""`thv why` of sessions that real ones seldom leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.journal.journals import Journal
from thv.cli.app import main
from thv.core.state_dir import user_state_dir

if TYPE_CHECKING:
    import pytest


def test_a_session_never_ran_for_less_than_no_time_where_the_clock_was_set_back(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(Path(user_state_dir()))
    session = journal.session()
    session.started_us += 3_600_000_000
    session.closed("client")
    journal.close()
    assert main(["why"]) == 0
    assert ", after 0 µs\n" in capfd.readouterr().out
    assert main(["why", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out)[0]["ran_s"] == 0
