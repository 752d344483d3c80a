"""Generated configuration files: random layout, comments, quoting, order and settings.

Each file comes with what it means, so that a test need not trust the parser under test. `ELSEWHERE` stands once in
each file, in a setting that is no server: a test replaces it to edit the file elsewhere.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

ELSEWHERE = "edit-me"

NAMES = [
    "time",
    "my server",
    "a.b",
    "ümlaut",
    "x-1",
    'quo"te',
    "-v",
    "--",
    "日本",
    "$HOME",
    "{env:X}",
    "it's",
    "a\\b",
    "1",
]
COMMANDS = [
    "npx",
    "uvx",
    "/opt/my tools/server",
    "C:\\Program Files\\nodejs\\npx.cmd",
    "./run.sh",
    "sérver",
    "/a,b/[c]{d}",
    "python3.12",
    "it's",
    'say"hi"',
    "/x#y",
]
WORDS = [
    "-y",
    "@scope/pkg@1.2",
    "--",
    "",
    "run",
    "a b",
    "tab\there",
    "ünï",
    "${input:key}",
    "#no",
    "C:\\x",
    "{}",
    "[1]",
    "😀",
    "--name",
    "null",
    "true",
    "1.5",
    "- x",
    "key: value",
    "'",
    '"',
    "\\",
    "//x",
    "/*y*/",
    ",",
    "\u2028",
    "line\nbreak",
]
OTHERS: list[Any] = [
    1,
    -2.50,
    10**30,
    1e400,
    True,
    None,
    "text // no comment",
    [1, [2, {"command": "no"}]],
    {"args": ["x"]},
    "",
]


@dataclass(frozen=True)
class Sample:
    """One generated file: its text, the servers it has as (command, args or None), and the client that reads it."""

    text: str
    servers: dict[str, tuple[str, list[str] | None]]
    client: str


class Writer:
    """Writes values with random white space, comments and quoting."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.newline = self.random.choice(["\n", "\n", "\r\n"])
        self.indent = self.random.choice(["  ", "    ", "\t", ""])

    def one_in(self, count: int) -> bool:
        return self.random.randrange(count) == 0

    def servers(self) -> dict[str, tuple[str, list[str] | None]]:
        names = self.random.sample(NAMES, self.random.randint(1, 4))
        return {name: (self.random.choice(COMMANDS), self.args()) for name in names}

    def args(self) -> list[str] | None:
        return self.random.choice(
            [None, [], *[self.random.choices(WORDS, k=self.random.randint(1, 4)) for _ in range(3)]]
        )


class JsonWriter(Writer):
    def __init__(self, seed: int, *, comments: bool) -> None:
        super().__init__(seed)
        self.comments = comments

    def sample(self, client: str, key: str) -> Sample:
        servers = self.servers()
        entries = {}
        for name, (command, args) in servers.items():
            fields: list[tuple[str, Any]] = [("command", command)]
            if args is not None:
                fields.append(("args", args))
            fields += [
                (other, self.random.choice(OTHERS)) for other in self.random.sample(["env", "cwd", "timeout"], 2)
            ]
            self.random.shuffle(fields)
            entries[name] = dict(fields)
        root = [("setting", ELSEWHERE), (key, entries), ("number", self.random.choice(OTHERS))]
        self.random.shuffle(root)
        mark = "\ufeff" if self.one_in(8) else ""
        return Sample(f"{mark}{self.gap()}{self.value(dict(root), 0)}{self.gap()}", servers, client)

    def gap(self) -> str:
        if not self.comments or not self.one_in(6):
            return self.random.choice(["", "", " ", "  "])
        return self.random.choice(
            [
                f' // a "comment" {{[{self.newline}',
                "/* , */",
                f"/*{self.newline} * x{self.newline} */",
                f"//{self.newline}",
            ]
        )

    def string(self, value: str) -> str:
        if self.one_in(4):
            escaped = "".join(
                f"\\u{ord(c):04x}" if self.one_in(3) and ord(c) < 0x10000 else json.dumps(c, ensure_ascii=False)[1:-1]
                for c in value
            )
            return f'"{escaped}"'
        return json.dumps(value, ensure_ascii=self.one_in(2))

    def value(self, value: Any, depth: int) -> str:
        if isinstance(value, str):
            return self.string(value)
        if isinstance(value, dict):
            return self.items(
                [f"{self.string(k)}{self.gap()}:{self.gap()}{self.value(v, depth + 1)}" for k, v in value.items()],
                "{}",
                depth,
            )
        if isinstance(value, list):
            return self.items([self.value(item, depth + 1) for item in value], "[]", depth)
        return "1E+400" if value == 1e400 else json.dumps(value)

    def items(self, items: list[str], brackets: str, depth: int) -> str:
        if not items:
            return brackets[0] + self.gap() + brackets[1]
        lines = self.one_in(2)
        start = self.newline + self.indent * (depth + 1) if lines else self.gap()
        end = self.newline + self.indent * depth if lines else self.gap()
        joined = ""
        for index, item in enumerate(items):
            last = index == len(items) - 1
            comma = "," if not last or (self.comments and self.one_in(3)) else ""
            joined += f"{start}{self.gap()}{item}{self.gap()}{comma}{self.gap()}"
        return brackets[0] + joined + end + brackets[1]


