"""The words after `thv run` become a request or one clear sentence, never a surprise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.cli.run_options import RunRequest, all_options, parse
from thv.config.settings import KEYS, SWITCHES
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
        ("--otel-endpoint h:1 demo", {"server": "demo", "otel": {"endpoint": "h:1"}}),
        ("--otel-endpoint=h:1 demo --otel-endpoint h:2", {"server": "demo", "otel": {"endpoint": "h:2"}}),
        ("demo --otel-insecure", {"server": "demo", "otel": {"insecure": "true"}}),
        ("--otel-tracing-enabled=NO demo", {"server": "demo", "otel": {"tracing-enabled": "NO"}}),
        ("--otel-headers a=b demo --otel-headers=c=d,e=f", {"server": "demo", "otel": {"headers": "a=b,c=d,e=f"}}),
        ("--otel-env-vars A --otel-env-vars B,C demo", {"server": "demo", "otel": {"env-vars": "A,B,C"}}),
        ("--otel-propagate demo", {"server": "demo", "otel": {"propagate": "true"}}),
        ("demo -- --otel-insecure", {"server": "demo", "args": ("--otel-insecure",)}),
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
        ("demo --otel-insekure", "--otel-insekure; did you mean --otel-insecure?"),
        ("demo --otel-", "no such option: --otel-"),
        ("demo --otel-endpoint", "--otel-endpoint needs a value: --otel-endpoint ADDRESS"),
        ("demo --otel-endpoint nowhere", "--otel-endpoint cannot be 'nowhere': write host:port"),
        ("demo --otel-endpoint=", "--otel-endpoint cannot be ''"),
        ("demo --otel-sampling-rate 7", "--otel-sampling-rate cannot be '7': write a number from 0.0 to 1.0"),
        ("demo --otel-protocol http/json", "--otel-protocol cannot be 'http/json': write http/protobuf or grpc"),
        ("demo --otel-tracing-enabled=perhaps", "--otel-tracing-enabled cannot be 'perhaps': write true or false"),
        ("demo --otel-usage-analytics-enabled=", "--otel-usage-analytics-enabled cannot be ''"),
        ("demo --transport websocket", "--transport cannot be 'websocket': write stdio, streamable-http or sse"),
        ("--otel-insecure true demo", "a switch takes its value after =, as in --otel-insecure=true"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line_that_says_what_to_do(words: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_setting_has_an_option_of_its_name_and_nothing_else_begins_so() -> None:
    assert [option.setting for option in all_options() if option.setting] == [*KEYS, *SWITCHES]
    for option in all_options():
        assert option.flags[0].startswith("--otel-") is (option.setting is not None)
        assert option.setting is None or option.flags == (f"--otel-{option.setting}",)


def test_a_secret_of_an_option_is_named_in_no_complaint() -> None:
    for words in (["--otel-headers=a=hunter2,hunter2"], ["--otel-endpoint", "https://me:hunter2@:x"]):
        with pytest.raises(UsageError) as caught:
            parse(["demo", *words])
        assert "hunter2" not in str(caught.value)


def test_a_request_is_made_again_of_its_own_words() -> None:
    words = [
        "-e",
        "A=b c",
        "--otel-headers",
        "a=b",
        "--otel-insecure",
        "--otel-headers=c=d",
        "--debug",
        "x",
        "--",
        "-y",
    ]
    request = parse(words)
    assert told(parse(request.to_argv())) == told(request)


WORD = st.text(max_size=6) | st.sampled_from(
    [*(flag for option in all_options() for flag in option.flags), "--", "-", "-h", ""]
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
