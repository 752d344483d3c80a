"""The server's environment: everything thv had, then the files, then -e; and errors that tell places, never values."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.errors import ThvError, UsageError
from thv.servers.server_environment import _parse_line, child_environment, read_env_file

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2"


def parse_line(line: str) -> tuple[str, str] | None:
    return _parse_line(line, iter(()))


def env_file(directory: Path, content: bytes | str) -> str:
    path = directory / "vars.env"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_the_whole_environment_of_the_parent_is_passed_on() -> None:
    parent = {"PATH": "/bin", "HTTPS_PROXY": "p", "SSL_CERT_FILE": "c", "EMPTY": ""}
    child = child_environment(parent, [], [])
    assert child == parent
    assert child is not parent


def test_an_assignment_wins_over_a_file_and_a_file_over_the_parent(tmp_path: Path) -> None:
    path = env_file(tmp_path, "A=file\nB=file\n")
    assert child_environment({"A": "parent", "B": "parent", "C": "parent"}, [path], ["A=option"]) == {
        "A": "option",
        "B": "file",
        "C": "parent",
    }


def test_the_later_of_two_wins(tmp_path: Path) -> None:
    path = env_file(tmp_path, "A=1\nA=2\n")
    assert child_environment({}, [path], []) == {"A": "2"}
    assert child_environment({}, [path], ["A=3", "A=4"]) == {"A": "4"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=1", ("A", "1")),
        ("A=", ("A", "")),
        ("  A = 1  ", ("A", "1")),
        ("export A=1", ("A", "1")),
        ("export\tA=1", ("A", "1")),
        ("export=1", ("export", "1")),
        ("export =1", ("export", "1")),
        ("A=b=c==", ("A", "b=c==")),
        ("A=a b", ("A", "a b")),
        ("A=a#b", ("A", "a#b")),
        ("A=a # b", ("A", "a")),
        ("A= # b", ("A", "")),
        ("A='a # b'", ("A", "a # b")),
        ("A='a' # b", ("A", "a")),
        ("A=''", ("A", "")),
        ('A=""', ("A", "")),
        (r"A='\n$X'", ("A", r"\n$X")),
        (r'A="\n\t\r\"\\\$\x"', ("A", '\n\t\r"\\$\\x')),
        (r"A=\n$X", ("A", r"\n$X")),
        ("my.var-1=x", ("my.var-1", "x")),
        ("ÄÖ=ü", ("ÄÖ", "ü")),
        ("# A=1", None),
        ("   ", None),
        ("\t#", None),
        ("A=it's", ("A", "it's")),
    ],
)
def test_a_line_is_read_like_this(tmp_path: Path, line: str, expected: tuple[str, str] | None) -> None:
    read = list(read_env_file(env_file(tmp_path, f"\ufeff# first\r\n{line}\r\nLAST=1")))
    assert read == [*([expected] if expected else []), ("LAST", "1")]


PEM = "-----BEGIN PRIVATE KEY-----\nMIIE+/==\n\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_value_in_quotes_may_have_several_lines(tmp_path: Path, quote: str, newline: str) -> None:
    text = f"FIRST=1\nexport KEY={quote}{PEM}{quote} # comment\nLAST=2\n".replace("\n", newline)
    assert list(read_env_file(env_file(tmp_path, text))) == [("FIRST", "1"), ("KEY", PEM), ("LAST", "2")]


def test_blanks_at_the_ends_of_its_lines_and_escapes_are_kept(tmp_path: Path) -> None:
    text = 'A="  one \\" \n\ttwo\\\\\n three\\n"\nB=\'x \n # y\'\n'
    assert list(read_env_file(env_file(tmp_path, text))) == [("A", '  one " \n\ttwo\\\n three\n'), ("B", "x \n # y")]


@pytest.mark.parametrize("text", [f"A='x\n{SECRET}' y\n", f'A="\n{SECRET}\n', f"A='{SECRET}\nB='x'\n"])
def test_a_quote_that_goes_wrong_is_reported_with_the_line_that_opens_it(tmp_path: Path, text: str) -> None:
    path = env_file(tmp_path, text)
    with pytest.raises(ThvError) as caught:
        list(read_env_file(path))
    assert str(caught.value).startswith(f"{path}:1: ")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"{SECRET}", "expected KEY=VALUE"),
        ("export", "expected KEY=VALUE"),
        (f"={SECRET}", "there is no name before the ="),
        (f"A B={SECRET}", "'A B' cannot name a variable"),
        (f"'A'={SECRET}", "cannot name a variable"),
        (f'A="{SECRET}', 'the value of A opens a " that nothing closes'),
        (f"A='{SECRET}", "the value of A opens a ' that nothing closes"),
        (rf'A="{SECRET}\"', 'opens a " that nothing closes'),
        (f"A='x' {SECRET}", "there is text after the closing quote of A"),
        (f"A='x'#{SECRET}", "there is text after the closing quote of A"),
        (f"A={SECRET}\0", "the value of A holds a NUL byte"),
    ],
)
def test_a_bad_line_is_reported_with_file_and_line_and_without_its_value(
    tmp_path: Path, line: str, problem: str
) -> None:
    path = env_file(tmp_path, f"# fine\nFINE=1\n{line}\n")
    with pytest.raises(ThvError) as caught:
        child_environment({}, [path], [])
    assert str(caught.value).startswith(f"{path}:3: ")
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("TOKEN", "-e TOKEN has no value: write -e TOKEN=VALUE"),
        (f"={SECRET}", "there is no name before the ="),
        (f"A B={SECRET}", "'A B' cannot name a variable"),
        (f"A={SECRET}\0", "the value of A holds a NUL byte"),
    ],
)
def test_a_bad_assignment_is_a_wrong_command_line_and_reported_without_its_value(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        child_environment({}, [], [text])
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_assignment_is_taken_literally() -> None:
    assert child_environment({}, [], ["A= 'x' # y=z "]) == {"A": " 'x' # y=z "}


@pytest.mark.parametrize("name", ["missing.env", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ThvError, match=r"cannot read --env-file .*(No such file|Is a directory|Permission denied)"):
        child_environment({}, [str(tmp_path / name)], [])


def test_a_file_in_the_home_directory_may_be_named_with_a_tilde(home: Path) -> None:
    env_file(home, "A=1")
    assert child_environment({}, ["~/vars.env"], []) == {"A": "1"}


@pytest.mark.skipif(sys.platform == "win32", reason="the environment holds bytes on POSIX alone")
def test_bytes_that_are_no_text_arrive_as_they_are(tmp_path: Path) -> None:
    child = child_environment(dict(os.environ), [env_file(tmp_path, b"A=\xff\xfe\x80")], [])
    code = "import os; print(os.environb[b'A'])"
    seen = subprocess.run([sys.executable, "-c", code], env=child, capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == repr(b"\xff\xfe\x80")


@given(st.text(st.characters(blacklist_characters="\0\n\r", blacklist_categories=["Cs"])))
def test_any_value_comes_back_from_single_or_double_quotes(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    assert parse_line(f'K="{escaped}"') == ("K", value)
    if "'" not in value:
        assert parse_line(f"K='{value}'") == ("K", value)


@given(st.text())
def test_any_line_is_an_assignment_or_nothing_or_a_value_error(line: str) -> None:
    try:
        parsed = parse_line(line.strip())
    except ValueError:
        return
    assert parsed is None or (parsed[0] and "=" not in parsed[0] and "\0" not in "".join(parsed))
