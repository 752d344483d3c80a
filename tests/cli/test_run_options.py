"""The words after `thv run` become a request or one clear sentence, never a surprise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.cli.run_options import OPTIONS, RunRequest, parse
from thv.errors import UsageError


def told(request: RunRequest) -> dict[str, Any]:
    """What differs from an empty request."""
    empty = vars(RunRequest())
    return {name: value for name, value in vars(request).items() if value != empty[name]}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("demo", {"server": "demo"}),
        ("demo --", {"server": "demo"}),
        ("demo -- --name x -h", {"server": "demo", "args": ("--name", "x", "-h")}),
        ("-- cat", {"args": ("cat",)}),
        ("-- cat -- --", {"args": ("cat", "--", "--")}),
        ("--debug demo", {"server": "demo", "debug": True}),
        ("demo --debug", {"server": "demo", "debug": True}),
        ("--name n demo --cwd d", {"server": "demo", "name": "n", "cwd": "d"}),
        ("--name=n demo --cwd=d", {"server": "demo", "name": "n", "cwd": "d"}),
        ("-e A=1 demo -eB=2 --env C=3 --env=D=4", {"server": "demo", "env": ["A=1", "B=2", "C=3", "D=4"]}),
        ("--env-file a demo --env-file b", {"server": "demo", "env_file": ["a", "b"]}),
        ("--name -x demo", {"server": "demo", "name": "-x"}),
        ("--env= demo", {"server": "demo", "env": [""]}),
        ("-", {"server": "-"}),
        ("uvx://mcp-server-time", {"server": "uvx://mcp-server-time"}),
        ("--help", {"wants_help": True}),
        ("demo -h", {"server": "demo", "wants_help": True}),
    ],
)
def test_options_stand_on_either_side_of_the_server_up_to_two_dashes(words: str, expected: dict[str, Any]) -> None:
    assert told(parse(words.split())) == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "thv run demo"),
        ("--", "no server"),
        ("--debug", "no server"),
        ("one two", "'two'; put the server's own arguments after --"),
        ("demo --nam x", "--nam; did you mean --name?"),
        ("demo -x", "-x"),
        ("demo --name", "--name needs a value"),
        ("demo --name -- x", "--name needs a value"),
        ("--debug=1 demo", "--debug takes no value"),
        ("demo --verbose=3", "--verbose"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line_that_says_what_to_do(words: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


WORD = st.text(max_size=6) | st.sampled_from(
    [*(flag for option in OPTIONS for flag in option.flags), "--", "-", "-h", ""]
)


@given(st.lists(WORD, max_size=8))
def test_any_words_give_a_request_or_a_usage_error(words: list[str]) -> None:
    try:
        request = parse(words)
    except UsageError:
        return
    assert request.wants_help or request.server is not None or request.args


@given(st.lists(st.text(max_size=6), max_size=6))
def test_what_stands_after_two_dashes_is_the_servers_untouched(words: list[str]) -> None:
    assert parse(["demo", "--", *words]).args == tuple(words)
