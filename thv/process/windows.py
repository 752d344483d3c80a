"""The server process on Windows: the twin of `thv.process.posix`, with the same promises.

A Job Object that ends its processes when its last handle closes does what the process group and the watchdog do
elsewhere: whatever ends thv, nothing the server started stays behind. A new process group keeps a Ctrl-C meant for thv
away from the server, and lets thv send it a Ctrl-Break, the nearest thing to SIGTERM.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import ctypes
    import msvcrt
    import os
    import signal
    import subprocess
    from ctypes import wintypes
    from typing import TYPE_CHECKING, ClassVar

    from thv.errors import CommandNotFoundError, NotExecutableError
    from thv.process.batch_files import batch_command_line, is_batch_file

    if TYPE_CHECKING:
        from collections.abc import Mapping, Sequence

    KILL_ON_JOB_CLOSE = 0x2000
    """JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE (winnt.h)."""

    EXTENDED_LIMIT_INFORMATION = 9
    """JobObjectExtendedLimitInformation (winnt.h)."""

    KILLED = 1
    """Exit code of processes ended with their job, as TerminateProcess is used elsewhere on Windows."""

    class _BasicLimits(ctypes.Structure):
        _fields_: ClassVar = [
            ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER),
            ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
        ]

    class _ExtendedLimits(ctypes.Structure):
        _fields_: ClassVar = [
            ("BasicLimitInformation", _BasicLimits),
            ("IoInfo", ctypes.c_ulonglong * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        ]

    class ServerProcess:
        """A running MCP server; see `thv.process.server_process.ServerProcess` for the contract."""

        def __init__(self, process: subprocess.Popen[bytes], job: int | None) -> None:
            assert process.stdin is not None  # noqa: S101  both were asked to be pipes
            assert process.stdout is not None  # noqa: S101  as above
            self._process = process
            self._job = job
            self.pid = process.pid
            self.stdin = process.stdin.fileno()
            self.stdout = process.stdout.fileno()

        @classmethod
        def spawn(
            cls,
            executable: str,
            argv: Sequence[str],
            env: Mapping[str, str],
            cwd: str | None,
            stderr: int | None = None,
        ) -> ServerProcess:
            """Start `argv`; its stdin and stdout are pipes to us, its stderr is `stderr`, or ours.

            Raises:
                CommandNotFoundError: there is no such command.
                NotExecutableError: the system refuses to execute it.
                UsageError: an argument cannot be passed to a batch file.
            """
            for fd in (0, 1):
                msvcrt.setmode(fd, os.O_BINARY)
            try:
                process = subprocess.Popen(
                    _command(executable, argv[1:]),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    bufsize=0,
                    env=dict(env),
                    cwd=cwd,
                    creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
                )
            except FileNotFoundError:
                raise CommandNotFoundError(f"{executable}: no such file") from None
            except OSError as error:
                raise NotExecutableError(f"{executable}: cannot be executed: {error.strerror}") from None
            return cls(process, _join_new_job(process))

        def close_stdin(self) -> None:
            """Give the server its end of file; more than once is fine."""
            devnull = os.open(os.devnull, os.O_WRONLY | os.O_BINARY)
            os.dup2(devnull, self.stdin, inheritable=False)
            os.close(devnull)

        def unread_input(self) -> int | None:
            """None: nothing tells how much of its input a server has not read."""
            return None

        def wait(self) -> None:
            """Block until the server has exited."""
            self._process.wait()

        def send_signal(self, number: int) -> None:  # noqa: ARG002  there is one that can be sent to another process
            """Hand on what asked thv to end: as a Ctrl-Break, whatever it was."""
            self.terminate()

        def terminate(self) -> None:
            """Ask the group to end (Ctrl-Break)."""
            try:
                os.kill(self.pid, signal.CTRL_BREAK_EVENT)
            except OSError:
                self.kill()  # a server without our console cannot be asked

        def kill(self) -> None:
            """End everything the server started."""
            if self._job is None or not ctypes.windll.kernel32.TerminateJobObject(wintypes.HANDLE(self._job), KILLED):
                self._process.kill()

        def close(self) -> int:
            """The exit code of the server, which must have exited."""
            return self._process.wait()

        def reap(self) -> int:
            """The same: on Windows nothing has to be reaped."""
            return self._process.wait()

        def let_go(self) -> None:
            """Nothing to hand over: closing the job's last handle, which the system does for us, ends the rest."""

        def has_live_descendants(self) -> bool:
            """Whether something that the server started lives on: nothing that `release` would not end."""
            return False

        def release(self) -> None:
            """Close every handle: for a program that runs many servers. The job's last one ends what is left in it."""
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            if self._job is not None:
                ctypes.windll.kernel32.CloseHandle(wintypes.HANDLE(self._job))
                self._job = None

    def _command(executable: str, args: Sequence[str]) -> str | list[str]:
        if not is_batch_file(executable):
            return [executable, *args]
        interpreter = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "cmd.exe")
        return batch_command_line(interpreter, executable, args)

    def _join_new_job(process: subprocess.Popen[bytes]) -> int | None:
        """Put `process` into a job that dies with us; None where the system refuses (a job that forbids nesting)."""
        kernel32 = ctypes.windll.kernel32
        kernel32.CreateJobObjectW.restype = wintypes.HANDLE
        job: int | None = kernel32.CreateJobObjectW(None, None)
        if not job:
            return None
        limits = _ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = KILL_ON_JOB_CLOSE
        handle = wintypes.HANDLE(job)
        made = kernel32.SetInformationJobObject(
            handle, EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
        )
        opened = kernel32.OpenProcess(0x1F0FFF, False, process.pid)
        joined = made and kernel32.AssignProcessToJobObject(handle, wintypes.HANDLE(opened))
        kernel32.CloseHandle(wintypes.HANDLE(opened))
        return job if joined else None

    def grow_pipe(_fd: int) -> None:
        """Windows gives a pipe what it needs."""

    def ensure_standard_descriptors() -> None:
        """Windows does not give a standard descriptor's number away."""
