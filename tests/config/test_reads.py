"""The config file is read and parsed once in a whole `thv run`, and a change of it is noticed all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from thv.config import own_sections, reader
from thv.config.boolean_reading import read_boolean, read_consent, unknown_keys
from thv.config.settings import JOURNAL_ENABLED, JOURNAL_KEYS
from thv.config.yaml import excerpt, tree
from thv.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

COUNTING = """\
import os, sys
path, report, *words = sys.argv[1:]
reads = []
sys.addaudithook(lambda event, about: reads.append(event) if event == "open" and about[0] == path else None)
from thv.config.yaml import tree
parses = []
class Counted(tree._Builder):
    def __init__(self, *about):
        parses.append(about)
        super().__init__(*about)
tree._Builder = Counted
leave = os._exit
def counted_exit(code):
    with open(report, "w") as file:
        file.write(f"{len(reads)} {len(parses)}")
    leave(code)
os._exit = counted_exit
from thv.__main__ import main
main(words)
"""

MENTIONED = "# endpoint, max-age: words that have every part of a run read the file\n"
PLAIN = f"{MENTIONED}otel:\n  insecure: true\nother: 1\n"
QUOTED = f"{MENTIONED}otel:\n  'insecure': true\n  \"usage-analytics-enabled\": true\nother: [1]\n"


def write(path: Path, text: str, *, second: int = 1) -> None:
    """A file that was changed so long ago that its time of change tells its contents apart."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, (second, second))


@pytest.mark.parametrize(("text", "parses"), [(PLAIN, 0), (QUOTED, 1)], ids=["plain", "quoted"])
@pytest.mark.usefixtures("analytics_on")
def test_a_run_reads_the_file_once_and_parses_it_once(text: str, parses: int, home: Path, tmp_path: Path) -> None:
    config = home / ".toolhive" / "config.yaml"
    write(config, text)
    report = tmp_path / "report"
    server = ["run", "--", sys.executable, "-c", ""]
    done = subprocess.run(
        [sys.executable, "-P", "-c", COUNTING, str(config), str(report), *server],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert report.read_text() == f"1 {parses}", done.stderr


def test_a_change_is_read_whatever_stayed_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write(path, "a: 1\n")
    assert reader.read_text(str(path)) == "a: 1\n"
    write(path, "a: 2\n")  # same size, same time of modification
    assert reader.read_text(str(path)) == "a: 2\n"
    other = tmp_path / "other"
    write(other, "a: 3\n")
    other.replace(path)
    assert reader.read_text(str(path)) == "a: 3\n"
    path.unlink()
    assert reader.read_text(str(path)) is None


def test_a_file_that_was_just_changed_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    assert reader.signature(str(path)) is None
    write(path, "a: 1\n")
    assert reader.signature(str(path)) is not None


def test_the_writer_trusts_nothing_that_was_read_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    write(path, "a: 1\n")
    reader.read_text(str(path))
    monkeypatch.setattr(reader, "signature", lambda _: (0,))  # a file system on which a change does not show
    reader.read_text(str(path))
    write(path, "a: 2\n")
    assert reader.read_text(str(path), fresh=True) == "a: 2\n"


def test_a_text_is_parsed_once_whether_it_is_valid_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    real = tree._Builder

    def builder(*about: object) -> object:
        built.append(about)
        return real(*about)  # type: ignore[arg-type]  # what `parse` gave it

    monkeypatch.setattr(tree, "_Builder", builder)
    first = tree.parse("a: [1]\n", "x")
    first.clear()
    assert len(tree.parse("a: [1]\n", "x")) == 1
    assert len(built) == 1
    errors = []
    for _ in range(2):
        with pytest.raises(ConfigError) as raised:
            tree.parse("a: [\n", "x")
        errors.append(raised.value)
    assert str(errors[0]) == str(errors[1])
    assert errors[0] is not errors[1]
    assert len(built) == 2
    with pytest.raises(ConfigError, match=r"^y:"):
        tree.parse("a: [\n", "y")
    assert len(built) == 3


def test_what_others_keep_in_a_long_file_costs_no_time_in_any_reading(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    others = "others:\n" + "  - {a: [1, 2]}\n" * (excerpt.LONG // 10)
    write(path, f"{others}otel:\n  'unknown': 1\njournal:\n  \"enabled\": no\n")
    text = path.read_text()
    assert "others" not in own_sections.own_sections(text)
    parsed: list[str] = []
    real = tree._Builder

    def builder(text: str, *about: object) -> object:
        parsed.append(text)
        return real(text, *about)  # type: ignore[arg-type]  # what `parse` gave it

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "_Builder", builder)
        reading = read_boolean(str(path), JOURNAL_KEYS[JOURNAL_ENABLED])
        (line,) = unknown_keys(str(path))
    number = others.count("\n") + 2
    assert (reading.value, reading.where) == (False, f"{path}:{number + 2}")
    assert line == f"{path}:{number}: unknown key otel.unknown, ignored"
    assert parsed == [own_sections.own_sections(text)]


def test_consent_is_no_guess_in_a_long_file_that_is_broken_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    others = "others:\n" + "  - {a: [1, 2]}\n" * (excerpt.LONG // 10)
    write(path, f"otel:\n  'usage-analytics-enabled': true\n{others}  - [\n")
    reading = read_consent(str(path), is_named=False)
    assert reading.value is None
    assert "not valid YAML" in str(reading.problem)
