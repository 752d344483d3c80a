"""What every test gets: a HOME of its own, the same variables everywhere, and no way to reach another host."""

from __future__ import annotations

import os
import signal
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
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

ENDING_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]
"""What tests send, and what a program may have been started to ignore."""


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


@pytest.fixture(scope="session", autouse=True)
def _same_environment_everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The variables of this machine change no result, nor what a fixture of a whole module starts.

    Usage analytics are off by one variable alone, DO_NOT_TRACK, so that nothing a test forgot can send a report. No
    signal is ignored: what runs in the background of a script ignores Ctrl-C, and so would all that it starts.
    """
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("CI"):
            patch.setenv("BUILD_NUMBER", "1")  # the other variable by which pytest shows differences in full
        for name in list(os.environ):
            if name in SWITCHES or name.startswith(("XDG_", "OTEL_", "TOOLHIVE_")):
                patch.delenv(name)
        patch.setenv("DO_NOT_TRACK", "1")
        _move_home(patch, tmp_path_factory.mktemp("home"))
        yield


def _move_home(patch: pytest.MonkeyPatch, home: Path) -> None:
    patch.setenv("HOME", str(home))
    patch.setenv("USERPROFILE", str(home))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh HOME."""
    home = tmp_path / "home"
    home.mkdir()
    _move_home(monkeypatch, home)
    return home


@pytest.fixture
def analytics_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes every variable that turns usage analytics off; the endpoint must then be a loopback one."""
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
