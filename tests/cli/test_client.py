"""`thv client` as a command: discovery, edits, messages and exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.samples import written
from thv.__main__ import main
from thv.cli.run_options import WRAPPED_BY_CLIENT, all_options, parse
from thv.clients.catalog import CLIENTS
from thv.clients.client_file_locations import Machine, find, named, owner, user_paths
from thv.clients.mark import OPTION
from thv.errors import ThvError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]

SERVER = '{"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time"]}}}'


@pytest.fixture
def thv(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `thv client` in an empty folder; exit code, stdout, stderr."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["client", *words])
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def machine(home: Path) -> Machine:
    return Machine("linux", {}, home)


def put(path: Path, text: str | bytes = SERVER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def listed(out: str) -> list[tuple[str, str, str]]:
    return [
        (file["client"], server["name"], server["state"])
        for file in json.loads(out)["files"]
        for server in file["servers"]
    ]


def test_every_client_is_found_wrapped_and_unwrapped(thv: Run, machine: Machine, home: Path) -> None:
    before = {}
    for name, (client_id, data) in written().items():
        client = next(client for client in CLIENTS if client.id == client_id)
        path = Path(client.project[0]) if "project" in name else next(iter(user_paths(client, machine)), None)
        if path is None or "*" in str(path):
            path = home / name
        if "Claude/claude_desktop" in str(path) and sys.platform == "win32":
            continue
        before[put(path, data)] = data
    code, out, err = thv("wrap")
    assert code == 0, err
    assert out.count("+++ ") == len(before)
    assert all(path.read_bytes() != data for path, data in before.items())
    code, out, _ = thv("list", "--format", "json")
    assert code == 0
    assert {file["client"] for file in json.loads(out)["files"]} == {client.id for client in CLIENTS}
    assert not [row for row in listed(out) if row[2] == "direct"]
    assert thv("wrap")[1] == ""
    assert thv("unwrap")[0] == 0
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_dry_run_shows_the_diff_and_changes_nothing(thv: Run, home: Path) -> None:
    path = put(
        home / ".cursor" / "mcp.json", '{\n "mcpServers": {\n  "a": {\n   "command": "x",\n   "env": {"K": "s3cret"}}}}'
    )
    before = path.read_bytes()
    code, out, err = thv("wrap", "--dry-run")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"--- {path}"
    assert lines[2] == "@@ -4 +4,2 @@"
    assert lines[3] == '-   "command": "x",'
    assert "s3cret" not in out
    assert "would be wrapped: a" in err
    assert path.read_bytes() == before
    assert thv("wrap")[1] == out
    assert path.read_bytes() != before


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch(1)")
def test_the_diff_is_one_that_patch_applies(thv: Run, home: Path, tmp_path: Path) -> None:
    for name in ("vscode.json", "codex.toml", "goose.yaml", "zed.json"):
        client, data = written()[name]
        path = put(tmp_path / name, data.replace(b"\r\n", b"\n"))
        _, diff, _ = thv("wrap", str(path), "--dry-run")
        done = subprocess.run(["patch", "--quiet", str(path)], input=diff, text=True, check=False, capture_output=True)
        assert done.returncode == 0, done.stdout
        patched = path.read_bytes()
        put(path, data.replace(b"\r\n", b"\n"))
        assert thv("wrap", str(path))[0] == 0, client
        assert path.read_bytes() == patched


def test_one_broken_file_never_stops_the_others(thv: Run, home: Path) -> None:
    put(home / ".claude.json")
    broken = put(home / ".cursor" / "mcp.json", '{"mcpServers": {')
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").symlink_to(home / "nowhere")
    put(home / ".gemini" / "settings.json", b"")
    put(home / ".kiro" / "settings" / "mcp.json")
    for verb in ("wrap", "unwrap"):
        code, out, err = thv(verb)
        assert code == 1
        assert out.count("+++ ") == 2
        assert f"{broken}:1:17: is not valid JSON" in err
        assert "config.toml: cannot be changed: No such file or directory" in err
    code, out, _ = thv("list", "--format", "json")
    assert code == 1
    errors = [file["error"] for file in json.loads(out)["files"]]
    assert [bool(error) for error in errors] == [False, True, True, False, False]


def test_a_server_by_name_and_a_name_that_nothing_has(thv: Run, home: Path) -> None:
    put(home / ".cursor" / "mcp.json", '{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}')
    put(home / ".kiro" / "settings" / "mcp.json", '{"mcpServers": {"a": {"command": "x"}}}')
    assert thv("wrap", "--server", "b")[0] == 0
    assert listed(thv("list", "--format", "json")[1]) == [
        ("cursor", "a", "direct"),
        ("cursor", "b", "wrapped"),
        ("kiro", "a", "direct"),
    ]
    code, out, err = thv("wrap", "kiro", "--server", "c")
    assert (code, out) == (1, "")
    assert "no server is called 'c'" in err


def test_a_file_by_its_path_whatever_its_name(thv: Run, tmp_path: Path) -> None:
    for name, (_, data) in written().items():
        suffix = Path(name).suffix
        path = put(tmp_path / "any" / f"file{suffix}", data)
        code, _, err = thv("wrap", str(path))
        assert code == 0, (name, err)
        assert path.read_bytes() != data, name
        assert thv("unwrap", str(path))[0] == 0
        assert path.read_bytes() == data, name


def test_a_file_without_servers_is_named(thv: Run, tmp_path: Path) -> None:
    path = put(tmp_path / "other.json", '{"name": "package"}')
    code, out, err = thv("wrap", str(path))
    assert (code, out) == (1, "")
    assert "holds no servers under any key that thv knows" in err


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("cursr", 2, "did you mean cursor"),
        ("nonsense", 2, "the clients are claude-desktop, "),
        ("./away.json", 1, "./away.json: no such file"),
        ("~no-such-user/away.json", 1, "~no-such-user/away.json: no such file"),
        ("cursor", 1, "Cursor has no configuration here; looked for "),
    ],
)
def test_a_word_that_names_nothing_says_so(thv: Run, word: str, code: int, said: str) -> None:
    for verb in ("list", "wrap", "unwrap"):
        found, out, err = thv(verb, word)
        assert (found, out) == (code, "")
        assert said in err


def test_no_name_in_a_file_and_none_of_a_folder_controls_the_terminal(
    thv: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A project's file comes with the project, and may be anyone's.
    bad = "\x1b]0;x\x07\n\x9b\u202e"
    (tmp_path / bad).mkdir()
    monkeypatch.chdir(tmp_path / bad)
    runner = {"command": "uvx", "args": [bad]}
    servers = {f"a{bad}": {"command": f"sh{bad}"}, f"b{bad}": {"command": 1}, f"c{bad}": runner}
    put(Path(".cursor/mcp.json"), json.dumps({"mcpServers": servers}, ensure_ascii=False))
    named = str(Path(".cursor/mcp.json").absolute())
    answers = [thv(verb, *files) for verb in ("list", "wrap", "list", "unwrap") for files in ((), (named,))]
    assert [code for code, *_ in answers] == [0] * 8
    assert main(["doctor"]) == 1
    answers.append((1, *capfd.readouterr()))
    for _, *texts in answers:
        for text in texts:
            assert not {character for character in text if not character.isprintable()} - {"\n", "\t"}
    assert len(answers[0][1].splitlines()) == len(servers)


def test_a_folder_is_no_file_to_change(thv: Run) -> None:
    for verb in ("wrap", "unwrap"):
        code, out, err = thv(verb, "/")
        assert (code, out, err) == (1, "", "thv: /: cannot be changed: not a regular file\n")


def test_without_any_client_that_is_said(thv: Run) -> None:
    for verb in ("list", "wrap", "unwrap"):
        code, out, err = thv(verb)
        assert (code, out) == (0, "")
        assert "no MCP client is configured here" in err


def test_a_no_in_the_environment_goes_into_the_entries(thv: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(home / ".cursor" / "mcp.json")
    for variable, value, expected in (("CI", "", False), ("DO_NOT_TRACK", "1", True)):
        monkeypatch.setenv("CI", "")
        monkeypatch.setenv("DO_NOT_TRACK", "")
        monkeypatch.setenv(variable, value)
        assert thv("wrap")[0] == 0
        assert ("--otel-usage-analytics-enabled=false" in path.read_text()) is expected
        assert thv("unwrap")[0] == 0
        assert path.read_text() == SERVER


def test_the_mark_is_an_option_that_thv_run_takes_and_nobody_sees(thv: Run, home: Path) -> None:
    path = put(home / ".cursor" / "mcp.json")
    thv("wrap")
    entry = json.loads(path.read_text())["mcpServers"]["time"]
    request = parse(entry["args"][1:])
    assert request.name == "time"
    assert request.args == ("uvx", "mcp-server-time")
    assert request.wrapped_by_thv_client == "args"
    assert WRAPPED_BY_CLIENT.flags == (OPTION,)
    assert OPTION not in [flag for option in all_options() for flag in option.flags]
    assert OPTION not in request.to_argv()


def test_the_program_in_the_entry_is_thv_itself(thv: Run, home: Path) -> None:
    path = put(home / ".cursor" / "mcp.json")
    thv("wrap")
    command = json.loads(path.read_text())["mcpServers"]["time"]["command"]
    assert Path(command).is_absolute()
    assert subprocess.run([command, "--version"], capture_output=True, check=True).stdout.startswith(b"thv ")


def test_project_files_are_those_of_the_folder_that_is_named(thv: Run, tmp_path: Path) -> None:
    other = put(tmp_path / "other" / ".mcp.json")
    here = put(Path(".mcp.json"))
    assert thv("wrap", "--project", str(other.parent))[0] == 0
    assert here.read_text() == SERVER
    assert other.read_text() != SERVER
    code, out, err = thv("list", "--project", str(tmp_path / "nowhere"))
    assert (code, out) == (1, "")
    assert "no such folder" in err


def test_a_list_for_a_program_is_one_line_a_server(thv: Run, home: Path) -> None:
    path = put(
        home / ".cursor" / "mcp.json",
        '{"mcpServers": {"a": {"command": "npx", "args": ["-y", "pkg", "--token=x"]}, '
        '"b": {"url": "https://u:p@h/mcp?k=1"}, "c": {"command": "/opt/x", "args": ["postgres://u:p@h"]}}}',
    )
    assert thv("list")[1].splitlines() == [
        f"cursor\t{path}\ta\tdirect\tnpx pkg",
        f"cursor\t{path}\tb\tremote\thttps://h",
        f"cursor\t{path}\tc\tdirect\tx",
    ]


def test_both_results_as_json(thv: Run, home: Path) -> None:
    path = put(home / ".cursor" / "mcp.json", '{"mcpServers": {"a": {"command": "x"}, "b": {"url": "http://h"}}}')
    code, out, _ = thv("wrap", "--format", "json", "--dry-run")
    found: dict[str, Any] = json.loads(out)
    assert code == 0
    assert found["dry_run"] is True
    assert [(file["path"], [entry["name"] for entry in file["changed"]]) for file in found["files"]] == [
        (str(path), ["a"])
    ]
    assert [entry["state"] for entry in found["files"][0]["unchanged"]] == ["remote"]


def test_every_place_of_every_client_is_found_on_its_system(tmp_path: Path) -> None:
    for system in ("linux", "darwin", "win32"):
        machine = Machine(system, {}, tmp_path / system)
        for client in CLIENTS:
            paths = [Path(str(path).replace("*", "x")) for path in user_paths(client, machine)]
            for path in paths:
                put(path, '{"amp.mcpServers": {}}')
                found = [file for file in find(machine, None, (client,)) if file.path == path]
                assert found, (system, client.id, path)
                assert owner(path, machine) is not None
            assert paths or client.id == "claude-desktop", (system, client.id)


def test_a_variable_moves_a_clients_file(tmp_path: Path) -> None:
    put(tmp_path / "codex" / "config.toml", "")
    machine = Machine("linux", {"CODEX_HOME": str(tmp_path / "codex")}, tmp_path)
    assert [file.path for file in find(machine, None)] == [tmp_path / "codex" / "config.toml"]


def test_a_path_decides_which_client_reads_a_file(machine: Machine, tmp_path: Path) -> None:
    for path, client in {
        "x/.vscode/mcp.json": "vscode",
        "x/.cursor/mcp.json": "cursor",
        "x/.mcp.json": "claude-code",
        "x/claude_desktop_config.json": "claude-desktop",
        "x/.codex/config.toml": "codex",
        "x/.vibe/config.toml": "vibe",
        "x/goose/config.yaml": "goose",
        "x/opencode.jsonc": "opencode",
        "x/mcp.json": None,
    }.items():
        found = owner(put(tmp_path / path), machine)
        assert (found.id if found else None) == client, path


def test_what_is_named_twice_is_done_once(machine: Machine, tmp_path: Path) -> None:
    path = put(tmp_path / "mcp.json")
    assert len(named([str(path), str(path)], machine, None)) == 1
    with pytest.raises(UsageError):
        named(["nonsense"], machine, None)
    with pytest.raises(ThvError):
        named(["zed"], machine, None)
