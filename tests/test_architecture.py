"""Holds the direction of imports: the promise that analytics learn nothing can be read from the graph alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import thv

ROOT = Path(thv.__file__).parent

FOUNDATION = {"thv", "thv.errors", "thv.ports", "thv.config.settings"}
"""What every part may import."""

PARTS = ("config", "servers", "relay", "jsonrpc", "analytics", "telemetry", "http", "operator")

CARRIERS = {"relay", "jsonrpc", "servers"}

ALSO_ALLOWED: dict[str, set[str]] = {"http": CARRIERS, "operator": CARRIERS | {"http"}}
"""Part -> other parts it may import besides the foundation."""


def module_name(path: Path) -> str:
    parts = ("thv", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path) -> set[str]:
    """Every module of ours that a file names in an import statement, late and type-only imports included."""
    package = ".".join(("thv", *path.relative_to(ROOT).parts[:-1]))
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            submodules = {f"{base}.{alias.name}" for alias in node.names if is_module(f"{base}.{alias.name}")}
            found |= submodules or {base}
    return {name for name in found if name.split(".")[0] == "thv"}


def is_module(dotted: str) -> bool:
    path = ROOT.parent.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


GRAPH = {module_name(path): imported_names(path) for path in sorted(ROOT.rglob("*.py"))}


def part_of(module: str) -> str:
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else ""


@pytest.mark.parametrize("module", [m for m in GRAPH if part_of(m) in PARTS])
def test_a_part_imports_only_itself_and_the_foundation(module: str) -> None:
    part = part_of(module)
    allowed = {part} | ALSO_ALLOWED.get(part, set())
    strangers = {name for name in GRAPH[module] if part_of(name) not in allowed and name not in FOUNDATION}
    assert not strangers, f"{module} imports {strangers}"


def test_analytics_and_telemetry_never_know_each_other() -> None:
    for module, imports in GRAPH.items():
        for ours, other in (("analytics", "telemetry"), ("telemetry", "analytics")):
            if part_of(module) == ours:
                assert not [name for name in imports if part_of(name) == other], module


def test_only_the_accounting_joins_those_who_count_to_the_ledger() -> None:
    parts = {module: {part_of(name) for name in names} for module, names in GRAPH.items()}
    joined = {m for m, known in parts.items() if "jsonrpc" in known and known & {"analytics", "telemetry"}}
    assert joined <= {"thv.accounting"}


def test_the_relay_knows_nothing_of_json() -> None:
    for module in GRAPH:
        if part_of(module) == "relay":
            source = (ROOT.parent / Path(*module.split("."))).with_suffix(".py")
            text = source.read_text() if source.exists() else ""
            assert "import json" not in text, module
            assert "msgspec" not in text, module


def test_the_foundation_imports_nothing_of_ours() -> None:
    assert GRAPH["thv"] == set()
    assert GRAPH["thv.errors"] == set()
    assert GRAPH["thv.ports"] == set()


def test_there_are_no_import_cycles() -> None:
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done:
            return
        for name in GRAPH.get(module, ()):
            if name != module:
                visit(name, (*trail, module))
        done.add(module)

    for module in GRAPH:
        visit(module, ())


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=module_name)
def test_a_file_does_one_thing_and_stays_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 450


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import thv; print(sorted(set(sys.modules) - before))"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "['thv']"
