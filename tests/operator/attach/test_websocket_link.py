"""The link to a container: both protocols, every end that it can have, and never a word of the token."""

from __future__ import annotations

import asyncio
import ssl
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.operator.fake_attach import TARGET, FakeAttach, credentials, failure, fake_attach, reached, until
from thv.errors import ThvError
from thv.operator.attach.attach_target import ApiServer, AttachTarget
from thv.operator.attach.websocket_link import (
    FRAME,
    ContainerEndedError,
    Link,
    LinkDroppedError,
    RefusedError,
    open_link,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
SETTLE = 0.05


def run(story: Callable[[FakeAttach, ApiServer], Awaitable[None]], folder: Path, *protocols: str) -> None:
    async def main() -> None:
        async with fake_attach(*protocols) as api:
            await story(api, reached(api, folder))

    asyncio.run(main())


async def attach(server: ApiServer, **options: Any) -> Link:
    return await open_link(server, TARGET, **{"settle": SETTLE, **options})


async def refusal(server: ApiServer) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        await attach(server)
    return refused.value


@pytest.mark.parametrize("protocol", [V5, V4])
def test_bytes_pass_both_ways_in_either_protocol(tmp_path: Path, protocol: str) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        link = await attach(server)
        await link.write(b'{"id":1}\n')
        await until(lambda: api.link.stdin == b'{"id":1}\n')
        await api.link.write(b'{"id', b'":1}\n')
        assert await link.read() == b'{"id'
        assert await link.read() == b'":1}\n'
        await link.close()
        await until(lambda: api.link.is_over)
        assert api.link.closed_channels == ([0] if protocol == V5 else [])

    run(story, tmp_path / "credentials", protocol)


def test_the_newest_protocol_is_asked_for_and_only_stdin_and_stdout(tmp_path: Path) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        link = await attach(server)
        assert api.link.websocket.ws_protocol == V5
        assert api.link.request.headers["Sec-WebSocket-Protocol"].replace(" ", "") == f"{V5},{V4}"
        path = "/api/v1/namespaces/team-a/pods/files-0/attach"
        wanted = "container=mcp&stdin=true&stdout=true&stderr=false&tty=false"
        assert api.seen == [(f"{path}?{wanted}", "Bearer token-1")]
        await link.close()
        await link.close()

    run(story, tmp_path / "credentials", V4, V5)


def test_other_channels_and_empty_frames_are_no_output(tmp_path: Path) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        link = await attach(server)
        await api.link.write(b"warning\n", channel=2)
        await api.link.write(b"", channel=3)
        await api.link.write(b"", b"\1", channel=255)
        await api.link.websocket.send_bytes(b"")
        await api.link.write(b"", b"out")
        assert await link.read() == b"out"
        await link.close()

    run(story, tmp_path / "credentials")


def test_a_large_line_goes_in_frames_that_are_passed_on_whole(tmp_path: Path) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        link = await attach(server)
        line = bytes(range(256)) * 16_384 + b"\n"
        await link.write(line)
        await until(lambda: len(api.link.stdin) == len(line))
        assert api.link.stdin == line
        assert max(map(len, api.link.frames)) == FRAME
        await link.close()

    run(story, tmp_path / "credentials")


@pytest.mark.parametrize(
    ("frames", "code", "reason"),
    [
        ([b'{"status":"Success"}'], None, "ended"),
        ([b'{"status":"Suc', b'cess"}'], None, "ended"),
        ([b"", b'{"status":"Success","metadata":{}}'], None, "ended"),
        ([b'{"status":"Failure","message":"gone"}'], None, "gone"),
        (
            [
                b'{"status":"Failure","message":"exit 7","reason":"NonZeroExitCode",',
                b'"details":{"causes":[{"reason":"X"},{"reason":"ExitCode","message":"7"}]}}',
            ],
            7,
            "exit 7",
        ),
        ([b'{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"many"}]}}'], None, "ended"),
        ([b'{"status":"Failure","details":{"causes":[7]}}'], None, "ended"),
        ([b'{"status":"Failure","details":7}'], None, "ended"),
        ([b"[]"], None, "ended"),
        ([b"Error: no JSON at all"], None, "no JSON at all"),
        ([b"\xff\xfe"], None, "ended"),
        ([b"x" * 70_000], None, "cannot be read"),
    ],
)
def test_a_status_means_that_the_container_ended(
    tmp_path: Path, frames: list[bytes], code: int | None, reason: str
) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        link = await attach(server)
        await api.link.write(b"last words\n")
        await api.link.write(*frames, channel=3)
        closing = asyncio.create_task(api.link.websocket.close())
        assert await link.read() == b"last words\n"
        with pytest.raises(ContainerEndedError, match=reason) as ended:
            await link.read()
        assert ended.value.exit_code == code
        await link.close()
        await closing

    run(story, tmp_path / "credentials")


async def abort(api: FakeAttach) -> None:
    api.link.drop()


async def close(api: FakeAttach) -> None:
    await api.link.websocket.close()


async def go_away(api: FakeAttach) -> None:
    await api.link.websocket.close(code=1001, message=b"restarting")


async def text(api: FakeAttach) -> None:
    await api.link.websocket.send_str("hello")


@pytest.mark.parametrize("end", [abort, close, go_away, text])
def test_an_end_without_a_status_is_the_links_and_not_the_containers(
    tmp_path: Path, end: Callable[[FakeAttach], Awaitable[None]]
) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        link = await attach(server)
        await end(api)
        with pytest.raises(LinkDroppedError):
            await link.read()
        await link.close()
        with pytest.raises(LinkDroppedError):
            await link.write(b"x")

    run(story, tmp_path / "credentials")


@pytest.mark.parametrize(
    ("status", "body", "said", "no_container"),
    [
        (403, failure('pods "files-0" is forbidden', "Forbidden"), 'pods "files-0" is forbidden', False),
        (401, failure("Unauthorized", "Unauthorized"), "Unauthorized", False),
        (404, failure('pods "files-0" not found', "NotFound"), "not found", True),
        (400, failure("container mcp is waiting to start: ErrImagePull"), "ErrImagePull", True),
        (409, failure("busy", "Conflict"), "busy", True),
        (500, failure("container is in CONTAINER_EXITED state"), "CONTAINER_EXITED", True),
        (500, failure("error dialing backend: dial tcp 10.0.0.1:10250: refused"), "dialing backend", False),
        (429, failure("slow down"), "slow down", False),
        (503, "no healthy upstream", "no healthy upstream", False),
        (502, "<html>\n  Bad\n Gateway</html>", "<html> Bad Gateway</html>", False),
        (500, "[]", r"(500)", True),
        (503, "", "Service Unavailable", False),
        (503, "x" * 1_000_000, "xxx", False),
        (200, "hello", "hello", False),
    ],
)
def test_a_refusal_says_what_the_api_server_says(
    tmp_path: Path, status: int, body: dict[str, Any] | str, said: str, *, no_container: bool
) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        api.refusals = [(status, body)]
        refused = await refusal(server)
        assert said in str(refused)
        assert "\n" not in str(refused)
        assert len(str(refused)) < 1000
        assert refused.no_container is no_container

    run(story, tmp_path / "credentials")


@pytest.mark.parametrize(
    ("message", "no_container"),
    [("container mcp not found in pod files-0_team-a", True), ("error dialing backend: refused", False)],
)
def test_a_status_right_after_the_handshake_is_a_refusal(tmp_path: Path, message: str, *, no_container: bool) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        api.at_once = [b"\1", b'\3{"status":"Failure","message":"%b"}' % message.encode()]
        refused = await refusal(server)
        assert message in str(refused)
        assert refused.no_container is no_container
        api.at_once = [b"\1"]
        assert not (await refusal(server)).no_container

    run(story, tmp_path / "credentials")


def test_a_websocket_without_channels_is_refused_with_a_guess_why(tmp_path: Path) -> None:
    async def story(_api: FakeAttach, server: ApiServer) -> None:
        assert "proxy between" in str(await refusal(server))

    run(story, tmp_path / "credentials", "chat.example")


def test_output_that_comes_at_once_is_kept(tmp_path: Path) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        api.at_once = [b"\1early", b"\1 bird"]
        link = await open_link(server, TARGET, settle=10)
        assert await link.read() + await link.read() == b"early bird"
        await link.close()

    run(story, tmp_path / "credentials")


def test_a_renewed_token_is_used_for_the_next_link(tmp_path: Path) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        for token in ("token-1", "token-2"):
            credentials(server.credentials, token)
            await (await attach(server)).close()
        assert [seen[1] for seen in api.seen] == ["Bearer token-1", "Bearer token-2"]

    run(story, tmp_path / "credentials")


def test_the_token_is_in_no_error_whatever_goes_wrong(tmp_path: Path) -> None:
    secret = "s3cr3t-t0k3n"

    async def story(api: FakeAttach, server: ApiServer) -> None:
        credentials(server.credentials, secret)
        errors: list[BaseException] = []
        for status, body in ((401, "no"), (302, "elsewhere"), (101, "not even a WebSocket"), (500, "{")):
            api.refusals = [(status, body)]
            with pytest.raises(ThvError) as refused:
                await attach(server)
            errors.append(refused.value)
        devnull = ApiServer("http://127.0.0.1:1", server.credentials)
        with pytest.raises(ThvError) as refused:
            await attach(devnull)
        errors.append(refused.value)
        for error in errors:
            shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
            chain: BaseException | None = error
            while chain is not None and not chain.__suppress_context__:
                shown += repr(chain)
                chain = chain.__cause__ or chain.__context__
            assert secret not in shown
        assert secret not in repr(server)
        assert secret not in "".join(path for path, _ in api.seen)

    run(story, tmp_path / "credentials")


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"", "no token"), (b"\xff", "no text"), (b"a\nb", "no token")]
)
def test_a_missing_token_is_said_with_its_path(tmp_path: Path, content: bytes | None, said: str) -> None:
    server = ApiServer("https://127.0.0.1:1", tmp_path)
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(ThvError, match=said) as error:
        asyncio.run(attach(server))
    assert str(tmp_path / "token") in str(error.value)


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (b"no certificate", "no CA")])
def test_a_missing_ca_is_said_with_its_path(tmp_path: Path, content: bytes | None, said: str) -> None:
    (tmp_path / "token").write_text("token")
    if content is not None:
        (tmp_path / "ca.crt").write_bytes(content)
    with pytest.raises(ThvError, match=said) as error:
        asyncio.run(attach(ApiServer("https://127.0.0.1:1", tmp_path)))
    assert str(tmp_path / "ca.crt") in str(error.value)


