"""What comments, docstrings and the papers for contributors name exists: modules, their members, files and tests."""

from __future__ import annotations

import ast
import importlib
import io
import re
import sys
import tokenize
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import thv

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(thv.__file__).parent
ROOT = Path(__file__).parents[1]
SOURCES = sorted(PACKAGE.rglob("*.py"))

PROTOCOL = {"error", "http", "mcp", "params", "result", "setting", "spec", "traces"}
"""First words of dotted names that are not ours: members of JSON, attributes of spans, of Kubernetes, of a setting."""

OUTSIDE = {
    *("JSON.stringify", "cmd.exe", "npx.cmd", "strconv.ParseBool", "types.py", "v5.channel.k8s.io"),
    *("CallToolResult", "DEFAULT_INHERITED_ENV_VARS", "OPENSSL_CONF", "RENAME_EXCHANGE", "RENAME_SWAP", "inet_aton"),
    *("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "disable_usage_metrics", "service_instance_id"),
    *("MeterProvider", "O_NONBLOCK"),
}
"""Names of other programs, of protocols and of systems."""

_REFERENCE = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\([^`]*\))?`(?!`)")


_CAMEL = re.compile(r"[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]*)+")


def dotted(path: Path) -> str:
    parts = ("thv", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def members_of(tree: ast.AST) -> set[str]:
    """Every name that a module or a class binds, takes as an argument, or sets on an object."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).rpartition(".")[2])
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def words_of(tree: ast.AST) -> set[str]:
    """The words in the strings of a module, docstrings apart, and the names of others that it uses."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in told:
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            found.update(re.findall(r"\w+", text))
    return found


TREES = {dotted(path): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
MEMBERS = {module: members_of(tree) for module, tree in TREES.items()}
for _path in PACKAGE.rglob("*"):
    if _path.is_dir() and _path.name != "__pycache__":
        MEMBERS.setdefault(dotted(_path), set())
for _module in list(MEMBERS):
    _above, _, _name = _module.rpartition(".")
    if _above:
        MEMBERS[_above].add(_name)
CLASSES: dict[str, set[str]] = {}
for _tree in TREES.values():
    for _node in ast.walk(_tree):
        if isinstance(_node, ast.ClassDef):
            CLASSES.setdefault(_node.name, set()).update(members_of(_node))
LIBRARIES = {
    each.name if isinstance(node, ast.Import) else node.module
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.Import | ast.ImportFrom)
    for each in node.names
} - {None, *sys.stdlib_module_names, *MEMBERS}
"""The modules of others that thv imports."""
NAMES = {name for members in MEMBERS.values() for name in members}
WORDS = NAMES | {word for tree in TREES.values() for word in words_of(tree)}


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """The comments and the docstrings of a file, those of constants included, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(TREES[dotted(path)]):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def is_there(reference: str) -> bool:
    """Whether a dotted name leads to a module or into one, perhaps without its first packages, or into a class."""
    parts = reference.split(".")
    for size in range(len(parts), 0, -1):
        end = ".".join(parts[:size])
        for known, members in MEMBERS.items():
            is_named = known == end or known.endswith(f".{end}")
            if is_named and (size == len(parts) or parts[size] in members):
                return True
    return parts[1] in CLASSES.get(parts[0], ())


def is_in_a_library(reference: str) -> bool:
    """Whether a dotted name is one of a library's that a module of thv imports."""
    library, *names = reference.split(".")
    if library not in LIBRARIES:
        return False
    try:
        reduce(getattr, names, importlib.import_module(library))
    except (ImportError, AttributeError):
        return False
    return True


def stale(path: Path) -> list[str]:
    """The references in a file that lead nowhere."""
    module = dotted(path)
    is_package = path.name == "__init__.py"
    found = []
    for line, text in texts_of(path):
        for reference in _REFERENCE.findall(text):
            head, _, rest = reference.partition(".")
            if rest:
                is_known = (
                    head in PROTOCOL or reference in OUTSIDE or head in sys.stdlib_module_names or is_there(reference)
                ) or is_in_a_library(reference)
            elif is_package and text == ast.get_docstring(TREES[module], clean=False):
                # It says what the modules of the package do.
                is_known = reference.startswith("__") or reference in MEMBERS[module] | MEMBERS["thv"] | set(CLASSES)
            elif "_" in reference.strip("_") or _CAMEL.fullmatch(reference):
                is_known = reference in WORDS or reference in OUTSIDE
            else:
                is_known = True  # a word of a protocol, or of the command line
            if not is_known:
                found.append(f"{path.relative_to(ROOT)}:{line}: `{reference}`")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_what_comments_and_docstrings_name_exists(path: Path) -> None:
    assert stale(path) == []


def test_an_object_shows_itself_by_the_name_of_its_class() -> None:
    wrong = []
    for module, tree in TREES.items():
        for each in ast.walk(tree):
            if isinstance(each, ast.ClassDef):
                shown = [node for node in each.body if isinstance(node, ast.FunctionDef) and node.name == "__repr__"]
                texts = [node.value for one in shown for node in ast.walk(one) if isinstance(node, ast.Constant)]
                names = [match[1] for text in texts if (match := re.match(r"<?([A-Z]\w+)[( ]", str(text)))]
                wrong += [f"{module}.{each.name}: {name}" for name in names if name != each.name]
    assert wrong == []


PAPERS = ("CONTRIBUTING.md", "docs/architecture.md")
TESTS = {name for path in (ROOT / "tests").rglob("*.py") for name in members_of(ast.parse(path.read_text("utf-8")))}


def is_file(name: str) -> bool:
    """Whether a file, a folder or a module has this name: in the project, in the package or in a part of it."""
    places = (ROOT, PACKAGE, *(PACKAGE / part for part in MEMBERS["thv"]))
    return any((place / name).exists() or (place / f"{name}.py").exists() for place in places)


@pytest.mark.parametrize("paper", PAPERS)
def test_what_the_papers_for_contributors_name_exists(paper: str) -> None:
    wrong = []
    for code in re.findall(r"`([^`\n]+)`", (ROOT / paper).read_text(encoding="utf-8")):
        for word in code.split():
            name = word.partition("=")[0].removesuffix("()")
            if "/" in word:
                is_known = word.startswith("/") or is_file(word)
            elif re.fullmatch(r"\w+\.(py|md|toml)", word):
                is_known = is_file(word)
            elif name.startswith("test_"):
                is_known = name in TESTS
            elif re.fullmatch(r"[a-z_]+(\.\w+)+", name):
                is_known = is_there(name) or is_file(name.replace(".", "/"))
            else:
                is_known = not ("_" in name.strip("_") or _CAMEL.fullmatch(name)) or name in WORDS | OUTSIDE
            if not is_known:
                wrong.append(word)
    assert wrong == []
