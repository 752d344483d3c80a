"""Wrapping and unwrapping of whole texts: what changes, what stays, what is refused."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.clients.generated import ELSEWHERE, KINDS
from tests.clients.samples import THV, file_of, written
from thv.clients import change
from thv.clients.catalog import CLIENTS
from thv.clients.entries import State
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATED = 60
"""Files of each format and run. The same generator made 10 000 when this was written; a run takes other seeds on."""


def wrap(text: str, client: str, **more: Any) -> str:
    return change.wrap(text, file_of(client), THV, **more).text


def unwrap(text: str, client: str) -> str:
    return change.unwrap(text, file_of(client)).text


def states(text: str, client: str) -> dict[str, tuple[str, str]]:
    return {entry.name: (entry.state.value, entry.reason) for entry in change.read(text, file_of(client))}


def test_every_client_has_a_sample() -> None:
    assert {client for client, _ in written().values()} == {client.id for client in CLIENTS}


@pytest.mark.parametrize("name", written())
def test_what_a_client_writes_comes_back_byte_for_byte(name: str) -> None:
    client, data = written()[name]
    text = data.decode()
    wrapped = change.wrap(text, file_of(client), THV)
    assert wrapped.changed
    assert wrapped.text != text
    assert all(entry.state is not State.LEFT_ALONE or entry.reason for entry in wrapped.others)
    assert unwrap(wrapped.text, client) == text


@pytest.mark.parametrize("name", written())
def test_a_second_wrap_changes_nothing(name: str) -> None:
    client, data = written()[name]
    once = wrap(data.decode(), client)
    assert change.wrap(once, file_of(client), THV).changed == ()
    assert wrap(once, client) == once


@pytest.mark.parametrize("name", written())
def test_what_starts_is_thv_with_the_same_command_behind_it(name: str) -> None:
    client, data = written()[name]
    before = {entry.keys: entry for entry in change.read(data.decode(), file_of(client))}
    for entry in change.read(wrap(data.decode(), client), file_of(client)):
        old = before[entry.keys]
        if entry.state is State.WRAPPED:
            words = list(entry.args or ())
            assert entry.command == THV
            assert words[0] == "run"
            assert words[words.index("--name") + 1] == entry.name
            assert words[words.index("--") + 1 :] == [old.command, *(old.args or ())]
        else:
            assert (entry.command, entry.args) == (old.command, old.args)


@pytest.mark.parametrize("kind", KINDS)
def test_generated_files_come_back_byte_for_byte_whatever_changed_elsewhere(kind: str) -> None:
    for seed in range(GENERATED):
        sample = KINDS[kind](seed)
        wrapped = change.wrap(sample.text, file_of(sample.client), THV)
        unchanged = {entry.name for entry in wrapped.others}
        found = {entry.name: entry for entry in change.read(sample.text, file_of(sample.client))}
        for name, (command, args) in sample.servers.items():
            if name not in unchanged:
                assert found[name].command == command, (kind, seed)
                assert found[name].args == (None if args is None else tuple(args)), (kind, seed)
        assert unwrap(wrapped.text, sample.client) == sample.text, (kind, seed)
        edited = wrapped.text.replace(ELSEWHERE, "edited")
        assert unwrap(edited, sample.client) == sample.text.replace(ELSEWHERE, "edited"), (kind, seed)


READERS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "toml": lambda text: tomllib.loads(text.removeprefix("\ufeff")),
    "yaml of a map": yaml.safe_load,
    "yaml of a list": yaml.safe_load,
}


@pytest.mark.parametrize("kind", READERS)
def test_another_parser_sees_nothing_but_the_command_change(kind: str) -> None:
    for seed in range(GENERATED):
        sample = KINDS[kind](seed)
        text = sample.text.removeprefix("\ufeff")
        before = READERS[kind](text)
        after = READERS[kind](wrap(text, sample.client))
        for side in (before, after):
            for key in ("mcpServers", "servers", "mcp_servers", "extensions"):
                found = side.get(key, {})
                for entry in found.values() if isinstance(found, dict) else found:
                    for inner in ("command", "cmd", "args"):
                        entry.pop(inner, None)
        assert repr(after) == repr(before), (kind, seed)


@pytest.mark.parametrize("indent", [None, 2, "\t"])
@pytest.mark.parametrize("keys_sorted", [False, True])
def test_a_client_that_rewrites_the_entry_gets_the_same_values_back(indent: Any, keys_sorted: bool) -> None:
    for seed in range(GENERATED):
        sample = KINDS["json"](seed)
        text = sample.text.removeprefix("\ufeff")
        rewritten = json.dumps(json.loads(wrap(text, "cursor")), indent=indent, sort_keys=keys_sorted)
        rewritten = rewritten.replace("Infinity", "1E+400")
        assert json.loads(unwrap(rewritten, "cursor")) == json.loads(text), seed


@pytest.mark.parametrize("flow", [False, True, None])
@pytest.mark.parametrize("kind", ["yaml of a map", "yaml of a list"])
def test_a_client_that_rewrites_yaml_gets_the_same_values_back(kind: str, flow: bool | None) -> None:
    for seed in range(GENERATED):
        sample = KINDS[kind](seed)
        data = yaml.safe_load(wrap(sample.text, sample.client))
        for keys_sorted in (False, True):
            rewritten = yaml.dump(data, sort_keys=keys_sorted, default_flow_style=flow, allow_unicode=True, width=10**6)
            back = yaml.safe_load(unwrap(rewritten, sample.client))
            assert back == yaml.safe_load(sample.text), (kind, seed)


def test_a_server_that_was_removed_meanwhile_does_not_come_back() -> None:
    text = '{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y", "args": []}}}'
    data = json.loads(wrap(text, "cursor"))
    del data["mcpServers"]["a"]
    assert json.loads(unwrap(json.dumps(data), "cursor")) == {"mcpServers": {"b": {"command": "y", "args": []}}}


def test_arguments_that_were_added_meanwhile_stay() -> None:
    for args in ("", ', "args": ["-y"]'):
        wrapped = wrap(f'{{"mcpServers": {{"a": {{"command": "x"{args}}}}}}}', "cursor")
        data = json.loads(wrapped)
        data["mcpServers"]["a"]["args"].append("--new")
        entry = json.loads(unwrap(json.dumps(data), "cursor"))["mcpServers"]["a"]
        assert entry == {"command": "x", "args": [*(["-y"] if args else []), "--new"]}


def test_comments_that_were_put_among_the_inserted_arguments_stay() -> None:
    wrapped = wrap('{"servers": {"a": {"command": "x", "args": ["y"]}}}', "vscode")
    commented = wrapped.replace('"run", ', '"run", // mine\n').replace('"--", ', '"--", /* too */ ')
    back = unwrap(commented, "vscode")
    assert "// mine\n" in back
    assert "/* too */" in back
    assert states(back, "vscode") == {"a": ("direct", "")}
    assert change.read(back, file_of("vscode"))[0].args == ("y",)


def test_a_comment_between_command_and_arguments_stays() -> None:
    wrapped = wrap('{"servers": {"a": {"command": "x"}}}', "vscode")
    back = unwrap(wrapped.replace(', "args"', ', // mine\n"args"'), "vscode")
    assert "// mine" in back
    assert change.read(back, file_of("vscode"))[0].command == "x"


def test_numbers_that_no_float_can_hold_stay() -> None:
    text = '{"n": 12345678901234567890123, "f": 0.1000000000000000055, "mcpServers": {"a": {"command": "x"}}}'
    assert '"n": 12345678901234567890123, "f": 0.1000000000000000055' in wrap(text, "cursor")


def test_a_refusal_of_analytics_goes_into_the_entry_and_out_again() -> None:
    text = '{"mcpServers": {"a": {"command": "x"}}}'
    wrapped = wrap(text, "cursor", analytics_off=True)
    args = json.loads(wrapped)["mcpServers"]["a"]["args"]
    assert "--otel-usage-analytics-enabled=false" in args[: args.index("--")]
    assert unwrap(wrapped, "cursor") == text


def test_only_the_servers_that_are_named_change() -> None:
    text = '{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}'
    assert states(wrap(text, "cursor", names=["b"]), "cursor") == {"a": ("direct", ""), "b": ("wrapped", "")}


def entry(**fields: Any) -> str:
    return json.dumps({"servers": {"a": fields}})


LEFT_ALONE = {
    "disabled": (entry(command="x", disabled=True), "disabled", "it is disabled"),
    "not enabled": (entry(command="x", enabled=False), "disabled", "it is disabled"),
    "an input": (entry(command="${input:x}"), "left-alone", "its command asks for an input"),
    "remote": (entry(url="http://x"), "remote", ""),
    "remote by type": (entry(type="sse", serverUrl="http://x"), "remote", ""),
    "both": (entry(url="http://x", command="x"), "left-alone", "it has both a command and a URL"),
    "no command": (entry(args=["x"]), "left-alone", "it has no command"),
    "an empty command": (entry(command=""), "left-alone", "its command is empty"),
    "a number as command": (entry(command=3), "left-alone", "its command is not a string"),
    "a list as command": (entry(command=["x"]), "left-alone", "its command is not a string"),
    "args as text": (entry(command="x", args="-y"), "left-alone", "its args are not a list"),
    "no args by null": (entry(command="x", args=None), "left-alone", "its args are not a list"),
    "args with objects": (entry(command="x", args=[{}]), "left-alone", "its arguments are not all plain values"),
    "a command line": (
        entry(command="npx -y pkg"),
        "left-alone",
        "its command is a whole command line; put its arguments into args",
    ),
    "a debugger": (
        entry(command="node", dev={"debug": {"type": "node"}}),
        "left-alone",
        "VS Code attaches a debugger to it (dev.debug)",
    ),
    "no entry": ('{"servers": {"a": "x"}}', "left-alone", "it is not an object"),
    "by hand": (entry(command="thv", args=["run", "time"]), "by-hand", ""),
    "by hand, with a path": (entry(command="C:\\tools\\THV.exe", args=["run", "--", "x"]), "by-hand", ""),
    "by hand, with uvx": (entry(command="uvx", args=["thv", "run", "time"]), "by-hand", ""),
    "by hand, with a version": (entry(command="uvx", args=["--from", "x", "thv@1.2", "run", "time"]), "by-hand", ""),
    "by hand, as a module": (entry(command="python", args=["-m", "thv", "run", "time"]), "by-hand", ""),
    "by hand, in a shell": (entry(command="sh", args=["-c", "exec thv run time"]), "by-hand", ""),
    "a name that only begins so": (entry(command="thvx", args=["run"]), "direct", ""),
    "a path with a blank": (entry(command="/opt/my tools/x"), "direct", ""),
    "a Windows path with a blank": (entry(command="C:\\Program Files\\nodejs\\npx.cmd"), "direct", ""),
}


@pytest.mark.parametrize("case", LEFT_ALONE)
def test_what_is_not_wrapped_is_named_with_the_reason(case: str) -> None:
    text, state, reason = LEFT_ALONE[case]
    assert states(text, "vscode") == {"a": (state, reason)}
    if state != "direct":
        assert wrap(text, "vscode") == text


def test_an_entry_whose_command_the_user_replaced_is_left_alone() -> None:
    wrapped = wrap('{"servers": {"a": {"command": "x"}}}', "vscode").replace(THV, "/bin/other")
    state, reason = states(wrapped, "vscode")["a"]
    assert (state, reason) == ("left-alone", "it has thv's mark, and its command is not thv any more")
    assert wrap(wrapped, "vscode") == unwrap(wrapped, "vscode") == wrapped


REFUSED = {
    "servers twice": ("cursor", '{"mcpServers": {},\n "mcpServers": {}}', "2:2", "twice"),
    "a server twice": ("cursor", '{"mcpServers": {"a": {"command": "x"},\n  "a": {"command": "y"}}}', "2:3", "twice"),
    "a command twice": ("cursor", '{"mcpServers": {"a": {"command": "x", "command": "y"}}}', "1:39", "twice"),
    "a list as root": ("cursor", '\n [{"command": "x"}]', "2:2", "must hold an object"),
    "a YAML list as root": ("goose", "- cmd: x\n", "1:1", "must hold an object"),
    "a list of servers": ("cursor", '{"mcpServers": []}', "1:16", "an object of servers"),
    "no JSON": ("cursor", '{"mcpServers": {"a": {"command": "x"}}', "1:39", "not valid JSON"),
    "two commas": ("vscode", '{"servers": {"a": {"command": "x"},,}}', "1:36", "not valid JSON"),
    "only a comma": ("vscode", '{"servers": {,}}', "1:14", "not valid JSON"),
    "a comment that is not closed": ("vscode", '{"servers": {}} /* x', "1:17", "not closed"),
    "a string that is not closed": ("vscode", '{"servers": {"a', "1:14", "not valid JSON"),
    "a tab in a string": ("vscode", '{"servers": {"a\tb": {"command": "x"}}}', "1:16", "not valid JSON"),
    "single quotes": ("vscode", "{'servers': {}}", "1:2", "not valid JSON"),
    "NaN": ("cursor", '{"x": "NaN", "n": NaN, "mcpServers": {}}', "1:19", "NaN"),
    "text behind": ("cursor", '{"mcpServers": {}} x', "1:20", "not valid JSON"),
    "a slash": ("vscode", '{"servers": / {}}', "1:13", "not valid JSON"),
    "a byte order mark in the middle": ("cursor", '{"mcpServers": \ufeff{}}', "1:16", "not valid JSON"),
    "no TOML": ("codex", "[mcp_servers.a]\ncommand = x\n", "2:11", "not valid TOML"),
    "no TOML, with CRLF": ("codex", "a = 1\r\n[mcp_servers.a]\r\ncommand = x\r\n", "3:11", "not valid TOML"),
    "a TOML table twice": ("codex", "[mcp_servers.a]\ncommand='x'\n[mcp_servers.a]\n", "3:15", "not valid TOML"),
    "TOML that is not ended": ("codex", "[mcp_servers.a]\nargs = [", "2:9", "not valid TOML"),
    "a TOML list for Codex": ("codex", "[[mcp_servers]]\nname = 'x'\n", "1:1", "an object of servers"),
    "a TOML table for Vibe": ("vibe", "[mcp_servers.a]\ncommand = 'x'\n", "1:1", "a list of servers"),
    "a YAML key twice": ("goose", "extensions:\n  a: {cmd: x}\n  a: {cmd: y}\n", "3:3", "twice"),
    "a YAML tab": ("goose", "extensions:\n\ta: 1\n", "2:1", "tab"),
    "two YAML documents": ("goose", "extensions: {}\n---\nx: 1\n", "2:4", "second"),
    "no anchor": ("goose", "extensions: *x\n", "1:13", "anchor"),
    "a YAML list for Goose": ("goose", "extensions:\n  - cmd: x\n", "2:3", "an object of servers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_text_that_is_not_clear_is_refused_with_its_position(case: str) -> None:
    client, text, position, reason = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        change.wrap(text, file_of(client), THV)
    assert f"{caught.value.line}:{caught.value.column}" == position, str(caught.value)
    assert reason in caught.value.reason


def test_deep_nesting_is_read_or_refused_with_its_position() -> None:
    for levels in (200, 5_000, 200_000):
        text = f'{{\n"deep": {"[" * levels}{"]" * levels}, "mcpServers": {{"a": {{"command": "x"}}}}}}'
        outcome = outcome_of(text)
        assert outcome == text or (levels > 500 and outcome.startswith("/somewhere/file:2:"))


def outcome_of(text: str) -> str:
    """The text after a way there and back, or what was said against it."""
    try:
        return unwrap(wrap(text, "cursor"), "cursor")
    except ConfigError as error:
        return str(error)


NASTY = {
    "TOML: all in one inline table": ("codex", 'mcp_servers = {a = {command = "x"}, b = {command="y",args=[]}}', 2),
    "TOML: dotted from the root": ("codex", 'mcp_servers.a.command = "x"\nmcp_servers.a.args = ["y"]\n', 1),
    "TOML: blanks in dotted keys": ("codex", '[mcp_servers]\na . "command" = "x"\n', 1),
    "TOML: quoted header": ("codex", "['mcp_servers' . \"a.b\"]\n\tcommand='x'\n", 1),
    "TOML: subtable before its table": ("codex", "[mcp_servers.a.env]\nX='1'\n[mcp_servers.a]\ncommand='x'", 1),
    "TOML: strings over several lines": (
        "codex",
        '[mcp_servers.a]\ncommand = """\\\n  x"""\nargs = [\'\'\'\ny\'\'\', """z\n""", """"quoted"""" ]\n',
        1,
    ),
    "TOML: brackets and number signs in strings": (
        "codex",
        "[mcp_servers.a]\ncommand = 'x#]'\nargs = ['[#', \"]\"]#]",
        1,
    ),
    "TOML: dates and numbers around": (
        "codex",
        "d = 1979-05-27 07:32:00 # x\nn = [nan, inf]\nmcp_servers.a.command='x'",
        1,
    ),
    "TOML: CRLF without a last line break": ("codex", "[mcp_servers.a]\r\ncommand = 'x'", 1),
    "TOML: an empty array over lines": ("codex", "[mcp_servers.a]\nargs = [\n  # none\n]\ncommand = 'x'\n", 1),
    "TOML: a list of inline tables": (
        "vibe",
        'mcp_servers = [ {name="a", command="x"}, {name="b", command=["y", "z"]} ]',
        2,
    ),
    "JSON: all on one line": (
        "cursor",
        '{"mcpServers":{"a":{"command":"x","args":[]},"b":{"args":["-"],"command":"y"}}}',
        2,
    ),
    "JSON: keys with escapes": (
        "cursor",
        '{"mcp\\u0053ervers":{"\\u0061":{"comm\\u0061nd":"x","\\u0061rgs":["y"]}}}',
        1,
    ),
    "JSON: brackets and comments in strings": (
        "vscode",
        '{"s": "/* } // ]", "servers": {"a": {"command": "//x", "args": ["/*", "*/", "{[\\""]}}}',
        1,
    ),
    "JSON: comments everywhere": (
        "vscode",
        '/**/{/**/"servers"/**/:/**/{"a"/**/:{/**/"command"/**/:/**/"x"/**/,/**/"args"/**/:/**/[/**/"y"/**/,/**/]/**/,}}}//',
        1,
    ),
    "JSON: old line breaks": ("vscode", '{\r// c\r"servers": {\r"a": {\r"command": "x"\r}\r}\r}\r', 1),
    "JSON: an empty name": ("cursor", '{"mcpServers": {"": {"command": "x"}}}', 1),
    "JSON: other keys twice": ("cursor", '{"x": 1, "x": 2, "mcpServers": {"a": {"command": "x"}}}', 1),
    "YAML: between document marks": ("goose", "%YAML 1.2\n---\nextensions:\n  a:\n    cmd: x\n...\n", 1),
    "YAML: quoted keys": ("goose", "\"extensions\":\n  'a':\n    \"cmd\": x\n    'args': ['y']\n", 1),
    "YAML: explicit keys": ("goose", "? extensions\n: ? a\n  : cmd: x\n    args: [y]\n", 1),
    "YAML: brackets over several lines": ("goose", "extensions: {a: {cmd: x, args: [\n  y, # c\n  z ]}}\n", 1),
    "YAML: a list as deep as its key": ("continue", "mcpServers:\n- name: a\n  command: x\n  args:\n  - y\n", 1),
    "YAML: the command behind the dash": ("continue", "mcpServers:\n  - command: x\n    name: a\n", 1),
    "YAML: dashes far from their items": (
        "goose",
        "extensions:\n  a:\n    args:\n      -    y\n      - # c\n        z\n    cmd: x",
        1,
    ),
    "YAML: CRLF without a last line break": ("goose", "extensions:\r\n  a:\r\n    cmd: x", 1),
    "YAML: a comment at the end of the command": (
        "goose",
        "extensions:\n  a:\n    cmd: x # c\n    # d\n    timeout: 1\n",
        1,
    ),
}


@pytest.mark.parametrize("case", NASTY)
def test_nasty_texts_go_there_and_back(case: str) -> None:
    client, text, servers = NASTY[case]
    before = {entry.keys: (entry.command, *(entry.args or ())) for entry in change.read(text, file_of(client))}
    wrapped = change.wrap(text, file_of(client), THV)
    assert len(wrapped.changed) == servers
    for entry in change.read(wrapped.text, file_of(client)):
        assert entry.state is State.WRAPPED
        assert (entry.args or ())[(entry.args or ()).index("--") + 1 :] == before[entry.keys]
    assert unwrap(wrapped.text, client) == text


YAML_OBSTACLES = {
    "an alias as command": ("x: &c npx\nextensions:\n  a:\n    cmd: *c\n", "its command is an alias"),
    "an anchor at the command": ("extensions:\n  a:\n    cmd: &c npx\nx: *c\n", "its command has an anchor"),
    "an alias as entry": ("x: &e {cmd: npx}\nextensions:\n  a: *e\n", "it is an alias"),
    "an entry that is shared": (
        "extensions:\n  a: &e\n    cmd: npx\n  b: *e\n",
        "an alias elsewhere in the file shares it",
    ),
    "a merge key": ("x: &e {cmd: npx}\nextensions:\n  a:\n    <<: *e\n    cmd: uvx\n", "it has a merge key"),
    "a tag": ("extensions:\n  a:\n    cmd: !!str npx\n", "its command has a tag"),
    "several lines": ("extensions:\n  a:\n    cmd: |\n      npx\n", "its command is written over several lines"),
    "args by alias": ("x: &l [a]\nextensions:\n  a:\n    cmd: npx\n    args: *l\n", "its args is an alias"),
    "shared args": (
        "extensions:\n  a:\n    cmd: npx\n    args: &l [a]\nx: *l\n",
        "its list of arguments has an anchor",
    ),
    "a number": ("extensions:\n  a:\n    cmd: 12\n", "its command is not a string"),
    "no args by null": ("extensions:\n  a:\n    cmd: npx\n    args:\n", "its args are not a list"),
}


@pytest.mark.parametrize("case", YAML_OBSTACLES)
def test_what_yaml_shares_or_folds_is_left_alone(case: str) -> None:
    text, reason = YAML_OBSTACLES[case]
    assert states(text, "goose")["a"] == ("left-alone", reason) or case == "an entry that is shared"
    if case == "an entry that is shared":
        assert states(text, "goose")["a"][1] in {reason, "an alias elsewhere in the file shares it"}
    assert wrap(text, "goose") == text


def test_a_command_that_its_client_has_folded_comes_back_in_one_line() -> None:
    command = "/Applications/Some Very Long Name Of An Application.app/Contents/And More Of It/server"
    text = f"extensions:\n  a:\n    cmd: {command}\n    args: []\n"
    folded = yaml.safe_dump(yaml.safe_load(wrap(text, "goose")), width=40)
    assert len(folded.splitlines()) > len(wrap(text, "goose").splitlines())
    assert yaml.safe_load(unwrap(folded, "goose")) == yaml.safe_load(text)


def test_an_error_of_yaml_without_a_place_of_its_own_has_that_of_its_context() -> None:
    with pytest.raises(ConfigError) as caught:
        change.read("extensions:\n  a: |\n      \n    x\n", file_of("goose"))
    assert caught.value.line is not None


@pytest.mark.parametrize("text", ["", "\n", "  ", "\ufeff", "\ufeff\r\n"])
def test_a_file_without_content_has_no_servers(text: str) -> None:
    for client in ("cursor", "codex", "goose"):
        assert change.read(text, file_of(client)) == []
        assert wrap(text, client) == text


def test_bytes_that_are_no_utf8_are_refused_with_their_position() -> None:
    with pytest.raises(ConfigError, match=r"f:2:3: is not UTF-8 \(byte 0xff\)"):
        change.decode(b"{\n  \xff}", "f")
    with pytest.raises(ConfigError, match="UTF-16"):
        change.decode('{"mcpServers": {}}'.encode("utf-16"), "f")


def test_half_a_surrogate_pair_survives() -> None:
    text = '{"mcpServers": {"\\ud83d": {"command": "x\\ud83d", "args": ["\\ude00"]}}}'
    assert unwrap(wrap(text, "cursor"), "cursor") == text


def test_claude_codes_projects_each_have_servers_of_their_own() -> None:
    text = json.dumps(
        {
            "mcpServers": {"a": {"command": "x"}},
            "projects": {"/p": {"mcpServers": {"a": {"command": "y"}}}, "/q": {"mcpServers": {}}},
        }
    )
    found = change.read(text, file_of("claude-code"))
    assert [(entry.name, entry.scope) for entry in found] == [("a", ""), ("a", "/p")]
    data = json.loads(wrap(text, "claude-code"))
    assert data["projects"]["/p"]["mcpServers"]["a"]["command"] == THV


@pytest.mark.parametrize(
    ("name", "said"),
    [("a b", ["--name", "a b"]), ("-v", ["--name", "-v"]), ("--", ["--name=--"]), ("${X}", []), ("a\nb", []), ("", [])],
)
def test_a_name_is_passed_on_only_if_it_arrives_as_it_is(name: str, said: list[str]) -> None:
    wrapped = json.loads(wrap(json.dumps({"mcpServers": {name: {"command": "x"}}}), "cursor"))
    args = wrapped["mcpServers"][name]["args"]
    assert args == ["run", *said, "--wrapped-by-thv-client=no-args", "--", "x"]
