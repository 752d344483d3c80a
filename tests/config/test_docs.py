"""docs/config.md says what the code does: every key with its default, every word for yes and no."""

from __future__ import annotations

import re
from pathlib import Path

from thv.config.reader import MAX_BYTES
from thv.config.settings import KEYS, SECTIONS
from thv.config.yaml.tree import MAX_DEPTH
from thv.core.booleans import BOOLEANS

PAGE = (Path(__file__).parents[2] / "docs" / "config.md").read_text()


def test_the_page_lists_every_key_with_its_default() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| ?(?:`(.*)` )?\|$", PAGE, re.MULTILINE)
    settings = [known for section in SECTIONS.values() for known in section.keys.values()]
    assert rows == [(known.name, known.default) for known in settings]


def test_the_page_lists_the_variables_of_every_key_the_strongest_first() -> None:
    _, _, table = PAGE.partition("| key | variables, the strongest first |")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", table, re.MULTILINE)
    found = {key: tuple(re.findall(r"`([A-Z_]{2,})`", text)) for key, text in rows}
    assert found == {known.name: known.env for known in KEYS.values() if known.env}


def test_the_page_names_every_boolean_word_and_the_limits() -> None:
    assert [word for word in BOOLEANS if f"`{word}`" not in PAGE] == []
    assert f"larger than {MAX_BYTES >> 10} KiB" in PAGE
    assert f"more than {MAX_DEPTH} levels deep" in PAGE


def test_every_command_on_the_page_exists() -> None:
    from thv.cli import config_group

    known = {command.name for command in config_group.app.registered_commands}
    known |= {
        f"{name} {command.name}" for name, group in config_group.GROUPS.items() for command in group.registered_commands
    }
    found = set(re.findall(r"^thv config ((?:(?:otel|journal) )?[a-z]+)", PAGE, re.MULTILINE))
    assert found <= known
    assert {words.split()[0] for words in found} >= set(SECTIONS)
