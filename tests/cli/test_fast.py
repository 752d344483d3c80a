"""Two readers of the command line, one answer: whatever the fast one takes, the full one would have said the same."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import typer
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from thv.__main__ import FAST, ROOT_HELP, fast_command
from thv.cli import app as full
from thv.cli.after_command import JOURNAL, JOURNAL_NOTICE_MARK, NOTICE_MARK, TERMINAL_NOTICE_MARK
from thv.cli.output import run_to_exit_code
from thv.config.settings import KEYS
from thv.core.state_dir import user_state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY = "usage-analytics-enabled"

EXACT = [
    [],
    ["-h"],
    ["--help"],
    ["help"],
    ["--version"],
    ["-V"],
    ["version"],
    ["completion", "zsh"],
    ["config", "path"],
    ["config", "otel", "get", KEY],
    ["config", "otel", "set", KEY, "false"],
    ["config", "otel", "unset", KEY],
    ["config", "journal", "get", "max-size"],
    ["config", "journal", "set", "max-age", "7d"],
    ["config", "journal", "unset", "enabled"],
]

Seen = tuple[int, bytes, bytes, bytes | None]
"""Exit code, stdout, stderr, and the config file afterwards."""


def by_the_full_one(words: list[str]) -> int:
    return full.main(words)


def by_the_fast_one(words: list[str]) -> int:
    command = fast_command(words)
    assert command is not None
    return run_to_exit_code(command, debug=False)


def seen(run: Callable[[list[str]], int], words: list[str], config: bytes | None, environ: Mapping[str, str]) -> Seen:
    """What one reader makes of the words, in a home of its own that is always called the same."""
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        home = Path(directory)
        file = home / "config.yaml"
        if config is not None:
            file.write_bytes(config)
        out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        stdout = stack.enter_context(open(out.fileno(), "w", encoding="utf-8", closefd=False))
        own = os.dup(2)
        stack.callback(os.close, own)
        stack.callback(os.dup2, own, 2)
        os.dup2(err.fileno(), 2)
        surroundings = {"HOME": directory, "USERPROFILE": directory, "TOOLHIVE_CONFIG": str(file), **environ}
        with mock.patch.dict(os.environ, surroundings, clear=True), mock.patch.object(sys, "stdout", stdout):
            code = run(list(words))
        contents = []
        for stream in (out, err):
            stream.seek(0)
            contents.append(stream.read().replace(directory.encode(), b"HOME"))
        after = file.read_bytes() if file.exists() else None
    return code, contents[0], contents[1], after


def test_every_fast_command_takes_just_what_the_full_one_requires() -> None:
    root = typer.main.get_command(full.app)
    for begin, (_, _, count, handed) in FAST.items():
        if begin[0].startswith("-"):
            continue
        command: Any = root
        for word in begin:
            command = command.commands[word]
        assert [each.required for each in command.params if each.param_type_name == "argument"] == [True] * handed
        assert count == len(begin) + handed


@pytest.mark.parametrize("words", EXACT, ids=" ".join)
def test_the_commands_of_all_day_are_answered_fast(words: list[str]) -> None:
    assert fast_command(words) is not None
    assert {tuple(words[: len(begin)]) for words in EXACT for begin in FAST} >= set(FAST)
    assert {word for words in EXACT if len(words) == 1 for word in words} >= set(ROOT_HELP)


@pytest.mark.parametrize(
    "words",
    [
        *(
            ["--help", "run"],
            ["help", "run"],
            ["-h", "-h"],
            ["--debug"],
            ["--debug", "--help"],
            ["--debug", "--version"],
            ["--version", "--debug"],
            ["--version", ""],
        ),
        *(["config"], ["config", "otel"], ["config", "otel", "get"], ["config", "otel", "list"], ["config", "edit"]),
        *(["config", "path", "--help"], ["config", "path", "x"], ["completion"], ["completion", "-h"]),
        *(["config", "otel", "get", KEY, extra] for extra in ("--reveal", "--help", "x", "", "--")),
        *(["config", "otel", "get", word] for word in ("", "-h", "--help", "--", "-", "--reveal")),
        *(["config", "otel", "set", KEY, word] for word in ("", "-1", "--help", "--", "-")),
        *(["config", "--debug", "path"], ["--", "config", "path"], ["config", "--", "path"], ["Config", "path"]),
    ],
    ids=" ".join,
)
def test_whatever_is_not_wholly_understood_is_declined(words: list[str]) -> None:
    assert fast_command(words) is None


VALUES = st.sampled_from(
    [
        *("true", "false", "NO", "1", "maybe", "", "0.5", "2", "1e-7", ".5", "null", "~", "localhost:4317", "x", "x:0"),
        *("https://u:p@h:1/p", "grpc", "http", "A,B", "A B", "a=b,c=d", "=x", "-1", "--help", "é", "a\nb", "\udcff"),
    ]
)
NAMES = st.sampled_from([*KEYS, *KEYS, "usage-analytics", "Endpoint", "é", "--reveal", "-h", "", "x.y", "\udcff"])
WORDS = st.one_of(
    st.sampled_from(EXACT),
    st.tuples(st.sampled_from(["get", "unset"]), NAMES).map(lambda said: ["config", "otel", *said]),
    st.tuples(NAMES, VALUES).map(lambda said: ["config", "otel", "set", *said]),
    st.sampled_from(["bash", "zsh", "fish", "powershell", "Bash", "tcsh", "é"]).map(
        lambda shell: ["completion", shell]
    ),
    st.lists(
        st.sampled_from(
            ["config", "otel", "get", "set", "path", "--version", "--debug", "--", "-h", KEY, "completion"]
        ),
        max_size=5,
    ),
)

LINES = st.one_of(
    st.builds("  {}: {}".format, st.sampled_from([*KEYS, "unknown"]), VALUES),
    st.builds(
        "  {}: {} # why".format, st.sampled_from([KEY, KEY, "endpoint"]), st.sampled_from(["no", "'yes'", "x:1"])
    ),
    st.sampled_from(
        ["", "# mine", "  headers:", "    x-key: hunter2", "  env-vars: [A, B]", "  - A", "\tx: 1", "a: &b 1"]
    ),
)
FILES = st.one_of(
    st.none(),
    st.lists(LINES, max_size=5).map(lambda lines: "\n".join(["otel:", *lines, ""]).encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [
            b"",
            b"otel:",
            b"otel: null\n",
            b"otel: x\n",
            b"otel: {}\n",
            b"- 1\n",
            b"a: [\n",
            b"\xff",
            b"\xef\xbb\xbfotel:\n",
            f"otel: {{{KEY}: off}}\n".encode(),
            b"a: &x {insecure: yes}\notel: *x\n",
            b"otel:\n  <<: {insecure: yes}\n",
        ]
    ),
)
ENVIRONMENTS = st.dictionaries(
    st.sampled_from(
        [
            *("DO_NOT_TRACK", "CI", "OTEL_SDK_DISABLED", "TOOLHIVE_USAGE_ANALYTICS_ENABLED", "_THV_COMPLETE"),
            *(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "OTEL_EXPORTER_OTLP_HEADERS",
                "OTEL_TRACES_SAMPLER",
                "NO_COLOR",
                "COLUMNS",
            ),
        ]
    ),
    st.sampled_from(["", "1", "0", "true", "false", "bash_source", "a=b", "http://h:1", "always_on", "nonsense"]),
    max_size=2,
)


@hypothesis_settings(max_examples=250, deadline=None)
@given(WORDS, FILES, ENVIRONMENTS)
@example(["config", "otel", "set", KEY, "\udcff"], None, {})
@example(["--version"], None, {"_THV_COMPLETE": "bash_source"})
@example(["--help"], None, {"COLUMNS": "79"})
@example(["--help"], None, {"COLUMNS": "80"})
@example(["--help"], None, {"COLUMNS": "200"})
@example(["--help"], None, {"COLUMNS": "0"})
@example(["help"], None, {"COLUMNS": "-1"})
@example([], None, {"COLUMNS": "x"})
@example(["config", "otel", "get", "headers"], b"otel: {headers: {x-key: hunter2}}", {})
def test_both_readers_answer_alike(words: list[str], config: bytes | None, environ: dict[str, str]) -> None:
    if fast_command(words) is None:
        return
    assert seen(by_the_fast_one, words, config, environ) == seen(by_the_full_one, words, config, environ)


FULL = "import sys; from thv.cli.app import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(
    ("words", "redirection"),
    [
        (["--version"], ""),
        (["completion", "fish"], ""),
        (["config", "otel", "get", KEY], ""),
        (["config", "otel", "get", "nonsense"], ""),
        (["config", "otel", "set", "sampling-rate", "2"], ""),
        (["--version"], ">/dev/full"),
        ([], ""),
        ([], "2>/dev/full"),
        ([], "2>&-"),
        (["--help"], ""),
        (["--help"], ">/dev/full"),
        (["help"], ">&-"),
        (["config", "path"], ">/dev/full"),
        (["config", "otel", "get", KEY], ">&-"),
        (["config", "otel", "get", "nonsense"], "2>&-"),
        (["config", "otel", "get", "nonsense"], "2>/dev/full"),
    ],
    ids=str,
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device is Linux's")
def test_both_answer_alike_as_processes_whatever_stdout_and_stderr_are(words: list[str], redirection: str) -> None:
    def ran(*python: str) -> tuple[int, bytes, bytes]:
        argv = ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-P", *python, *words]
        done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    fast = ran("-m", "thv")
    assert fast == ran("-c", FULL)
    if redirection == ">/dev/full":
        assert fast == (1, b"", b"thv: the answer cannot be written to stdout: No space left on device\n")


STARTED = {"errno", "__future__", "thv", "thv.__main__", "thv.errors", "thv.core"}
STARTED |= {"thv.core.own_imports", "thv.core.state_dir"}
STARTED |= {f"thv.cli{name}" for name in ("", ".output", ".after_command")}
"""What any fast command may load: every module more is a fifth of a millisecond, and most bring others."""

QUICK = STARTED | {"thv.cli.quick_commands"}
"""The same where nothing is read."""

LOCATED = STARTED | {"thv.cli.config", "thv.config", "thv.config.settings"}
"""The same where the config file has to be found."""

READ = LOCATED | {f"thv.config.{name}" for name in ("settings_file", "yaml", "yaml.plain_reader", "reader")}
READ |= {"thv.core.booleans"}
"""The same where it has to be read."""

VALUED = READ | {"thv.config.setting_types", "thv.config.boolean_reading"}
VALUED |= {f"thv.core.net{name}" for name in ("", ".http_headers", ".urls")}
"""The same where a value has to be understood that is no boolean."""

OVERRIDDEN = READ | {
    "thv.analytics",
    "thv.analytics.consent",
    "thv.analytics.constants",
    "thv.core.frozen",
    "thv.core.interfaces",
    "thv.core.remembered",
    "thv.config.boolean_reading",
    "thv.instrumentation",
    "thv.instrumentation.usage_consent",
}
"""The same where other sources than the file are asked, too."""

WARNED = OVERRIDDEN | {"thv.core.console", "select"}
"""The same where one of them comes before the file, which takes a line on stderr."""

SLOW = {
    "typer",
    "rich",
    "mcp",
    "opentelemetry",
    "httpx",
    "pydantic",
    "msgspec",
    "asyncio",
    "ssl",
    "http",
    "importlib.metadata",
}


def loaded(words: list[str], *, stderr: int = subprocess.DEVNULL, **environ: str) -> set[str]:
    """Every module that a command loads beyond those of a bare interpreter."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from thv.__main__ import main\n"
        "code = main(sys.argv[1:])\n"
        "found = sorted(set(sys.modules) - before); import json\n"
        "print(json.dumps([code, found]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=stderr,
        check=True,
        timeout=60,
        env={**os.environ, **environ},
    )
    exit_code, modules = json.loads(done.stdout.splitlines()[-1])
    assert exit_code == 0, done.stdout
    return set(modules)


