"""The files of certificates and keys that the user names for one signal, checked before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thv.core.net.tls_context import create_tls_context
from thv.telemetry.agent.export_errors import ENCRYPTED_KEY, BadFileError, encrypted, unusable

if TYPE_CHECKING:
    import ssl

    from thv.telemetry.frames import Signal


def tls_context(signal: Signal) -> ssl.SSLContext:
    """The context for connections of this signal.

    Raises:
        BadFileError: a file cannot be used.
    """
    file = signal.ca_file
    try:
        # The authorities that the user names replace the system's, as the specification has it.
        context = create_tls_context(signal.ca_file, system=signal.ca_file is None)
        file = signal.certificate_file
        if file is not None:
            read_key(signal.key_file or file)
            # An empty pass phrase: OpenSSL would ask for one on the terminal.
            context.load_cert_chain(file, signal.key_file, password="")
    except OSError as error:
        raise BadFileError(unusable(file or "", error)) from None
    return context


def read_key(path: str) -> bytes:
    """The contents of a key's file.

    Raises:
        OSError: it cannot be read.
        BadFileError: it needs a pass phrase.
    """
    key = Path(path).read_bytes()
    if ENCRYPTED_KEY.search(key):
        raise BadFileError(encrypted(path))
    return key
