"""TAB does what a person expects, in real shells that sit in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.completions.shells import KINDS, MARK, PROMPT, candidates, start
from thv.cli.completion_script import FILES
from thv.cli.run_options import all_options
from thv.config.settings import KEYS
from thv.servers.registry import entries

FISH_SUDO = Path("/usr/share/fish/completions/sudo.fish")

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's"),
    pytest.mark.parametrize("name", KINDS),
]

LINES = [
    # What is typed; what thv then gets. An X that stands by itself tells of a blank behind what was completed.
    ("thv ru\tti\tX", "run time X"),
    ("thv --debug ru\tti\tX", "--debug run time X"),
    ("thv run uv\tX", "run uvx://X"),
    ("thv run uvx:\tX", "run uvx://X"),
    ("thv run uvx://\tX", "run uvx://X"),
    ("thv run uvx://mc\tX", "run uvx://mcX"),
    ("thv run npx://@scope/mc\tX", "run npx://@scope/mcX"),
    ("thv mcp call n\tX", "mcp call npx://X"),
    ("thv run --nam\tx seq\tX", "run --name x sequentialthinking X"),
    ("thv run time --env-\tpr\tX", "run time --env-file prod.env X"),
    ("thv run --env-file=pr\tX", "run --env-file=prod.env X"),
    ("thv run --otel-prot\tg\tX", "run --otel-protocol grpc X"),
    ("thv run time --cwd no\tX", "run time --cwd notes/X"),
    ("thv run --cwd=no\tX", "run --cwd=notes/X"),
    ("thv run -e ti\t tim\tX", "run -e ti time X"),
    ("thv run -eti=1 ti\tX", "run -eti=1 time X"),
    ("thv run --env a=b:c ti\tX", "run --env a=b:c time X"),
    ("thv run ./my\tX", "run ./my server X"),
    ("thv run -- frobn\tX", "run -- frobnicate X"),
    ("thv run time -- no\tX", "run time -- notes/X"),
    ("thv mcp list git -- pr\tX", "mcp list git -- prod.env X"),
    ("thv mcp list git --format=j\tX", "mcp list git --format=json X"),
    ("thv mcp list --format j\tgi\tX", "mcp list --format json git X"),
    ("thv config otel set ins\tf\tX", "config otel set insecure false X"),
    ("thv config otel set proto\tg\tX", "config otel set protocol grpc X"),
    ("thv completion p\tX", "completion powershell X"),
    ("thv cli\twr\tcurs\tX", "client wrap cursor X"),
    ("thv client unwrap ze\tgo\tX", "client unwrap zed goose X"),
    ("thv client wrap ./my\tX", "client wrap ./my server X"),
    ("thv client list --project no\tX", "client list --project notes/X"),
    ("thv run --transport str\t-- cat\tX", "run --transport streamable-http -- catX"),
    ("thv run --transport=s\tse\tX", "run --transport=sse X"),
    ("thv run --otel-insecure=t\tti\tX", "run --otel-insecure=true time X"),
    ("thv run --otel-tracing-en\t ti\tX", "run --otel-tracing-enabled time X"),
    ("thv mcp list --otel-usage-analytics-enabled=f\tti\tX", "mcp list --otel-usage-analytics-enabled=false time X"),
    ("thv run --restart ti\tX", "run --restart time X"),
    ("thv run --restart=3 ti\tX", "run --restart=3 time X"),
    ("thv run --env-file=my\\ s\tX", "run --env-file=my server X"),
    ("thv run --env-file my\\ s\tX", "run --env-file my server X"),
    ("thv run ./my\\ s\tX", "run ./my server X"),
    ("thv run -- ./my\\ s\tX", "run -- ./my server X"),
    ("thv run time -- my\\ s\tX", "run time -- my server X"),
    ("thv help cli\tX", "help client X"),
    ("thv nonsense r\tX", "nonsense rX"),
    ("thv config otel set service-name t\tX", "config otel set service-name tX"),
]


def test_tab_completes_the_word_and_mangles_none(name: str, tmp_path: Path) -> None:
    with start(name, tmp_path) as shell:
        for typed, wanted in LINES:
            assert " ".join(shell.line_of(typed)) == wanted, typed
            shell.until(PROMPT)
    assert not (tmp_path / MARK).exists(), "TAB started thv"


SUDO = {
    "bash with bash-completion": 'sudo() { "$@"; }',
    "zsh": 'sudo() { "$@" }',
    "fish": f"function sudo; $argv; end; source {FISH_SUDO}",
}
"""How a shell is given a `sudo` that asks for no password; what completes behind it is the shell's own."""


def test_tab_completes_behind_sudo(name: str, tmp_path: Path) -> None:
    if name not in SUDO or (name == "fish" and not FISH_SUDO.exists()):
        pytest.skip("this shell is tested in another of its shapes")
    with start(name, tmp_path) as shell:
        shell.type(f"{SUDO[name]}\r")
        shell.until(PROMPT)
        for typed, wanted in [
            ("sudo thv run ti\tX", "run time X"),
            ("sudo thv mcp list --format=j\tX", "mcp list --format=json X"),
        ]:
            assert " ".join(shell.line_of(typed)) == wanted, typed
            shell.until(PROMPT)


QUOTED = [
    ('thv run "ti\t X', "run time X"),
    ("thv run 'ti\t X", "run time X"),
    ('thv run --env-file="pr\t X', "run --env-file=prod.env X"),
    ('thv run "--otel-prot\t gr\tX', "run --otel-protocol grpc X"),
    ('thv run --transport "ss\t X', "run --transport sse X"),
    ('thv run "./my\t X', "run ./my server X"),
]


def test_tab_completes_inside_an_open_quote(name: str, tmp_path: Path) -> None:
    with start(name, tmp_path) as shell:
        for typed, wanted in QUOTED:
            assert " ".join(" ".join(shell.line_of(typed)).split()) == wanted, typed
            shell.until(PROMPT)


def test_every_candidate_is_offered_and_no_other(name: str, tmp_path: Path) -> None:
    run = {flag for option in all_options() for flag in option.flags} | {"--help", "-h", "--"}
    with start(name, tmp_path) as shell:
        for line, wanted in [
            ("thv run ", {*entries(), "uvx://", "npx://", "docker://", "https://"}),
            ("thv mcp list ", {*entries(), "uvx://", "npx://", "docker://", "https://"}),
            ("thv mcp call ", {*entries(), "uvx://", "npx://", "docker://", "https://"}),
            ("thv config otel get ", set(KEYS)),
            ("thv config otel set ", set(KEYS)),
            ("thv config otel unset ", set(KEYS)),
            ("thv config otel set tracing-enabled ", {"true", "false"}),
            ("thv config otel set protocol ", {"http/protobuf", "grpc"}),
            ("thv mcp list --format ", {"text", "json"}),
            ("thv completion ", set(FILES)),
            ("thv run time ", run),
            # Given and not to be repeated: not offered again, on whichever side of SERVER it stands.
            ("thv run --name x --debug -e A=b time --cwd=notes ", run - {"--name", "--debug", "--cwd"}),
            ("thv config otel list --reveal ", {"--format", "--help", "-h"}),
            ("thv mcp call demo add ", set()),
        ]:
            if wanted:
                assert candidates(name, shell, line) == wanted, line
            else:
                assert shell.line_of(f"{line}\tX")[-1] == "X", line
            shell.until(PROMPT)
    assert not (tmp_path / MARK).exists(), "TAB started thv"
