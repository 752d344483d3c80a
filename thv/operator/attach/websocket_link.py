"""One WebSocket to the stdin and stdout of a container, by way of the API server (`v5.channel.k8s.io`, then v4).

Each frame begins with the number of its channel. Promises: bytes arrive in order, unchanged; a peer that is gone is
noticed within `LOST_AFTER`, and one that is merely slow is not taken for gone; how it ended is said: the container did
(a status on channel 3), or the link alone. Knows no lines.

aiohttp's client, since the operator's extra brings it: it hands a refusal's body out, which `websockets` would, too,
and its reading pauses by itself. Its own heartbeat is not used: that one takes a reader that waits for a lost peer.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
from aiohttp import WSMsgType

from thv.errors import ThvError

if TYPE_CHECKING:
    from thv.operator.attach.attach_target import ApiServer, AttachTarget

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STATUS, CLOSE = 0, 1, 3, 255
"""Channels; `CLOSE` is followed by the number of the channel that is closed, in v5 only."""

FRAME = 32 * 1024
"""Bytes sent in one frame: what the API server copies at a time, so that a frame is passed on whole or not at all."""

LARGEST_FRAME = 16 << 20
"""Bytes of a frame that is taken; those of API servers have some 32 KiB."""

LARGEST_REFUSAL = 64 << 10
"""Bytes read of an answer that is no WebSocket, and of a status."""

PING_EVERY = 20.0
"""Seconds between pings: load balancers cut connections that are silent for a minute."""

LOST_AFTER = 60.0
"""Seconds of silence, three pings long, after which the link is lost.

As long as kubectl waits: an API server whose container does not read its stdin does not get round to answering pings.
"""

SETTLE = 0.3
"""Seconds after the handshake in which a refusal may follow: the API server asks the kubelet only then."""

HANDSHAKE = 30.0
"""Seconds for everything up to the handshake."""

GOODBYE = 1.0
"""Seconds for closing: the peer may be gone."""

SWITCHING = 101
GONE = frozenset({400, 404, 409, 500})
"""Statuses by which the API server says that there is nothing to attach to: no pod, no such container, not running."""

ON_THE_WAY = "dialing backend"
"""What the API server says, with such a status, when it is the kubelet that it cannot reach: the container may run."""


class RefusedError(ThvError):
    """There is no link now.

    Attributes:
        no_container: because the container is not there or does not run, as far as the API server says.
    """

    def __init__(self, reason: str, *, no_container: bool = False) -> None:
        super().__init__(reason)
        self.no_container = no_container


class ContainerEndedError(Exception):
    """The container's process ended.

    Attributes:
        exit_code: what it ended with; None where that is not known, as nearly always.
    """

    def __init__(self, reason: str, exit_code: int | None = None) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class LinkDroppedError(OSError):
    """The link is gone; the state of the container is unknown."""


class Link:
    """An open link. Made by `open_link`.

    Args:
        session: closed with the link.
        websocket: open.
        transport: what carries it.
        ping_every, lost_after: the constants of this module; tests make them small.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        websocket: aiohttp.ClientWebSocketResponse[bool],
        transport: asyncio.Transport,
        *,
        ping_every: float = PING_EVERY,
        lost_after: float = LOST_AFTER,
    ) -> None:
        self._session = session
        self._websocket = websocket
        self._transport = transport
        self._lost_after = lost_after
        self._status = b""
        self._first = b""
        self._pinging = asyncio.create_task(self._ping(ping_every))

    async def settle(self, seconds: float) -> None:
        """Wait until it is fairly sure that the container is attached: a status may come instead.

        Raises:
            RefusedError: it is not, or the API server does not speak of channels.
        """
        if self._websocket.protocol not in (V5, V4):
            raise RefusedError(
                f"the API server agreed to a WebSocket and not to {V5} or {V4}: is there a proxy between it and us?"
            )
        try:
            async with asyncio.timeout(seconds):
                self._first = await self._receive()
        except TimeoutError:
            pass
        except ContainerEndedError as ended:
            raise RefusedError(str(ended), no_container=ON_THE_WAY not in str(ended)) from None
        except LinkDroppedError as dropped:
            raise RefusedError(str(dropped)) from None

    async def read(self) -> bytes:
        """What the container wrote next, at least a byte. One reader at a time.

        Raises:
            ContainerEndedError: its process ended.
            LinkDroppedError: the link did.
        """
        first, self._first = self._first, b""
        return first or await self._receive()

    @property
    def is_closing(self) -> bool:
        """Whether the link is known to be gone: what would be written now surely does not arrive."""
        return self._transport.is_closing() or self._websocket.closed

    async def write(self, data: bytes) -> None:
        """Hand bytes to the container; waits while they are not taken. One writer at a time.

        Raises:
            LinkDroppedError: the link is gone. How much arrived is not known.
        """
        try:
            for start in range(0, len(data), FRAME):
                await self._websocket.send_bytes(b"\0%b" % data[start : start + FRAME])
        except (aiohttp.ClientError, OSError) as error:
            raise LinkDroppedError(f"the link broke: {_said(error)}") from None

    async def close(self) -> None:
        """Leave the container alone; more than once is fine."""
        self._pinging.cancel()
        with suppress(asyncio.CancelledError):
            await self._pinging
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(GOODBYE):
                if self._websocket.protocol == V5 and not self._websocket.closed:
                    await self._websocket.send_bytes(bytes((CLOSE, STDIN)))
                await self._websocket.close()
        # A peer that is gone takes nothing more, nor does it answer a TLS goodbye; whoever writes is let go.
        self._transport.abort()
        await self._session.close()

    async def _receive(self) -> bytes:
        while True:
            try:
                message: Any = await self._websocket.receive(timeout=self._lost_after)
            except TimeoutError:
                raise LinkDroppedError(f"the API server is silent for {self._lost_after:g} seconds") from None
            if message.type is WSMsgType.BINARY:
                data: bytes = message.data
                if data[:1] == b"\1" and len(data) > 1:
                    return data[1:]
                if data[:1] == b"\3":
                    self._take_status(data[1:])
            elif message.type is WSMsgType.PING:
                with suppress(aiohttp.ClientError, OSError):
                    await self._websocket.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                self._end(message)

    def _take_status(self, piece: bytes) -> None:
        self._status += piece
        if not self._status.strip():
            return
        ended = _ending(self._status)
        if ended is not None or len(self._status) > LARGEST_REFUSAL:
            raise ended or ContainerEndedError("the container ended with a status that cannot be read")

    def _end(self, message: Any) -> NoReturn:
        if self._status.strip():
            raise ContainerEndedError(f"the container ended: {self._status[:200].decode('utf-8', 'replace')}")
        if message.type is WSMsgType.TEXT:
            raise LinkDroppedError("the API server sent text where bytes belong")
        if message.type is WSMsgType.ERROR:
            raise LinkDroppedError(f"the link broke: {_said(message.data)}")
        code = self._websocket.close_code
        raise LinkDroppedError(f"the API server closed the link (WebSocket code {code})")

    async def _ping(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            try:
                async with asyncio.timeout(every):
                    await self._websocket.ping()
            except TimeoutError:
                pass  # a container that does not read holds up pings, too
            except (aiohttp.ClientError, OSError):
                return  # whoever reads notices


async def open_link(
    api: ApiServer,
    target: AttachTarget,
    *,
    settle: float = SETTLE,
    ping_every: float = PING_EVERY,
    lost_after: float = LOST_AFTER,
) -> Link:
    """Attach to a container.

    Args:
        api: where the API server is; its token and CA are read now.
        target: what to attach to.
        settle: see `SETTLE`; tests make all three small.
        ping_every: see `PING_EVERY`.
        lost_after: see `LOST_AFTER`.

    Raises:
        RefusedError: not now, with the API server's own reason.
        ThvError: there is no token, or no CA.
    """
    headers = {"Authorization": f"Bearer {api.token()}"}
    transports: list[asyncio.Transport] = []

    async def check(response: aiohttp.ClientResponse) -> None:
        await _refuse(response)
        if response.connection is not None and response.connection.transport is not None:
            transports.append(response.connection.transport)

    connector = aiohttp.TCPConnector(ssl=api.trust() if api.url.startswith("https:") else False)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        raise_for_status=check,  # asked before aiohttp's own check, which drops the body and with it the reason
    )
    try:
        async with asyncio.timeout(HANDSHAKE):
            websocket = await session.ws_connect(
                api.url + target.path,
                protocols=(V5, V4),
                headers=headers,
                autoping=False,  # its pongs would not be seen
                max_msg_size=LARGEST_FRAME,
                timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE),
            )
    except TimeoutError:
        await session.close()
        raise RefusedError(f"the API server did not answer within {HANDSHAKE:g} seconds") from None
    except (aiohttp.ClientError, OSError) as error:
        await session.close()
        # Without its cause: aiohttp's errors hold the request, and that the token.
        raise RefusedError(f"the API server cannot be reached: {_said(error)}") from None
    except BaseException:
        await session.close()
        raise
    link = Link(session, websocket, transports[-1], ping_every=ping_every, lost_after=lost_after)
    try:
        await link.settle(settle)
    except BaseException:
        await link.close()
        raise
    return link


