"""No option is silently ignored: in every way to run a server, each changes what is done, or is refused in one line.

Walks the tables of options. What a run comes to is recorded where its parts are made: what is behind them has tests of
its own.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import PurePath
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from thv.cli import mcp, run_supervised
from thv.cli import run as run_module
from thv.cli.mcp_options import CALL_OPTIONS, LIST_OPTIONS, parse_call, parse_list
from thv.cli.output import run_to_exit_code
from thv.cli.proxy import proxy
from thv.cli.proxy_options import OPTIONS as PROXY_OPTIONS
from thv.cli.proxy_options import parse_proxy
from thv.cli.run import run
from thv.cli.run_options import EXIT_WITH_SERVER, all_options, parse
from thv.config.settings import KEYS, SWITCHES
from thv.http import event_loop, process_backend
from thv.http.client import stdio_to_http
from thv.http.front import front_lifecycle
from thv.http.proxy import proxy_service, reverse_proxy
from thv.instrumentation import instrumentation
from thv.servers.server_environment import PROXY_TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from thv.cli.option_table import Option

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the container tool of this test is a script")

URL = "http://127.0.0.1:9/mcp"
TELEMETRY = ["--otel-endpoint", "http://127.0.0.1:9"]

WAYS = {
    "a server": ["run", "demo"],
    "a command": ["run", "--", "true"],
    "a container": ["run", "docker://image"],
    "restarted": ["run", "--restart", "demo"],
    "with timeouts": ["run", "--call-timeout", "7", "demo"],
    "a container with timeouts": ["run", "--call-timeout", "7", "docker://image"],
    "served": ["run", "--proxy-port", "7", "demo"],
    "a container that is served": ["run", "--proxy-port", "7", "docker://image"],
    "proxied": ["run", "--transport", "streamable-http", "--", "true", "{port}"],
    "proxied, older": ["run", "--transport", "sse", "--proxy-port", "7", "--", "true", "{port}"],
    "a container that is proxied": ["run", "--transport", "sse", "docker://image"],
    "remote": ["run", URL],
    "fronted": ["proxy", "name", "--target-uri", URL],
    "listed": ["mcp", "list", "demo"],
    "a container that is listed": ["mcp", "list", "docker://image"],
    "a remote that is listed": ["mcp", "list", URL],
    "called": ["mcp", "call", "demo", "add"],
    "a remote that is called": ["mcp", "call", URL, "add"],
}

VALUES = {
    "KEY=VALUE": "K=V",
    "NAME=VALUE": "K=V",
    "NAME": "A_NAME",
    "NETWORK": "none",
    "VOLUME": "/a:/b",
    "PORT": "8",
    "ADDRESS": "127.0.0.2",
    "N": "5",
    "[=N]": "3",
    "SECONDS": "5",
    "ORIGIN": "https://a.example",
    "HOST": "a.example",
    "ID": "an-id",
    "RATE": "0.3",
    "PROTOCOL": "grpc",
    "URI": "http://127.0.0.1:8/mcp",
    "JSON": '{"a": 1}',
    "FORMAT": "json",
    "TRANSPORT": "sse",
}
"""A value of each kind of option, by what the help calls it, that no default has."""


class Ran:
    """What a command line came to: an exit code, lines on stderr, and the arguments of the parts that it made."""

    def __init__(self, code: int, said: str, made: list[object]) -> None:
        self.code = code
        self.said = said
        self.made = made

    @property
    def is_refused(self) -> bool:
        return self.code == 2 and self.said.count("\n") == 1 and not self.made

    def warns_of(self, flag: str) -> bool:
        return any(flag in line for line in self.said.splitlines())


def plain(value: object) -> object:
    """What a value holds, as something that can be compared."""
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    if isinstance(value, dict):
        return sorted((str(key), repr(plain(each))) for key, each in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if callable(value):
        return "callable"
    if isinstance(value, PurePath):
        return str(value)
    names = getattr(type(value), "__slots__", None) or vars(value)
    return type(value).__name__, [(name, plain(getattr(value, name, None))) for name in names]


class Records:
    """What the parts of a run were made with, and the warnings that they were given."""

    def __init__(self) -> None:
        self.made: list[object] = []
        self.warnings: list[str] = []

    def of(self, result: Callable[[], object]) -> type:
        """A class in the place of a part; its `run` gives what `result` returns."""
        records = self

        class Recorder:
            passed = activity = url = host = pool = problem = None

            def __init__(self, *values: object, **named: Any) -> None:
                records.warnings.extend(named.pop("warnings", ()))
                records.made.append(plain([values, named]))
                for value in values:
                    if isinstance(value, FunctionType):  # makes the backend of a session
                        value()

            def run(self) -> object:
                return result()

            def open_session(self) -> None:
                """There is none."""

            emit_warnings = client_disconnected = close = open_session

        return Recorder


async def ends() -> int:
    return 0


def closed(coroutine: Coroutine[Any, Any, int]) -> int:
    coroutine.close()
    return 0


@pytest.fixture
def ran(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[Sequence[str]], Ran]:
    """Runs a command line up to the parts that would carry the session."""
    records = Records()
    made = records.made

    def started(words: Sequence[str], _name: str, *_: object, **named: object) -> int:
        made.append(plain([run(parse(words)), named]))
        return 0

    monkeypatch.setattr(run_module, "Session", records.of(lambda: 0))
    monkeypatch.setattr(run_supervised, "SupervisedSession", records.of(ends))
    monkeypatch.setattr(front_lifecycle, "Service", records.of(ends))
    monkeypatch.setattr(process_backend, "ProcessBackend", records.of(ends))
    monkeypatch.setattr(reverse_proxy, "ReverseProxy", records.of(ends))
    monkeypatch.setattr(stdio_to_http, "RemoteClient", records.of(ends))
    monkeypatch.setattr(instrumentation, "Instrumentation", records.of(ends))
    monkeypatch.setattr(proxy_service, "free_port", lambda: 9)
    monkeypatch.setattr(event_loop, "run_on_the_fastest_loop", closed)
    monkeypatch.setattr(mcp, "run_session", started)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv(PROXY_TOKEN_VARIABLE, "a-token")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=the-same")
    monkeypatch.setenv(VALUES["NAME"], "set")
    tool = tmp_path / "docker"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("TOOLHIVE_CONTAINER_RUNTIME", str(tool))

    def run_words(words: Sequence[str]) -> Ran:
        made.clear()
        records.warnings.clear()
        capfd.readouterr()
        code = run_to_exit_code(lambda: command(words, made), debug=False)
        out, err = capfd.readouterr()
        assert out == ""
        return Ran(code, "".join(f"{line}\n" for line in [*err.splitlines(), *records.warnings]), list(made))

    return run_words


def command(words: Sequence[str], made: list[object]) -> int:
    verb, *rest = words
    if verb == "run":
        return run(parse(rest))
    if verb == "proxy":
        return proxy(parse_proxy(rest))
    lists = rest[0] == "list"
    request = (parse_list if lists else parse_call)(rest[1:])
    code = (mcp.list_tools if lists else mcp.call_tool)(request)
    made.append(plain([request.output, request.tool, request.pairs, request.base]))
    return code


@pytest.fixture
def a_file(tmp_path: Path) -> str:
    """A file that holds what any option for a file takes."""
    path = tmp_path / "file"
    path.write_text("A=b\n")
    return str(path)


def given(option: Option, a_file: str) -> list[str]:
    """The words that give an option a value that differs from its default."""
    flag = option.flags[0]
    if option.setting is not None:
        known = {**KEYS, **SWITCHES}[option.setting]
        if option.metavar is None:
            return [f"{flag}={'false' if known.default == 'true' else 'true'}"]
        return [f"{flag}={'h:4317' if option.setting == 'endpoint' else VALUES[option.metavar]}"]
    if option.metavar is None:
        return [flag]
    value = {"FILE": a_file, "DIR": a_file.rpartition("/")[0]}.get(option.metavar) or VALUES[option.metavar]
    return [f"{flag}={value}"]


def table(way: str) -> tuple[Option, ...]:
    verb, second, *_ = WAYS[way]
    if verb == "run":
        return (*all_options(), EXIT_WITH_SERVER)
    return all_options(PROXY_OPTIONS if verb == "proxy" else LIST_OPTIONS if second == "list" else CALL_OPTIONS)


def with_words(way: str, words: Sequence[str]) -> list[str]:
    """The way's own words, and these among the options."""
    verb = 2 if WAYS[way][0] == "mcp" else 1
    return [*WAYS[way][:verb], *words, *WAYS[way][verb:]]


