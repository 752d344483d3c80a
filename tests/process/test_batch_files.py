"""Arguments reach a batch file as they are: nothing in them is a command, a redirection or a variable for `cmd.exe`.

There is no `cmd.exe` to ask where these tests run: its documented rules are played here, step by step.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.errors import UsageError
from thv.process.batch_files import OPTIONS, batch_command_line, is_batch_file

CMD = r"C:\Windows\System32\cmd.exe"
NPX = r"C:\Program Files\nodejs\npx.cmd"

VARIABLES = {"PATH": "secret", "a": "b", "cd": r"C:\here"}


def seen_by_program(line: str) -> list[str]:
    """What a program gets that a batch file starts with `%*`."""
    rest = line.removeprefix(f'"{CMD}" {OPTIONS} ')
    assert rest.startswith('"')
    assert rest.endswith('"')
    text = expanded(rest[1:-1])
    in_quotes = False
    for character in text:
        in_quotes ^= character == '"'
        assert in_quotes or character not in "&|<>^()", f"{character} acts in {text}"
    assert not in_quotes
    return split(text)


def expanded(text: str) -> str:
    """`%NAME%` and `%NAME:~,N%` on a command line: a name that is unknown stays as it is (`set /?`)."""

    def value(match: re.Match[str]) -> str:
        name, colon, _ = match[1].partition(":")
        known = VARIABLES.get(name)
        return match[0] if known is None else "" if colon else known

    # A sign that begins no known name stays, and the next one may begin one.
    result, at = "", 0
    while (start := text.find("%", at)) >= 0:
        end = text.find("%", start + 1)
        whole = text[start : end + 1] if end > start else ""
        match = re.fullmatch("%([^%]+)%", whole)
        replaced = value(match) if match else whole
        if match and replaced != whole:
            result += text[at:start] + replaced
            at = end + 1
        else:
            result += text[at : start + 1]
            at = start + 1
    return result + text[at:]


def split(text: str) -> list[str]:
    """The arguments that the C run-time of Windows makes of a command line ("Parsing C command-line arguments")."""
    words: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        word, in_quotes = "", False
        while at < len(text) and (in_quotes or text[at] != " "):
            backslashes = len(text[at:]) - len(text[at:].lstrip("\\"))
            at += backslashes
            if text[at : at + 1] != '"':
                word += "\\" * backslashes
                if not backslashes:
                    word += text[at]
                    at += 1
                continue
            word += "\\" * (backslashes // 2)
            if backslashes % 2:
                word += '"'
                at += 1
            elif in_quotes and text[at + 1 : at + 2] == '"':
                word += '"'
                at += 2
            else:
                in_quotes = not in_quotes
                at += 1
        words.append(word)
    return words


@pytest.mark.parametrize(
    "argument",
    [
        "plain",
        "",
        "two words",
        "a&calc.exe",
        "a|b>c<d^e",
        '"&calc.exe&"',
        "%PATH%",
        "100%",
        "%a%%a%",
        "!a!",
        "C:\\dir\\",
        'C:\\dir\\"',
        '{"k": "v w"}',
        "(x)",
        "ä;,=",
    ],
)
def test_an_argument_is_what_was_typed(argument: str) -> None:
    line = batch_command_line(CMD, NPX, ["-y", argument, "last"])
    assert seen_by_program(line) == [NPX, "-y", argument, "last"]


@given(st.lists(st.text(st.sampled_from('ab \\"%&|<>^!()=,;~:cdPATH')), max_size=4))
def test_any_arguments_are_what_was_typed(arguments: list[str]) -> None:
    assert seen_by_program(batch_command_line(CMD, NPX, arguments)) == [NPX, *arguments]


@pytest.mark.parametrize("argument", ["a\nb", "a\rb", "a\0b"])
def test_what_cannot_be_quoted_is_refused(argument: str) -> None:
    with pytest.raises(UsageError, match="line break"):
        batch_command_line(CMD, NPX, [argument])


def test_only_batch_files_are_run_by_the_interpreter() -> None:
    assert [is_batch_file(path) for path in ("npx.cmd", r"C:\X.BAT", "npx.exe", "cmd")] == [True, True, False, False]
