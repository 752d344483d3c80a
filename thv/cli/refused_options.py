"""What to say of options that have no effect in the way a server is run: one line, and none is silently ignored.

The table of `thv.cli.run_options` knows which they are. Imported only if there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.cli.run_options import A_REMOTE_SERVER, ON_STDIO, PROXIED, REMOTE, SERVED, THE_SERVER, WAYS
from thv.core.net.url_redaction import redact_url
from thv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.cli.option_table import Option
    from thv.cli.run_options import RunRequest


def refusal(options: Sequence[Option], request: RunRequest) -> UsageError:
    """The error of options that have no effect; it names those that share the first one's reason.

    Args:
        options: at least one, of those that `RunRequest.unsuited` gives.
        request: what the command line asked for.
    """
    way = request.way()
    reason = _reason(options[0], way, request)
    flags = [option.flags[0] for option in options if _reason(option, way, request) == reason]
    return UsageError(f"{_listed(flags)} {'is' if len(flags) == 1 else 'are'} for {reason}")


def _reason(option: Option, way: str, request: RunRequest) -> str:
    """What such an option is for, and what to do."""
    ways = WAYS[option.heading] if option.ways is None else option.ways
    if way == REMOTE:
        place = redact_url(str(request.server))
        if option.heading == THE_SERVER:
            return f"a server that thv starts; {place} runs already"
        return f"a server that thv starts; to serve {place} over HTTP: thv proxy NAME --target-uri URI"
    if option.heading == A_REMOTE_SERVER:
        return "a remote server: thv run https://HOST/PATH"
    if ways == (ON_STDIO,):
        return "a client on stdio; leave --proxy-port and --transport out"
    if ways == (PROXIED,):
        return "a server that speaks HTTP: give --transport streamable-http, too"
    if ways == (SERVED,) and way == PROXIED:
        return (
            f"servers on stdio; with --transport {request.transport} the server keeps its own sessions, "
            "and Authorization passes"
        )
    return "clients over HTTP: add --proxy-port PORT"


def _listed(flags: Sequence[str]) -> str:
    *others, last = flags
    return f"{', '.join(others)} and {last}" if others else last