@pytest.mark.parametrize("telemetry", [[], TELEMETRY], ids=["without telemetry", "with telemetry"])
@pytest.mark.parametrize("way", WAYS)
def test_every_option_has_an_effect_or_is_refused_in_one_line_that_names_it(
    way: str, telemetry: list[str], ran: Callable[[Sequence[str]], Ran], a_file: str
) -> None:
    without = ran(with_words(way, telemetry))
    assert without.code == 0, without.said
    assert without.made
    assert ran(with_words(way, telemetry)).made == without.made, "the record itself is not always the same"
    ignored = {}
    for option in table(way):
        flag, words = option.flags[0], given(option, a_file)
        if any(flag in word for word in [*WAYS[way], *telemetry]):
            continue
        found = ran(with_words(way, [*telemetry, *words]))
        if found.is_refused:
            assert flag in found.said, found.said
        elif found.code != 0:
            ignored[flag] = found.said
        elif found.made == without.made and not found.warns_of(flag):
            ignored[flag] = "without effect"
    assert not ignored


def test_two_options_never_silence_each_other(ran: Callable[[Sequence[str]], Ran], a_file: str) -> None:
    """Each of a pair changes what the other one alone comes to, or the pair is refused, or a warning names one."""
    ignored = set()
    for way in ("a command", "a container", "served", "proxied", "remote", "fronted"):
        alone = {}
        for option in table(way):
            words = given(option, a_file)
            if not any(option.flags[0] in word for word in WAYS[way]):
                found = ran(with_words(way, words))
                if found.code == 0 and option.setting is None:
                    alone[option.flags[0]] = words, found
        for (one, (words, first)), (other, (more, second)) in combinations(alone.items(), 2):
            found = ran(with_words(way, [*words, *more]))
            is_silent = found.code == 0 and (found.made in (first.made, second.made))
            if is_silent and not (found.warns_of(one) or found.warns_of(other)):
                ignored.add((way, one, other))
    assert not ignored