class TomlWriter(Writer):
    def sample(self) -> Sample:
        servers = self.servers()
        lines = [f"setting = {self.string(ELSEWHERE)}", f"nan = nan{self.comment()}", "date = 1979-05-27 07:32:00Z"]
        style = self.random.choice(["tables", "tables", "dotted", "inline"])
        if style == "inline":
            lines.append("[mcp_servers]")
        elif style == "dotted":
            lines.append(self.random.choice(["[ mcp_servers ] # x", "['mcp_servers']"]))
        for name, (command, args) in servers.items():
            fields = [("command", self.string(command))]
            if args is not None:
                fields.append(("args", self.array(args, lines=True)))
            fields += [("startup_timeout_sec", "1_0.5"), ("env", f"{{ A = {self.string('x')}, 'b.c' = 1 }}")]
            self.random.shuffle(fields)
            key = self.key(name)
            if style == "tables":
                lines += ["", f"[mcp_servers.{key}]{self.comment()}"]
                lines += [
                    f"{self.random.choice(['', '  '])}{k}{self.gap()}={self.gap()}{v}{self.comment()}"
                    for k, v in fields
                ]
                lines += [f"[mcp_servers.{key}.tools]", "x = 1"] if self.one_in(3) else []
            elif style == "dotted":
                lines += [f"{key}{self.gap()}.{self.gap()}{k} = {v}{self.comment()}" for k, v in fields]
            else:
                lines.append(f"{key} = {{{self.gap()}{', '.join(f'{k} = {v}' for k, v in fields)}{self.gap()}}}")
        text = self.newline.join(lines) + ("" if self.one_in(3) else self.newline)
        return Sample(("\ufeff" if self.one_in(8) else "") + text, servers, "codex")

    def gap(self) -> str:
        return self.random.choice(["", " ", "\t"])

    def comment(self) -> str:
        return ' # "c' if self.one_in(4) else ""

    def key(self, name: str) -> str:
        if name in {"x-1", "time", "-v", "--", "1"} and self.one_in(2):
            return name
        return self.random.choice([json.dumps(name, ensure_ascii=False), json.dumps(name)])

    def string(self, value: str) -> str:
        forms = [json.dumps(value, ensure_ascii=False)]
        if "'" not in value and not any(ord(c) < 32 for c in value):
            forms.append(f"'{value}'")
        if (
            not value.startswith(("'", '"'))
            and not value.endswith(("'", '"'))
            and "\\" not in value
            and "\n" not in value
        ):
            forms += [f'"""{value}"""', f"'''{value}'''"]
        return self.random.choice(forms)

    def array(self, items: list[str], *, lines: bool) -> str:
        if lines and self.one_in(2):
            start = f"{self.newline}{self.indent}"
            noise = f" # no, [{self.newline}"
            inner = "".join(f"{start}{self.string(item)}," + (noise if self.one_in(3) else "") for item in items)
            return f"[{noise if self.one_in(4) else ''}{inner}{self.newline}]"
        return "[" + ", ".join(map(self.string, items)) + ("," if items and self.one_in(3) else "") + "]"


