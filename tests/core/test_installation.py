"""The command that adds an extra is the one that works for the way thv was installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thv.core import installation
from thv.core.installation import install_command

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="quotes are those of POSIX shells")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes an installation of some kind."""

    def make(mark: str | None = None, origin: dict[str, Any] | None = None, *modules: str) -> None:
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
        monkeypatch.setattr(sys, "executable", "/venv/bin/python")
        if mark is not None:
            (tmp_path / mark).touch()

        class Distribution:
            def read_text(self, _name: str) -> str | None:
                return None if origin is None else json.dumps(origin)

        monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: Distribution())
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in modules else None)

    return make


@pytest.mark.parametrize(
    ("mark", "origin", "modules", "command"),
    [
        (None, None, ["pip"], "/venv/bin/python -m pip install 'thv[http]'"),
        (None, None, [], "uv pip install --python /venv/bin/python 'thv[http]'"),
        ("pipx_metadata.json", None, ["pip"], "pipx runpip thv install 'thv[http]'"),
        ("uv-receipt.toml", None, [], "uv tool install 'thv[http]'"),
        ("uv-receipt.toml", None, ["grpc", "kopf"], "uv tool install 'thv[grpc,http,operator]'"),
        (
            None,
            {"url": "file:///home/u/my%20thv", "dir_info": {}},
            ["pip"],
            "/venv/bin/python -m pip install 'thv[http] @ file:///home/u/my%20thv'",
        ),
        (
            None,
            {"url": "file:///home/u/my%20thv", "dir_info": {"editable": True}},
            ["pip"],
            "/venv/bin/python -m pip install -e '/home/u/my thv[http]'",
        ),
        (
            "uv-receipt.toml",
            {"url": "https://example.com/thv.git", "vcs_info": {"vcs": "git", "commit_id": "0"}},
            [],
            "uv tool install 'thv[http] @ git+https://example.com/thv.git'",
        ),
    ],
)
def test_the_command_fits_the_installation(
    installed: Callable[..., None],
    mark: str | None,
    origin: dict[str, Any] | None,
    modules: list[str],
    command: str,
) -> None:
    installed(mark, origin, *modules)
    assert install_command("http") == command


def test_several_extras_are_one_requirement(installed: Callable[..., None]) -> None:
    installed(None, None, "pip")
    error = installation.missing_extra("attaching", "operator", "http")
    assert str(error) == (
        "attaching needs packages that are not installed: /venv/bin/python -m pip install 'thv[http,operator]'"
    )


def test_every_extra_has_a_module_that_shows_it() -> None:
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(installation.EXTRAS) == set(declared["optional-dependencies"]) - {"test"}
