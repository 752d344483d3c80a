"""The server process on POSIX systems: spawned, ended, and never left behind. `thv.process.windows` is its twin.

The server leads a session and a process group of its own, so that a Ctrl-C meant for thv does not hit it and a signal
meant for it reaches everything it started (the server behind `npx` or `sh -c`). A tiny `/bin/sh` watchdog holds one end
of a pipe: when thv dies, however it dies, the pipe closes and the watchdog ends the group. (The parent-death signal of
Linux would miss grandchildren, and fires when the spawning thread ends.)

`os.posix_spawn` is used directly: it costs nothing to import, and nothing of ours runs between fork and exec.
"""

from __future__ import annotations

import os
import sys

from thv.errors import CommandNotFoundError, NotExecutableError, ThvError

assert sys.platform != "win32"  # noqa: S101  tells the type checker, too

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PIPE_SIZE = 1024 * 1024
"""Bytes a pipe should hold once traffic is heavy (default 64 KiB): twice the throughput of large results. Not before:
the system counts them against its user, who has other programs."""

SIGPIPE, SIGXFSZ = 13, 25
"""Ignored by Python and inherited through exec, so given back to the server. (The `signal` module costs 5 ms here.)"""

WATCHDOG = """\
trap '' HUP INT TERM
cd /
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
read -r _ && exit
kill -s TERM -- "-$1" || exit
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  kill -s 0 -- "-$1" || exit
  sleep 0.1
done
kill -s KILL -- "-$1"
"""
"""Waits on its stdin. A line means that all is well; end of file means that thv is gone. 15 x 0.1 s is `TERM_GRACE`.
What thv inherited it lets go, for somebody may wait for the end of it."""


