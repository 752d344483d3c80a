"""`thv run https://…` and `thv auth` against the official SDK's own authorization server: one browser, no secret."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.auth.oauth_servers import BROWSER, Protected, protected_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

THV = [sys.executable, "-P", "-m", "thv"]
PATIENCE = 120
NO_SCREEN = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "CI", "SSH_CONNECTION", "SSH_TTY")


class User:
    """A user's machine: its files, and how often the browser opened."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.browsed = home / "browsed"
        self.environ = {name: value for name, value in os.environ.items() if name not in NO_SCREEN}
        self.environ |= {"DO_NOT_TRACK": "1", "THV_TEST_BROWSED": str(self.browsed)}
        self.with_browser()

    def with_browser(self) -> None:
        self.environ["BROWSER"] = BROWSER

    def without_browser(self) -> None:
        del self.environ["BROWSER"]

    def start(self, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen([*THV, *words], env=self.environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def thv(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*THV, *words],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    @property
    def addresses(self) -> list[str]:
        """What the browser opened."""
        return self.browsed.read_text().splitlines() if self.browsed.exists() else []

    def files(self, folder: str = "") -> dict[str, bytes]:
        """The content of every file below a folder of the state directory."""
        state = self.home / ".local" / "state" / "toolhive" / folder
        return {str(path.relative_to(state)): path.read_bytes() for path in state.rglob("*") if path.is_file()}


@pytest.fixture
def user(home: Path) -> User:
    return User(home)


@pytest.fixture
def server() -> Iterator[Protected]:
    with protected_server() as running:
        yield running


def logins(user: User) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(user.thv("auth", "list", "--format", "json").stdout)["logins"]
    return listed


def messages(url: str, *calls: dict[str, Any]) -> str:
    initialize = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
    }
    initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    return "".join(json.dumps(each) + "\n" for each in (initialize, initialized, *calls))


def call(id_: int, tool: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": {"name": tool, "arguments": {}}}


def replies(stdout: str) -> dict[Any, Any]:
    return {message["id"]: message for message in map(json.loads, stdout.splitlines()) if "id" in message}


def without(secrets: Sequence[str], *places: str | bytes) -> None:
    for place in places:
        data = place.encode() if isinstance(place, str) else place
        assert not [secret for secret in secrets if secret.encode() in data]


def test_the_browser_opens_once_and_later_processes_use_the_login(user: User, server: Protected) -> None:
    first = user.thv("mcp", "call", server.url, "read")
    assert (first.returncode, first.stdout) == (0, "was read\n"), first.stderr
    second = user.thv("mcp", "call", server.url, "read")
    assert (second.returncode, second.stdout, second.stderr) == (0, "was read\n", "")
    assert len(user.addresses) == 1
    assert [asked.resource for asked in server.provider.authorizations] == [server.url]
    (known,) = logins(user)
    assert (known["servers"], known["scope"], known["storage"]) == ([server.url], "read", "file")


def test_no_secret_is_on_a_command_line_in_the_output_or_in_the_journal(user: User, server: Protected) -> None:
    process = user.start("run", "--debug", "--journal-capture", server.url)
    assert process.stdin is not None
    process.stdin.write(messages(server.url, call(1, "read"), call(2, "write")))
    process.stdin.flush()
    assert process.stdout is not None
    found: dict[Any, Any] = {}
    while set(found) != {0, 1, 2}:
        found |= replies(process.stdout.readline())
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert found[2]["result"]["content"][0]["text"] == "was written"
    secrets = server.provider.issued
    assert len(secrets) >= 6  # codes, access and refresh tokens of two log-ins, and a client secret
    without(secrets, json.dumps(found), stdout, stderr, *user.addresses)
    assert user.files("journal")
    without(secrets, *user.files("journal").values())
    listed = user.thv("auth", "list", "--format", "json"), user.thv("auth", "list")
    without(secrets, *(each.stdout + each.stderr for each in listed))


def test_tokens_are_in_a_file_that_only_the_user_can_read(user: User, server: Protected) -> None:
    user.thv("auth", "login", server.url)
    folder = user.home / ".local" / "state" / "toolhive" / "auth"
    (path,) = folder.glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert any(secret.encode() in path.read_bytes() for secret in server.provider.issued)


def test_a_call_that_needs_more_scopes_asks_for_both_and_is_sent_again(user: User, server: Protected) -> None:
    user.thv("auth", "login", server.url)
    written = user.thv("mcp", "call", server.url, "write")
    assert (written.returncode, written.stdout) == (0, "was written\n"), written.stderr
    assert [asked.scopes for asked in server.provider.authorizations] == [["read"], ["read", "write"]]
    assert len(server.provider.clients) == 1


def test_a_forgotten_access_token_is_refreshed_without_a_browser(user: User, server: Protected) -> None:
    user.thv("auth", "login", server.url)
    server.provider.expire_access_tokens()
    again = user.thv("mcp", "call", server.url, "read")
    assert (again.returncode, again.stdout, again.stderr) == (0, "was read\n", "")
    assert (len(user.addresses), len(server.provider.refreshes)) == (1, 1)


def test_processes_that_start_together_log_in_once(user: User, server: Protected) -> None:
    together = [user.start("mcp", "call", server.url, "read") for _ in range(3)]
    for process in together:
        stdout, stderr = process.communicate(timeout=PATIENCE)
        assert (process.returncode, stdout) == (0, "was read\n"), stderr
    assert len(user.addresses) == 1


def test_processes_that_start_together_refresh_once(user: User, server: Protected) -> None:
    user.thv("auth", "login", server.url)
    server.provider.expire_access_tokens()
    together = [user.start("mcp", "call", server.url, "read") for _ in range(3)]
    for process in together:
        stdout, stderr = process.communicate(timeout=PATIENCE)
        assert (process.returncode, stdout) == (0, "was read\n"), stderr
    assert (len(server.provider.refreshes), server.provider.reused) == (1, [])
    assert len(user.addresses) == 1


def test_without_a_screen_one_line_says_what_to_type(user: User, server: Protected) -> None:
    user.without_browser()
    process = user.start("run", server.url)
    stdout, stderr = process.communicate(messages(server.url, call(1, "read")), timeout=PATIENCE)
    line = f"{server.url} asks you to log in: run thv auth login {server.url}"
    assert stderr == f"thv: {line}\n"
    assert {reply["error"]["message"] for reply in replies(stdout).values()} == {line}
    assert server.provider.authorizations == []
    assert server.provider.clients == {}


def test_the_printed_address_logs_in_when_no_browser_opens(user: User, server: Protected) -> None:
    process = user.start("auth", "login", "--no-browser", server.url)
    assert process.stderr is not None
    assert process.stderr.readline().endswith("Open:\n")
    address = process.stderr.readline().strip()
    assert user.addresses == []
    subprocess.run(
        [sys.executable, "-c", "import sys; from urllib.request import urlopen; urlopen(sys.argv[1])", address],
        check=True,
    )
    _, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stderr) == (
        0,
        f"thv: logged in at {server.url}; thv auth logout {server.url} forgets it\n",
    )


def test_nobody_who_logs_in_is_not_waited_for_for_ever(user: User, server: Protected) -> None:
    done = user.thv("auth", "login", "--no-browser", "--timeout", "1", server.url)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"thv: no log-in at {server.url} within 1 s; to try again: thv auth login {server.url}"
    )
    assert logins(user) == []