@pytest.mark.usefixtures("analytics_on")
def test_a_plain_answer_loads_next_to_nothing(home: Path) -> None:
    (home / ".toolhive").mkdir()
    (home / ".toolhive" / "config.yaml").write_text(f"# mine\notel:\n  {KEY}: false # no\n  env-vars: A,B\n")
    assert loaded(["--version"]) <= QUICK
    assert loaded(["completion", "bash"]) <= QUICK | {"thv.cli.completion_script"}
    assert loaded(["config", "path"]) <= LOCATED
    for key in KEYS:
        if key not in {KEY, "env-vars"}:
            assert loaded(["config", "otel", "get", key]) <= READ, key
    assert loaded(["config", "otel", "get", KEY]) <= OVERRIDDEN - {"select", "thv.core.console"}, "nothing to say"
    assert loaded(["config", "otel", "get", "env-vars"]) <= VALUED
    (home / ".toolhive" / "config.yaml").write_text(f"otel:\n  {KEY}: true\n")
    assert loaded(["config", "otel", "get", KEY]) <= OVERRIDDEN
    assert loaded(["config", "otel", "get", KEY], CI="1") <= WARNED


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("seen", [[], [NOTICE_MARK, TERMINAL_NOTICE_MARK, JOURNAL, JOURNAL_NOTICE_MARK]], ids=len)
@pytest.mark.usefixtures("analytics_on")
def test_on_a_terminal_no_notice_that_is_not_due_is_loaded(seen: list[str]) -> None:
    for name in seen:
        mark = Path(user_state_dir()) / name
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    ours, theirs = os.openpty()  # type: ignore[attr-defined,unused-ignore]  # not on Windows, where this is skipped
    try:
        assert loaded(["--version"], stderr=theirs) <= QUICK
        assert loaded(["config", "otel", "get", KEY], stderr=theirs) <= OVERRIDDEN
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.usefixtures("analytics_on")
def test_a_no_that_is_remembered_already_loads_nothing() -> None:
    assert "thv.analytics.consent" in loaded(["--version"], DO_NOT_TRACK="1")
    assert loaded(["--version"], DO_NOT_TRACK="1") <= QUICK


