"""The entry of the `thv` command. What is asked all day is answered before the command-line library is imported."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    `thv run` leaves at once when its session is over: neither a thread that waits for a silent analytics endpoint nor
    the interpreter's tidying up may keep its client waiting. So does, without `argv`, what `thv.cli.fast` understands.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    start = 1 if words[:1] == ["--debug"] else 0
    try:
        if words[start : start + 1] == ["run"]:
            exit_code = _run(words[start + 1 :], debug=start == 1)
            if exit_code is not None:
                os._exit(exit_code)
        from thv.cli import fast

        command = fast.command(words)
        if command is not None:
            from thv.cli.ending import ended

            exit_code = ended(command, debug=False)
            if argv is None:
                os._exit(exit_code)
            return exit_code
        from thv.cli.app import main as full_main

        return full_main(words)
    except KeyboardInterrupt:  # while importing, or before the session heeds signals
        os._exit(130)  # 128 + SIGINT, as a shell gives it


def _run(words: Sequence[str], *, debug: bool) -> int | None:
    """`thv run` with these words; None when they ask for help."""
    from thv.cli.run import run
    from thv.cli.run_options import parse
    from thv.console import say
    from thv.errors import UsageError

    try:
        request = parse(words)
    except UsageError as error:
        say(str(error))
        return error.exit_code
    if request.wants_help:
        return None
    request.debug = request.debug or debug
    return run(request)


if __name__ == "__main__":
    sys.exit(main())
