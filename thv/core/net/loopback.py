"""Which hosts are this machine: decided by their text, without asking a name server.

On the path of `thv run` before the server is spawned: `ipaddress` is imported only where it is needed.
"""

from __future__ import annotations

_USUAL = frozenset({"127.0.0.1", "localhost", "::1"})
"""Spellings that nearly every caller uses, for the shortest way."""

_LOOPBACK_NETWORK = 127
"""The first octet of 127.0.0.0/8, all of which is this machine (RFC 1122, section 3.2.1.3)."""

_OCTETS = 4


def is_loopback(host: str | None) -> bool:
    """Whether a host can only mean this machine; decided without asking a name server.

    Accepts what the system's resolver takes for a loopback address, and the names that RFC 6761, section 6.3, reserves:

    - 127.0.0.0/8 in every spelling of `inet_aton(3)`: ``127.0.0.1``, ``127.1``, ``0x7f.1``, ``2130706433``;
    - ``::1``, also in brackets, and IPv4 loopback addresses mapped into IPv6 (``::ffff:127.0.0.1``);
    - ``localhost`` and every name below it, in any case, with or without the final dot.

    Everything else is another machine, or might be: ``127.0.0.1.evil.example`` is a name like any other, ``0.0.0.0``
    and the empty string listen on every interface, and a name with characters outside ASCII is not looked into.
    """
    if host in _USUAL:
        return True
    if not host or not host.isascii():
        return False
    if ":" in host:
        return _is_loopback_ipv6(host)
    labels = host.lower().removesuffix(".").split(".")
    if labels[-1] == "localhost":
        return all(label.replace("-", "").replace("_", "").isalnum() for label in labels)
    address = inet_aton(host)
    return address is not None and address >> 24 == _LOOPBACK_NETWORK


def _is_loopback_ipv6(host: str) -> bool:
    from ipaddress import IPv6Address

    if host[0] == "[" and host[-1] == "]":
        host = host[1:-1]
    try:
        address = IPv6Address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped  # `is_loopback` looks into mapped addresses since CPython 3.13 only
    return address.is_loopback if mapped is None else mapped.is_loopback


def inet_aton(text: str) -> int | None:
    """The IPv4 address that `inet_aton(3)` reads: one to four numbers, decimal, octal or hexadecimal.

    The last number fills the octets that are left. `socket.inet_aton` is not used: it also accepts trailing words.
    """
    numbers = [_c_number(part) for part in text.split(".")]
    if len(numbers) > _OCTETS:
        return None
    address = 0
    for position, number in enumerate(numbers):
        octets = 1 if position < len(numbers) - 1 else _OCTETS - position
        if number is None or number >= 256**octets:
            return None
        address = (address << 8 * octets) | number
    return address


def _c_number(text: str) -> int | None:
    """A number as C writes it: ``0x7f``, ``0177``, ``127``."""
    lower = text.lower()
    base = 16 if lower.startswith("0x") else 8 if len(text) > 1 and text[0] == "0" else 10
    digits = lower[2:] if base == 16 else text  # noqa: PLR2004  hexadecimal
    if not digits.isalnum() or len(digits) > 32:  # noqa: PLR2004  int() would also take signs, blanks and underscores
        return None
    try:
        return int(digits, base)
    except ValueError:
        return None
