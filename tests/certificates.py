"""Certificates as organisations make them: trusted by Go and Python 3.12, refused by RFC 5280 to the letter."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = timedelta(days=1)


@dataclass(frozen=True)
class HomemadeCertificates:
    """An authority without keyUsage, and a server certificate without authority key identifier.

    Attributes:
        authority: the authority's certificate, a PEM file.
        server: certificate and key of a server at 127.0.0.1 and localhost, a PEM file.
    """

    authority: Path
    server: Path

    @contextmanager
    def serving(self) -> Iterator[int]:
        """The port of an HTTPS server that answers every GET with 200."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """stderr belongs to the test."""


def homemade(folder: Path) -> HomemadeCertificates:
    """Make both certificates in `folder`."""
    now = datetime.now(UTC)

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of our own")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
        )

    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = builder("an authority of our own", authority_key)
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    server = builder("a server", server_key).add_extension(names, critical=False)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    made = HomemadeCertificates(folder / "authority.pem", folder / "server.pem")
    made.authority.write_bytes(authority.sign(authority_key, hashes.SHA256()).public_bytes(pem))
    made.server.write_bytes(
        server.sign(authority_key, hashes.SHA256()).public_bytes(pem)
        + server_key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    )
    return made
