"""Header names and Basic credentials."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.core.net.http_headers import basic_credentials, is_header_name


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
