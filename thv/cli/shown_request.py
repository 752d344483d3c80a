"""What is shown of a `thv run` command line: everything but the secrets in it.

A person at a terminal is shown how a client would start the same; terminals are recorded and shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from thv.config import effective_settings
from thv.config.setting_types import HIDDEN, shown
from thv.core.net.urls import is_http_url, split_url
from thv.core.payload_redaction import is_secret

if TYPE_CHECKING:
    from thv.cli.run_options import RunRequest


def without_secrets(request: RunRequest) -> RunRequest:
    """The request with ``********`` in the place of what is secret in its options and in the URL of a remote server.

    Hidden are the values of headers, those of variables and of parts of a query whose names say so, the user in a URL,
    and what `thv config otel list` hides. Arguments of the server are shown as they are: their meaning is not known.
    """
    values = effective_settings.parse_flags(request.otel)
    server = request.server
    return request.replace(
        otel={name: shown(effective_settings.known_flag(name), text, reveal=False) for name, text in values.items()},
        header=[f"{_header_name(header)}={HIDDEN}" for header in request.header],
        env=[_hide_if_secret(variable) for variable in request.env],
        server=_shown_url(server) if server is not None and is_http_url(server) else server,
    )


def _header_name(text: str) -> str:
    return text[: min((text + ":").find(":"), (text + "=").find("="))].strip()


def _hide_if_secret(pair: str) -> str:
    """``NAME=VALUE``, without a value that the name says is secret."""
    name, equals, _ = pair.partition("=")
    return f"{name}={HIDDEN}" if equals and is_secret(unquote_plus(name)) else pair


def _shown_url(url: str) -> str:
    """Without its fragment, too, which no server gets to see."""
    scheme, user, host, rest = split_url(url.partition("#")[0])
    path, question, query = rest.partition("?")
    parts = "&".join(map(_hide_if_secret, query.split("&")))
    return f"{scheme}{HIDDEN + '@' if user else ''}{host}{path}{question}{parts}"
