"""The network rules that every part shares, as tables."""

from __future__ import annotations

import re
import ssl
import sys
from typing import TYPE_CHECKING

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from thv.core.net import (
    basic_credentials,
    create_tls_context,
    hostname_of,
    is_header_name,
    is_loopback,
    parse_port,
    proxy_for,
    redact_url,
    split_url,
)

if TYPE_CHECKING:
    from pathlib import Path


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
    ("url", "shown", "origin"),
    [
        ("https://user:secret@host:1/mcp?key=secret#secret", "https://host:1/mcp?…", "https://host:1"),
        ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces", "http://[::1]:4318"),
        ("host:4317", "host:4317", "host:4317"),
        ("::1", "::1", "::1"),
        ("user:secret@host:4317/x", "host:4317/x", "host:4317"),
        ("https://user:sec/ret@host/", "https://…", "https://…"),
        ("https://user:sec?ret@host/", "https://…", "https://…"),
        ("https://user:sec#ret@host/", "https://…", "https://…"),
        ("https://us@er:secret@host/@scope/x", "https://host/@scope/x", "https://host"),
        ("", "", ""),
    ],
)
def test_no_secret_is_left_in_a_url_that_is_shown(url: str, shown: str, origin: str) -> None:
    assert redact_url(url) == shown
    assert redact_url(url, origin_only=True) == origin


@given(st.text(), st.text(), st.text())
def test_what_is_shown_of_a_url_never_holds_its_user_or_its_query(user: str, path: str, query: str) -> None:
    user = user.translate(dict.fromkeys(map(ord, "/?#@")))
    assert redact_url(f"https://{user}@host/{path.translate(dict.fromkeys(map(ord, '?#')))}?{query}").startswith(
        "https://host/"
    )


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


@given(st.text(max_size=3) | st.characters(max_codepoint=255))
def test_the_name_of_a_header_is_a_token(text: str) -> None:
    assert is_header_name(text) == (re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text) is not None)


@pytest.mark.parametrize(
    ("user_info", "header"),
    [
        ("Aladdin:open%20sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617, section 2
        ("test:123%C2%A3", "Basic dGVzdDoxMjPCow=="),  # RFC 7617, section 2.1
        ("user", "Basic dXNlcjo="),
        ("a:b:c", "Basic YTpiOmM="),
    ],
)
def test_user_information_becomes_basic_credentials(user_info: str, header: str) -> None:
    assert basic_credentials(user_info) == header


@pytest.mark.parametrize(
    ("scheme", "host", "environ", "proxy"),
    [
        ("http", "a.example", {}, None),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("https", "a.example", {"https_proxy": "p:1"}, "http://p:1"),
        ("https", "a.example", {"ALL_PROXY": "socks5://p:1"}, "socks5://p:1"),
        ("https", "a.example", {"HTTP_PROXY": "http://p:1"}, None),
        ("https", "a.example", {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "http://lower:1"),
        ("https", "a.example", {"HTTPS_PROXY": "http://upper:1", "https_proxy": ""}, None),
        ("http", "a.example", {"HTTP_PROXY": ""}, None),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
        ("http", "a.example", {"http_proxy": "http://p:1", "REQUEST_METHOD": "GET"}, "http://p:1"),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example"}, None),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("http", "a.example", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:9"}, None),
        ("http", "b.a.example", {"HTTP_PROXY": "http://p:1", "no_proxy": "x,.a.example"}, None),
        ("http", "127.0.0.1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http", "127.0.0.1.evil.example", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http", "localhost", {"ALL_PROXY": "http://p:1"}, None),
        ("http", "a.localhost.", {"ALL_PROXY": "http://p:1"}, None),
        ("http", "::1", {"ALL_PROXY": "http://p:1"}, None),
    ],
)
def test_the_environment_names_the_proxy(scheme: str, host: str, environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(scheme, host, 9, environ) == proxy


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


def subjects(context: ssl.SSLContext) -> str:
    return str([each["subject"] for each in context.get_ca_certs()])


def test_a_named_authority_is_trusted_on_top_of_the_systems_or_in_their_place(ca_file: Path) -> None:
    alone = create_tls_context(str(ca_file), system=False)
    assert len(alone.get_ca_certs()) == 1
    both = create_tls_context(str(ca_file))
    assert "trustme" in subjects(both)
    assert len(both.get_ca_certs()) == len(create_tls_context().get_ca_certs()) + 1


def test_a_file_that_is_not_there_and_one_without_certificates_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        create_tls_context(str(tmp_path / "none"))
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(ssl.SSLError):
        create_tls_context(str(empty))


def test_certificates_are_checked_as_the_default_context_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    ours, default = create_tls_context(), ssl.create_default_context()
    for setting in ("protocol", "verify_mode", "check_hostname", "verify_flags", "options", "minimum_version"):
        assert getattr(ours, setting) == getattr(default, setting), setting


@pytest.mark.skipif(sys.version_info < (3, 13), reason="earlier Pythons are never strict")
def test_an_authority_that_the_user_names_need_not_follow_rfc_5280_to_the_letter(
    ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_strict(context: ssl.SSLContext) -> bool:
        return bool(context.verify_flags & ssl.VERIFY_X509_STRICT)

    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    assert is_strict(create_tls_context())
    assert not is_strict(create_tls_context(str(ca_file)))
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    assert not is_strict(create_tls_context())
    assert is_strict(create_tls_context(environment=False))


def test_variables_choose_authorities_only_where_they_may(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    assert "trustme" in subjects(create_tls_context())
    assert "trustme" not in subjects(create_tls_context(environment=False))
