"""What pyproject.toml declares is what thv imports, and nothing else: installing thv brings no package for nothing."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import pytest

import thv

ROOT = Path(thv.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

OPTIONAL = {"certifi"}
"""Imported where it happens to be installed."""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=~!;\[ ]", one)[0].lower() for one in requirements}


BASE = names(PROJECT["dependencies"])
ADDED = {name for extra, listed in EXTRAS.items() if extra != "test" for name in names(listed)}


@cache
def files() -> dict[str, str]:
    """Installed file -> the distribution that brought it."""
    return {
        str(file): one.name.lower().replace("_", "-")
        for one in distributions()
        for file in one.files or ()
        if file.suffix in {".py", ".so", ".pyd"}
    }


def provider(module: str) -> str | None:
    """The distribution that a module is of; None for Python's own and for thv's."""
    pieces = module.split(".")
    if pieces[0] in sys.stdlib_module_names or pieces[0] == "thv":
        return None
    for length in range(len(pieces), 0, -1):
        path = "/".join(pieces[:length])
        for file, name in files().items():
            if file in {f"{path}.py", f"{path}/__init__.py"} or re.match(
                rf"{re.escape(path)}[./][^/]*\.(so|pyd)$", file
            ):
                return name
    return None


def imported() -> dict[str, set[str]]:
    """Distribution -> the modules of thv that import it, late imports included."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "thv").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules = [node.module]
            for module in modules:
                name = provider(module)
                if name is not None:
                    found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


IMPORTED = imported()


def test_every_package_that_thv_imports_is_declared() -> None:
    assert {name: where for name, where in IMPORTED.items() if name not in BASE | ADDED | OPTIONAL} == {}


@pytest.mark.parametrize("name", sorted(BASE | ADDED))
def test_every_package_that_is_declared_is_imported(name: str) -> None:
    assert name in IMPORTED
