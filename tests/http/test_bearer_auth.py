"""The token that clients over HTTP have to present."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.http.fronts import CHATTY, FrontRun, call, initialize
from thv.errors import UsageError
from thv.http.bearer_auth import BearerAuth, bearer_auth
from thv.http.front.front_lifecycle import FrontOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    "authorization", [None, b"", b"Bearer", b"Bearer ", b"Bearer secre", b"Bearer secret2", b"Basic secret", b"secret"]
)
def test_anything_but_the_token_is_refused(authorization: bytes | None) -> None:
    assert not BearerAuth("secret").allows(authorization)


@pytest.mark.parametrize("authorization", [b"Bearer secret", b"bearer secret", b"BEARER  secret "])
def test_the_token_is_let_in_however_the_scheme_is_spelled(authorization: bytes) -> None:
    assert BearerAuth("secret").allows(authorization)


@pytest.mark.parametrize("content", [b"secret", b"secret\n", b"\xef\xbb\xbfsecret\r\n", b" secret\t"])
def test_a_file_may_be_written_by_any_editor(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    auth = bearer_auth(str(file), {})
    assert auth is not None
    assert auth.allows(b"Bearer secret")


def replace(file: Path, content: str) -> None:
    """What editors and Kubernetes do: the same name, another file."""
    other = file.with_name("other")
    other.write_text(content)
    found = file.stat()
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(file)


def rewrite(file: Path, content: str) -> None:
    file.write_text(content)
    os.utime(file, ns=(1, 1))


@pytest.mark.parametrize("change", [rewrite, replace])
def test_a_token_that_was_replaced_in_its_file_is_refused_at_once(
    change: Callable[[Path, str], None], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("token-1\n")
    auth = bearer_auth(str(file), {})
    assert auth is not None
    assert auth.allows(b"Bearer token-1")
    change(file, "token-2\n")
    assert not auth.allows(b"Bearer token-1")
    assert auth.allows(b"Bearer token-2")


def test_a_token_that_was_replaced_before_the_first_request_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token-1")
    auth = bearer_auth(str(file), {})
    assert auth is not None
    file.write_text("token-2")
    assert not auth.allows(b"Bearer token-1")


@pytest.mark.parametrize("content", [None, "", "two words"])
def test_without_a_token_in_the_file_every_request_is_refused_and_the_user_told_once(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("secret")
    warnings: list[str] = []
    auth = BearerAuth("secret", file, warn=warnings.append)
    for count in (1, 2):
        assert auth.allows(b"Bearer secret")
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        for given in (b"Bearer secret", b"Bearer two words", b"Bearer ", b"Bearer secret"):
            assert not auth.allows(given)
        assert len(warnings) == count
        assert warnings[-1].startswith(f"--auth-token-file {file}: ")
        file.write_text("secret")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind there")
def test_a_file_that_may_not_be_read_any_more_lets_no_request_in(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret")
    auth = BearerAuth("secret", file, warn=print)
    assert auth.allows(b"Bearer secret")
    file.chmod(0)
    assert not auth.allows(b"Bearer secret")
    file.chmod(0o600)
    assert auth.allows(b"Bearer secret")


def test_a_file_that_stays_as_it_is_is_not_read_for_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("secret")
    auth = bearer_auth(str(file), {})
    assert auth is not None
    assert auth.allows(b"Bearer secret")
    monkeypatch.setattr("thv.http.bearer_auth.read_token_file", None)  # calling it would raise
    assert auth.allows(b"Bearer secret")
    assert not auth.allows(b"Bearer wrong")


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes in the file system")
def test_a_token_from_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pipe.open("w") as writing:
            writing.write("secret")
            writing.flush()
            auth = BearerAuth("secret", pipe, warn=print)
            assert [auth.allows(b"Bearer secret"), auth.allows(b"Bearer wrong")] == [True, False]
    finally:
        os.close(reading)


def test_the_file_comes_before_the_variable_and_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file")
    environ = {"TOOLHIVE_PROXY_AUTH_TOKEN": "from-variable"}
    both, variable = bearer_auth(str(file), environ), bearer_auth(None, environ)
    assert both is not None
    assert variable is not None
    assert both.allows(b"Bearer from-file")
    assert variable.allows(b"Bearer from-variable")
    assert bearer_auth(None, {"TOOLHIVE_PROXY_AUTH_TOKEN": ""}) is None


@pytest.mark.parametrize("content", ["", "  \n", "two words", "caf\xe9", "a\nb"])
def test_what_cannot_be_a_token_is_a_usage_error(content: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="--auth-token-file"):
        bearer_auth(str(file), {})


def test_an_address_that_others_reach_needs_a_token_or_no_auth(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret")
    with pytest.raises(UsageError, match="--no-auth"):
        FrontOptions("0", host="0.0.0.0", environ={})
    assert FrontOptions("0", host="0.0.0.0", no_auth=True, environ={}).auth is None
    assert FrontOptions("0", host="0.0.0.0", auth_token_file=str(file), environ={}).auth is not None
    assert FrontOptions("0", host="0.0.0.0", environ={"TOOLHIVE_PROXY_AUTH_TOKEN": "secret"}).auth is not None
    assert FrontOptions("0", environ={}).auth is None
    with pytest.raises(UsageError, match="exclude"):
        FrontOptions("0", auth_token_file=str(file), no_auth=True, environ={})


@pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way")
def test_the_front_asks_for_the_token_everywhere_but_for_health_and_preflights(tmp_path: Path) -> None:
    with FrontRun(CHATTY, tmp_path, env={"TOOLHIVE_PROXY_AUTH_TOKEN": "secret"}) as front:
        for method, body in (("POST", initialize()), ("GET", None), ("DELETE", None)):
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                reply = front.request(method, body, **headers)
                assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="thv"')
        assert front.request("GET", path="/health").status in {200, 503}
        asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
        preflight = front.request("OPTIONS", Origin="http://localhost", **asked)
        assert (preflight.status, preflight.headers["access-control-allow-headers"]) == (204, "authorization")
        session = front.post(initialize(), Authorization="Bearer secret").headers["mcp-session-id"]
        known = {"Authorization": "Bearer secret", "Mcp_Session_Id": session}
        reply = front.post(call(1, "environment", {"name": "TOOLHIVE_PROXY_AUTH_TOKEN"}), **known)
        assert reply.json()["result"] == {"value": None}
        front.stop()
