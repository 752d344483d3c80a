"""What a URL and its options become: a value without surprises, or one line that holds no secret."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from thv.errors import ThvError
from thv.servers.remote_spec import is_remote, resolve_remote, warning

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://mcp.example.com/mcp"
TOKEN = "TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN"


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (URL, True),
        ("HTTP://127.0.0.1:1", True),
        ("http:", False),
        ("uvx://x", False),
        ("https", False),
        (None, False),
        ("./http://x", False),
    ],
)
def test_a_url_is_told_from_other_servers(server: str | None, expected: bool) -> None:
    assert is_remote(server) is expected


@pytest.mark.parametrize(
    "server",
    [
        "https://",
        "http:///mcp",
        "http://:80/",
        "http://a:port/",
        "http://a:0/",
        "http://a:99999/",
        "http://[x/",
        "http://a b/",
    ],
)
def test_what_is_no_url_is_refused(server: str) -> None:
    with pytest.raises(ThvError, match=r"not a URL of a server: write https://HOST"):
        resolve_remote(server, environ={})


def test_the_name_is_the_host_unless_there_is_one() -> None:
    assert resolve_remote(URL, environ={}).name == "mcp.example.com"
    assert resolve_remote(URL, environ={}, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("X-Key=v", ("X-Key", "v")),
        ("X-Key: v", ("X-Key", "v")),
        ("X-Key:v=w", ("X-Key", "v=w")),
        ("X-Key=v: w", ("X-Key", "v: w")),
        ("X-Key=", ("X-Key", "")),
    ],
)
def test_a_header_is_written_either_way(text: str, header: tuple[str, str]) -> None:
    assert resolve_remote(URL, environ={}, header=[text]).headers == (header,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"header": ["SECRET"]}, "--header: expected NAME=VALUE"),
        ({"header": ["=SECRET"]}, "--header: expected NAME=VALUE"),
        ({"header": ["a b: SECRET"]}, "--header: expected NAME=VALUE"),
        ({"header": ["Host: SECRET"]}, "Host is a header that thv sets itself"),
        ({"header": ["mcp-session-id=SECRET"]}, "mcp-session-id is a header that thv sets itself"),
        ({"header": ["X: SECRET\r\nY: z"]}, "the value of X holds a character"),
        ({"header": ["X: SECRETé"]}, "the value of X holds a character"),
        ({"header_file": ["/no/such"]}, "cannot read --header-file /no/such"),
        ({"bearer_token_file": "/no/such"}, "cannot read --bearer-token-file /no/such"),
        ({"ca_file": "/no/such"}, "cannot read --ca-file /no/such"),
        ({"environ": {TOKEN: "SECRET\nx"}}, f"{TOKEN}: the token holds a character"),
        ({"environ": {TOKEN: "  "}}, f"{TOKEN} holds no token"),
    ],
)
def test_what_cannot_be_sent_is_said_without_its_value(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ThvError) as caught:
        resolve_remote(URL, **{"environ": {}, **options})
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_are_named_with_their_line_and_never_shown(tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.write_text("# fine\nX: 1\nSECRET\n")
    with pytest.raises(ThvError) as caught:
        resolve_remote(URL, environ={}, header_file=[str(headers)])
    assert str(caught.value).startswith(f"{headers}:3: expected NAME=VALUE")
    headers.write_bytes(b"\xff")
    with pytest.raises(ThvError, match="it is not UTF-8"):
        resolve_remote(URL, environ={}, header_file=[str(headers)])
    empty = tmp_path / "token"
    empty.write_text("\n")
    with pytest.raises(ThvError, match="holds no token"):
        resolve_remote(URL, environ={}, bearer_token_file=str(empty))


def test_there_is_one_credential_and_what_was_written_comes_before_the_environment(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    with pytest.raises(ThvError, match="there are two credentials"):
        resolve_remote(URL, environ={}, bearer_token_file=str(token), header=["authorization: x"])
    environ = {TOKEN: "env"}
    assert resolve_remote(URL, environ=environ).headers == (("Authorization", "Bearer env"),)
    assert resolve_remote(URL, environ=environ, header=["Authorization=x"]).headers == (("Authorization", "x"),)
    assert resolve_remote(URL, environ=environ, bearer_token_file=str(token)).headers == ()
    assert resolve_remote("https://u:p@a/", environ=environ).headers == ()


def test_a_repr_shows_names_and_no_values() -> None:
    spec = resolve_remote("https://u:SECRET@a/m?k=SECRET#SECRET", environ={}, header=["X=SECRET"])
    assert "SECRET" not in repr(spec)
    assert spec.place == "https://a/m?…"


@pytest.mark.parametrize(
    ("url", "header", "warns"),
    [
        ("http://a.example/", ["Authorization=x"], True),
        ("http://u:p@a.example/", [], True),
        ("http://a.example/", [], False),
        ("https://a.example/", ["Authorization=x"], False),
        ("http://127.0.0.1:9/", ["Authorization=x"], False),
        ("http://localhost/", ["Authorization=x"], False),
    ],
)
def test_credentials_in_the_clear_are_warned_of(url: str, header: list[str], warns: bool) -> None:
    assert (warning(resolve_remote(url, environ={}, header=header)) is not None) is warns


def test_a_spec_does_not_change() -> None:
    with pytest.raises(AttributeError, match="does not change"):
        resolve_remote(URL, environ={}).name = "x"  # type: ignore[misc]  # refused at run time, too


def test_telling_a_url_from_a_name_imports_nothing_slow() -> None:
    code = (
        "import sys; before = set(sys.modules); from thv.servers.remote_spec import is_remote; is_remote('https://a/');"
        "print(*sorted(set(sys.modules) - before))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name for name in seen.stdout.split() if not name.startswith("thv")} <= {"__future__"}
