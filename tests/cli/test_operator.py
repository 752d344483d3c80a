"""`thv operator run`: what it asks for before it starts, and what its options become."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from thv.cli import operator
from thv.cli.app import app, main
from thv.operator import controller, logs

if TYPE_CHECKING:
    from thv.operator.controller import Run

DOCS = (Path(__file__).parents[2] / "docs" / "operator.md").read_text()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """What the operator would have run with."""
    found: list[Run] = []

    async def operate(run: Run) -> None:
        found.append(run)

    monkeypatch.setattr(controller, "operate", operate)
    monkeypatch.setattr(logs, "log_to_stderr", lambda **_: None)
    return found


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "say either --all-namespaces or --namespace"),
        (["--all-namespaces", "--namespace", "a"], "say either --all-namespaces or --namespace"),
        (["--all-namespaces"], "which image is thv's?"),
        (["--all-namespaces", "--thv-image", "i", "--usage-analytics-enabled", "maybe"], "--usage-analytics-enabled"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    words: list[str], complaint: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(operator.IMAGE_VARIABLE, raising=False)
    assert main(["operator", "run", *words]) == 2
    err = capfd.readouterr().err
    assert complaint in err
    assert err.count("\n") == 1


def test_without_a_cluster_it_says_so(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert main(["operator", "run", "--namespace", "a", "--thv-image", "i"]) == 1
    assert "thv: no cluster" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        ([], {}, True),
        (["--usage-analytics-enabled", "true"], {}, True),
        (["--usage-analytics-enabled", "false"], {}, False),
        ([], {"DO_NOT_TRACK": "1"}, False),
        ([], {"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "false"}, False),
        (["--usage-analytics-enabled", "true"], {"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "false"}, False),
        (["--usage-analytics-enabled", "true"], {"OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_every_no_turns_usage_analytics_off_for_all(
    runs: list[Run],
    analytics_on: None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: list[str],
    environ: dict[str, str],
    expected: bool,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["operator", "run", "--all-namespaces", "--thv-image", "i", *words]) == 0
    (run,) = runs
    assert run.options.usage_analytics is expected


def test_options_become_what_the_operator_runs_with(
    runs: list[Run], analytics_on: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(operator.IMAGE_VARIABLE, "from/environment:1")
    words = ["--namespace", "a", "--namespace", "b", "--allowed-origins", "https://x.example", "--resync", "7"]
    assert main(["operator", "run", *words, "--liveness", "http://0.0.0.0:1/z"]) == 0
    (run,) = runs
    assert (run.namespaces, run.resync, run.liveness) == (("a", "b"), 7.0, "http://0.0.0.0:1/z")
    assert run.options.image == "from/environment:1"
    assert run.options.allowed_origins == ("https://x.example",)
    assert run.options.refusal({}) is None
    assert run.options.refusal({"CI": "1"}) == "CI is set"


@pytest.mark.parametrize(
    "words",
    [
        ["--resync", "nan"],
        ["--resync", "inf"],
        ["--liveness", "junk"],
        ["--liveness", "tcp://0.0.0.0:1"],
        ["--liveness", "http://0.0.0.0/healthz"],
        ["--liveness", "http://0.0.0.0:99999/healthz"],
        ["--liveness", "http://256.0.0.1:80/"],
        ["--allowed-origins", "app.example.com"],
        ["--allowed-origins", "https://*.example.com"],
    ],
)
def test_a_value_that_cannot_be_used_is_refused_before_the_operator_runs(
    words: list[str], runs: list[Run], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["operator", "run", "--all-namespaces", "--thv-image", "i", *words]) == 2
    assert runs == []
    assert f"{words[0]}: {words[1]!r} is not " in capfd.readouterr().err


@pytest.mark.parametrize("name", ["", " ", "A", "A_B", "a/b", "a,b", "-a", "a-", "a.b", "a\n", "*", "a" * 64])
def test_a_namespace_that_cannot_exist_is_refused(
    name: str, runs: list[Run], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["operator", "run", "--thv-image", "i", "--namespace", "a", "--namespace", name]) == 2
    assert runs == []
    assert f"--namespace: {name!r} is not " in capfd.readouterr().err


@pytest.mark.parametrize(
    "image", [" ", "a b", "i\n", "Image", "https://r.example/i", "i:", "i@sha256:1", "/i", "i//j", "-i"]
)
def test_an_image_that_cannot_exist_is_refused_wherever_it_is_named(
    image: str, runs: list[Run], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(operator.IMAGE_VARIABLE, image)
    for words, source in ((["--thv-image", image], "--thv-image"), ([], operator.IMAGE_VARIABLE)):
        assert main(["operator", "run", "--all-namespaces", *words]) == 2
        assert f"{source}: {image!r} is not " in capfd.readouterr().err
    assert runs == []


@pytest.mark.parametrize(
    "image",
    [
        *("i", "thv:latest", "docker.io/library/i", "localhost:5000/a/b_c.d--e:V1.2_3", "[fd00::1]:5000/i:1"),
        *("REGISTRY.example:443/i", f"ghcr.io/o/thv:1.0@sha256:{'0a' * 32}", f"i@sha256:{'0a' * 32}"),
    ],
)
def test_every_image_and_namespace_that_can_exist_is_taken(image: str, runs: list[Run]) -> None:
    names = ["a", "0", "team-a", "a" * 63]
    words = [word for name in names for word in ("--namespace", name)]
    assert main(["operator", "run", "--thv-image", image, *words]) == 0
    assert [(run.options.image, run.namespaces) for run in runs] == [(image, tuple(names))]


def test_every_option_is_told_in_the_docs() -> None:
    command: Any = typer.main.get_command(app)
    options = command.commands["operator"].commands["run"].params
    told = set(re.findall(r"^\| `(--[a-z-]+)", DOCS, re.MULTILINE))
    assert told == {option.opts[0] for option in options if option.opts[0] != "--help"}


def test_the_command_line_does_not_load_the_operator() -> None:
    code = "import sys, thv.cli.app; print([name for name in sys.modules if name.split('.')[0] in ('kopf', 'aiohttp')])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["--debug", "operator", "run"], ["operator", "run", "--debug"]])
def test_debug_is_heard_on_either_side_of_the_command(
    words: list[str], runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(logs, "log_to_stderr", lambda *, debug: asked.append(debug))
    assert main([*words, "--all-namespaces", "--thv-image", "i"]) == 0
    assert (asked, len(runs)) == ([True], 1)