def test_only_the_clusters_own_ca_is_trusted(tmp_path: Path) -> None:
    ours, other = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(tls)

    async def main() -> None:
        async with fake_attach(tls=tls) as api:
            folder = credentials(tmp_path / "good", ca=ours.cert_pem.bytes())
            link = await attach(ApiServer(api.url, folder))
            await api.link.write(b"hello")
            assert await link.read() == b"hello"
            await link.close()
            stranger = credentials(tmp_path / "bad", ca=other.cert_pem.bytes())
            refused = await refusal(ApiServer(api.url, stranger))
            assert "certificate" in str(refused).lower()
            assert len(api.seen) == 1

    asyncio.run(main())


def test_pings_keep_a_silent_link(tmp_path: Path) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        link = await attach(server, ping_every=0.05, lost_after=2)
        reading = asyncio.create_task(link.read())
        await until(lambda: api.link.pings >= 5)
        await api.link.websocket.ping(b"and you?")
        await api.link.write(b"x")
        assert await reading == b"x"
        await link.close()

    run(story, tmp_path / "credentials")


def test_a_peer_that_answers_no_ping_is_lost(tmp_path: Path) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        api.answers_pings = False
        link = await attach(server, ping_every=0.1, lost_after=0.5)
        with pytest.raises(LinkDroppedError, match="silent"):
            await link.read()
        assert api.link.pings
        await link.close()

    run(story, tmp_path / "credentials")


