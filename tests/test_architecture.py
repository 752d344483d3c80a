"""Holds the direction of imports: the promise that analytics learn nothing can be read from the graph alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

import thv

ROOT = Path(thv.__file__).parent

FLOOR = {"core"}
"""The part that every other part may import, besides `thv` and `thv.errors`."""

PARTS: dict[str, set[str]] = {
    "core": set(),
    "process": set(),
    "relay": {"process"},
    "ledger": set(),
    "servers": set(),
    "mcp_client": {"process"},
    "auth": set(),
    "config": set(),
    "analytics": set(),
    "telemetry": {"config"},
    "journal": {"config"},
    "http": {"relay", "process", "ledger", "servers", "auth"},
    "clients": {"config"},
    "doctor": {"clients", "mcp_client", "servers"},
    "operator": {"relay", "process", "ledger", "servers", "http"},
    "instrumentation": {"ledger", "analytics", "telemetry", "journal", "config"},
    "stdio_session": {"relay", "process", "servers", "instrumentation", "telemetry"},
    "supervision": {"relay", "process", "ledger", "servers", "http", "instrumentation"},
    "cli": {
        *("analytics", "auth", "clients", "config", "doctor", "http", "instrumentation", "journal", "mcp_client"),
        *("operator", "process", "servers", "stdio_session", "supervision", "telemetry"),
    },
    "__main__": {"cli"},
    "errors": set(),
}
"""Part, a package or a module under `thv` -> the parts it may import besides itself and the floor."""

EVERYWHERE = {"thv", "thv.errors"}


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


def test_every_part_has_its_place_here_and_a_row_in_the_documentation() -> None:
    listing = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(PARTS) == listing - {"__init__"}
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT.parent / "docs" / "architecture.md").read_text(), re.MULTILINE)
    parts = [row.removesuffix("/").removesuffix(".py") for row in rows if row.endswith(("/", ".py"))]
    assert sorted(parts) == sorted(PARTS)


@pytest.mark.parametrize("module", [m for m in GRAPH if part_of(m)])
def test_a_part_imports_only_itself_and_what_lies_below_it(module: str) -> None:
    part = part_of(module)
    allowed = {part} | FLOOR | PARTS[part]
    strangers = {name for name in GRAPH[module] if part_of(name) not in allowed and name not in EVERYWHERE}
    assert not strangers, f"{module} imports {strangers}"


def test_telemetry_knows_the_names_of_settings_and_nothing_else_of_the_config_file() -> None:
    for module, imports in GRAPH.items():
        if part_of(module) == "telemetry":
            assert {name for name in imports if part_of(name) == "config"} <= {"thv.config.settings"}, module


ANALYTICS = sorted((ROOT / "analytics").glob("*.py"))


@pytest.mark.parametrize("path", ANALYTICS, ids=module_name)
def test_analytics_stand_on_the_standard_library_alone(path: Path) -> None:
    """No SDK, no HTTP library: what they would bring along cannot leak. Core asks platformdirs for one directory."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            named.add(node.module or "")
    strangers = {name.partition(".")[0] for name in named} - sys.stdlib_module_names
    assert strangers <= {"thv", "platformdirs"}


def test_analytics_are_handed_outcomes_and_a_consent_and_nothing_of_a_session() -> None:
    """The types say it: no text, bytes or message can be passed in. The rest is when, where to, and for tests."""
    tree = ast.parse((ROOT / "analytics" / "pipeline.py").read_text())
    [pipeline] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "UsageAnalytics"]
    methods = {node.name: node.args for node in pipeline.body if isinstance(node, ast.FunctionDef)}

    def types(name: str) -> dict[str, str]:
        arguments = methods[name]
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        assert (arguments.vararg, arguments.kwarg) == (None, None)
        return {arg.arg: ast.unparse(arg.annotation) for arg in listed if arg.annotation is not None}

    assert types("record") == {"outcomes": "Sequence[Outcome]"}
    assert types("client_disconnected") == {}
    assert types("close") == {"budget": "float"}
    assert types("__init__") == {
        "consent": "Callable[[], bool]",
        "activity": "Callable[[], int]",
        "debug": "bool",
        "warn": "Callable[[str], None] | None",
        "state_dir": "Callable[[], str | Path] | None",
        "endpoint": "str",
        "ca_file": "str | None",
        "interval": "float",
        "quiet": "float",
    }
    assert {name for name in methods if not name.startswith("_")} == {"record", "client_disconnected", "close"}


def test_only_the_instrumentation_makes_the_pipeline_and_hands_it_these() -> None:
    makers = {module for module, imports in GRAPH.items() if "thv.analytics.pipeline" in imports}
    assert makers == {"thv.instrumentation.instrumentation"}
    source = (ROOT / "instrumentation" / "instrumentation.py").read_text()
    calls = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "make_analytics"
    ]
    assert calls == ["make_analytics(usage_consent.is_given, activity=activity, debug=debug)"]


def test_analytics_telemetry_and_journal_never_know_each_other() -> None:
    for module, imports in GRAPH.items():
        for ours, other in permutations(("analytics", "telemetry", "journal"), 2):
            if part_of(module) == ours:
                assert not [name for name in imports if part_of(name) == other], module


def test_only_the_instrumentation_joins_the_ledger_to_its_consumers() -> None:
    parts = {module: {part_of(name) for name in names} for module, names in GRAPH.items()}
    joined = {m for m, known in parts.items() if "ledger" in known and known & {"analytics", "telemetry", "journal"}}
    assert {part_of(module) for module in joined} <= {"instrumentation"}


def test_relay_and_process_know_nothing_of_json() -> None:
    for module in GRAPH:
        if part_of(module) in {"relay", "process"}:
            source = (ROOT.parent / Path(*module.split("."))).with_suffix(".py")
            text = source.read_text() if source.exists() else ""
            assert "import json" not in text, module
            assert "msgspec" not in text, module


def test_version_and_errors_import_nothing_of_ours() -> None:
    assert GRAPH["thv"] == set()
    assert GRAPH["thv.errors"] == set()


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
