"""No secret of a URL is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.core.net.url_redaction import redact_url


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
