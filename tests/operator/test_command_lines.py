"""What the operator writes into a pod is what thv's own command line takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.operator.servers import IMAGE, SPECS, refusal, server
from thv.cli import attach as attach_verb
from thv.cli.app import main
from thv.cli.proxy_options import parse_proxy
from thv.cli.run_options import parse
from thv.operator.pod_settings import Options
from thv.operator.resources import workload

if TYPE_CHECKING:
    import pytest

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


def test_a_proxys_words_are_those_of_thv_proxy() -> None:
    said = words("proxy")
    assert said[0] == "proxy"
    request = parse_proxy(said[1:])
    assert (request.name, request.host, request.port) == ("files", "0.0.0.0", "8081")
    assert request.allowed_origins == ["https://a.example", "https://b.example"]


def test_a_sidecars_words_are_those_of_thv_attach(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def verb(name: str, *_: Any, **options: Any) -> int:
        seen.update(options, name=name)
        return 0

    monkeypatch.setattr(attach_verb, "attach", verb)
    assert main(words("attach")) == 0
    expected = {"name": "files", "host": "0.0.0.0", "namespace": "default", "pod": "files-0", "container": "mcp"}
    assert expected.items() <= seen.items()
    assert list(seen["allowed_origins"]) == ["https://a.example", "https://b.example"]
