"""Header names and Basic credentials, as HTTP has them."""

from __future__ import annotations

_TOKEN = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'*+-.^_`|~")
"""The characters of a token (RFC 9110, section 5.6.2)."""


def is_header_name(text: str) -> bool:
    """Whether a text can be the name of a header: a token (RFC 9110, sections 5.1 and 5.6.2)."""
    return bool(text) and _TOKEN.issuperset(text)


def basic_credentials(user_info: str) -> str:
    """The value of `Authorization` for ``user:password`` as a URL has it, percent-encoded (RFC 7617, section 2)."""
    from binascii import b2a_base64
    from urllib.parse import unquote_to_bytes

    user, _, password = user_info.partition(":")
    credentials = b"%b:%b" % (unquote_to_bytes(user), unquote_to_bytes(password))
    return "Basic " + b2a_base64(credentials, newline=False).decode("ascii")
