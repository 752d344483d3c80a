"""Whom a TLS connection trusts: the system's authorities, the user's own, or both.

Reads certificate files; `ssl` is imported only when a context is made.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl


def create_tls_context(ca_file: str | None = None, *, system: bool = True, environment: bool = True) -> ssl.SSLContext:
    """How a server's certificate is checked: by the system's authorities, by a file of the user's, or by both.

    Without any authority of the system, as in an image with a server and nothing else, those of `certifi` are used if
    it is installed.

    Args:
        ca_file: certificates of authorities to trust, in PEM form.
        system: trust the system's authorities, too; without `ca_file` they are always used.
        environment: obey `SSL_CERT_FILE`, `SSL_CERT_DIR` and `SSLKEYLOGFILE`. Without it the compiled-in paths are
            used, as they are in a process without environment variables.

    Raises:
        OSError: `ca_file` cannot be read; `ssl.SSLError` if it holds no certificates.
    """
    import ssl

    named = ca_file is not None or (environment and any(os.environ.get(name) for name in _CA_VARIABLES))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # As CPython does. Many authorities that organisations made for themselves do not follow RFC 5280 to the letter.
        if not named:
            context.verify_flags |= ssl.VERIFY_X509_STRICT
    if environment and (key_log := os.environ.get("SSLKEYLOGFILE")):
        context.keylog_filename = key_log
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    if system or ca_file is None:
        _load_system_authorities(context, environment=environment)
    return context


def explain_tls_error(error: ssl.SSLError) -> str:
    """Why there is no TLS with a server, for the end of a sentence about it. Not for certificates of its own."""
    reason = error.reason or "the connection was closed"
    if "CERTIFICATE_REQUIRED" in reason:
        return "it asks for a client certificate, and thv has none"
    is_answer = "_ALERT_" in reason  # an alert is TLS: the server speaks it
    return f"TLS fails ({reason}){'' if is_answer else '; is it an https server?'}"


_CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name other authorities than the system's (OpenSSL)."""


def _load_system_authorities(context: ssl.SSLContext, *, environment: bool) -> None:
    import ssl

    before = context.cert_store_stats()["x509_ca"]
    paths = ssl.get_default_verify_paths()
    folder: str | None
    if environment:
        context.load_default_certs()
        folder = paths.capath
    else:
        if sys.platform == "win32":
            _load_windows_store(context)
        folder = paths.openssl_capath if os.path.isdir(paths.openssl_capath) else None
        if os.path.isfile(paths.openssl_cafile) and not (folder and _covers(folder, paths.openssl_cafile)):
            context.load_verify_locations(cafile=paths.openssl_cafile)
    has_folder = folder is not None and bool(os.listdir(folder))
    if has_folder and not environment:
        context.load_verify_locations(capath=folder)
    # A folder is read as certificates are needed, so it is not in the count.
    if not has_folder and context.cert_store_stats()["x509_ca"] == before:
        _load_bundled(context)


def _covers(folder: str, file: str) -> bool:
    """Whether a folder of certificates makes the file with all of them superfluous: 1 to 3 MiB that need not be loaded.

    Systems make both from one store. In the folder OpenSSL finds a certificate when it needs it, under the hash of its
    subject (``1e09d511.0``); so there have to be as many of these names as the file has certificates.
    """
    try:
        names = [name.partition(".") for name in os.listdir(folder)]
        with open(file, "rb") as bundle:
            listed = bundle.read().count(b"-----BEGIN CERTIFICATE-----")
    except OSError:
        return False
    hashed = sum(1 for head, _, number in names if len(head) == _HASH and number.isdigit() and _HEX.issuperset(head))
    return hashed >= listed > 0


_HASH = 8
_HEX = frozenset("0123456789abcdef")
"""How OpenSSL names a certificate in a folder (`openssl rehash`)."""


def _load_windows_store(context: ssl.SSLContext) -> None:
    import ssl

    if sys.platform == "win32":
        for store in ("CA", "ROOT"):
            for certificate, encoding, purposes in ssl.enum_certificates(store):
                trusted = purposes is True or (purposes is not False and ssl.Purpose.SERVER_AUTH.oid in purposes)
                if encoding == "x509_asn" and trusted:
                    _load_one(context, certificate)


def _load_bundled(context: ssl.SSLContext) -> None:
    try:
        import certifi
    except ImportError:
        return
    context.load_verify_locations(cafile=certifi.where())


def _load_one(context: ssl.SSLContext, certificate: bytes) -> None:
    import ssl

    try:
        context.load_verify_locations(cadata=certificate)
    except ssl.SSLError:
        return  # one unreadable certificate in the Windows store is no reason to trust none
