"""What `thv proxy` accepts: its table, and the request that comes of it."""

from __future__ import annotations

from thv.cli.option_table import Option, WordParser, check_settings, option_finder
from thv.cli.run_options import BY_FLAG, NO_SETTINGS, all_options
from thv.core.frozen import Frozen
from thv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

OPTIONS = (
    Option("--target-uri", metavar="URI", text="Where the server is: its MCP endpoint."),
    Option("--port", metavar="PORT", text="Listen on PORT; by default a free one."),
    Option("--host", metavar="ADDRESS", text="Listen on ADDRESS; by default 127.0.0.1."),
    BY_FLAG["--allowed-origins"],
    BY_FLAG["--allowed-hosts"],
    BY_FLAG["--no-journal"],
    BY_FLAG["--journal-capture"],
    BY_FLAG["--debug"],
)


class ProxyRequest(Frozen):
    """What the command line asked for.

    Attributes:
        name: what to call the server.
        target_uri, port, host, allowed_origins, allowed_hosts, no_journal, journal_capture, debug: the options of the
            table.
        otel: the text that each ``--otel-`` option gives its setting; checked.
        wants_help: ``-h`` or ``--help`` was given; nothing else counts then.
    """

    name: str = ""
    target_uri: str = ""
    port: str = "0"
    host: str = "127.0.0.1"
    allowed_origins: Sequence[str] = ()
    allowed_hosts: Sequence[str] = ()
    no_journal: bool = False
    journal_capture: bool = False
    debug: bool = False
    otel: Mapping[str, str] = NO_SETTINGS
    wants_help: bool = False


def parse_proxy(words: Sequence[str]) -> ProxyRequest:
    """Read the words after ``proxy``.

    Raises:
        UsageError: the words make no sense.
    """
    by_flag = {flag: option for option in OPTIONS for flag in option.flags}
    parser = WordParser("thv proxy", option_finder(by_flag), lambda: all_options(OPTIONS))
    parsed = parser.parse(words)
    if parsed.wants_help:
        return ProxyRequest(wants_help=True)
    if not parsed.places:
        raise UsageError(f"missing argument NAME: what to call the server{parser.see_help}")
    if len(parsed.places) > 1 or parsed.rest:
        surplus = (*parsed.places[1:], *(parsed.rest or ()))[0]
        raise UsageError(f"unexpected argument {surplus!r}; the server runs already{parser.see_help}")
    if "target_uri" not in parsed.values:
        raise UsageError(f"missing option --target-uri URI: where the server is{parser.see_help}")
    check_settings(parsed.settings, parser.see_help)
    values: dict[str, Any] = parsed.values
    return ProxyRequest(name=parsed.places[0], otel=parsed.settings, **values)
