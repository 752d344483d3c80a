"""Help fits the terminal and shows what to type; wrong words are answered in one line of our style."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from thv.cli import app
from thv.servers.registry import entries

THV = [sys.executable, "-P", "-m", "thv"]
VERBS = ["", "run", "mcp", "mcp list", "mcp call", "config", "config path", "config edit", "config otel"]
VERBS += [f"config otel {verb}" for verb in ("get", "set", "unset", "list")]
VERBS += ["completion", "analytics", "analytics status", "analytics show", "analytics clear"]


def thv(words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*THV, *words.split()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"COLUMNS": "80"},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_help_is_plain_text_on_stdout_that_fits_a_terminal(verb: str, flag: str) -> None:
    seen = thv(f"{verb} {flag}")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert seen.stdout.startswith(f"Usage: {f'thv {verb}'.strip()} ")
    assert seen.stdout.isascii()
    assert not {"{", "}"} & set(seen.stdout.partition("Example")[0])
    assert not {"\b", "\x1b"} & set(seen.stdout)
    assert "..." not in seen.stdout.partition("Commands:")[2], "a summary is cut off"
    assert max(map(len, seen.stdout.splitlines())) < 80


def test_the_help_of_run_gives_each_example_a_line_and_names_every_server() -> None:
    shown = thv("run --help").stdout
    assert [line for line in shown.splitlines() if line.startswith("    thv run ")] == [
        "    thv run time -- --local-timezone Europe/Zurich",
        "    thv run npx://@modelcontextprotocol/server-filesystem -- ~/notes",
        "    thv run -e TOKEN=secret -- ./my-server --stdio",
    ]
    assert all(name in shown for name in entries())


@pytest.mark.parametrize("words", [[*verb.split(), flag] for verb in VERBS for flag in ("--help", "--no-such-option")])
def test_the_command_that_is_named_answers_as_in_the_whole_command_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (app._named_part(words) is app.app) is (len(words) == 1)
    found = []
    for part in (app._named_part, lambda _: app.app):
        monkeypatch.setattr(app, "_named_part", part)
        found.append((app.main(words), capfd.readouterr()))
    assert found[0] == found[1]


def test_every_command_has_the_name_by_which_it_is_found() -> None:
    groups = [known.name for known in app.app.registered_groups]
    for name in [known.name for known in app.app.registered_commands] + groups:
        assert name
        assert app._named_part(["--debug", name]) is not app.app


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("log --tool", "option '--tool' requires an argument; see thv log --help"),
        ("report --html", "option '--html' requires an argument; see thv report --help"),
        ("log -n x", "invalid value for '-n': 'x' is not a whole number; see thv log --help"),
        ("why -n 1.5", "invalid value for '-n': '1.5' is not a whole number; see thv why --help"),
        ("doctor --start --timeout x", "invalid value for '--timeout': 'x' is not a number; see thv doctor --help"),
        ("config otel list --format", "option '--format' requires an argument; see thv config otel list --help"),
    ],
)
def test_wrong_words_are_answered_in_plain_words_with_the_help_of_their_command(words: str, said: str) -> None:
    seen = thv(words)
    assert (seen.returncode, seen.stdout, seen.stderr) == (2, "", f"thv: {said}\n")


def test_what_a_switch_turns_off_is_a_sentence() -> None:
    sentences = re.findall(r"=false: do\s+not\s+(\w+)", thv("run --help").stdout)
    assert sentences == ["send", "send", "put"]


SERVER_OPTIONS = ["--env", "--env-file", "--name", "--cwd", "--network", "--volume"]


def test_options_that_are_about_the_server_stand_together() -> None:
    for verb in ("run", "mcp list", "mcp call"):
        sections = dict(re.findall(r"^(\S.*):\n((?: .*\n)+)", thv(f"{verb} --help").stdout, re.MULTILINE))
        own = ["--restart", "--call-timeout"] if verb == "run" else []
        assert re.findall(r"(--[a-z-]+) ", sections["The server"]) == [*SERVER_OPTIONS, *own]
        assert re.findall(r"^  .*(--help) ", sections["Options"], re.MULTILINE) == ["--help"]
        assert list(sections)[-1] == "Options"


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_shows_how_it_is_typed(verb: str) -> None:
    _, heading, examples = re.split(r"^(  Examples?:)$", thv(f"{verb} --help").stdout, maxsplit=1, flags=re.MULTILINE)
    assert f"thv {verb}".strip() in examples, heading


@pytest.mark.parametrize("group", ["", "mcp", "config", "config otel", "analytics"])
def test_a_command_without_its_verb_shows_help_on_stderr_and_no_empty_complaint(group: str) -> None:
    seen = thv(group)
    assert (seen.returncode, seen.stdout) == (2, "")
    assert seen.stderr == thv(f"{group} --help").stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("rnu demo", "no such command 'rnu'; did you mean run?"),
        ("banana", "no such command 'banana'; see thv --help"),
        ("config otel lst", "no such command 'lst'; did you mean list or set?"),
        ("mcp banana", "no such command 'banana'; see thv mcp --help"),
        ("--debg", "no such option: --debg; did you mean --debug?"),
        ("mcp list", "missing argument SERVER: what to run; `demo` is one to try; see thv mcp list --help"),
        (
            "mcp list demo --formt json",
            (
                "no such option: --formt; did you mean --format? If not, put the server's own options after --; "
                "see thv mcp list --help"
            ),
        ),
        (
            "mcp list filesystem /tmp",
            "unexpected argument '/tmp'; put the server's own arguments after --; see thv mcp list --help",
        ),
        (
            "mcp call demo add 2",
            "'2' is not KEY=VALUE; put the server's own arguments after --; see thv mcp call --help",
        ),
        ("config otel get", "missing argument 'KEY'; see thv config otel get --help"),
    ],
)
def test_wrong_words_are_answered_in_one_line_that_says_where_to_look(words: str, line: str) -> None:
    seen = thv(words)
    assert (seen.returncode, seen.stdout, seen.stderr) == (2, "", f"thv: {line}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")
@pytest.mark.parametrize("words", ["config otel list", "mcp list demo"])
def test_a_table_in_a_narrow_terminal_loses_no_letter(words: str) -> None:
    ours, theirs = os.openpty()  # type: ignore[attr-defined,unused-ignore]  # not on Windows, where this is skipped
    try:
        subprocess.run(
            [*THV, *words.split()],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            env=os.environ | {"COLUMNS": "30", "TERM": "xterm"},
            timeout=120,
            check=True,
        )
        shown = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert shown.count("\n") > len(entries())
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
