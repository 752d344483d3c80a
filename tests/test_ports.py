"""Free ports stay free until their test takes them."""

from __future__ import annotations

import secrets
import socket

import pytest

from tests import ports


def test_a_free_port_is_one_that_the_system_gives_to_nobody() -> None:
    port = ports.free_port()
    assert 15_000 <= port < 32_768
    with socket.create_server(("127.0.0.1", port)), socket.socket() as client:
        client.connect(("127.0.0.1", port))
        assert client.getsockname()[1] != port


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_port_that_is_held_at_either_address_or_was_given_before_is_passed_over(
    address: str, family: socket.AddressFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    if family == socket.AF_INET6 and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    free, held = ports.free_port(), ports.free_port()
    given = ports.free_port()
    drawn = iter([held - 15_000, given - 15_000, free - 15_000])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(drawn))
    monkeypatch.setattr(ports, "_given", {given})
    with socket.create_server((address, held), family=family):
        assert ports.free_port() == free
