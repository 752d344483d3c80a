"""What `thv mcp list` and `thv mcp call` accept: two tables, and the requests that come of them."""

from __future__ import annotations

import math

from thv.cli.option_table import Option, WordParser, check_settings, option_finder
from thv.cli.run_options import BY_FLAG, RunRequest, all_options
from thv.core.frozen import Frozen
from thv.core.printable import printable
from thv.core.surrogates import replace_surrogates
from thv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from thv.cli.option_table import ParsedWords

TEXT, JSON = FORMATS = ("text", "json")
"""How an answer can be printed."""

REPLY_TIMEOUT_S = 60.0
"""Seconds a server has for each reply: official clients give the same."""

SHARED_FLAGS = (
    *("--env", "--env-file", "--name", "--cwd", "--network", "--volume"),
    *("--header", "--header-file", "--bearer-token-file", "--ca-file"),
    *("--no-journal", "--debug"),
)
SHARED_OPTIONS = tuple(BY_FLAG[flag] for flag in SHARED_FLAGS)
"""What `thv run` takes, too."""

NO_ARGUMENTS: Mapping[str, Any] = {}

SERVER_WORDS = "put the server's own arguments after --"

LIST_OPTIONS = (
    Option("--format", metavar="FORMAT", choices=FORMATS, text="Print the answer as text or json; by default text."),
    Option(
        "--timeout",
        metavar="SECONDS",
        text="Wait at most SECONDS for each reply, a download aside; 0 for no limit; by default 60.",
    ),
    *SHARED_OPTIONS,
)

CALL_OPTIONS = (
    Option("--args-json", metavar="JSON", text="Give the tool's arguments as one JSON object."),
    *LIST_OPTIONS,
)


OWN_OPTIONS = ("format", "timeout", "args_json")
"""What `thv run` does not have."""


class McpRequest(Frozen):
    """What the command line asked for.

    Attributes:
        run: what `thv run` is asked for: the server and its options.
        output: one of `FORMATS`.
        timeout: seconds for each reply; None for no limit.
        tool: the tool to call; empty for `list`.
        pairs: its arguments as keys and texts.
        base: its arguments as JSON, which `pairs` come before.
        wants_help: ``-h`` or ``--help`` was given; nothing else counts then.
    """

    run: RunRequest
    output: str = TEXT
    timeout: float | None = REPLY_TIMEOUT_S
    tool: str = ""
    pairs: Sequence[tuple[str, str]] = ()
    base: Mapping[str, Any] = NO_ARGUMENTS
    wants_help: bool = False


def parse_list(words: Sequence[str]) -> McpRequest:
    """Read the words after ``mcp list``.

    Raises:
        UsageError: the words make no sense.
    """
    parser = _parser("thv mcp list", LIST_OPTIONS)
    parsed = parser.parse(words)
    request = _request(parsed, parser)
    if not request.wants_help and len(parsed.places) > 1:
        raise UsageError(f"unexpected argument {parsed.places[1]!r}; {SERVER_WORDS}{parser.see_help}")
    return request


def parse_call(words: Sequence[str]) -> McpRequest:
    """Read the words after ``mcp call``.

    Raises:
        UsageError: the words make no sense.
    """
    parser = _parser("thv mcp call", CALL_OPTIONS)
    parsed = parser.parse(words)
    request = _request(parsed, parser)
    if request.wants_help:
        return request
    _, *places = parsed.places
    if not places:
        raise UsageError(f"missing argument TOOL: the tool to call; thv mcp list shows them{parser.see_help}")
    if replace_surrogates(places[0]) != places[0]:
        raise UsageError(f"TOOL {printable(places[0])} is not valid text in the encoding of this terminal")
    from thv.cli.mcp_arguments import split_word

    try:
        pairs = [split_word(word) for word in places[1:]]
    except ValueError as error:
        raise UsageError(f"{error}; {SERVER_WORDS}{parser.see_help}") from None
    return request.replace(tool=places[0], pairs=pairs, base=_json_object(parsed.values.get("args_json")))


def _parser(command: str, options: tuple[Option, ...]) -> WordParser:
    by_flag = {flag: option for option in options for flag in option.flags}
    return WordParser(command, option_finder(by_flag), lambda: all_options(options))


def _request(parsed: ParsedWords, parser: WordParser) -> McpRequest:
    if parsed.wants_help:
        return McpRequest(RunRequest(), wants_help=True)
    if not parsed.places:
        raise UsageError(f"missing argument SERVER: what to run; `demo` is one to try{parser.see_help}")
    check_settings(parsed.settings, parser.see_help)
    shared: dict[str, Any] = {name: value for name, value in parsed.values.items() if name not in OWN_OPTIONS}
    run = RunRequest(server=parsed.places[0], args=parsed.rest or (), otel=parsed.settings, **shared)
    return McpRequest(
        run, output=str(parsed.values.get("format", TEXT)), timeout=_seconds(parsed.values.get("timeout"))
    )


def _seconds(text: object) -> float | None:
    if text is None:
        return REPLY_TIMEOUT_S
    try:
        seconds = float(str(text))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(f"--timeout cannot be {text!r}: write a number of seconds, or 0 for no limit")
    return seconds or None


def _json_object(text: object) -> dict[str, Any]:
    if text is None:
        return {}
    from thv.cli.mcp_arguments import decode_json

    try:
        value = decode_json(str(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--args-json is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError('--args-json must be a JSON object, such as {"a": 2}')
    return value