class YamlWriter(Writer):
    def sample(self, client: str) -> Sample:
        self.indent = self.random.choice(["  ", "    ", " "])
        servers = self.servers()
        lines = [f"setting: {ELSEWHERE}{self.comment()}", "other: &a [1, x]", "again: *a"]
        lines.append("extensions:" if client == "goose" else "mcpServers:")
        program = "cmd" if client == "goose" else "command"
        for name, (command, args) in servers.items():
            fields = [(program, [self.string(command)])]
            if args is not None:
                fields.append(("args", self.array(args)))
            fields += [("timeout", ["300"]), ("description", ["|", f"{self.indent}cmd: no", f"{self.indent}  # text"])]
            if client != "goose":
                fields.append(("name", [self.string(name)]))
            self.random.shuffle(fields)
            if self.one_in(4):
                flow = [(k, v) for k, v in fields if len(v) == 1]
                if len(flow) == len(fields) - 1:
                    body = f"{{{', '.join(f'{k}: {self.in_flow(v[0])}' for k, v in flow)}}}"
                    lines.append(
                        f"{self.indent}- {body}" if client != "goose" else f"{self.indent}{self.key(name)}: {body}"
                    )
                    continue
            inner = []
            for k, v in fields:
                inner += [f"{k}: {v[0]}{self.comment() if v[0] != '|' else ''}" if v[0] else f"{k}:", *v[1:]]
            if client == "goose":
                lines += [f"{self.indent}{self.key(name)}:", *(f"{self.indent * 2}{line}" for line in inner)]
            else:
                lines += [f"{self.indent}{'- ' if i == 0 else '  '}{line}" for i, line in enumerate(inner)]
        lines += ["last: x"] if self.one_in(2) else []
        text = self.newline.join(lines) + ("" if self.one_in(3) else self.newline)
        return Sample(("\ufeff" if self.one_in(8) else "") + text, servers, client)

    def comment(self) -> str:
        return " # c: [" if self.one_in(4) else ""

    def key(self, name: str) -> str:
        return name if name in {"time", "x-1", "a.b", "ümlaut", "日本"} else self.quoted(name)

    def quoted(self, value: str) -> str:
        return json.dumps(value, ensure_ascii=False).replace("\u2028", "\\u2028")

    def string(self, value: str) -> str:
        forms = [self.quoted(value)]
        if not any(ord(c) < 32 or c == "\u2028" for c in value):
            forms.append("'" + value.replace("'", "''") + "'")
        if value in {
            "npx",
            "uvx",
            "./run.sh",
            "sérver",
            "/a,b/[c]{d}",
            "python3.12",
            "it's",
            "/x#y",
            "-y",
            "a b",
            "--",
            "--name",
            "C:\\x",
        }:
            forms += [value] * 3
        return self.random.choice(forms)

    def in_flow(self, raw: str) -> str:
        return self.quoted(raw) if raw[:1] not in "'\"[" and any(c in raw for c in ",[]{}") else raw

    def array(self, items: list[str]) -> list[str]:
        if not items or self.one_in(3):
            return ["[" + ", ".join(self.in_flow(self.string(item)) for item in items) + "]"]
        dash = self.random.choice(["", self.indent])
        return ["", *(f"{dash}- {self.string(item)}{self.comment()}" for item in items)]


KINDS = {
    "json": lambda seed: JsonWriter(seed, comments=False).sample("cursor", "mcpServers"),
    "json with comments": lambda seed: JsonWriter(seed, comments=True).sample("vscode", "servers"),
    "toml": lambda seed: TomlWriter(seed).sample(),
    "yaml of a map": lambda seed: YamlWriter(seed).sample("goose"),
    "yaml of a list": lambda seed: YamlWriter(seed).sample("continue"),
}
"""By format: makes the file of a seed."""
