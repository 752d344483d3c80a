"""Off means off: every source of a no, in every verb, before a session and during one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest
import trustme

from tests.e2e.harness import Run, scripted, until
from tests.e2e.test_analytics_http import CLIENT, LAUNCH, served
from tests.operator.fake_attach import Container, credentials, fake_attach
from tests.operator.servers import OPTIONS, server
from tests.ports import free_port
from tests.sink import PATIENCE, Sink
from thv.operator import names, pod, pod_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Verb = Callable[["Case"], None]

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="ended by signals, as POSIX does"),
    pytest.mark.usefixtures("analytics_on"),
]

KEY = "usage-analytics-enabled"
THV = [sys.executable, "-P", "-m", "thv"]
INITIALIZE = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": CLIENT}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "act", "arguments": {}}}


class Case:
    """One session with one tool call, in some verb.

    Attributes:
        sink: the endpoint.
        folder: where to work.
        env: variables for thv.
        words: options for thv.
        change: what the server runs when its tool is called.
        shell: how thv is started, in the language of `sh`; its command is in the arguments.
    """

    def __init__(self, sink: Sink, folder: Path) -> None:
        self.sink = sink
        self.folder = folder
        self.env: dict[str, str] = {}
        self.words: list[str] = []
        self.change: list[str] = []
        self.shell = 'exec "$@"'

    @property
    def server(self) -> list[str]:
        return scripted("changing.py", json.dumps(self.change))

    def launched(self, *words: str) -> list[str]:
        options = ["--endpoint", self.sink.endpoint, "--ca", str(self.sink.ca_file), "--interval", "3600"]
        return [sys.executable, str(LAUNCH), *options, "--budget", "60", "--", *words]

    @contextmanager
    def running(self, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Run]:
        """A verb of thv, ended by SIGTERM."""
        surroundings = {"DO_NOT_TRACK": "", "PYTHONPATH": str(LAUNCH.parents[1]), **self.env, **(env or {})}
        with Run(["sh", "-c", self.shell, "sh", *self.launched(*words)], self.folder, env=surroundings) as run:
            yield run
            if run.process.poll() is None:
                run.process.send_signal(signal.SIGTERM)
            run.finish()

    @contextmanager
    def upstream(self) -> Iterator[str]:
        """The server over HTTP, for verbs that do not start it: its URL."""
        environ = {**os.environ, "PORT": "0", "DO_NOT_TRACK": ""}
        with subprocess.Popen(self.server, stdout=subprocess.PIPE, env=environ, text=True) as process:
            assert process.stdout is not None
            try:
                yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp"
            finally:
                process.kill()


def call(url: str) -> None:
    """One tool call by a client over HTTP."""
    session: dict[str, str] = {}
    for message in (INITIALIZE, INITIALIZED, CALL):
        accept = "application/json, text/event-stream"
        headers = {"Content-Type": "application/json", "Accept": accept, **session}
        with urlopen(Request(url, json.dumps(message).encode(), headers), timeout=PATIENCE) as response:
            answer = response.read()
            if response.headers.get("Mcp-Session-Id"):
                session = {"Mcp-Session-Id": response.headers["Mcp-Session-Id"]}
    assert b"done" in answer


def lines(*messages: object) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def run_stdio(case: Case) -> None:
    with case.running("run", *case.words, "--", *case.server) as run:
        assert b"done" in run.finish(lines(CALL))[1]


def run_proxy_port(case: Case) -> None:
    with case.running("run", "--proxy-port", "0", *case.words, "--", *case.server) as run:
        call(served(run))


def run_transport(case: Case) -> None:
    with case.running("run", "--transport", "streamable-http", *case.words, "--", *case.server) as run:
        call(served(run))


def run_url(case: Case) -> None:
    with case.upstream() as url, case.running("run", *case.words, url) as run:
        assert b"done" in run.finish(lines(INITIALIZE, INITIALIZED, CALL))[1]


def proxy(case: Case) -> None:
    with case.upstream() as url, case.running("proxy", "x", "--target-uri", url, *case.words) as run:
        call(served(run))


def mcp_call(case: Case) -> None:
    executable, *arguments = case.server
    with case.running("mcp", "call", *case.words, executable, "act", "--", *arguments) as run:
        assert b"done" in run.finish()[1]


@contextmanager
def container(command: Sequence[str], folder: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """An API server with a container of this command: variables and credentials of a pod's."""
    authority = trustme.CA()
    identity = authority.issue_cert("127.0.0.1")
    ready, over = threading.Event(), threading.Event()
    found: list[str] = []

    async def serve() -> None:
        import ssl

        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        identity.configure_cert(tls)
        inside = Container(command)
        async with fake_attach(container=inside, tls=tls) as api:
            await inside.start()
            found.append(api.url.rpartition(":")[2])
            ready.set()
            await asyncio.to_thread(over.wait, PATIENCE)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        where = credentials(folder / "credentials", ca=authority.cert_pem.bytes())
        yield {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": found[0]}, where
    finally:
        over.set()
        thread.join(PATIENCE)


def operator_pod(case: Case) -> None:
    """What the operator runs beside a server: `thv attach`."""
    with container(case.server, case.folder) as (env, where), case.running("attach", "x", str(where), env=env) as run:
        call(served(run))


def operator_wrap(case: Case) -> None:
    """What the operator runs around a server's command, with the variables and the file of its pod."""
    spec = server(command=case.server)
    (container,) = pod.template(spec, OPTIONS, {})["spec"]["containers"]
    here = {names.EVERYWHERE: "127.0.0.1", str(names.DEFAULT_PORT): "0"}
    command = [here.get(word, word) for word in container["args"]]
    split = command.index("--")
    file = Path(os.environ["HOME"], ".toolhive", names.CONFIG_FILE)
    if not file.parent.exists():
        file.parent.mkdir()
        file.write_text(pod_settings.config(spec))
    env = {entry["name"]: entry["value"] for entry in container["env"]} | {names.CONFIG_VARIABLE: str(file), **case.env}
    with case.running(*command[:split], *case.words, *command[split:], env=env) as run:
        call(served(run))


VERBS: list[Verb] = [run_stdio, run_proxy_port, run_transport, run_url, proxy, mcp_call, operator_pod, operator_wrap]
STARTS_THE_SERVER: list[Verb] = [run_stdio, run_proxy_port, run_transport, mcp_call, operator_wrap]
each_verb = pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with Sink() as sink:
        yield Case(sink, tmp_path)


@pytest.fixture
def config(home: Path) -> Path:
    (home / ".toolhive").mkdir()
    return home / ".toolhive" / "config.yaml"


def assert_nothing_is_sent(case: Case, verb: Verb) -> None:
    verb(case)
    assert case.sink.connections == 0


@each_verb
def test_without_a_no_the_call_is_reported(verb: Verb, case: Case) -> None:
    verb(case)
    assert [received.counts for received in case.sink.wait_for(1)] == [{"success": 1}]


@each_verb
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DO_NOT_TRACK", "1"),
        ("CI", "true"),
        ("OTEL_SDK_DISABLED", "true"),
        ("TOOLHIVE_USAGE_ANALYTICS_ENABLED", "false"),
        ("TOOLHIVE_USAGE_ANALYTICS_ENABLED", "perhaps"),
        ("TOOLHIVE_USAGE_METRICS_ENABLED", "false"),
    ],
)
def test_a_variable_is_a_no(verb: Verb, name: str, value: str, case: Case) -> None:
    """Fails in `assert_nothing_is_sent`."""
    case.env = {name: value}
    assert_nothing_is_sent(case, verb)


