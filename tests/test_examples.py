"""Every command that the README, the pages of docs/ or a ``--help`` shows is one that works as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from tests import packages
from thv.cli.app import app
from thv.servers.registry import entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the examples are written for a POSIX shell")

ROOT = Path(__file__).parents[1]

NOT_RUN = {
    "thv operator run --all-namespaces": "needs a cluster; tests/operator runs it against an API server of its own",
    "thv operator run --namespace team-a --usage-analytics-enabled false": "as above",
    "thv auth login https://mcp.example.com/mcp": "needs that server; tests/auth logs in at one of its own",
    "thv auth login https://mcp.example.com/mcp --no-browser": "as above",
    "thv auth logout https://mcp.example.com/mcp": "as above",
    "thv run docker://ghcr.io/org/server:1.2": "needs a registry of images; tests/e2e runs an image of its own",
    "thv run -e TOKEN=secret --network none --volume ~/notes:/notes:ro docker://ghcr.io/org/server:1.2 -- --stdio": (
        "as above"
    ),
    "thv log -f": "goes on until Ctrl-C; tests/cli follows a session",
    "thv completion powershell | Out-String | Invoke-Expression": "PowerShell is in no registry that tests may use",
}
"""The examples that no test runs, and why."""

SHELLS = {"zsh": "autoload -U compinit && compinit -u && ", "fish": ""}
"""Shells that an example can be for, and what comes before it in theirs; the others are for bash."""

FETCHED = {name for name, entry in entries().items() if entry.runner in {"uvx", "npx"}}


def in_pages() -> Iterator[str]:
    """The lines of shell blocks that use thv, and the first column of the README's tables."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text()
        for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            # The lines that install thv first are run by tests/test_readme.py and by CI.
            commands = (line.partition("  #")[0].strip() for line in block.splitlines())
            yield from (command for command in commands if re.search(r"(?:^|[ (])thv ", command))
        yield from (
            words for words in re.findall(r"^\| `(thv [^`]*)` \|", text, re.MULTILINE) if not is_a_pattern(words)
        )


def is_a_pattern(words: str) -> bool:
    """Whether it stands for many commands: ``thv mcp list SERVER``, ``bash|zsh``."""
    return bool(re.search(r"\b[A-Z]{3,}\b|[\[|]", words))


def in_helps() -> Iterator[str]:
    """What stands under Examples in every help."""
    todo: list[Any] = [typer.main.get_command(app)]
    while todo:
        command = todo.pop()
        todo += getattr(command, "commands", {}).values()
        for section in re.split(r"\n+(?=\S)", command.epilog or ""):
            title, _, rows = section.partition("\n  ")
            if title.strip() == "Examples:":
                # A comment stands two spaces or more behind the command.
                yield from (re.split(r" {2,}", row.strip())[0] for row in rows.split("\n  ") if row.strip())


EXAMPLES = list(dict.fromkeys((*in_helps(), *in_pages())))

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}

ENDED_BY_THV = 128 + signal.SIGTERM
"""The exit code of a session whose server does not end by itself when its client is gone."""


def is_fetched(example: str) -> bool:
    """Whether the example's server comes from a package registry."""
    words = shlex.split(example, comments=True)
    return any(word.startswith(("uvx://", "npx://")) or word in FETCHED for word in words)


def examples(*, fetched: bool) -> list[str]:
    return [example for example in EXAMPLES if example not in NOT_RUN and is_fetched(example) is fetched]


def shell(example: str) -> list[str]:
    for name, before in SHELLS.items():
        if f"thv completion {name}" in example:
            if shutil.which(name) is None:
                pytest.skip(f"{name} is not installed")
            return [name, "-c", before + example]
    return ["bash", "-c", example]


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Path:
    """A directory in which the examples make sense: with a server, a checkout's own examples, and an editor."""
    (home / "notes").mkdir()
    place = tmp_path / "place"
    shutil.copytree(ROOT / "examples", place / "examples")
    for name in ("my-server", "bin/code"):
        program = place / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\ncat > /dev/null\n")
        program.chmod(0o755)
    (place / "my_server.py").write_text("import sys\nsys.stdin.read()\n")
    demo = {"command": sys.executable, "args": ["-IS", str(ROOT / "thv" / "servers" / "demo.py")]}
    configuration = json.dumps({"mcpServers": {"time": demo}}, indent=2)
    (place / "mcp.json").write_text(configuration)
    (home / ".cursor").mkdir()
    (home / ".cursor" / "mcp.json").write_text(configuration)
    return place


def environment(place: Path) -> dict[str, str]:
    environ = os.environ | packages.variables() | {"EDITOR": "true"}
    return environ | {"PATH": f"{place / 'bin'}{os.pathsep}{environ['PATH']}"}


def holds(example: str, place: Path) -> None:
    """The example ends well, with a client, or a person, that has nothing to say."""
    done = subprocess.run(
        shell(example),
        cwd=place,
        env=environment(place),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr


def serves(example: str, place: Path) -> None:
    """The example starts a server that greets its client, and ends when the client is gone."""
    with (
        (place / "stderr").open("w+") as log,
        subprocess.Popen(
            shell(example),
            cwd=place,
            env=environment(place),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(HELLO) + "\n")
        process.stdin.flush()
        reply = process.stdout.readline()
        process.stdin.close()
        code = process.wait()
    said = (place / "stderr").read_text()
    assert reply, said
    assert json.loads(reply)["result"]["serverInfo"]["name"]
    assert code in {0, ENDED_BY_THV}, said
    assert "Traceback" not in said


def listens(example: str) -> bool:
    """Whether the example serves clients over HTTP until a signal comes."""
    return bool(re.search(r"^thv (proxy|run .*--(proxy-port|transport) )", example))


def stays(example: str, place: Path) -> None:
    """The example says where it listens, and ends well at a signal. Any port does: others run examples, too."""
    command = re.sub(r"(--(?:proxy-)?port) \d+", r"\1 0", example)
    with (
        (place / "stderr").open("w+") as log,
        subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=place,
            env=environment(place),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        deadline = time.monotonic() + 240
        while " is served at http://127.0.0.1:" not in (said := (place / "stderr").read_text()):
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        process.terminate()
        out, _ = process.communicate()
    assert process.returncode in {0, ENDED_BY_THV}, said
    assert out == b""


def way_to_run(example: str) -> Callable[[str, Path], None]:
    if listens(example):
        return stays
    return serves if is_fetched(example) and example.startswith("thv run ") else holds


@pytest.mark.parametrize("example", examples(fetched=False))
def test_an_example_works_as_it_is_shown(example: str, place: Path) -> None:
    """Fails in the way to run it, where that ends otherwise than the example shows."""
    way_to_run(example)(example, place)


@pytest.mark.registry
@pytest.mark.slow
@pytest.mark.parametrize("example", examples(fetched=True))
def test_an_example_with_a_published_server_works_as_it_is_shown(example: str, place: Path) -> None:
    """Fails in the way to run it, where that ends otherwise than the example shows."""
    with packages.only_one_fetches():
        way_to_run(example)(example, place)


def test_the_examples_were_found_and_what_is_not_run_is_still_shown() -> None:
    assert {"thv run time", "thv config edit", "thv mcp call demo add a=2 b=3"} <= set(EXAMPLES)
    assert set(NOT_RUN) <= set(EXAMPLES)
