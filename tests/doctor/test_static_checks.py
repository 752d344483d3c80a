"""What `thv doctor` sees without starting anything: each problem with its remedy, and nothing where all is well."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from thv.clients.catalog import BY_NAME
from thv.clients.client_file_locations import ClientFile
from thv.doctor import desktop
from thv.doctor.examination import examine
from thv.doctor.variables import UnknownValueError, fill

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a desktop session's PATH is POSIX's trouble")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that only this shell's PATH has; the desktop's has another."""
    folder, other = tmp_path / "shell", tmp_path / "desktop"
    for each in (folder, other):
        each.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(desktop, "path", lambda: str(other))
    return folder


def program(path: Path) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def problems(tmp_path: Path, client: str, text: str | dict[str, Any]) -> list[tuple[str, str]]:
    path = tmp_path / "file"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    found = examine([ClientFile(path, BY_NAME[client])])[0]
    return [(one.problem, one.remedy) for one in (*found.findings, *(f for s in found.servers for f in s.findings))]


def of(tmp_path: Path, client: str = "cursor", **entry: Any) -> list[tuple[str, str]]:
    return problems(tmp_path, client, {"mcpServers": {"a": entry}})


def test_a_command_of_the_shell_alone_is_not_there_for_a_desktop_client(tmp_path: Path, shell: Path) -> None:
    whole = program(shell / "uvx")
    assert of(tmp_path, command="uvx") == [
        (
            "uvx is in the PATH of this shell, and not in that of programs started from the desktop",
            f"write {whole} as its command",
        )
    ]
    assert of(tmp_path, "claude-code", command="uvx") == []
    assert of(tmp_path, command=whole) == []
    assert of(tmp_path, command="uvx", env={"PATH": str(shell)}) == []
    assert of(tmp_path, command="uvx", env={"PATH": f"{shell}:${{env:PATH}}"}) == []
    inside = {"context_servers": {"a": {"command": {"path": "uvx", "env": {"PATH": str(shell)}}}}}
    assert problems(tmp_path, "zed", inside) == []


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("npx", "install Node.js: https://nodejs.org"),
        ("uvx", "install uv: https://docs.astral.sh/uv"),
        ("docker", "install Docker: https://docs.docker.com"),
        ("frob", "install it, or write its whole path"),
    ],
)
def test_a_command_that_is_nowhere(tmp_path: Path, shell: Path, command: str, remedy: str) -> None:
    assert of(tmp_path, command=command) == [(f"{command} is not found", remedy)]


def test_an_npx_without_its_node(tmp_path: Path, shell: Path) -> None:
    npx = program(tmp_path / "desktop" / "npx")
    program(shell / "node")
    assert of(tmp_path, command=npx) == [
        (f"{npx} is found, and the node it needs is not in the PATH Cursor has", f"add {shell} to PATH in its env")
    ]
    program(tmp_path / "desktop" / "node")
    assert of(tmp_path, command=npx) == []


def test_behind_thv_the_servers_own_command_is_looked_for(tmp_path: Path, shell: Path) -> None:
    thv = program(tmp_path / "thv")
    program(shell / "uvx")
    args = ["run", "--name", "a", "--wrapped-by-thv-client=args", "--", "uvx", "x"]
    assert [remedy for _, remedy in of(tmp_path, command=thv, args=args)] == [
        f"write {shell / 'uvx'} as its command, behind the --"
    ]
    assert of(tmp_path, command="/away/thv", args=[*args[:-2], thv]) == [
        ("/away/thv, which stands before it, is not there any more", "thv client unwrap, and then thv client wrap")
    ]