FILES = {
    "false": f"otel:\n  {KEY}: false\n",
    "no boolean": f"otel:\n  {KEY}: perhaps\n",
    "no YAML": "otel: [\n",
    "top level": f"{KEY}: false\n",
    "another section": f"Otel:\n  {KEY}: off\n",
    "another name": "otel:\n  usage_analytics_enabled: 'false'\n",
    "later document": f"a: 1\n---\notel:\n  {KEY}: no\n",
}


@each_verb
@pytest.mark.parametrize("text", list(FILES.values()), ids=list(FILES))
def test_the_file_is_a_no(verb: Verb, text: str, case: Case, config: Path) -> None:
    """Fails in `assert_nothing_is_sent`."""
    config.write_text(text)
    assert_nothing_is_sent(case, verb)


@each_verb
@pytest.mark.parametrize("kind", ["missing", "through a file", "dangling link", "directory"])
def test_a_file_that_is_named_and_cannot_be_read_is_a_no(verb: Verb, kind: str, case: Case, config: Path) -> None:
    """Fails in `assert_nothing_is_sent`."""
    if kind == "missing":
        case.env = {"TOOLHIVE_CONFIG": str(config)}
    elif kind == "through a file":
        config.write_text("")
        case.env = {"TOOLHIVE_CONFIG": str(config / "config.yaml")}
    elif kind == "directory":
        config.mkdir()
    else:
        config.symlink_to("nowhere")
    assert_nothing_is_sent(case, verb)


