"""Recognises a server that is a container: `docker`, `podman` or `nerdctl` `run`.

The command line tool is not the server: when it is killed, the container stays. Its id does end it, so the tool is
asked to write that into a file (`--cidfile`), which the watchdog reads. Options stand before the image as people write
them (`docker run`, `podman run`, `nerdctl run`, reference pages): a switch takes no value but after `=`, any other
option takes the next word. Imports nothing slow: it is loaded before the server is started.
"""

from __future__ import annotations

import os
import sys

from thv.core.container_runtimes import RUNTIMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ANYWHERE_SWITCHES: Final = _names(
    "help syslog trace transient-store debug debug-full insecure-registry experimental kube-hide-dupe selinux-enabled"
)
"""Options that take no value and stand before `run` or behind it."""

GLOBAL_SWITCHES: Final = ANYWHERE_SWITCHES | _names("D tls tlsverify version h remote r noout")
"""Options of the tools themselves that take no value."""

RUN_SWITCHES: Final = ANYWHERE_SWITCHES | _names(
    "d detach i interactive t tty P publish-all q quiet rm init privileged read-only sig-proxy no-healthcheck "
    "oom-kill-disable disable-content-trust use-api-socket env-host http-proxy no-hostname no-hosts passwd "
    "read-only-tmpfs replace rmi rootfs tls-verify unsetenv-all"
)
"""Options of `run` that take no value. `-h` takes one: it is `--hostname`."""

SNAP: Final = "snap"
"""The program that the commands of snaps are links to, and the folder of the home directory in which each has one."""

TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")
"""What the tools take for true after `=` (Go, `strconv.ParseBool`)."""


class ContainerRun:
    """A command that runs a container.

    Attributes:
        runtime: the tool and its own options: the command up to `run`.
        argv: the whole command; the tool writes the container's id to `cidfile`.
        cidfile: the file for the id.
        made_directory: the directory that was made for it and is to be removed, or None: the file is the user's.
        removes: the container is to be removed when it has ended (`--rm`).
        is_detached: the container is meant to outlive the command (`-d`): it is left alone.
    """

    __slots__ = ("argv", "cidfile", "is_detached", "made_directory", "removes", "runtime")

    def __init__(self, executable: str, argv: tuple[str, ...], run_at: int) -> None:
        options = dict(_options(argv, run_at + 1, RUN_SWITCHES))
        self.runtime = (executable, *argv[1 : run_at - (argv[run_at - 1] == "container")])
        self.is_detached = _is_on(options, "d", "detach")
        self.removes = _is_on(options, "rm")
        self.made_directory: str | None = None
        self.argv = argv
        self.cidfile = os.path.abspath(options.get("cidfile") or "")
        if not self.is_detached and "cidfile" not in options:
            # In a directory of its own: the tools refuse a file that is there already.
            self.made_directory = os.path.join(
                _temporary_directory(executable), f"thv-{os.getpid()}-{os.urandom(8).hex()}"
            )
            os.mkdir(self.made_directory, 0o700)
            self.cidfile = os.path.join(self.made_directory, "cid")
            self.argv = (*argv[: run_at + 1], "--cidfile", self.cidfile, *argv[run_at + 1 :])

    def forget(self) -> None:
        """Remove what was made for a command that could not be started."""
        if self.made_directory is not None:
            os.rmdir(self.made_directory)


def recognise(executable: str, argv: Sequence[str]) -> ContainerRun | None:
    """The container that a command would run in this directory, or None.

    Args:
        executable: the absolute path of what the command names.
        argv: the command and its arguments.

    Raises:
        OSError: there is no place for the file with its id.
    """
    name = os.path.basename(argv[0])  # a tool may be a link to another one
    if sys.platform == "win32":
        name = os.path.splitext(name.replace("\\", "/").rpartition("/")[2])[0].lower()
    if name not in RUNTIMES:
        return None
    at = _end_of_options(argv, 1, GLOBAL_SWITCHES)
    if list(argv[at : at + 1]) == ["container"]:
        at += 1
    if list(argv[at : at + 1]) != ["run"]:
        return None
    found = ContainerRun(executable, tuple(argv), at)
    if not found.is_detached and found.made_directory is None and os.path.exists(found.cidfile):
        return None  # the file names another container, and the tool will refuse it
    return found


def _options(argv: Sequence[str], at: int, switches: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The options from `at` on, by name without dashes; the value of a bare switch is "true"."""
    while at < len(argv) and argv[at].startswith("-") and argv[at] not in {"-", "--"}:
        word = argv[at]
        at += 1
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals and name not in switches and at < len(argv):
                value = argv[at]
                at += 1
            yield name, value if equals or name not in switches else "true"
            continue
        letters = word[1:]
        while letters:
            name, letters = letters[0], letters[1:]
            if letters.startswith("="):
                yield name, letters[1:]
                break
            if name in switches:
                yield name, "true"
                continue
            if not letters and at < len(argv):
                letters = argv[at]
                at += 1
            yield name, letters
            break
    yield "", str(at)


def _end_of_options(argv: Sequence[str], at: int, switches: frozenset[str]) -> int:
    return int(dict(_options(argv, at, switches))[""])


def _is_on(options: dict[str, str], *names: str) -> bool:
    return any(options.get(name) in TRUE for name in names)


def _temporary_directory(executable: str) -> str:
    """Where temporary files go that this tool is to write: `tempfile` knows, and costs 8 ms before the spawn.

    A snap has a /tmp of its own, and may not write what is hidden in the home directory; its own folder there it may.
    """
    if os.path.basename(os.path.realpath(executable)) == SNAP:
        folder = os.path.join(os.path.expanduser("~"), SNAP, os.path.basename(executable), "common")
        os.makedirs(folder, exist_ok=True)
        return folder
    variables = ("TEMP", "TMP") if sys.platform == "win32" else ("TMPDIR",)
    default = os.curdir if sys.platform == "win32" else "/tmp"  # noqa: S108  we make a directory of mode 0700 in it
    return next((value for value in map(os.environ.get, variables) if value and os.path.isdir(value)), default)
