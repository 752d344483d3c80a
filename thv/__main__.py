"""The entry of the `thv` command. Frequent commands are answered before the command-line library is imported.

`thv run` and `thv mcp` are parsed by tables of their own, here and on the full command line. The commands of `FAST` are
read here when they stand with exactly their arguments and no option; everything else is for the full command line,
which ends in the same functions.
"""

from __future__ import annotations

import os
import sys

from thv.core.own_imports import keep_own_imports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAST: dict[tuple[str, ...], tuple[str, str, int, int]] = {
    ("--version",): ("quick_commands", "version", 1, 0),
    ("-V",): ("quick_commands", "version", 1, 0),
    ("version",): ("quick_commands", "version", 1, 0),
    ("completion",): ("quick_commands", "completion", 2, 1),
    ("config", "path"): ("config", "path", 2, 0),
    ("config", "otel", "get"): ("config", "get", 4, 1),
    ("config", "otel", "set"): ("config", "set_", 5, 2),
    ("config", "otel", "unset"): ("config", "unset", 4, 1),
    ("config", "journal", "get"): ("config", "get", 4, 1),
    ("config", "journal", "set"): ("config", "set_", 5, 2),
    ("config", "journal", "unset"): ("config", "unset", 4, 1),
}
"""A fast command: its module in `thv.cli`, its function, how many words it has, how many of them it is passed."""

SECTIONED = 3
"""Words that begin a fast command of `thv config SECTION VERB`; its function takes the section, too."""

COMPLETE_CLIENT_SERVERS = ["__complete", "client-servers"]
"""What the completion scripts ask; not a command for people."""


ROOT_HELP = ("-h", "--help", "help")
"""Each by itself asks for the help of `thv`, and so does no word at all."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    `thv run` leaves at once when its session is over: neither a thread that waits for a silent analytics endpoint nor
    the interpreter's tidying up may keep its client waiting. So do fast commands and help, unless `argv` is handed in.
    """
    if argv is None:
        keep_own_imports()
    words = list(sys.argv[1:] if argv is None else argv)
    from thv.cli.after_command import after_command

    try:
        exit_code, leaves_at_once = _main(words)
        after_command()
    except KeyboardInterrupt:
        os._exit(130)  # 128 + SIGINT, as a shell gives it
    asks_for_help = words[-1:] in (["-h"], ["--help"])
    if (leaves_at_once and "run" in words[:2]) or (argv is None and (leaves_at_once or asks_for_help)):
        os._exit(exit_code)
    return exit_code


def _main(words: list[str]) -> tuple[int, bool]:
    """The exit code of a command, and whether the process is to end without the interpreter's tidying up."""
    start = 1 if words[:1] == ["--debug"] else 0
    if words[start : start + 1] == ["run"]:
        _let_ctrl_c_end_us()
        exit_code = _run(words[start + 1 :], debug=start == 1)
        if exit_code is not None:
            return exit_code, True
    command = mcp_command(words) or fast_command(words)
    if command is not None:
        from thv.cli.output import run_to_exit_code

        return run_to_exit_code(command, debug="--debug" in words), True
    from thv.cli.after_command import remember_no

    remember_no()  # some of what follows runs until a signal ends it
    from thv.cli.app import main as full_main

    return full_main(words), False


def _let_ctrl_c_end_us() -> None:
    """Until the session heeds signals, die of Ctrl-C at once and without a word, unless it is to be ignored.

    Python would raise an exception in whatever it imports at that moment, and lose it if that is a callback.
    """
    import _signal  # type: ignore[import-not-found]  # `signal` without the enums, which cost 5 ms before the spawn

    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def mcp_command(words: Sequence[str]) -> Callable[[], int] | None:
    """What a `thv mcp` command asks for, or None if these words are none. Does nothing yet."""
    start = 1 if words[:1] == ["--debug"] else 0
    verb = words[start + 1 : start + 2]
    if words[start : start + 1] != ["mcp"] or verb not in (["list"], ["call"]):
        return None

    def run() -> int:
        from thv.cli.mcp_options import parse_call, parse_list

        request = (parse_list if verb == ["list"] else parse_call)(words[start + 2 :])
        if request.wants_help:
            from thv.cli.app import main as full_main

            return full_main(words)
        from thv.cli.mcp import call_tool, list_tools

        if start:
            request = request.replace(run=request.run.replace(debug=True))
        return (list_tools if verb == ["list"] else call_tool)(request)

    return run


def fast_command(words: Sequence[str]) -> Callable[[], object] | None:
    """What these words ask for, or None if that is for the full command line to find out. Does nothing yet."""
    if list(words) == COMPLETE_CLIENT_SERVERS:
        from thv.cli.quick_commands import client_servers

        return client_servers
    if not words or words[0] in ROOT_HELP:
        return _root_help(words) if len(words) <= 1 else None
    for begin in range(1, len(words) + 1):
        known = FAST.get(tuple(words[:begin]))
        if known is not None:
            module, name, count, handed = known
            # What begins with a dash may be an option; what is empty may be missing.
            if len(words) != count or any(not word or word[0] == "-" for word in words[begin:]):
                return None
            function = getattr(__import__(f"thv.cli.{module}", fromlist=[name]), name)
            section = {"section": words[1]} if begin == SECTIONED else {}
            return lambda: function(*words[count - handed :], **section)
    return None


def _root_help(words: Sequence[str]) -> Callable[[], int]:
    from thv.cli.root_help import show

    return lambda: show(list(words))


def _run(words: Sequence[str], *, debug: bool) -> int | None:
    """`thv run` with these words; None when they ask for help."""
    from thv.cli.run import run
    from thv.cli.run_options import parse
    from thv.core.console import warn
    from thv.errors import UsageError

    try:
        request = parse(words)
    except UsageError as error:
        warn(str(error))
        return error.exit_code
    if request.wants_help:
        return None
    return run(request.replace(debug=True) if debug else request)


if __name__ == "__main__":
    sys.exit(main())
