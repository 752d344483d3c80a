"""Network rules shared by every part: loopback, ports, proxies, TLS trust, header names, URLs and how they are shown.

Pure, except for `create_tls_context`, which reads certificate files. On the path of `thv run` before the server is
spawned: imports nothing at the top, and `ssl`, `ipaddress` and `urllib` only where they are needed.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

MAX_PORT = 65_535
"""The largest TCP port (RFC 9293, section 3.1: 16 bits)."""

DEFAULT_PORTS = {"http": 80, "https": 443}
"""RFC 9110, sections 4.2.1 and 4.2.2."""

OMITTED = "…"
"""Stands in a URL for what is not shown."""

_USUAL = frozenset({"127.0.0.1", "localhost", "::1"})
"""Spellings that nearly every caller uses, for the shortest way."""

_TOKEN = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'*+-.^_`|~")
"""The characters of a token (RFC 9110, section 5.6.2)."""

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
    address = _inet_aton(host)
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


def _inet_aton(text: str) -> int | None:
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


def parse_port(text: str, *, lowest: int = 1) -> int | None:
    """The port that a text names: ASCII digits, from `lowest` to 65535; None for anything else.

    Args:
        text: what the user wrote.
        lowest: 0 where port 0, "any free port", makes sense.
    """
    if not (text.isascii() and text.isdigit() and len(text.lstrip("0")) <= len(str(MAX_PORT))):
        return None
    port = int(text)
    return port if lowest <= port <= MAX_PORT else None


def hostname_of(authority: str) -> str | None:
    """The host of a `Host` header or of an authority, in lower case and without brackets; None if there is none."""
    from urllib.parse import urlsplit

    try:
        return urlsplit(f"//{authority}").hostname or None
    except ValueError:
        return None


def is_http_url(text: str) -> bool:
    """Whether a text is a URL of HTTP or HTTPS whose host and port can exist. Nothing is looked up."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port  # reading the port checks it
        host.encode("idna")  # refuses parts of a name that are empty or too long
    except ValueError:
        return False
    if host.replace(".", "").isdecimal() and _inet_aton(host.removesuffix(".")) is None:  # as 256.0.0.1
        return False
    return parts.scheme in DEFAULT_PORTS and host != "" and port != 0 and not any(each <= " " for each in text)


def bare_host(host: str) -> str:
    """An address of IPv6 without the brackets that it has in a URL; any other host as it is."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") and ":" in host else host


def split_url(url: str) -> tuple[str, str, str, str]:
    """A URL's scheme with ``://``, user and password, host and port, and all that follows; "" for what it lacks.

    The four and the ``@`` between user and host make the text again: it need not be valid, and is taken as it is.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    user, _, host = rest[:end].rpartition("@")
    return f"{scheme}{separator}", user, host, rest[end:]


def redact_url(url: str, *, origin_only: bool = False) -> str:
    """A URL as it may be shown: without user, password, query and fragment, any of which may be a secret.

    An authority whose port is no number may be a torn password (``https://user:pa/ss@host``) and is left out whole.

    Args:
        url: as the user wrote it; it need not be valid, and may lack a scheme.
        origin_only: leave out the path, too: in the address of a collector it may hold a token.
    """
    head, question, _ = url.partition("#")[0].partition("?")
    scheme, _, authority, path = split_url(head)
    port = authority.rpartition("]")[2].partition(":")[2]
    if port and parse_port(port, lowest=0) is None and not _is_bare_ipv6(authority):
        return f"{scheme}{OMITTED}"
    if origin_only:
        return f"{scheme}{authority}"
    return f"{scheme}{authority}{path}{'?' + OMITTED if question else ''}"


def _is_bare_ipv6(authority: str) -> bool:
    return all(character in "0123456789abcdefABCDEF:." for character in authority)


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


def proxy_for(scheme: str, host: str, port: int | None, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy for requests to this host, or None for a direct connection.

    ``SCHEME_proxy``, ``all_proxy`` and ``no_proxy`` decide, in either case, the lower one first; where none of them is
    set, the settings of macOS and Windows do. No proxy can reach this machine's loopback addresses.

    Args:
        scheme: of the request: ``http`` or ``https``.
        host: where it goes, without brackets.
        port: None for the scheme's own.
        environ: where proxies are named.
    """
    if is_loopback(host):
        return None
    named = _named_proxies(environ)
    if not named and sys.platform not in {"darwin", "win32"}:
        return None
    from urllib.request import getproxies, proxy_bypass, proxy_bypass_environment  # type: ignore[attr-defined]  # no stub

    proxies = named or getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    where = host if port is None else f"{host}:{port}"
    if not proxy or (proxy_bypass_environment(where, named) if named else proxy_bypass(where)):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _named_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Scheme, `all` or `no` -> what the environment says of it."""
    named = {
        name.lower().removesuffix("_proxy"): value
        for name, value in sorted(environ.items())  # upper case sorts first: the lower case wins, even if empty
        if name.lower().endswith("_proxy")
    }
    if "REQUEST_METHOD" in environ and "http_proxy" not in environ:
        named.pop("http", None)  # in a CGI script HTTP_PROXY is a request's `Proxy` header ("httpoxy")
    return {name: value for name, value in named.items() if value}


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
