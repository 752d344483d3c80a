"""The watchdog: a tiny `/bin/sh` that ends the server's process group when thv can no longer do it.

It is started before the server, so that there is no moment at which `kill -9` of thv leaves a server behind, and holds
one end of a pipe. What it reads there:

    PID         the server runs, and leads the process group of that number
    dismissed   nothing is left to end
    exited      the server has exited, others of its group live on: give them the time that a server has, then end them
    terminated  the same, and they have been sent SIGTERM
    killed      the same, and they have been sent SIGKILL: again, for some may have been born meanwhile
    (the end)   thv is gone, whatever ended it: end the server now. That is what whoever killed thv meant

If thv dies between the system call that makes the server and the write of its PID, the server is known by its stdout:
it is the pipe whose other end the watchdog holds. (`/proc` is needed for that; macOS has none, and a window of some
microseconds. The pipe that tells of the end of thv closes in the server only as that is executed, so it is there to be
found.) The parent-death signal of Linux would miss grandchildren, and fires when the spawning thread ends.
"""

from __future__ import annotations

import os
import sys

from thv.process.shutdown import EOF_GRACE, TERM_GRACE

assert sys.platform != "win32"  # noqa: S101  tells the type checker, too

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Spawn = Callable[[str, Sequence[str], Mapping[str, str], Sequence[tuple[int, int, int]]], int]

SCRIPT = """\
trap '' HUP INT TERM
cd /
exec 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
ends_within() {
  tenths=$1
  while kill -s 0 -- "-$group"; do
    [ "$tenths" -gt 0 ] || return 1
    tenths=$((tenths - 1))
    sleep 0.1
  done
}
read -r group && read -r word
case $word in
  dismissed) ;;
  exited | terminated)
    cat <&3 >/dev/null & drain=$!
    [ $word = terminated ] || ends_within "$1" || kill -s TERM -- "-$group"
    ends_within "$2"
    kill -s KILL -- "-$group"
    kill "$drain" ;;
  *)
    if [ "$group" ]; then
      kill -s KILL -- "-$group"
    else
      for stdout in /proc/[0-9]*/fd/1; do
        if [ "$stdout" -ef /proc/self/fd/3 ] && read -r line <"${stdout%/fd/1}/stat"; then
          set -- ${line##*) }
          kill -s KILL -- "-$3"
        fi
      done
    fi ;;
esac
"""
"""Its arguments are the graces in tenths of a second. `exited` reads what the rest of the group still prints, so that
printing does not end it. The fields of `stat` after the name are state, parent, process group (proc_pid_stat(5)).
What thv inherited is closed: another program may wait for the end of it."""


TAKE_OVER = {None: b"exited\n", 15: b"terminated\n", 9: b"killed\n"}
"""What the watchdog is told of a group that was sent nothing, SIGTERM, or SIGKILL."""


class Watchdog:
    """The watchdog of one server.

    Args:
        spawn: starts a process: file, arguments, environment, file actions of `posix_spawn`.
        stdout: our end of the pipe that the server will have as its stdout.

    Without a `/bin/sh` there is none. That is so in containers whose image holds a server and nothing else; thv is the
    first process there, and with it the system ends all others.

    Raises:
        BlockingIOError: no process can be started.
    """

    __slots__ = ("_knows_group", "_pid", "_pipe")

    def __init__(self, spawn: Spawn, stdout: int) -> None:
        end, self._pipe = os.pipe()
        devnull = os.open(os.devnull, os.O_RDWR)
        self._pid = -1
        self._knows_group = False
        try:
            self._pid = spawn(
                "/bin/sh",
                ("sh", "-c", SCRIPT, "thv-watchdog", f"{EOF_GRACE * 10:.0f}", f"{TERM_GRACE * 10:.0f}"),
                {"PATH": os.defpath},
                [
                    (os.POSIX_SPAWN_DUP2, end, 0),
                    (os.POSIX_SPAWN_DUP2, devnull, 1),
                    (os.POSIX_SPAWN_DUP2, devnull, 2),
                    (os.POSIX_SPAWN_DUP2, stdout, 3),
                ],
            )
        except BlockingIOError:
            os.close(self._pipe)
            raise
        except OSError:
            pass
        finally:
            os.close(end)
            os.close(devnull)

    @property
    def pid(self) -> int:
        """Its process id; -1 where there is none."""
        return self._pid

    def watch(self, group: int) -> None:
        """Name the process group that must not outlive thv."""
        self._tell(b"%d\n" % group)
        self._knows_group = True

    def dismiss(self) -> None:
        """Nothing is left to end: wait for it to go."""
        self._tell(b"dismissed\n" if self._knows_group else b"none\ndismissed\n")
        self._let_go()
        if self._pid >= 0:
            try:
                os.waitpid(self._pid, 0)
            except ChildProcessError:
                pass
            self._pid = -1

    def take_over(self, group_signal: int | None) -> None:
        """Leave it to the watchdog to end what is left of the group.

        Args:
            group_signal: the last signal that the group was sent.
        """
        self._tell(TAKE_OVER[group_signal])
        self._let_go()
        if self._pid >= 0:
            _leaving.append(self._pid)
            self._pid = -1

    def _tell(self, line: bytes) -> None:
        if self._pid >= 0:
            try:
                os.write(self._pipe, line)
            except OSError:  # somebody killed it
                pass

    def _let_go(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


_leaving: list[int] = []
"""Watchdogs with work of their own, to be reaped when they are done: a thv that serves HTTP has many servers."""


def reap_watchdogs() -> None:
    """Reap the watchdogs that have done their work. Does not wait."""
    for pid in _leaving[:]:
        try:
            reaped, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            reaped = pid
        if reaped:
            _leaving.remove(pid)
