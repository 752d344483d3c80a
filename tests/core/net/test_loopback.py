"""What is this machine and what may be another, as tables."""

from __future__ import annotations

import pytest

from thv.core.net.loopback import is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.255.255.254",
        "127.0x1",
        "0x7f.0.0.1",
        "0177.1",
        "2130706433",
        "0x7f000001",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
        "[::FFFF:7F00:1]",
        "::1%lo",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "x-y.b_1.LocalHost.",
    ],
)
def test_what_can_only_be_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ".",
        "127.0.0.1.evil.example",
        "127.evil.example",
        "127.0.0.1.",  # the system's resolver takes it for a name
        "127.0.0.256",
        "127.0.0.0.1",
        "127.",
        "127",
        "127.0.0.1 x",
        "127.0.0.1\n",
        "127.16777216",
        "127.0.0.08",
        "127.0.0._1",
        "+127.0.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "::",
        "::2",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "[127.0.0.1]",
        "[::1",
        "localhost.evil.example",
        "evil-localhost",
        "notlocalhost",
        ".localhost",
        "..localhost",
        "a..localhost",
        "a b.localhost",
        "localhost..",
        " localhost",
        "localhost:80",
        "loca\u017fhost",  # IDNA would make an s of the long one
        "127.0.0.\uff11",
    ],
)
def test_what_may_be_another_machine_is_not_loopback(host: str | None) -> None:
    assert not is_loopback(host)
