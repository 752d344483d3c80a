"""The server process on POSIX systems: spawned, ended, and never left behind. `thv.process.windows` is its twin.

The server leads a session and a process group of its own, so that a Ctrl-C meant for thv does not hit it, and all that
it started (the server behind `npx` or `sh -c`) can be ended with it: by thv, or by the watchdog when thv is killed.
What leaves the group on purpose, with a session of its own, is not followed. The server has no controlling terminal.

`os.posix_spawn` is used directly: it costs nothing to import, and nothing of ours runs between fork and exec.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` without the enums, which cost 5 ms before the spawn
import os
import sys

from thv.core.console import warn
from thv.errors import CommandNotFoundError, NotExecutableError, ThvError

assert sys.platform != "win32"  # noqa: S101  tells the type checker, too

from thv.process import containers  # noqa: E402  beside the next one
from thv.process.orphans import start_reaper  # noqa: E402  as above
from thv.process.watchdog import Watchdog, reap_watchdogs  # noqa: E402  its module is empty on Windows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PIPE_SIZE = 1024 * 1024
"""Bytes a pipe should hold once traffic is heavy (default 64 KiB): twice the throughput of large results. Not before:
the system counts them against its user, who has other programs."""

SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ = 9, 13, 15, 25
"""The same on every system thv runs on. (The `signal` module costs 5 ms here.)"""

SIGCONT = 18 if sys.platform == "linux" else 19
"""Lets a stopped process go on; 19 on macOS and the BSDs."""

RESTORED = (SIGPIPE, SIGXFSZ)
"""Ignored by Python and inherited through exec, so given back to the server."""

IGNORED_AT_START: set[int] = set()
"""Signals that thv hands on though they were ignored when it was started (under nohup, in the background of a script).
Its server inherits that, as it would have without thv, and may have a handler of its own for them all the same."""

SHELL = "/bin/sh"
"""Runs the scripts that do not name their interpreter (POSIX.1-2024, `execvp`; Shell, 2.9.1.4)."""

ENOEXEC = 8
"""The system does not know the format of an executable file. (The `errno` module is not loaded yet.)"""

READ_FOR_TYPE = 256
"""Bytes of a file in which its first line is looked for."""

DETACHED = "the container is detached (-d), so it does not end with this session"


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

    __slots__ = ("_group_signal", "_reaped", "_watchdog", "pid", "stdin", "stdout")

    def __init__(self, pid: int, stdin: int, stdout: int, watchdog: Watchdog) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._watchdog = watchdog
        self._reaped: int | None = None
        self._group_signal: int | None = None

    @classmethod
    def spawn(
        cls,
        executable: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str | None,
        stderr: int | None = None,
    ) -> ServerProcess:
        """Start a server and, before it, its watchdog; its stdin and stdout are pipes to us.

        It must not be called on two threads at a time: it changes the working directory for a moment.

        Args:
            executable: the file to execute.
            argv: the command, as the server shall see it, and its arguments.
            env: the whole environment of the server.
            cwd: its working directory; None means ours.
            stderr: the descriptor that becomes its stderr; None means ours.

        Raises:
            CommandNotFoundError: there is no such file.
            NotExecutableError: the system refuses to execute it.
            ThvError: `cwd` cannot be entered, or no process can be started.
        """
        ensure_standard_descriptors()
        reap_watchdogs()
        child_stdin, stdin = os.pipe()
        stdout, child_stdout = os.pipe()
        come_back = watchdog = container = None
        try:
            tool = os.path.abspath(executable)
            come_back = _enter(cwd)
            container = containers.recognise(tool, argv)
            if container is not None and container.is_detached:
                warn(DETACHED)
                container = None
            watchdog = Watchdog(_posix_spawn, stdout, container, env)
            if container is not None:
                argv = container.argv
            pid = _spawn(
                executable,
                argv,
                env,
                (child_stdin, child_stdout) if stderr is None else (child_stdin, child_stdout, stderr),
            )
            watchdog.watch(pid)
        except BaseException as error:
            os.close(stdin)
            os.close(stdout)
            if watchdog is not None:
                watchdog.dismiss()
            elif container is not None:
                container.forget()
            if isinstance(error, BlockingIOError):
                raise ThvError(f"cannot start another process: {error.strerror}") from None
            raise
        finally:
            os.close(child_stdin)
            os.close(child_stdout)
            if come_back is not None:
                os.fchdir(come_back)
                os.close(come_back)
        start_reaper()
        os.set_blocking(stdin, False)  # ours alone: a wait for the server to read can watch the client, too
        return cls(pid, stdin, stdout, watchdog)

    def close_stdin(self) -> None:
        """Give the server its end of file; safe while another thread writes to the pipe, and more than once."""
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.stdin, inheritable=False)
        os.close(devnull)

    def unread_input(self) -> int | None:
        """How many bytes of what was written to its stdin the server has not read; None where nothing tells (macOS)."""
        if sys.platform == "linux":
            import fcntl
            import termios

            try:
                return int.from_bytes(fcntl.ioctl(self.stdin, termios.FIONREAD, bytes(4)), sys.byteorder)
            except OSError:  # we have closed it
                pass
        return None

    def wait(self) -> None:
        """Block until the server has exited. It stays unreaped, so that its ids are not given to another process."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:  # macOS before Python 3.13
            self._reap()

    def send_signal(self, number: int) -> None:
        """Send a signal to the server's process alone, as the program that started it would.

        A server that is stopped (SIGSTOP) takes no signal: it is let go on, so that it can end as it was asked to.
        """
        if self._reaped is None:
            try:
                os.kill(self.pid, number)
                if self._is_stopped():
                    os.kill(self.pid, SIGCONT)
            except (ProcessLookupError, PermissionError):
                pass

    def terminate(self) -> None:
        """Ask the whole group to end (SIGTERM); what is stopped is let go on (SIGCONT), so that it can."""
        self._signal_group(SIGTERM)
        try:
            os.killpg(self.pid, SIGCONT)
        except (ProcessLookupError, PermissionError):
            pass

    def kill(self) -> None:
        """End the whole group (SIGKILL)."""
        self._signal_group(SIGKILL)

    def close(self) -> int:
        """Reap the server, which must have exited, and leave what lives on of its group to the watchdog.

        Returns:
            The exit code as a shell gives it: the server's own, or 128 + N if signal N ended it.
        """
        status = self.reap()
        self.let_go()
        return status

    def reap(self) -> int:
        """Reap the server, which must have exited, and go on watching its group; its exit code, as for `close`."""
        status = self._reap()
        return status if status >= 0 else 128 - status

    def let_go(self) -> None:
        """Leave what lives on of the group to the watchdog; a server that has not exited yet, too."""
        if self._reaped is not None and not self.has_live_descendants():
            self._watchdog.dismiss(self._group_signal)
        else:
            self._watchdog.take_over(self._group_signal)

    def has_live_descendants(self) -> bool:
        """Whether something that the server started in its group lives on; to be asked once the server is reaped."""
        return self._group_lives()

    def release(self) -> None:
        """Let go of every descriptor, and of the watchdog: for a program that runs many servers."""
        self.let_go()
        for fd in (self.stdin, self.stdout):
            try:
                os.close(fd)
            except OSError:  # its reader has closed it
                pass

    def _is_stopped(self) -> bool:
        """Whether the server's process is stopped, as far as the system tells (not on macOS before Python 3.13)."""
        if not hasattr(os, "waitid"):
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return False

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
            return  # the server itself is reaped by `_reap` alone
        try:
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def _signal_group(self, number: int) -> None:
        self._group_signal = number
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


