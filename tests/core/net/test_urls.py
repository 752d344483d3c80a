"""URLs, hosts and ports, as tables and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.core.net.urls import hostname_of, parse_port, split_url


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("1", 1),
        ("65535", 65535),
        ("0080", 80),
        ("0", None),
        ("65536", None),
        ("", None),
        ("-1", None),
        ("+1", None),
        (" 1", None),
        ("1_0", None),
        ("\u0661", None),
        ("9" * 5000, None),
        ("x", None),
        ("1.0", None),
    ],
)
def test_a_port_is_a_number_up_to_65535(text: str, port: int | None) -> None:
    assert parse_port(text) == port


def test_port_zero_is_one_where_any_free_port_is_meant() -> None:
    assert parse_port("0", lowest=0) == 0


@pytest.mark.parametrize(
    ("authority", "host"),
    [("LOCALHOST:80", "localhost"), ("[::1]:8080", "::1"), ("a.example", "a.example"), ("", None), ("[::1", None)],
)
def test_the_host_of_an_authority_is_read(authority: str, host: str | None) -> None:
    assert hostname_of(authority) == host


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://a:b@host:1/p?q#f", ("https://", "a:b", "host:1", "/p?q#f")),
        ("http://a@b@[::1]:4318", ("http://", "a@b", "[::1]:4318", "")),
        ("a:b@host:4317", ("", "a:b", "host:4317", "")),
        ("https://host?a@b", ("https://", "", "host", "?a@b")),
        ("https://host#a@b", ("https://", "", "host", "#a@b")),
        ("", ("", "", "", "")),
    ],
)
def test_a_url_is_taken_apart_as_it_is_written(url: str, parts: tuple[str, str, str, str]) -> None:
    assert split_url(url) == parts


@given(st.text(alphabet="a:/?#@[]%"))
def test_the_parts_of_a_url_make_it_again(url: str) -> None:
    head, user, host, rest = split_url(url)
    assert url in (f"{head}{user}@{host}{rest}", f"{head}{host}{rest}")
