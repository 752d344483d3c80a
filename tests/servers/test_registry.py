"""The registry is data that ships with thv and is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from thv.servers.registry import BUILTIN, REGISTRY_FILE, entries
from thv.servers.resolve import RUNNERS

OFFICIAL = ["demo", "time", "fetch", "git", "filesystem", "memory", "everything", "sequentialthinking"]


def test_the_official_reference_servers_and_the_demo_are_registered() -> None:
    assert list(entries()) == OFFICIAL


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_entry_is_complete_and_can_be_run(name: str) -> None:
    entry = entries()[name]
    assert entry.name == name
    assert entry.runner in {*RUNNERS, BUILTIN}
    assert bool(entry.package) == (entry.runner != BUILTIN)
    assert entry.description
    for text in (entry.package, entry.arguments, entry.description):
        assert text == text.strip()
    if entry.runner == "npx":
        assert entry.package.startswith("@modelcontextprotocol/server-")
    if entry.runner == "uvx":
        assert entry.package.startswith("mcp-server-")


def test_the_demo_is_the_only_server_inside_thv() -> None:
    assert [name for name, entry in entries().items() if entry.runner == BUILTIN] == ["demo"]


def test_a_row_with_a_missing_column_is_reported_with_its_name(tmp_path: Path) -> None:
    broken = tmp_path / "registry.tsv"
    broken.write_text("# comment\n\ntime\tuvx\tmcp-server-time\n")
    with pytest.raises(ValueError, match=r"3 columns, not 5: time"):
        entries(str(broken))


def test_the_registry_is_text_that_people_can_read() -> None:
    lines = Path(REGISTRY_FILE).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("#")
    assert not [line for line in lines if line != line.strip()]
