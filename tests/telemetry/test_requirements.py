"""What an installation lacks is known before anything is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from thv.core.installation import install_command
from thv.telemetry.requirements import GRPC_EXPORTER, PROMETHEUS_EXPORTER, missing

GRPC = {"traces": {"protocol": "grpc"}, "metrics": None, "prometheus_port": None}
HTTP = {"traces": None, "metrics": {"protocol": "http/protobuf"}, "prometheus_port": None}
PROMETHEUS = {"traces": None, "metrics": None, "prometheus_port": 9464}

LACKING = """
import sys
from importlib.util import find_spec
import importlib.util
importlib.util.find_spec = lambda name, package=None: None if name in {lacking!r} else find_spec(name)
from thv.telemetry.requirements import missing
print(missing({agent!r}))
"""


@pytest.mark.parametrize("agent", [GRPC, HTTP, PROMETHEUS, {}])
def test_nothing_is_missing_where_everything_is_installed(agent: dict[str, object]) -> None:
    assert missing(agent) is None


@pytest.mark.parametrize(
    ("agent", "extra"),
    [(GRPC, "grpc"), (PROMETHEUS, "prometheus"), ({**HTTP, "metrics": GRPC["traces"]}, "grpc")],
)
@pytest.mark.parametrize("lacking", [("grpc", "prometheus_client"), (GRPC_EXPORTER, PROMETHEUS_EXPORTER)])
def test_a_missing_extra_is_named_with_what_to_do(
    agent: dict[str, object], extra: str, lacking: tuple[str, ...]
) -> None:
    said = subprocess.run(
        [sys.executable, "-c", LACKING.format(agent=agent, lacking=lacking)], capture_output=True, text=True, check=True
    ).stdout
    assert install_command(extra) in said
    assert said.count("\n") == 1


def test_http_needs_no_extra() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LACKING.format(agent=HTTP, lacking=("grpc", "prometheus_client"))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "None\n"


def test_looking_imports_neither() -> None:
    code = "import sys; from thv.telemetry.requirements import missing; missing({agent!r}); print(sorted(sys.modules))"
    agent = {**GRPC, "prometheus_port": 1}
    said = subprocess.run([sys.executable, "-c", code.format(agent=agent)], capture_output=True, text=True, check=True)
    assert "'grpc'" not in said.stdout
    assert "'prometheus_client'" not in said.stdout
