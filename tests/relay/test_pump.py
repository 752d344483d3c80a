"""The pump moves every byte, in order and unchanged, through whatever kind of descriptor a client may hand us."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thv.relay.pump import Pump, write_all

if sys.platform != "win32":
    import fcntl
    import pty
    import resource
    import tty

pytest.importorskip("fcntl", reason="sockets and terminals are no descriptors on Windows")
assert sys.platform != "win32"  # tells the type checker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 60.0
"""Seconds any wait may take before the test fails: generous, for a slow machine is no failure."""

MIB = 1024 * 1024

NASTY = [
    b"",
    b"\n",
    b"\r\n",
    b"\n\n\n",
    b"\x00",
    b"\xff\xfe\x80\n",
    b"\xc3",
    b"\xed\xa0\x80\n",
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}\n',
    b"not JSON at all\n",
    b"\x03\x04\x11\x13\x1a\x1c\x7f",  # what a terminal would act on, were it not raw
    b"\xef\xbb\xbf{}\n",
    "é😀\u2028".encode(),
]


class Ends:
    """One channel: `near` is the pump's, `far` the peer's."""

    def __init__(self, kind: str, *, near_reads: bool) -> None:
        base = kind.removesuffix("-nonblocking")
        if base == "pipe":
            reader, writer = os.pipe()
            self.near, self.far = (reader, writer) if near_reads else (writer, reader)
        elif base == "socket":  # as Node makes them for its children
            ours, theirs = socket.socketpair()
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            self.near, self.far = ours.detach(), theirs.detach()
        else:
            self.far, self.near = pty.openpty()
            tty.setraw(self.near)
        if kind.endswith("-nonblocking"):
            os.set_blocking(self.near, False)

    def close_near(self) -> None:
        if self.near >= 0:
            os.close(self.near)
            self.near = -1

    def close_far(self) -> None:
        if self.far >= 0:
            os.close(self.far)
            self.far = -1


KINDS = ["pipe", "pipe-nonblocking", "socket", "socket-nonblocking", "terminal", "terminal-nonblocking"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.0005)


def receive(fd: int, count: int) -> bytes:
    """Read `count` bytes, or fewer if the end comes before."""
    got = bytearray()
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    while len(got) < count:
        assert poller.poll(PATIENCE * 1000), f"only {len(got)} of {count} bytes came"
        try:
            chunk = os.read(fd, min(65536, count - len(got)))
        except OSError:  # a terminal whose other side is closed
            break
        if not chunk:
            break
        got += chunk
    return bytes(got)


def is_readable(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


def running(task: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=task, daemon=True)
    thread.start()
    return thread


def finish(thread: threading.Thread) -> None:
    thread.join(PATIENCE)
    assert not thread.is_alive()


def transfer(
    source_kind: str, sink_kind: str, pieces: list[tuple[bytes, bool]], *, inspect_before_forwarding: bool
) -> None:
    """Send the pieces through a pump, some of them only when the pump has taken what came before; check everything."""
    data = b"".join(piece for piece, _ in pieces)
    source, sink = Ends(source_kind, near_reads=True), Ends(sink_kind, near_reads=False)
    flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (source.near, sink.near)]
    seen: list[bytes] = []
    pump = Pump(source.near, sink.near, seen.append, inspect_before_forwarding=inspect_before_forwarding)

    def until_taken(count: int) -> None:
        until(lambda: sum(map(len, seen)) >= count)

    def feed() -> None:
        fed = 0
        for piece, pause in pieces:
            write_all(source.far, piece)
            fed += len(piece)
            if pause:
                until_taken(fed)
        if source_kind.startswith("terminal"):  # a hang-up throws away what was not read
            until_taken(fed)
        source.close_far()

    threads = [running(feed), running(pump.run)]
    try:
        assert receive(sink.far, len(data)) == data
        for thread in threads:
            finish(thread)
        assert b"".join(seen) == data
        assert (pump.chunks_read, pump.chunks_written, pump.sink_gone) == (len(seen), len(seen), False)
        assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (source.near, sink.near)] == flags
        sink.close_near()
        assert receive(sink.far, 1) == b""
    finally:
        for ends in (source, sink):
            ends.close_near()
            ends.close_far()


@given(
    source=st.sampled_from(KINDS),
    sink=st.sampled_from(KINDS),
    pieces=st.lists(st.tuples(st.sampled_from(NASTY) | st.binary(max_size=3000), st.booleans()), max_size=12),
    inspect_before_forwarding=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_every_byte_arrives_unchanged_however_it_was_cut(
    source: str, sink: str, pieces: list[tuple[bytes, bool]], inspect_before_forwarding: bool
) -> None:
    """Fails in `transfer`, where another byte arrives than was sent."""
    transfer(source, sink, pieces, inspect_before_forwarding=inspect_before_forwarding)


@pytest.mark.parametrize("sink", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_more_than_any_buffer_holds_arrives_unchanged(source: str, sink: str) -> None:
    """Fails in `transfer`, where another byte arrives than was sent."""
    size = 200_000 if "terminal" in source + sink else 3_000_000
    transfer(
        source,
        sink,
        [(os.urandom(size), False), (b"\n", True), (b"no last newline", False)],
        inspect_before_forwarding=True,
    )


@pytest.mark.parametrize("flags", [0, os.O_NONBLOCK], ids=["blocking", "nonblocking"])
def test_files_are_relayed_from_their_position_to_their_end(tmp_path: Path, flags: int) -> None:
    data = os.urandom(2 * MIB + 17)
    (tmp_path / "in").write_bytes(b"skipped" + data)
    source = os.open(tmp_path / "in", os.O_RDONLY | flags)
    sink = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT | flags)
    os.lseek(source, len(b"skipped"), os.SEEK_SET)
    Pump(source, sink, inspect_before_forwarding=True).run()
    os.close(source)
    os.close(sink)
    assert (tmp_path / "out").read_bytes() == data


@pytest.fixture
def ways() -> Iterator[tuple[Ends, Ends]]:
    """A source and a sink, both pipes."""
    source, sink = Ends("pipe", near_reads=True), Ends("pipe", near_reads=False)
    yield source, sink
    for ends in (source, sink):
        ends.close_near()
        ends.close_far()


def test_a_request_is_looked_at_before_it_can_be_answered(ways: tuple[Ends, Ends]) -> None:
    source, sink = ways
    forwarded: list[bool] = []
    os.write(source.far, b"request\n")
    source.close_far()
    Pump(
        source.near, sink.near, lambda _chunk: forwarded.append(is_readable(sink.far)), inspect_before_forwarding=True
    ).run()
    assert forwarded == [False]


def test_a_reply_is_forwarded_before_it_is_looked_at(ways: tuple[Ends, Ends]) -> None:
    source, sink = ways
    forwarded: list[bool] = []
    os.write(source.far, b"reply\n")
    source.close_far()
    Pump(
        source.near, sink.near, lambda _chunk: forwarded.append(is_readable(sink.far)), inspect_before_forwarding=False
    ).run()
    assert forwarded == [True]


@pytest.mark.parametrize("inspect_before_forwarding", [True, False])
def test_a_look_that_raises_changes_nothing_and_is_not_asked_again(
    ways: tuple[Ends, Ends], inspect_before_forwarding: bool
) -> None:
    source, sink = ways
    looks: list[bytes] = []

    def look(chunk: bytes) -> None:
        looks.append(chunk)
        raise RuntimeError("a bug in looking")

    thread = running(Pump(source.near, sink.near, look, inspect_before_forwarding=inspect_before_forwarding).run)
    for line in (b"one\n", b"two\n", b"three\n"):
        os.write(source.far, line)
        assert receive(sink.far, len(line)) == line
    source.close_far()
    finish(thread)
    assert looks == [b"one\n"]


def test_a_sink_that_refuses_ends_the_pump_and_says_so(ways: tuple[Ends, Ends]) -> None:
    source, sink = ways
    sink.close_far()
    os.write(source.far, b"for nobody\n")
    pump = Pump(source.near, sink.near, inspect_before_forwarding=False)
    pump.run()
    assert pump.sink_gone
    assert pump.chunks_read == pump.chunks_written == 1


def test_after_the_sink_is_gone_the_writer_is_not_stuck_and_everything_is_still_looked_at(
    ways: tuple[Ends, Ends],
) -> None:
    source, sink = ways
    sink.close_far()
    data = os.urandom(8 * MIB)
    seen: list[bytes] = []
    pump = Pump(source.near, sink.near, seen.append, inspect_before_forwarding=False)

    def run() -> None:
        pump.run()
        pump.drain()

    thread = running(run)
    writer = running(lambda: write_all(source.far, data))
    finish(writer)
    source.close_far()
    finish(thread)
    assert b"".join(seen) == data
    assert pump.sink_gone


def test_a_chunk_the_sink_does_not_take_is_in_hand_and_no_other_is_read(ways: tuple[Ends, Ends]) -> None:
    source, sink = ways
    os.set_blocking(sink.near, False)
    filled = 0
    with suppress(BlockingIOError):
        while True:
            filled += os.write(sink.near, b"x" * 4096)
    os.set_blocking(sink.near, True)
    pump = Pump(source.near, sink.near, inspect_before_forwarding=True)
    thread = running(pump.run)
    os.write(source.far, b"first\n")
    until(lambda: pump.chunks_read == 1)
    os.write(source.far, b"second\n")
    assert (pump.chunks_read, pump.chunks_written) == (1, 0)
    source.close_far()
    assert receive(sink.far, filled + 13).endswith(b"xfirst\nsecond\n")
    finish(thread)
    assert (pump.chunks_read, pump.chunks_written) == (2, 2)


def test_pipes_are_widened_once_and_only_for_heavy_traffic(ways: tuple[Ends, Ends]) -> None:
    source, sink = ways
    widened: list[int] = []
    pump = Pump(source.near, sink.near, inspect_before_forwarding=True, grow_pipe=widened.append)
    thread = running(pump.run)
    os.write(source.far, b"light\n")
    assert receive(sink.far, 6) == b"light\n"
    assert widened == []
    heavy = b"x" * (MIB)
    writer = running(lambda: write_all(source.far, heavy))
    assert receive(sink.far, len(heavy)) == heavy
    finish(writer)
    source.close_far()
    finish(thread)
    assert widened in ([], [source.near, sink.near])  # whether a read came back full depends on the system


def test_a_terminal_that_hangs_up_is_an_end_and_no_error() -> None:
    source, sink = Ends("terminal", near_reads=True), Ends("pipe", near_reads=False)
    pump = Pump(source.near, sink.near, inspect_before_forwarding=True)
    thread = running(pump.run)
    os.write(source.far, b"last words")
    assert receive(sink.far, 10) == b"last words"
    source.close_far()
    finish(thread)
    assert not pump.sink_gone
    for fd in (source.near, sink.near, sink.far):
        os.close(fd)


def test_a_non_blocking_descriptor_with_a_high_number_is_waited_for() -> None:
    """`select` cannot take a number above 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1100), hard))
    source, sink = Ends("pipe-nonblocking", near_reads=True), Ends("socket-nonblocking", near_reads=False)
    try:
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 1030) for fd in (source.near, sink.near)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    thread = running(Pump(high[0], high[1], inspect_before_forwarding=True).run)
    data = os.urandom(300_000)
    writer = running(lambda: write_all(source.far, data))
    assert receive(sink.far, len(data)) == data
    finish(writer)
    source.close_far()
    finish(thread)
    for fd in (*high, source.near, sink.near, sink.far):
        os.close(fd)


def test_what_is_forwarded_can_be_rewritten_and_what_was_held_back_comes_at_the_end() -> None:
    source, client = os.pipe()
    server, sink = os.pipe()
    held = bytearray()

    def rewrite(chunk: bytes) -> bytes:
        if not chunk:
            return b"(" + bytes(held) + b")"
        held.extend(chunk)
        return b""

    os.write(client, b"a line without an end")
    os.close(client)
    pump = Pump(source, sink, inspect_before_forwarding=True, rewrite=rewrite)
    pump.run()
    os.close(sink)
    assert os.read(server, 100) == b"(a line without an end)"
    assert not os.read(server, 100)
    os.close(server)
    os.close(source)
    assert pump.chunks_read == pump.chunks_written == 1