def _spawn(executable: str, argv: Sequence[str], env: Mapping[str, str], ends: tuple[int, ...]) -> int:
    try:
        return _posix_spawn(executable, argv, env, [(os.POSIX_SPAWN_DUP2, end, fd) for fd, end in enumerate(ends)])
    except FileNotFoundError:
        if os.path.exists(executable):
            raise NotExecutableError(f"{executable}: the interpreter that its first line names is not there") from None
        raise CommandNotFoundError(f"{executable}: no such file") from None
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno == ENOEXEC and _is_text(executable):
            return _spawn(SHELL, (SHELL, executable, *argv[1:]), env, ends)
        raise NotExecutableError(f"{executable}: cannot be executed: {error.strerror}") from None


def _is_text(path: str) -> bool:
    """Whether a file without `#!` is a script: shells ask whether its first line holds a NUL byte."""
    try:
        with open(path, "rb") as file:
            return b"\0" not in file.read(READ_FOR_TYPE).partition(b"\n")[0]
    except OSError:
        return False


def _posix_spawn(
    path: str, argv: Sequence[str], env: Mapping[str, str], actions: Sequence[tuple[int, int, int]]
) -> int:
    ours = [(number, _signal.signal(number, _signal.SIG_IGN)) for number in IGNORED_AT_START]
    try:
        return os.posix_spawn(path, tuple(argv), env, file_actions=actions, setsid=True, setsigdef=RESTORED)
    except NotImplementedError:  # an old macOS
        return os.posix_spawn(path, tuple(argv), env, file_actions=actions, setpgroup=0, setsigdef=RESTORED)
    finally:
        for number, handler in ours:
            _signal.signal(number, handler)
