"""Where log-ins are kept: whole, private, and one change at a time."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import keyring
import pytest

from tests.auth import memory_keyring
from thv.auth import system_keyring as system_keyring_module
from thv.auth.system_keyring import SystemKeyring
from thv.auth.token_store import ClientRegistration, Login, Secrets, TokenStore, key_of
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keyring.backend import KeyringBackend

URL = "https://mcp.example.com/mcp"


def login(issuer: str = "https://issuer.example.com", at: float = 1.0, token: str = "the-token") -> Login:
    return Login(
        issuer=issuer,
        resource=URL,
        server_urls=(URL,),
        token_endpoint=f"{issuer}/token",
        client=ClientRegistration("client"),
        logged_in_at=at,
        secrets=Secrets(token, refresh_token="the-refresh-token"),
    )


def test_what_was_put_is_found_by_server_and_by_key(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "auth")
    assert store.find(URL) is None
    assert store.all() == []
    store.put(login())
    found = store.find(URL)
    assert found is not None
    assert found == store.get("https://issuer.example.com", URL)
    assert found.secrets == login().secrets
    assert store.find(f"{URL}/other") is None


def test_the_newest_login_of_a_server_counts(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    store.put(login("https://old.example.com", at=1.0))
    store.put(login("https://new.example.com", at=2.0))
    found = store.find(URL)
    assert found is not None
    assert found.issuer == "https://new.example.com"


def test_file_and_folder_are_the_users_alone(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "auth")
    store.put(login())
    (path,) = (tmp_path / "auth").glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"issuer": 1}', b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_cannot_be_read_is_no_login(tmp_path: Path, content: bytes) -> None:
    store = TokenStore(tmp_path)
    store.put(login())
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(content)
    assert store.all() == []
    assert store.find(URL) is None


def test_a_file_under_another_name_is_not_used(tmp_path: Path) -> None:
    """A login is found by its issuer and resource; one that was copied over another is not that other."""
    store = TokenStore(tmp_path)
    store.put(login())
    (path,) = tmp_path.glob("*.json")
    path.rename(tmp_path / f"{key_of('https://other.example.com', URL)}.json")
    assert store.get("https://other.example.com", URL) is None


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("a file")
    with pytest.raises(LoginError, match="cannot be kept"):
        TokenStore(tmp_path / "auth").put(login())


def test_secrets_are_in_no_representation() -> None:
    assert "the-" not in repr(login())


def test_a_lock_is_waited_for_and_the_wait_can_be_cancelled(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from thv.auth.token_store import TokenStore\n"
        "async def hold():\n"
        "    async with TokenStore(Path(sys.argv[1])).locked('x'):\n"
        "        print('held', flush=True); sys.stdin.read()\n"
        "asyncio.run(hold())"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        got = []

        async def take() -> None:
            async with TokenStore(tmp_path).locked("x"):
                got.append("lock")

        async def scenario() -> None:
            waiting = asyncio.create_task(take())
            await asyncio.sleep(0.2)
            assert got == []
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            waiting = asyncio.create_task(take())
            assert other.stdin is not None
            other.stdin.close()  # it ends, and with it its lock
            async with asyncio.timeout(60):
                await waiting

        asyncio.run(scenario())
        assert got == ["lock"]


def test_a_lock_that_another_process_never_gives_up_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    async def take_twice() -> None:
        async with TokenStore(tmp_path).locked("x"), TokenStore(tmp_path).locked("x", 0.1):
            pytest.fail("both have the lock")

    with pytest.raises(LoginError, match=r"another process holds .*x\.lock; end it and try again"):
        asyncio.run(take_twice())


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.auth.test_token_store import login
from thv.auth.token_store import TokenStore
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
TokenStore(Path(sys.argv[1])).put(login())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("command", ["put", "delete"])
def test_what_killed_writers_left_behind_is_removed_with_the_tokens_in_it(command: str, tmp_path: Path) -> None:
    folder = tmp_path / "auth"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
        [left] = folder.iterdir()  # what the one before left is gone
        assert b"the-token" in left.read_bytes()
    getattr(TokenStore(folder), command)(login())
    assert [path.name for path in folder.iterdir()] == ([f"{login().key}.json"] if command == "put" else [])


# The system's keyring.


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[KeyringBackend]]:
    before = keyring.get_keyring()
    monkeypatch.setenv("THV_TEST_KEYRING", str(tmp_path / "keyring.json"))
    keyring.set_keyring(memory_keyring.InFile())
    yield memory_keyring.InFile
    keyring.set_keyring(before)


def test_secrets_are_in_the_keyring_and_not_in_the_file(tmp_path: Path, backend: object) -> None:
    store = TokenStore(tmp_path / "auth", SystemKeyring())
    store.put(login())
    (path,) = (tmp_path / "auth").glob("*.json")
    assert "the-" not in path.read_text()
    assert "the-refresh-token" in (tmp_path / "keyring.json").read_text()
    (listed,) = store.all()
    assert (listed.in_keyring, listed.secrets, listed.is_refreshable) == (True, None, True)
    found = TokenStore(tmp_path / "auth", SystemKeyring()).find(URL)
    assert found is not None
    assert found.secrets == login().secrets
    store.delete(found)
    assert json.loads((tmp_path / "keyring.json").read_text()) == {}
    assert store.all() == []


def test_a_login_whose_keyring_is_gone_is_none(tmp_path: Path, backend: object) -> None:
    TokenStore(tmp_path, SystemKeyring()).put(login())
    assert TokenStore(tmp_path).find(URL) is None
    (tmp_path / "keyring.json").unlink()
    assert TokenStore(tmp_path, SystemKeyring()).find(URL) is None


@pytest.mark.parametrize("kind", [memory_keyring.Small, memory_keyring.Forgetful])
def test_what_the_keyring_does_not_keep_is_in_the_file(
    tmp_path: Path, backend: object, kind: type[KeyringBackend]
) -> None:
    keyring.set_keyring(kind())
    store = TokenStore(tmp_path / "auth", SystemKeyring())
    long = login(token="x" * 5000)
    store.put(long)
    found = store.find(URL)
    assert found is not None
    assert (found.secrets, found.in_keyring) == (long.secrets, False)


def test_a_long_token_does_not_leave_an_old_one_in_the_keyring(tmp_path: Path, backend: object) -> None:
    keyring.set_keyring(memory_keyring.Small())
    store = TokenStore(tmp_path / "auth", SystemKeyring())
    store.put(login())
    kept = store.find(URL)
    assert kept is not None
    assert kept.in_keyring
    store.put(login(token="x" * 5000))
    assert json.loads((tmp_path / "keyring.json").read_text()) == {}


def test_a_keyring_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, backend: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_keyring_module, "CALL_TIMEOUT_S", 0.1)
    keyring.set_keyring(memory_keyring.Locked())
    store = TokenStore(tmp_path / "auth", SystemKeyring())
    store.put(login())
    found = store.find(URL)
    assert found is not None
    assert (found.secrets, found.in_keyring) == (login().secrets, False)
