"""The scripts that ship are those this version makes, say what this version can do, and are printed at once."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from completions.maker.root_help import root_help
from completions.maker.tree import build
from completions.maker.writers import scripts
from thv.__main__ import main
from thv.cli.completion_script import FILES, script
from thv.cli.root_help import FILE
from thv.cli.run_options import all_options
from thv.config.settings import KEYS
from thv.errors import UsageError
from thv.servers.registry import entries

ROOT = Path(__file__).parents[2]
THV = [sys.executable, "-P", "-m", "thv"]


@pytest.mark.parametrize("name", FILES.values())
def test_the_committed_script_is_the_one_this_version_makes(name: str) -> None:
    committed = (ROOT / "completions" / name).read_bytes().decode()
    assert committed == scripts(build())[name], "run: python -m completions.maker, and commit completions/"


def test_the_committed_help_is_the_one_this_version_prints() -> None:
    committed = (ROOT / "thv" / "cli" / FILE).read_bytes().decode()
    assert committed == root_help(), "run: python -m completions.maker, and commit thv/cli/"


@pytest.mark.parametrize("shell", FILES)
def test_each_script_knows_every_option_key_and_server(shell: str) -> None:
    text = script(shell)
    for word in [*KEYS, *entries(), *FILES, *(flag for option in all_options() for flag in option.flags)]:
        assert word in text, word


@pytest.mark.parametrize("shell", FILES)
def test_a_script_is_printed_as_it_ships(shell: str) -> None:
    seen = subprocess.run([*THV, "completion", shell], capture_output=True, timeout=120, check=False)
    assert (seen.returncode, seen.stderr) == (0, b"")
    assert seen.stdout.replace(b"\r\n", b"\n") == (ROOT / "completions" / FILES[shell]).read_bytes()


@pytest.mark.parametrize(
    ("shell", "hint"),
    [("Bash", "did you mean bash?"), ("zhs", "did you mean zsh?"), ("", "the shells are bash, zsh, fish, powershell")],
)
def test_a_shell_that_thv_does_not_know_is_named_with_those_it_does(shell: str, hint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(hint)):
        script(shell)


@pytest.mark.parametrize("shell", FILES)
def test_no_script_starts_thv_or_writes_a_file(shell: str) -> None:
    code = [line for line in script(shell).splitlines() if not line.lstrip().startswith("#")]
    for line in code:
        assert not re.search(r"(^|[;&|(`{]|\$\()\s*thv\s", line), line
        assert not re.search(r"(?<![<=-])>>?\s*(?!/dev/null|&2)[\w$~/.]", re.sub(r"'[^']*'", "", line)), line


def test_the_names_of_clients_servers_come_from_their_files(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (home / ".cursor").mkdir()
    (home / ".cursor" / "mcp.json").write_text(
        '{"mcpServers": {"b": {"command": "x"}, "a": {"url": "y"}, "$(x) y": {}}}'
    )
    (home / ".claude.json").write_text("{broken")
    assert main(["__complete", "client-servers"]) == 0
    assert capfd.readouterr() == ("a\nb\n", "")
    for name in FILES:
        assert "__complete client-servers" in script(name)


def test_the_wheel_puts_each_script_where_its_shell_looks() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {f"completions/{name}": f"thv/completions/{name}" for name in FILES.values()}
    assert wheel["shared-data"] == {
        "completions/thv.bash": "share/bash-completion/completions/thv",
        "completions/_thv": "share/zsh/site-functions/_thv",
        "completions/thv.fish": "share/fish/vendor_completions.d/thv.fish",
    }


TOKEN = re.compile(
    r"(?P<quoted>'(?:[^']|'')*')|(?P<comment>\#[^\n]*)|(?P<open>[({\[])|(?P<close>[)}\]])|(?P<other>.)", re.DOTALL
)
"""As much of PowerShell as the script is made of: it has no double quotes, here-strings or backticks."""


def test_the_powershell_script_is_balanced_and_of_the_simple_kind() -> None:
    """No PowerShell can be had from the package registries, so its script is not run here; what can be seen is."""
    text = re.sub(r'"\$at \$word"|"value \$before"|\'\'\'"\'', "'-'", script("powershell"))
    partner = {")": "(", "}": "{", "]": "["}
    depth: list[str] = []
    for token in TOKEN.finditer(text):
        assert token["other"] not in {'"', "'", "`"}, text[token.start() - 40 : token.end() + 40]
        if token["open"]:
            depth.append(token["open"])
        elif token["close"]:
            assert depth, text[token.start() - 40 : token.end()]
            assert depth.pop() == partner[token["close"]], text[token.start() - 40 : token.end()]
    assert not depth