def test_paths_that_are_not_there(tmp_path: Path, shell: Path) -> None:
    python = program(tmp_path / "python3.12")
    plain = tmp_path / "plain"
    plain.write_text("")
    blank = tmp_path / "in two"
    blank.write_text("")
    assert of(tmp_path, command=python, args=["-u", "/away/server.py"])[0][0] == "/away/server.py does not exist"
    assert of(tmp_path, command=str(plain)) == [(f"{plain} is not executable", f"chmod +x {plain}")]
    assert of(tmp_path, command=str(blank)) == [(f"{blank} is not executable", f"chmod +x '{blank}'")]
    assert of(tmp_path, command=python, cwd="/away", envFile="/away/.env") == [
        ("its cwd /away does not exist", "make the folder, or correct the path"),
        ("its envFile /away/.env does not exist", "make the file, or correct the path"),
    ]
    assert of(tmp_path, command="./relative") == []
    assert of(tmp_path, command="${workspaceFolder}/x") == []


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("name", "args", "missing"),
    [
        ("sh", ["-c", "/usr/bin/env python3 server.py"], None),
        ("bash", ["-lc", "/away/server --stdio"], None),
        ("node", ["-e", "/away/.test('x')"], None),
        ("node", ["--eval", "/away/.test('x')"], None),
        ("java", ["-cp", "/away/a.jar:/away/b.jar", "Main"], None),
        ("java", ["-jar", "/away/server.jar"], "/away/server.jar"),
        ("node", ["--no-warnings", "/away/server.js"], "/away/server.js"),
        ("node", ["--max-old-space-size=64", "/away/server.js", "/away/notes"], "/away/server.js"),
        ("python3", ["/away/server.py"], "/away/server.py"),
        ("python3", ["-m", "server", "/away/notes"], None),
    ],
)
def test_only_what_an_interpreter_takes_for_its_program_has_to_be_there(
    tmp_path: Path, name: str, args: list[str], missing: str | None
) -> None:
    command = program(tmp_path / name)
    found = [problem for problem, _ in of(tmp_path, command=command, args=args)]
    assert found == ([] if missing is None else [f"{missing} does not exist"])


@pytest.mark.parametrize(
    ("client", "text", "problem", "remedy"),
    [
        ("vscode", '{"mcpServers": {"a": {"command": "x"}}}', '"mcpServers"', 'move them to "servers"'),
        ("cursor", '{"servers": {"a": {"url": "http://x"}}}', '"servers"', 'move them to "mcpServers"'),
        ("cursor", '{"mcpservers": {"a": {"command": "x"}}}', '"mcpservers"', 'move them to "mcpServers"'),
        ("cursor", '{"mcp_server": {"a": {"command": "x"}}}', '"mcp_server"', 'move them to "mcpServers"'),
        ("codex", "[mcpServers.a]\ncommand = 'x'\n", '"mcpServers"', 'move them to "mcp_servers"'),
        ("zed", '{"mcpServers": {"a": {"command": "x"}}}', '"mcpServers"', 'move them to "context_servers"'),
    ],
)
def test_servers_under_a_key_that_the_client_does_not_read(
    tmp_path: Path, client: str, text: str, problem: str, remedy: str
) -> None:
    found = problems(tmp_path, client, text)
    assert found == [(f"it has servers under {problem}, where {BY_NAME[client].title} does not look", remedy)]


def test_other_settings_with_such_names_are_not_wrong(tmp_path: Path) -> None:
    assert problems(tmp_path, "gemini-cli", {"mcpServers": {}, "mcp": {"excluded": ["x"]}}) == []


def test_comments_where_the_client_allows_none(tmp_path: Path) -> None:
    text = '{\n  // mine\n  "mcpServers": {},\n}'
    assert problems(tmp_path, "claude-desktop", text) == [
        (f"{tmp_path / 'file'}:2:3: a comment, which Claude Desktop does not read", "remove it")
    ]
    assert problems(tmp_path, "vscode", text.replace("mcpServers", "servers")) == []


@pytest.mark.parametrize(
    "odd",
    [
        {"command": "\ud800"},
        {"command": "/away/\ud800"},
        {"command": "~\ud800/x"},
        {"command": "x", "env": {"PATH": "/a\0b"}},
        {"command": "x", "env": {"PATH": "/\ud800"}},
    ],
)
def test_a_path_that_no_system_has_is_a_finding_of_its_server(tmp_path: Path, shell: Path, odd: dict[str, Any]) -> None:
    found = problems(tmp_path, "cursor", {"mcpServers": {"odd": odd, "other": {"command": "frob"}}})
    assert [problem for problem, _ in found] == [
        "it has a path that no system can have, with a NUL or half of a surrogate pair",
        "frob is not found",
    ]


def test_a_home_of_nobody_is_a_path_like_any_other(tmp_path: Path, shell: Path) -> None:
    assert [problem for problem, _ in of(tmp_path, command="~no-such-user/x")] == []
    assert [problem for problem, _ in of(tmp_path, command="~/no-such-program")] == ["~/no-such-program does not exist"]


def test_a_file_that_is_broken_is_a_finding_with_its_position(tmp_path: Path) -> None:
    [(problem, remedy)] = problems(tmp_path, "cursor", '{"mcpServers": {"a": {"command": "x"},}')
    assert problem.startswith(f"{tmp_path / 'file'}:1:40: is not valid JSON")
    assert remedy.startswith("mend the file there")


