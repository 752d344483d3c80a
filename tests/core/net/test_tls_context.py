"""Whom a TLS connection trusts."""

from __future__ import annotations

import re
import ssl
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trustme

from thv.core.net.tls_context import create_tls_context, explain_tls_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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


def greet(client: ssl.SSLContext, answer: Callable[[bytes], bytes]) -> ssl.SSLError:
    """How a client fails that is answered so."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.wrap_bio(received, sent, server_hostname="localhost")
    step = tls.do_handshake
    while True:
        try:
            step()
            step = tls.read  # type: ignore[assignment]  # an alert may come after the handshake
        except ssl.SSLWantReadError:
            received.write(answer(sent.read()))
        except ssl.SSLError as error:
            return error


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (ssl.TLSVersion.TLSv1_3, "it asks for a client certificate, and thv has none"),
        (ssl.TLSVersion.TLSv1_2, r"TLS fails \(\w*ALERT_HANDSHAKE_FAILURE\)"),
    ],
)
def test_a_server_that_wants_a_client_certificate_is_not_taken_for_one_without_tls(
    version: ssl.TLSVersion, words: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    strict.maximum_version = version
    strict.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("localhost").configure_cert(strict)
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = strict.wrap_bio(received, sent, server_side=True)

    def answer(data: bytes) -> bytes:
        received.write(data)
        with suppress(ssl.SSLError):
            server.do_handshake()
        return sent.read()

    error = greet(create_tls_context(str(tmp_path / "ca.pem")), answer)
    assert re.fullmatch(words, explain_tls_error(error))


def test_a_server_without_tls_is_asked_about() -> None:
    error = greet(create_tls_context(), lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert re.fullmatch(r"TLS fails \(\w+\); is it an https server\?", explain_tls_error(error))


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
