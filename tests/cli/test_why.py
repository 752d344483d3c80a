"""`thv why` of sessions that real ones seldom leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.journal.journals import Journal
from thv.cli.app import main
from thv.core.state_dir import user_state_dir


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


@pytest.mark.usefixtures("home")
def test_a_name_that_is_not_there_is_answered_in_one_line_whatever_the_names_hold(
    capfd: pytest.CaptureFixture[str],
) -> None:
    journal = Journal(Path(user_state_dir()))
    journal.session("first\nsecond").closed("client")
    journal.close()
    assert main(["why", "no\nserver"]) == 0
    line = "thv: no session of no server is in the journal; it has those of first second\n"
    assert capfd.readouterr() == ("", line)
