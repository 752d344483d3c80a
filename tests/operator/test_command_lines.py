"""What the operator writes into a pod is what thv's own command line takes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.servers import IMAGE, SPECS, refusal, server
from thv.cli import attach as attach_verb
from thv.cli import proxy as proxy_verb
from thv.cli.app import main
from thv.cli.run_options import parse
from thv.operator.pod_settings import Options
from thv.operator.resources import workload

OPTIONS = Options(IMAGE, refusal, allowed_origins=("https://a.example", "https://b.example"))


def words(shape: str) -> list[str]:
    pod = workload(server(**SPECS[shape]), OPTIONS)["spec"]["template"]["spec"]
    name = "mcp" if shape == "wrap" else "thv"
    container = next(each for each in [*pod["containers"], *pod["initContainers"]] if each["name"] == name)
    said: list[str] = container["args"]
    return said


def test_a_wrapped_servers_words_are_those_of_thv_run() -> None:
    said = words("wrap")
    assert said[0] == "run"
    request = parse(said[1:])
    assert request.args == ("/server", "--stdio")
    assert (request.name, request.proxy_port, request.host) == ("files", "8080", "0.0.0.0")
    assert request.allowed_origins == ["https://a.example", "https://b.example"]
    assert request.env == ["THV_OTEL_HEADER_1=", "OTEL_EXPORTER_OTLP_HEADERS="]


@pytest.mark.parametrize(
    ("shape", "module", "function", "expected"),
    [
        ("proxy", proxy_verb, "proxy", {"host": "0.0.0.0", "port": 8081}),
        (
            "attach",
            attach_verb,
            "attach",
            {"host": "0.0.0.0", "namespace": "default", "pod": "files-0", "container": "mcp"},
        ),
    ],
)
def test_a_sidecars_words_are_those_of_its_verb(
    monkeypatch: pytest.MonkeyPatch, shape: str, module: Any, function: str, expected: dict[str, Any]
) -> None:
    seen: dict[str, Any] = {}

    def verb(name: str, *_: Any, **options: Any) -> int:
        seen.update(options, name=name)
        return 0

    monkeypatch.setattr(module, function, verb)
    assert main(words(shape)) == 0
    assert seen["name"] == "files"
    assert expected.items() <= seen.items()
    assert list(seen["allowed_origins"]) == ["https://a.example", "https://b.example"]