def ensure_standard_descriptors() -> None:
    """Open the null device on 0, 1 and 2 where they are closed, so that no pipe of ours lands there by accident."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is `fd`


class ServerProcess:
    """A running MCP server.

    Attributes:
        pid: process id, and the id of its process group.
        stdin: descriptor of our end of its standard input.
        stdout: descriptor of our end of its standard output.
    """

    __slots__ = ("_reaped", "_watchdog", "_watchdog_pid", "pid", "stdin", "stdout")

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._reaped: int | None = None
        self._watchdog = -1
        self._watchdog_pid = -1

    @classmethod
    def spawn(cls, executable: str, argv: Sequence[str], env: Mapping[str, str], cwd: str | None) -> ServerProcess:
        """Start a server; its stdin and stdout are pipes to us, its stderr is ours.

        Args:
            executable: the file to execute.
            argv: the command, as the server shall see it, and its arguments.
            env: the whole environment of the server.
            cwd: its working directory; None means ours.

        Raises:
            CommandNotFoundError: there is no such file.
            NotExecutableError: the system refuses to execute it.
            ThvError: `cwd` cannot be entered, or no process can be started.
        """
        ensure_standard_descriptors()
        come_back = _enter(cwd)
        child_stdin, stdin = os.pipe()
        stdout, child_stdout = os.pipe()
        try:
            pid = _spawn(executable, argv, env, (child_stdin, child_stdout))
        except ThvError:
            os.close(stdin)
            os.close(stdout)
            raise
        finally:
            os.close(child_stdin)
            os.close(child_stdout)
            if come_back is not None:
                os.fchdir(come_back)
                os.close(come_back)
        os.set_blocking(stdin, False)  # ours alone: whoever waits for the server to read can watch the client, too
        return cls(pid, stdin, stdout)

    def watch(self) -> None:
        """Start the watchdog that ends the group should thv be killed.

        Without a `/bin/sh` there is none. That is so in containers whose image holds a server and nothing else; thv is
        the first process there, and with it the system ends all others.
        """
        end, self._watchdog = os.pipe()
        devnull = -1
        try:
            devnull = os.open(os.devnull, os.O_RDWR)
            self._watchdog_pid = _posix_spawn(
                "/bin/sh",
                ("sh", "-c", WATCHDOG, "thv-watchdog", str(self.pid)),
                {"PATH": os.defpath},
                [(os.POSIX_SPAWN_DUP2, end, 0), (os.POSIX_SPAWN_DUP2, devnull, 1), (os.POSIX_SPAWN_DUP2, devnull, 2)],
            )
        except OSError:
            self._watchdog_pid = -1
        finally:
            os.close(end)
            if devnull >= 0:
                os.close(devnull)

    def close_stdin(self) -> None:
        """Give the server its end of file; safe while another thread writes to the pipe, and more than once."""
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.stdin, inheritable=False)
        os.close(devnull)

    def wait(self) -> None:
        """Block until the server has exited. It stays unreaped, so that its ids are not given to another process."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:  # macOS before Python 3.13
            self._reap()

    def terminate(self) -> None:
        """Ask the whole group to end (SIGTERM)."""
        self._signal_group(15)

    def kill(self) -> None:
        """End the whole group (SIGKILL)."""
        self._signal_group(9)

    def close(self) -> int:
        """Reap the server, which must have exited, and dismiss the watchdog unless others of the group live on.

        Returns:
            The exit code as a shell gives it: the server's own, or 128 + N if signal N ended it.
        """
        status = self._reap()
        if not self.has_live_descendants():
            self._dismiss_watchdog()
        return status if status >= 0 else 128 - status

    def has_live_descendants(self) -> bool:
        """Whether something that the server started in its group lives on; to be asked once the server is reaped."""
        return self._group_lives()

    def release(self) -> None:
        """Let go of every descriptor, and of the watchdog: for whoever runs many servers. The group must have ended."""
        self._dismiss_watchdog()
        for fd in (self.stdin, self.stdout):
            try:
                os.close(fd)
            except OSError:  # whoever read it has closed it
                pass

    def _dismiss_watchdog(self) -> None:
        if self._watchdog_pid >= 0:
            try:
                os.write(self._watchdog, b"\n")
                os.waitpid(self._watchdog_pid, 0)
            except OSError:
                pass
            self._watchdog_pid = -1
        if self._watchdog >= 0:
            os.close(self._watchdog)
            self._watchdog = -1

    def _reap(self) -> int:
        if self._reaped is None:
            self._reaped = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._reaped

    def _group_lives(self) -> bool:
        self._reap_adopted()
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it lives, under another user; macOS says this of a group of zombies, too
            return sys.platform != "darwin"
        return True

    def _reap_adopted(self) -> None:
        """Reap what became ours when its parent ended: as the first process of a container, thv is every orphan's heir.

        Otherwise each would stay a zombie for as long as thv runs, and its group would never seem to end.
        """
        if self._reaped is None:
            return  # nobody but `_reap` may reap the server
        try:
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def grow_pipe(fd: int) -> None:
    """Let the pipe `fd` hold more, where the system can (Linux). Anything else than a pipe is left as it is."""
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:
            pass


def _enter(cwd: str | None) -> int | None:
    """Change to `cwd`, for posix_spawn has no such argument; a descriptor of the directory to come back to."""
    if cwd is None:
        return None
    here = os.open(os.curdir, os.O_RDONLY)
    try:
        os.chdir(cwd)
    except OSError as error:
        os.close(here)
        raise ThvError(f"cannot enter the working directory {cwd!r}: {error.strerror}") from None
    return here


def _spawn(executable: str, argv: Sequence[str], env: Mapping[str, str], ends: tuple[int, int]) -> int:
    try:
        return _posix_spawn(executable, argv, env, [(os.POSIX_SPAWN_DUP2, end, fd) for fd, end in enumerate(ends)])
    except FileNotFoundError:
        if os.path.exists(executable):
            raise NotExecutableError(f"{executable}: the interpreter that its first line names is not there") from None
        raise CommandNotFoundError(f"{executable}: no such file") from None
    except BlockingIOError as error:
        raise ThvError(f"cannot start another process: {error.strerror}") from None
    except OSError as error:
        raise NotExecutableError(f"{executable}: cannot be executed: {error.strerror}") from None


def _posix_spawn(
    path: str, argv: Sequence[str], env: Mapping[str, str], actions: Sequence[tuple[int, int, int]]
) -> int:
    given_back = (SIGPIPE, SIGXFSZ)
    try:
        return os.posix_spawn(path, tuple(argv), env, file_actions=actions, setsid=True, setsigdef=given_back)
    except NotImplementedError:  # an old macOS
        return os.posix_spawn(path, tuple(argv), env, file_actions=actions, setpgroup=0, setsigdef=given_back)
