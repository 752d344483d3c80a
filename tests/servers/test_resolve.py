"""How every form of SERVER is resolved, and the error when it cannot be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thv.errors import CommandNotFoundError, NotExecutableError, ThvError, UnknownServerError, UsageError
from thv.servers.registry import entries
from thv.servers.resolve import DEMO_FILE, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no execute bit and resolves shims")


def executable(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """A machine with both runners and one command on PATH."""
    for name in ("uvx", "npx", "a-command"):
        executable(tmp_path / name)
    return {"PATH": str(tmp_path), "KEPT": "yes"}


@posix_only
@pytest.mark.parametrize(
    ("server", "name", "argv"),
    [
        ("time", "time", ("uvx", "mcp-server-time", "X")),
        ("filesystem", "filesystem", ("npx", "-y", "@modelcontextprotocol/server-filesystem", "X")),
        ("uvx://mcp-server-git", "mcp-server-git", ("uvx", "mcp-server-git", "X")),
        ("uvx://mcp-server-git@2026.1.14", "mcp-server-git", ("uvx", "mcp-server-git@2026.1.14", "X")),
        ("UVX://mcp-server-git@latest", "mcp-server-git", ("uvx", "mcp-server-git@latest", "X")),
        ("npx://cowsay", "cowsay", ("npx", "-y", "cowsay", "X")),
        ("npx://cowsay@^1.2", "cowsay", ("npx", "-y", "cowsay@^1.2", "X")),
        ("npx://@scope/name", "name", ("npx", "-y", "@scope/name", "X")),
        ("npx://@scope/name@1.0.0-rc.1", "name", ("npx", "-y", "@scope/name@1.0.0-rc.1", "X")),
    ],
)
def test_a_package_becomes_a_command_of_its_runner(
    environ: Mapping[str, str], server: str, name: str, argv: tuple[str, ...]
) -> None:
    spec = resolve(server, ["X"], environ=environ)
    assert (spec.name, spec.argv, spec.runner) == (name, argv, argv[0])
    assert spec.env == environ
    assert spec.cwd is None
    assert not spec.is_demo


def test_the_demo_runs_inside_this_python_and_is_marked_as_a_demo() -> None:
    spec = resolve("demo", [], environ={})
    assert spec.argv == (sys.executable, "-IS", DEMO_FILE)
    assert Path(DEMO_FILE).is_absolute()
    assert Path(DEMO_FILE).is_file()
    assert (spec.name, spec.is_demo, spec.runner) == ("demo", True, None)


def test_only_the_demo_is_a_demo(environ: Mapping[str, str]) -> None:
    assert [name for name in entries() if resolve(name, [], environ=environ).is_demo] == ["demo"]


@posix_only
def test_a_command_is_taken_as_it_is(environ: Mapping[str, str]) -> None:
    spec = resolve(None, ["a-command", "--flag", "uvx://x", ""], environ=environ)
    assert spec.argv == ("a-command", "--flag", "uvx://x", "")
    assert (spec.name, spec.runner, spec.is_demo) == ("a-command", None, False)


@posix_only
def test_a_command_is_looked_up_on_the_path_the_child_will_have(tmp_path: Path, environ: Mapping[str, str]) -> None:
    with pytest.raises(CommandNotFoundError):
        resolve(None, ["a-command"], environ=environ, env=["PATH=/nowhere"])
    assert resolve(None, ["a-command"], environ={}, env=[f"PATH={tmp_path}"]).name == "a-command"


@posix_only
def test_a_path_is_an_executable_relative_to_where_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    server = executable(tmp_path / "bin" / "server")
    monkeypatch.chdir(tmp_path)
    spec = resolve("bin/server", ["X"], environ={})
    assert (spec.name, spec.argv) == ("server", ("bin/server", "X"))
    elsewhere = resolve("bin/server", [], environ={}, cwd="bin")
    assert elsewhere.argv == (str(server),)
    assert elsewhere.cwd == str(tmp_path / "bin")
    assert resolve(None, ["bin/server"], environ={}, cwd="bin").argv == (str(server),)


@posix_only
def test_a_tilde_is_the_home_directory(home: Path) -> None:
    server = executable(home / "server")
    assert resolve("~/server", [], environ={}).argv == (str(server),)
    assert resolve("demo", [], environ={}, cwd="~").cwd == str(home)


def test_a_name_of_ones_own_replaces_the_servers_and_nothing_else() -> None:
    plain, named = resolve("demo", ["X"], environ={"A": "1"}), resolve("demo", ["X"], environ={"A": "1"}, name="mine")
    assert named.name == "mine"
    assert (named.argv, named.env, named.is_demo) == (plain.argv, plain.env, True)


def test_variables_reach_the_child_and_the_parents_stay(tmp_path: Path) -> None:
    file = tmp_path / "vars"
    file.write_text("FILE=1\n")
    spec = resolve("demo", [], environ={"PATH": "p"}, env=["OPTION=2"], env_file=[str(file)])
    assert spec.env == {"PATH": "p", "FILE": "1", "OPTION": "2"}


@pytest.mark.parametrize(
    ("server", "near"),
    [("tim", "time"), ("Time", "time"), ("deom", "demo"), ("file-system", "filesystem"), ("gti", "git")],
)
def test_an_unknown_name_is_answered_with_the_nearest_ones(server: str, near: str) -> None:
    with pytest.raises(UnknownServerError) as caught:
        resolve(server, [], environ={"PATH": ""})
    assert f"there is no server named {server!r}; did you mean" in str(caught.value)
    assert near in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("server", ["", "zzz", "qqqqqq"])
def test_a_name_like_none_is_answered_with_all_names_and_forms(server: str) -> None:
    with pytest.raises(UnknownServerError) as caught:
        resolve(server, [], environ={"PATH": "/nowhere"})
    for word in [*entries(), "uvx://PACKAGE", "npx://PACKAGE", "path of an executable"]:
        assert word in str(caught.value)


@posix_only
def test_an_unknown_name_that_is_a_command_is_told_how_to_run_it(environ: Mapping[str, str]) -> None:
    with pytest.raises(UnknownServerError, match="to run the command of that name: thv run -- a-command, ") as told:
        resolve("a-command", [], environ=environ)
    path = re.search(r"its path as SERVER: ([^;]+)", str(told.value))  # thv mcp takes nothing but a SERVER
    assert path is not None
    assert resolve(path[1], [], environ=environ).executable == path[1]


@posix_only
def test_what_is_to_be_typed_for_a_command_of_two_words_is_quoted(tmp_path: Path) -> None:
    command = tmp_path / "in two" / "a server"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o700)
    with pytest.raises(UnknownServerError) as told:
        resolve("a server", [], environ={"PATH": str(command.parent)})
    assert f"thv run -- 'a server', or its path as SERVER: '{command}'" in str(told.value)


@pytest.mark.parametrize(
    ("server", "runner", "remedy"),
    [
        ("time", "uvx", "https://docs.astral.sh/uv/"),
        ("uvx://x", "uvx", "https://docs.astral.sh/uv/"),
        ("everything", "npx", "https://nodejs.org/"),
        ("npx://@a/b", "npx", "https://nodejs.org/"),
    ],
)
def test_a_missing_runner_is_named_with_how_to_get_it(server: str, runner: str, remedy: str) -> None:
    with pytest.raises(CommandNotFoundError) as caught:
        resolve(server, [], environ={"PATH": "/nowhere"})
    assert f"needs {runner}, which is not on PATH" in str(caught.value)
    assert remedy in str(caught.value)
    assert caught.value.exit_code == 127


@pytest.mark.parametrize("server", ["https://example.com/mcp", "http://127.0.0.1:1/mcp", "HTTPS://example.com"])
def test_what_cannot_be_started_is_not_resolved_to_a_command(server: str) -> None:
    with pytest.raises(ThvError, match="a remote server is not started; only `thv run` and `thv mcp` take a URL"):
        resolve(server, [], environ={})


@pytest.mark.parametrize(
    ("server", "hint"),
    [
        ("npm://cowsay", "did you mean npx://cowsay?"),
        ("uv://x", "did you mean uvx://x?"),
        ("dokcer://image", "did you mean docker://image?"),
        ("ftp://image", "SERVER is a name, uvx://PACKAGE"),
        ("://x", "SERVER is a name, uvx://PACKAGE"),
    ],
)
def test_an_unknown_scheme_is_answered_with_the_known_ones(server: str, hint: str) -> None:
    with pytest.raises(UnknownServerError) as caught:
        resolve(server, [], environ={})
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "server",
    [
        "uvx://",
        "uvx://@1",
        "uvx://a@",
        "uvx://--with=evil",
        "uvx://-p",
        "uvx://a b",
        "uvx://a\n",
        "uvx://a/b",
        "uvx://@scope/name",
        "npx://",
        "npx://@scope",
        "npx://@/name",
        "npx://@scope/",
        "npx://@scope/name@",
        "npx://a/b",
        "npx://@scope/a/b",
        "npx://--yes",
        "npx://@scope/-x",
        "npx://a\0",
    ],
)
def test_what_is_no_package_is_never_handed_to_a_runner(environ: Mapping[str, str], server: str) -> None:
    with pytest.raises(ThvError, match="not a package: write"):
        resolve(server, [], environ=environ)


@posix_only
def test_a_path_that_cannot_be_executed_says_why(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("")
    with pytest.raises(NotExecutableError, match="chmod"):
        resolve(str(tmp_path / "text"), [], environ={})
    with pytest.raises(NotExecutableError, match="is a directory"):
        resolve(str(tmp_path), [], environ={})
    with pytest.raises(CommandNotFoundError, match="no such file"):
        resolve(str(tmp_path / "missing"), [], environ={})


@pytest.mark.parametrize("args", [[], [""]])
def test_no_command_at_all_is_an_error(args: list[str]) -> None:
    with pytest.raises(ThvError, match="there is no command to run"):
        resolve(None, args, environ={})


def test_a_working_directory_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("missing", "file"):
        with pytest.raises(ThvError, match="no such directory"):
            resolve("demo", [], environ={}, cwd=str(tmp_path / name))


@example(server="\0")
@given(server=st.one_of(st.text(), st.builds("{}://{}".format, st.sampled_from(["uvx", "npx"]), st.text())))
def test_any_words_become_a_spec_or_one_clear_error(server: str) -> None:
    try:
        spec = resolve(server, [], environ={"PATH": os.defpath})
    except ThvError:
        return
    assert spec.argv
    assert not spec.argv[-1].startswith("-")


def test_resolving_imports_nothing_slow() -> None:
    code = (
        "import sys; before = set(sys.modules); import os; from thv.servers.resolve import resolve; "
        "resolve('demo', [], environ=os.environ); print(*sorted(set(sys.modules) - before))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in seen.stdout.split() if not name.startswith("thv")}
    assert loaded <= {"__future__"}


def test_an_image_is_run_by_the_first_tool_there_is_and_its_variables_are_named_only(tmp_path: Path) -> None:
    for name in ("podman", "nerdctl"):
        (tmp_path / name).touch(mode=0o755)
    environ = {"PATH": str(tmp_path), "HOME": "/h"}
    server = "docker://ghcr.io/org/tools:1.2"
    spec = resolve(server, ["--stdio"], environ=environ, env=["A=1", "B=--x"], network="none", volume=["/d:/d"])
    podman = str(tmp_path / "podman")
    assert spec.argv == (
        *(podman, "run", "-i", "--rm", "--network=none", "--volume=/d:/d", "--env=A", "--env=B"),
        *("ghcr.io/org/tools:1.2", "--stdio"),
    )
    assert (spec.name, spec.executable, spec.env) == ("tools", podman, {**environ, "A": "1", "B": "--x"})
    chosen = resolve(server, [], environ={**environ, "TOOLHIVE_CONTAINER_RUNTIME": "nerdctl"})
    assert chosen.executable == str(tmp_path / "nerdctl")


@pytest.mark.parametrize("image", ["", "-x", "/image", "a b"])
def test_what_is_no_image_is_refused(image: str) -> None:
    with pytest.raises(UsageError, match="not an image"):
        resolve(f"docker://{image}", [], environ={"PATH": ""})


@pytest.mark.parametrize("options", [{"network": "none"}, {"volume": ["/a:/a"]}])
def test_what_only_a_container_has_is_refused_for_others(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="docker://IMAGE"):
        resolve("demo", [], environ={}, **options)
