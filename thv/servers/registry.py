"""The registry: the servers that can be started by a short name, read from the data file beside this module.

The file is plain tab-separated text, because reading it lies on the way to starting the server and a JSON decoder costs
9 ms to import. It is data: nothing here knows how a package is run.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

REGISTRY_FILE: Final = os.path.join(os.path.dirname(__file__), "registry.tsv")

BUILTIN: Final = "builtin"
"""The runner of a server that is part of thv."""

_NONE: Final = "-"
_COLUMNS: Final = 5


class RegistryEntry:
    """One server of the registry.

    Args:
        name: the short name.
        runner: ``uvx``, ``npx`` or `BUILTIN`.
        package: what the runner fetches; empty for a built-in.
        arguments: what the server usually wants after ``--``, as a usage text; empty when it wants nothing.
        description: one line for people.
    """

    __slots__ = ("arguments", "description", "name", "package", "runner")

    def __init__(self, name: str, runner: str, package: str, arguments: str, description: str) -> None:
        self.name = name
        self.runner = runner
        self.package = "" if package == _NONE else package
        self.arguments = "" if arguments == _NONE else arguments
        self.description = description

    def __repr__(self) -> str:
        return (
            f"RegistryEntry({self.name!r}, {self.runner!r}, {self.package!r}, {self.arguments!r}, {self.description!r})"
        )


def entries(path: str = REGISTRY_FILE) -> dict[str, RegistryEntry]:
    """Every server of the registry by name, in the order of the file.

    Raises:
        ValueError: a row has not five columns. The file ships with thv, so this is a broken installation.
    """
    with open(path, encoding="utf-8") as file:
        rows = [line.split("\t") for line in file.read().splitlines() if line and not line.startswith("#")]
    for row in rows:
        if len(row) != _COLUMNS:
            raise ValueError(f"{path}: a row has {len(row)} columns, not {_COLUMNS}: {row[0]}")
    return {row[0]: RegistryEntry(*row) for row in rows}
