"""Writes the tree down for each shell: a template walks the words that were typed, the tables here say what may follow.

Promises: the same tree gives the same bytes. The scripts start no process of thv.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from completions.maker.tree import Command, Option, Tree, Word

TEMPLATES = Path(__file__).parent / "templates"
MARKER = "@TABLES@"


def scripts(tree: Tree) -> dict[str, str]:
    """The text of each script by the name of its file."""
    tables: dict[str, Callable[[Tree], str]] = {
        "thv.bash": _bash,
        "_thv": _zsh,
        "thv.fish": _fish,
        "thv.ps1": _powershell,
    }
    return {
        name: (TEMPLATES / name).read_text(encoding="utf-8").replace(MARKER, table(tree))
        for name, table in tables.items()
    }


def _spec(option: Option) -> str:
    """``+--env,-e=nothing``: it may be given again, its spellings, the kind of its value."""
    again = "+" if option.repeatable else ""
    return again + ",".join(option.flags) + ("" if option.kind is None else f"={option.kind}")


def _places(command: Command) -> list[str]:
    return [*command.places, *(["..."] if command.repeats else [])]


def _bash(tree: Tree) -> str:
    lines = ["_thv_look() { # COMMAND: what may follow it", "    verbs='' flags='' places='' tail=''", "    case $1 in"]
    for command in tree.commands:
        lines.append(f"    '{command.path}')")
        for name, words in (
            ("verbs", [word.text for word in command.verbs]),
            ("flags", [_spec(option) for option in command.options]),
            ("places", _places(command)),
            ("tail", [command.tail] if command.tail else []),
        ):
            if words:
                lines.append(f"        {name}='{' '.join(words)}'")
        lines.append("        ;;")
    lines += ["    *) return 1 ;;", "    esac", "}", "", "_thv_words() { # KIND: the words of it", "    case $1 in"]
    for kind, found in tree.words.items():
        lines.append(f"    '{kind}') found='{' '.join(word.text for word in found)}' ;;")
    return "\n".join([*lines, "    *) found='' ;;", "    esac", "}"])


def _zsh(tree: Tree) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("'", "'\\''") + "'"

    def described(words: Iterable[Word]) -> list[str]:
        return [quoted(f"{word.text.replace(':', chr(92) + ':')}:{word.help}") for word in words]

    lines = ["_thv_look() { # COMMAND: what may follow it", "  verbs=() flags=() places=() tail=", "  case $1 in"]
    for command in tree.commands:
        lines.append(f"  '{command.path}')")
        if command.verbs:
            lines += ["    verbs=(", *(f"      {word}" for word in described(command.verbs)), "    )"]
        flags = [quoted(f"{_spec(option)}:{option.help}") for option in command.options]
        lines += ["    flags=(", *(f"      {flag}" for flag in flags), "    )"]
        lines += [f"    places=({' '.join(_places(command))})"] if command.places else []
        lines += [f"    tail={command.tail}"] if command.tail else []
        lines.append("    ;;")
    lines += ["  *) return 1 ;;", "  esac", "}", "", "_thv_words() { # KIND: the words of it", "  case $1 in"]
    for kind, found in tree.words.items():
        lines += [f"  '{kind}')", "    found=(", *(f"      {word}" for word in described(found)), "    )", "    ;;"]
    return "\n".join([*lines, "  *) found=() ;;", "  esac", "}"])


def _fish(tree: Tree) -> str:
    def quoted(text: str, meaning: str = "") -> str:
        escaped = [part.replace("\\", "\\\\").replace("'", "\\'") for part in (text, meaning)]
        return f"'{escaped[0]}'\\t'{escaped[1]}'" if meaning else f"'{escaped[0]}'"

    def several(name: str, words: list[str]) -> list[str]:
        if not words:
            return []
        return [
            f"            set {name} \\",
            *(f"                {word} \\" for word in words[:-1]),
            f"                {words[-1]}",
        ]

    lines = [
        "function __thv_look -S # COMMAND: what may follow it",
        "    set verbs",
        "    set flags",
        "    set places",
        "    set tail ''",
        "    switch $argv[1]",
    ]
    for command in tree.commands:
        lines.append(f"        case '{command.path}'")
        lines += several("verbs", [quoted(word.text, word.help) for word in command.verbs])
        lines += several("flags", [quoted(_spec(option), option.help) for option in command.options])
        lines += [f"            set places {' '.join(_places(command))}"] if command.places else []
        lines += [f"            set tail {command.tail}"] if command.tail else []
    lines += ["        case '*'", "            return 1", "    end", "    return 0", "end", ""]
    lines += ["function __thv_words -S # KIND: the words of it", "    set found", "    switch $argv[1]"]
    for kind, found in tree.words.items():
        lines += [f"        case '{kind}'", *several("found", [quoted(word.text, word.help) for word in found])]
    return "\n".join([*lines, "    end", "end"])


def _powershell(tree: Tree) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    def several(name: str, words: Iterable[tuple[str, str]]) -> list[str]:
        pairs = [f"            @({quoted(text)}, {quoted(meaning)})" for text, meaning in words]
        return (
            [f"        {name} = @(", ",\n".join(pairs), "        )"]
            if len(pairs) > 1
            else [f"        {name} = @(" + "".join(f", {pair.strip()}" for pair in pairs) + ")"]
        )

    lines = ["    $commands = @{}"]
    for command in tree.commands:
        lines.append(f"    $commands[{quoted(command.path)}] = @{{")
        lines += several("verbs", [(word.text, word.help) for word in command.verbs])
        lines += several("flags", [(_spec(option), option.help) for option in command.options])
        lines.append(f"        places = @({', '.join(map(quoted, _places(command)))})")
        lines += [f"        tail = {quoted(command.tail)}", "    }"]
    lines.append("    $kinds = @{}")
    for kind, found in tree.words.items():
        pairs = [f"        @({quoted(word.text)}, {quoted(word.help)})" for word in found]
        lines += [f"    $kinds[{quoted(kind)}] = @(", ",\n".join(pairs), "    )"]
    return "\n".join(lines)
