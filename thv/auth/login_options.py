"""What the user set for a log-in. Loaded with every remote client, so it imports next to nothing."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

LOGIN_TIMEOUT_S: Final = 300.0
"""Seconds the user has in the browser: a password manager, a second factor, and a page of consent."""


class LoginOptions(Struct, frozen=True):
    """What the user set.

    Attributes:
        client_id: an id that the authorization server knows, or the URL of a client metadata document; None to use
            the last one, or to register.
        client_secret: what goes with the id, for a client that has one.
        scope: what to ask for; None for what the server says.
        port: to which port the browser comes back; None for any.
        timeout: seconds the user has.
        may_open_browser: False to show the URL only.
    """

    client_id: str | None = None
    client_secret: str | None = None
    scope: str | None = None
    port: int | None = None
    timeout: float = LOGIN_TIMEOUT_S
    may_open_browser: bool = True

    def __repr__(self) -> str:
        return f"LoginOptions(client_id={self.client_id!r}, scope={self.scope!r})"
