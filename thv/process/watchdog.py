"""The watchdog: a tiny `/bin/sh` that ends the server's process group when thv can no longer do it.

It is started before the server, so that there is no moment at which `kill -9` of thv leaves a server behind, and holds
one end of a pipe. What it reads there:

    PID         the server runs, and leads the process group of that number
    dismissed   nothing is left to end, but perhaps a container
    exited      the server has exited, others of its group live on: give them the time that a server has, then end them
    terminated  the same, and they have been sent SIGTERM
    killed      the same, and they have been sent SIGKILL: again, for some may have been born meanwhile
    (the end)   thv is gone, whatever ended it: end the server now. A client that kills thv means the server

A server that is a container is ended by its id, since its command line tool leaves it running.

If thv dies between the system call that makes the server and the write of its PID, the server is known by its stdout:
it is the pipe whose other end the watchdog holds. (`/proc` is needed for that; macOS has none, and a window of some
microseconds. The pipe that tells of the end of thv closes in the server only as that is executed, so it is there to be
found.) The parent-death signal of Linux would miss grandchildren, and fires when the spawning thread ends.
"""

from __future__ import annotations

import os
import sys

from thv.process.shutdown import EOF_GRACE, FIRST_PROCESS, TERM_GRACE

assert sys.platform != "win32"  # noqa: S101  tells the type checker, too

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thv.process.containers import ContainerRun

    Spawn = Callable[[str, Sequence[str], Mapping[str, str], Sequence[tuple[int, int, int]]], int]

SCRIPT = r"""
trap '' HUP INT TERM
exec 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
eof_grace=$1 term_grace=$2 cidfile=$3 made_directory=$4 removes=$5
if [ "$cidfile" ]; then
  shift 5
else
  cd /
fi

read -r group && read -r word

ends_within() {
  tenths=$1
  while kill -s 0 -- "-$group"; do
    [ "$tenths" -gt 0 ] || return 1
    tenths=$((tenths - 1))
    sleep 0.1
  done
}
group_in_stat() {
  set -- ${1##*) }
  group=$3
}
await_container() {
  tenths=$eof_grace
  while ! [ -s "$cidfile" ] && [ "$tenths" -gt 0 ] && kill -s 0 -- "-$group"; do
    tenths=$((tenths - 1))
    sleep 0.1
  done
}
container() {
  how=$1
  shift
  [ -s "$cidfile" ] && id= || return
  read -r id <"$cidfile"
  [ "$id" ] || return
  "$@" $how "$id"
  [ "$removes" ] && "$@" rm -f "$id"
}

case $word in
  dismissed)
    [ "$cidfile" ] && container "stop -t $((term_grace / 10))" "$@" ;;
  exited | terminated)
    cat <&3 >/dev/null & drain=$!
    [ "$word" = terminated ] || ends_within "$eof_grace" || kill -s TERM -- "-$group"
    kill -s CONT -- "-$group"
    ends_within "$term_grace"
    kill -s KILL -- "-$group"
    kill "$drain"
    [ "$cidfile" ] && container kill "$@" ;;
  *)
    if ! [ "$group" ]; then
      for stdout in /proc/[0-9]*/fd/1; do
        [ "$stdout" -ef /proc/self/fd/3 ] && read -r line <"${stdout%/fd/1}/stat" && group_in_stat "$line"
      done
    fi
    if [ "$cidfile" ]; then
      await_container
      container kill "$@"
      ends_within 10
      [ "$group" ] && kill -s KILL -- "-$group"
      container kill "$@"
    elif [ "$group" ]; then
      kill -s KILL -- "-$group"
    fi ;;
esac
if [ "$made_directory" ]; then
  rm -f "$cidfile"
  rmdir "$made_directory"
fi
"""
"""Its arguments are the graces in tenths of a second and, for a container, what is needed of its `ContainerRun`.
`exited` reads what the rest of the group still prints, so that printing does not end it. The fields of `stat` after the
name are state, parent, process group (proc_pid_stat(5)). What thv inherited is closed: another program may wait for the
end of it. A container is ended where its command was started, for its options may name files. A shell reads one command
after the other, so the functions that follow `read` take no memory while it waits; over HTTP each session has one."""


TAKE_OVER = {None: b"exited\n", 15: b"terminated\n", 9: b"killed\n"}
"""The line to the watchdog for a group that was sent nothing, SIGTERM, or SIGKILL."""


def _arguments(container: ContainerRun | None) -> tuple[str, ...]:
    graces = f"{EOF_GRACE * 10:.0f}", f"{TERM_GRACE * 10:.0f}"
    if container is None:
        return graces
    return (
        *graces,
        container.cidfile,
        container.made_directory or "",
        "yes" if container.removes else "",
        *container.runtime,
    )


class Watchdog:
    """The watchdog of one server.

    Args:
        spawn: starts a process: file, arguments, environment, file actions of `posix_spawn`.
        stdout: our end of the pipe that the server will have as its stdout.
        container: the container that the server is, or None.
        env: the environment of the server, in which a container is ended, too.

    Without a `/bin/sh` there is none. That is so in containers whose image holds a server and nothing else; thv is the
    first process there, and with it the system ends all others.

    Raises:
        BlockingIOError: no process can be started.
    """

    __slots__ = ("_has_container", "_knows_group", "_pid", "_pipe")

    def __init__(self, spawn: Spawn, stdout: int, container: ContainerRun | None, env: Mapping[str, str]) -> None:
        end, self._pipe = os.pipe()
        devnull = os.open(os.devnull, os.O_RDWR)
        self._pid = -1
        self._knows_group = False
        self._has_container = container is not None
        try:
            self._pid = spawn(
                "/bin/sh",
                ("sh", "-c", SCRIPT, "thv-watchdog", *_arguments(container)),
                {"PATH": os.defpath} if container is None else env,
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

    def dismiss(self, group_signal: int | None = None) -> None:
        """Nothing is left to end: wait for it to go, unless it has to see to a container.

        Args:
            group_signal: the last signal that the group was sent.
        """
        if self._has_container and group_signal is not None:
            self.take_over(group_signal)
            return
        self._tell(b"dismissed\n" if self._knows_group else b"none\ndismissed\n")
        self._let_go()
        if self._pid >= 0:
            try:
                if self._has_container and os.getpid() != FIRST_PROCESS:
                    _leaving.append(self._pid)
                else:
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
            except OSError:  # it was killed
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
