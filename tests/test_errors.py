"""The drawing in `thv.errors` shows every exception class, below the class it derives from, with its exit code."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import thv.errors

ROOT = Path(thv.__file__).parent

ROW = re.compile(r"^    (?P<trunk>[│├└─ ]*)(?P<name>\w+)(?: +(?P<exit_code>\d+))?(?:   .*)?$")
INDENT = 4
"""Characters of a level in the drawing."""


def drawn() -> dict[str, tuple[str, int | None]]:
    """Class -> the class it is drawn below (empty for a root), and its exit code if one is drawn."""
    found: dict[str, tuple[str, int | None]] = {}
    above: list[str] = []
    for line in (thv.errors.__doc__ or "").splitlines():
        row = ROW.match(line)
        if row is None:
            continue
        name, level = row["name"], len(row["trunk"]) // INDENT
        assert name not in found, f"{name} is drawn twice"
        above[level:] = [name]
        found[name] = (above[level - 1] if level else "", int(row["exit_code"]) if row["exit_code"] else None)
    return found


def defined() -> dict[str, tuple[list[str], int | None]]:
    """Exception class -> the names of its bases, and the exit code that it sets itself."""
    classes: dict[str, tuple[list[str], int | None]] = {}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                codes = [
                    statement.value.value
                    for statement in node.body
                    if isinstance(statement, ast.Assign)
                    and isinstance(statement.value, ast.Constant)
                    and [target.id for target in statement.targets if isinstance(target, ast.Name)] == ["exit_code"]
                ]
                if any(is_exception(base, classes) for base in bases):
                    assert node.name not in classes, f"two exception classes are named {node.name}"
                classes.setdefault(node.name, (bases, int(str(codes[0])) if codes else None))
    return {name: found for name, found in classes.items() if is_exception(name, classes)}


def is_exception(name: str, classes: dict[str, tuple[list[str], int | None]]) -> bool:
    builtin = getattr(builtins, name, None)
    if name not in classes:
        return isinstance(builtin, type) and issubclass(builtin, BaseException)
    return any(is_exception(base, classes) for base in classes[name][0])


def test_every_exception_class_is_drawn_below_its_base_and_nothing_else_is() -> None:
    drawing, classes = drawn(), defined()
    assert set(drawing) - {"Exception", "OSError", "ConnectionError", "ValueError"} == set(classes)
    for name, (bases, _) in classes.items():
        assert drawing[name][0] in {*bases, *(("",) if bases == ["Exception"] else ())}, name


def test_the_exit_codes_drawn_are_those_of_the_classes() -> None:
    drawing, classes = drawn(), defined()

    def exit_code(name: str) -> int | None:
        bases, own = classes.get(name, ([], None))
        return own if own is not None else next(filter(None, map(exit_code, bases)), None)

    assert {name: code for name, (_, code) in drawing.items()} == {name: exit_code(name) for name in drawing}