def test_one_server_that_is_started_twice(tmp_path: Path, shell: Path) -> None:
    command = program(tmp_path / "server")
    wrapped = ["run", "--wrapped-by-thv-client=no-args", "--", command]
    thv = program(tmp_path / "thv")
    text = {"mcpServers": {"a": {"command": command}, "b": {"command": thv, "args": wrapped}, "c": {"command": thv}}}
    assert problems(tmp_path, "cursor", text) == [
        (f"it is the same server as a, line 1 of {tmp_path / 'file'}", "remove one of the two")
    ]


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("client", "servers", "entry", "others"),
    [
        ("cursor", "mcpServers", {"command": "CMD"}, {"env": {"ACCOUNT": "2"}}),
        ("vscode", "servers", {"command": "CMD", "envFile": "1.env"}, {"envFile": "2.env"}),
        ("opencode", "mcp", {"command": ["CMD"], "environment": {"ACCOUNT": "1"}}, {"environment": {"ACCOUNT": "2"}}),
        (
            "zed",
            "context_servers",
            {"command": {"path": "CMD", "env": {"ACCOUNT": "1"}}},
            {"command": {"path": "CMD", "env": {"ACCOUNT": "2"}}},
        ),
    ],
)
def test_one_program_with_other_variables_is_another_server(
    tmp_path: Path, client: str, servers: str, entry: dict[str, Any], others: dict[str, Any]
) -> None:
    command = program(tmp_path / "server")
    two = json.dumps({servers: {"a": entry, "b": {**entry, **others}}}).replace("CMD", command)
    assert problems(tmp_path, client, two) == []
    same = json.dumps({servers: {"a": entry, "b": entry}}).replace("CMD", command)
    assert [remedy for _, remedy in problems(tmp_path, client, same)] == ["remove one of the two"]


def test_goose_has_its_variables_under_envs(tmp_path: Path, shell: Path) -> None:
    entries = "".join(
        f"  {name}:\n    cmd: frob\n    envs: {{PATH: {tmp_path}, ACCOUNT: {name}}}\n" for name in ("work", "home")
    )
    assert {problem for problem, _ in problems(tmp_path, "goose", f"extensions:\n{entries}")} == {"frob is not found"}
    program(tmp_path / "frob")
    assert problems(tmp_path, "goose", f"extensions:\n{entries}") == []


def test_what_its_client_cannot_start_is_wrong_and_what_thv_leaves_alone_is_not(tmp_path: Path) -> None:
    assert of(tmp_path, args=["x"])[0][0] == "it has no command"
    assert of(tmp_path, command="npx -y x")[0][0].startswith("its command is a whole command line")
    assert of(tmp_path, command="${input:x}") == []
    goose = "extensions:\n  dev:\n    type: builtin\n    name: dev\n"
    assert problems(tmp_path, "goose", goose) == []
    assert problems(tmp_path, "zed", {"context_servers": {"x": {"source": "extension", "settings": {}}}}) == []
    assert problems(tmp_path, "continue", "mcpServers:\n  - uses: acme/x\n") == []


def test_remote_and_disabled_servers_are_not_examined(tmp_path: Path, shell: Path) -> None:
    assert of(tmp_path, url="http://x") == []
    assert of(tmp_path, command="/away", disabled=True) == []


def test_placeholders_are_filled_in_as_clients_do() -> None:
    environ = {"TOKEN": "t", "HOME": "/h"}
    for text, filled in {
        "${env:TOKEN}-${TOKEN}": "t-t",
        "${env:NONE}": "",
        "${NONE:-x}": "x",
        "${workspaceFolder}/a": "/p/a",
        "${userHome}": "/h",
        "{env:TOKEN}": "t",
        "$TOKEN {} ${": "$TOKEN {} ${",
    }.items():
        assert fill(text, environ=environ, folder="/p") == filled, text
    for text in ("${input:x}", "${{ secrets.X }}", "${NONE}", "${command:x}"):
        with pytest.raises(UnknownValueError):
            fill(text, environ=environ, folder="/p")


def test_the_desktops_environment_has_a_path_and_not_the_shells(monkeypatch: pytest.MonkeyPatch) -> None:
    desktop.path.cache_clear()
    found = desktop.environment({"HOME": "/h", "PATH": "/only/in/the/shell", "SECRET": "x", "DO_NOT_TRACK": "1"})
    assert found == {"HOME": "/h", "DO_NOT_TRACK": "1", "PATH": desktop.path()}
    assert "/usr/bin" in found["PATH"].split(":")