def test_a_reader_of_ours_that_is_slow_does_not_make_the_peer_lost(tmp_path: Path) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        link = await attach(server, ping_every=0.05, lost_after=0.5)
        block = b"x" * FRAME
        writing = asyncio.create_task(api.link.write(*[block] * 400))
        await asyncio.sleep(0.8)  # longer than the peer may be silent
        assert not writing.done()  # it had to wait: memory here is bounded
        size = 0
        while size < 400 * FRAME:
            size += len(await link.read())
        await writing
        await link.close()

    run(story, tmp_path / "credentials")


def test_whoever_writes_to_a_peer_that_does_not_read_waits_and_is_let_go_when_the_link_is_closed(
    tmp_path: Path,
) -> None:
    async def story(api: FakeAttach, server: ApiServer) -> None:
        link = await attach(server)
        api.link.reads.clear()
        writing = asyncio.create_task(link.write(b"x" * (64 << 20)))
        done, _ = await asyncio.wait({writing}, timeout=0.5)
        assert not done
        await link.close()
        with pytest.raises(LinkDroppedError):
            await writing
        api.link.reads.set()

    run(story, tmp_path / "credentials")


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}, "https://10.0.0.1:6443"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "https://10.0.0.1:443"),
        ({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, "https://[fd00::1]:443"),
    ],
)
def test_the_api_server_is_where_the_pod_is_told(environ: dict[str, str], url: str) -> None:
    assert ApiServer.of_this_pod(environ).url == url


def test_outside_a_pod_there_is_no_api_server() -> None:
    with pytest.raises(ThvError, match="inside a Kubernetes pod"):
        ApiServer.of_this_pod({})


def test_a_name_cannot_lead_elsewhere() -> None:
    path = AttachTarget("a/b", "../secrets", "c&stderr=true").path
    assert path.startswith("/api/v1/namespaces/a%2Fb/pods/..%2Fsecrets/attach?container=c%26stderr%3Dtrue&")
