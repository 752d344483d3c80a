"""What every test gets: a HOME of its own, no settings from the machine, and no way to reach another host."""

from __future__ import annotations

import os
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pathlib import Path

# A test fails because a promise is broken, never because the machine was slow.
settings.register_profile("thv", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("thv")

SWITCHES = (
    "CI",
    "DO_NOT_TRACK",
    "TOOLHIVE_USAGE_ANALYTICS_ENABLED",
    "TOOLHIVE_USAGE_METRICS_ENABLED",
    "OTEL_SDK_DISABLED",
)
"""The variables that can turn usage analytics off."""


def _is_loopback(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket
    try:
        return ip_address(address[0]).is_loopback
    except ValueError:
        return bool(address[0] == "localhost")


def _refuse_other_hosts(event: str, args: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"} and not _is_loopback(args[1]):
        raise PermissionError(f"a test tried to contact {args[1]!r}")


sys.addaudithook(_refuse_other_hosts)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh HOME, with every variable that would lead out of it removed."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for name in list(os.environ):
        if name.startswith(("XDG_", "OTEL_", "TOOLHIVE_")):
            monkeypatch.delenv(name)
    return home


@pytest.fixture
def analytics_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes every variable that turns usage analytics off; the endpoint must then be a loopback one."""
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