async def _refuse(response: aiohttp.ClientResponse) -> None:
    """Raise what the API server says (a `Status`, Kubernetes API conventions) unless it agrees."""
    if response.status == SWITCHING:
        return
    text = b""
    async for piece in response.content.iter_chunked(LARGEST_REFUSAL):
        text += piece
        if len(text) >= LARGEST_REFUSAL:
            break
    status = response.status
    answer = _object(text)
    said = answer.get("message") or text[:200].decode("utf-8", "replace").strip() or response.reason or ""
    no_container = status in GONE and ON_THE_WAY not in said
    raise RefusedError(f"the API server refuses ({status}): {_line(said)}", no_container=no_container)


def _ending(status: bytes) -> ContainerEndedError | None:
    """What a status says; None while it is not complete."""
    try:
        said = json.loads(status)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return ContainerEndedError(f"the container ended: {_line(said)}")
    if said.get("status") == "Success":
        # The attaching was a success: what the container ended with is not said there.
        return ContainerEndedError("the container ended")
    return ContainerEndedError(f"the container ended: {_line(said.get('message') or said)}", _exit_code(said))


def _exit_code(said: dict[str, Any]) -> int | None:
    details = said.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    for cause in causes if isinstance(causes, list) else ():
        if isinstance(cause, dict) and cause.get("reason") == "ExitCode":
            with suppress(ValueError, TypeError):
                return int(cause["message"])
    return None


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _line(said: object) -> str:
    return " ".join(str(said).split())


def _said(error: BaseException) -> str:
    # The type alone where aiohttp would show the request.
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"
    return _line(error) or type(error).__name__
