"""The first process of a container reaps what it inherits, and leaves to their owners what it started itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """\
import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what the first process of a container always is
from thv.process.orphans import OWNERS_TIME, Reaper, _zombies
until = time.monotonic() + 60
def wait_for(condition):
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)
subprocess.run(["sh", "-c", "true & exit 0"], start_new_session=True)  # leaves an orphan
own = subprocess.Popen(["true"], start_new_session=True)
wait_for(lambda: len(dict(_zombies())) == 2)
reaper = Reaper()
reaper.reap(0.0)
assert dict(_zombies()) == {own.pid: True}
reaper.reap(OWNERS_TIME)
assert dict(_zombies()) == {own.pid: True}
reaper.reap(OWNERS_TIME + 1)
assert dict(_zombies()) == {}
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
def test_orphans_are_reaped_at_once_and_session_leaders_when_their_owner_had_its_time() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")