@pytest.mark.usefixtures("analytics_on")
def test_the_help_of_thv_itself_loads_no_command_line_where_there_is_room_for_it() -> None:
    for words in (["--help"], ["-h"], ["help"]):
        assert loaded(words, COLUMNS="80") <= STARTED | {"thv.cli.root_help"}
    assert "typer" in loaded(["--help"], COLUMNS="79")


def test_a_change_loads_a_yaml_library_and_help_the_command_line_and_neither_anything_else() -> None:
    def packages(words: list[str]) -> set[str]:
        found = loaded(words)
        return {name for name in found if name in SLOW or name.partition(".")[0] in SLOW | {"ruamel"}}

    assert {name.partition(".")[0] for name in packages(["config", "otel", "set", KEY, "no"])} == {"ruamel"}
    assert {name.partition(".")[0] for name in packages(["run", "--help"])} == {"typer"}
    assert {name.partition(".")[0] for name in packages(["config", "otel", "set", "--help"])} == {"typer"}


def test_a_server_is_started_before_anything_slow_is_imported() -> None:
    code = (
        "import sys; from os import _exit, write; before = set(sys.modules)\n"
        "from thv.__main__ import main\n"
        "import thv.stdio_session\n"
        "class Server:\n"
        "    def spawn(*_arguments):\n"
        "        write(1, ' '.join(set(sys.modules) - before).encode())\n"
        "        _exit(0)\n"
        "thv.stdio_session.ServerProcess = Server\n"
        "main(['run', '--', sys.executable])\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60
    )
    found = {name for name in done.stdout.decode().split() if name.partition(".")[0] not in {"thv", "__future__"}}
    assert found <= {"errno", "select", "fcntl", "pwd", "_posixsubprocess"}, found