def test_logout_revokes_and_forgets(user: User, server: Protected) -> None:
    user.thv("auth", "login", server.url)
    done = user.thv("auth", "logout", server.url)
    assert (done.returncode, done.stderr) == (0, f"thv: logged out of {server.url}\n")
    assert len(server.provider.revoked) == 1
    assert logins(user) == []
    without(server.provider.issued, *user.files("auth").values())
    assert user.thv("auth", "logout", server.url).returncode == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows makes links for administrators only")
def test_what_cannot_be_read_is_named_and_never_taken_for_a_log_out(user: User, server: Protected) -> None:
    user.thv("auth", "login", server.url)
    folder = user.home / ".local" / "state" / "toolhive" / "auth"
    (folder / "damaged.json").write_text("{")
    (folder / "folder.json").mkdir()
    told = [
        f"thv: log-ins may be in what cannot be read: {folder}/damaged.json: it holds no log-in as thv writes them",
        f"thv: log-ins may be in what cannot be read: {folder}/folder.json: Is a directory",
    ]
    listed = user.thv("auth", "list")
    assert (listed.returncode, listed.stderr.splitlines()) == (0, told)
    assert listed.stdout.startswith(server.url)
    done = user.thv("auth", "logout", "--all")
    assert (done.returncode, done.stderr.splitlines()) == (1, [*told, f"thv: logged out of {server.url}"])

    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder)
    done = user.thv("auth", "logout", "--all")
    assert done.returncode == 1
    assert done.stderr == (f"thv: log-ins may be in what cannot be read: {folder}: Too many levels of symbolic links\n")


def test_credentials_of_the_users_own_switch_logging_in_off(user: User, server: Protected, tmp_path: Path) -> None:
    user.thv("auth", "login", server.url)
    token = tmp_path / "token"
    token.write_text("mine")
    for own in (("--bearer-token-file", str(token)), ("--header", "Authorization=Bearer mine")):
        process = user.start("run", *own, server.url)
        _, stderr = process.communicate(messages(server.url), timeout=PATIENCE)
        assert stderr == (f"thv: {server.url} does not accept the credentials (401): they are wrong or have expired\n")
    assert len(user.addresses) == 1


def test_a_client_id_and_credentials_exclude_each_other(user: User) -> None:
    done = user.thv("run", "--client-id", "x", "--header", "Authorization=Bearer mine", "https://mcp.example.com/mcp")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