@each_verb
def test_a_remembered_no_is_a_no_until_the_file_says_true(verb: Verb, case: Case, config: Path) -> None:
    subprocess.run([*THV, "--version"], check=True, capture_output=True, env={**os.environ, "DO_NOT_TRACK": "1"})
    assert_nothing_is_sent(case, verb)
    config.write_text(f"otel:\n  {KEY}: true\n")
    verb(case)
    assert len(case.sink.wait_for(1)) == 1


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb is not operator_pod], ids=lambda verb: verb.__name__)
def test_the_switch_of_one_run_is_a_no(verb: Verb, case: Case) -> None:
    """Fails in `assert_nothing_is_sent`."""
    case.words = [f"--otel-{KEY}=false"]
    assert_nothing_is_sent(case, verb)


@pytest.mark.parametrize("verb", STARTS_THE_SERVER, ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("how", ["-e", "--env-file"])
def test_a_variable_that_is_given_to_the_server_is_a_no(verb: Verb, how: str, case: Case) -> None:
    """Fails in `assert_nothing_is_sent`."""
    (case.folder / "env").write_text("DO_NOT_TRACK=1\n")
    case.words = ["-e", "DO_NOT_TRACK=1"] if how == "-e" else ["--env-file", str(case.folder / "env")]
    assert_nothing_is_sent(case, verb)


WRITE = "import os, pathlib, sys; pathlib.Path(os.environ['HOME'], '.toolhive', 'config.yaml').write_text(sys.argv[1])"


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/null"])
@pytest.mark.parametrize("verb", [run_stdio, run_url, mcp_call], ids=lambda verb: verb.__name__)
def test_where_the_notice_cannot_be_read_nothing_is_sent_and_it_stays_due(
    verb: Verb, redirection: str, case: Case
) -> None:
    case.shell = f'exec "$@" {redirection}'
    assert_nothing_is_sent(case, verb)
    case.shell = 'exec "$@"'
    verb(case)
    assert len(case.sink.wait_for(1)) == 1


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/null"])
def test_a_server_for_http_clients_without_a_stderr_serves_and_sends_nothing(redirection: str, case: Case) -> None:
    port = free_port()
    case.shell = f'exec "$@" {redirection}'
    with case.running("run", "--proxy-port", str(port), "--", *case.server):
        until(lambda: answers(port), "the server")
        call(f"http://127.0.0.1:{port}/mcp")
    assert case.sink.connections == 0


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


DURING = {
    "set": [*THV, "config", "otel", "set", KEY, "false"],
    "by hand": [sys.executable, "-c", WRITE, f"otel:\n  {KEY}: false\n"],
    "no boolean": [sys.executable, "-c", WRITE, f"otel:\n  {KEY}: perhaps\n"],
    "wrong place": [sys.executable, "-c", WRITE, f"{KEY}: false\n"],
    "no YAML": [sys.executable, "-c", WRITE, "otel: [\n"],
    "dangling link": ["sh", "-c", 'rm -f "$HOME/.toolhive/config.yaml"; ln -s nowhere "$HOME/.toolhive/config.yaml"'],
    "remembered": ["env", "DO_NOT_TRACK=1", *THV, "config", "path"],
}


@each_verb
@pytest.mark.parametrize("change", list(DURING.values()), ids=list(DURING))
def test_a_no_during_the_session_reaches_it(verb: Verb, change: list[str], case: Case, config: Path) -> None:
    """Fails in `assert_nothing_is_sent`."""
    config.write_text("otel: {}\n")
    case.change = change
    assert_nothing_is_sent(case, verb)


@pytest.mark.parametrize("change", ["set", "remembered"])
def test_a_no_reaches_a_session_that_began_without_a_file(change: str, case: Case) -> None:
    """Fails in `assert_nothing_is_sent`."""
    case.change = DURING[change]
    assert_nothing_is_sent(case, run_stdio)


@each_verb
def test_a_file_that_goes_on_saying_yes_changes_nothing(verb: Verb, case: Case, config: Path) -> None:
    config.write_text(f"otel:\n  {KEY}: true\n")
    case.change = [*THV, "config", "otel", "set", "insecure", "true"]
    verb(case)
    assert len(case.sink.wait_for(1)) == 1
