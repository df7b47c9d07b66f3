"""A relay by splice(2) passes on what came, and the ends, as a relay that reads and writes would."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.net.splice import AT_ONCE, PIPE, Pipes, Splice
from tests.support.loop import Loop, pair, tcp_pair


class Relayed:
    """A relay, and the far ends of its two sockets: what they send arrives at each other."""

    def __init__(self, pipes: int = 8, tcp: bool = False) -> None:
        made = tcp_pair if tcp else pair
        (self.left, left), (right, self.right) = made(), made()
        self.loop = Loop()
        self.pipes = Pipes(pipes)
        self.reasons: list[str] = []
        self.inner = left, right
        self.splice = Splice(self.loop, left, right, self.reasons.append, self.pipes)

    def close(self) -> None:
        """Close everything."""
        self.splice.stop("closed")
        for sock in (self.left, self.right, *self.inner):
            sock.close()
        self.pipes.close()

    def __enter__(self) -> Relayed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exchange(self, *sent: bytes) -> list[bytes]:
        """Each end sends, ends, and takes until the other's end."""
        ends = self.left, self.right
        unsent = [memoryview(each) for each in sent]
        came: list[list[bytes]] = [[], []]
        over = [False, False]
        for end, rest in zip(ends, unsent, strict=True):
            if not rest:
                end.shutdown(socket.SHUT_WR)
        while not all(over):
            for at, end in enumerate(ends):
                if unsent[at]:
                    try:
                        unsent[at] = unsent[at][end.send(unsent[at]) :]
                    except BlockingIOError:
                        pass
                    else:
                        if not unsent[at]:
                            end.shutdown(socket.SHUT_WR)
                try:
                    data = end.recv(1 << 20)
                except BlockingIOError:
                    continue
                came[at].append(data)
                over[at] = not data
            self.loop.doRead()
        return [b"".join(each) for each in came]


@pytest.fixture
def relayed() -> Iterator[Relayed]:
    """A relay between TCP connections."""
    with Relayed(tcp=True) as relayed:
        yield relayed


_SIZES = st.sampled_from([0, 1, 5, 4096, 65_537, AT_ONCE + 1, 2 * PIPE + 7])


@given(left=_SIZES, right=_SIZES, pipes=st.integers(0, 2), tcp=st.booleans())
def test_it_passes_all_and_then_the_end(left: int, right: int, pipes: int, tcp: bool) -> None:
    """In both directions, whoever ends first, and with fewer pipes than directions, or none."""
    sent = os.urandom(left), os.urandom(right)
    with Relayed(pipes, tcp) as relayed:
        assert relayed.exchange(*sent) == [sent[1], sent[0]]
        assert relayed.reasons == [""]
        assert (relayed.splice.bytes_left_to_right, relayed.splice.bytes_right_to_left) == (left, right)
        assert relayed.splice.moved_at <= relayed.loop.clock()


def test_an_end_leaves_the_other_direction_open(relayed: Relayed) -> None:
    """A side that has ended gets what the other says afterwards."""
    relayed.left.sendall(b"question")
    relayed.left.shutdown(socket.SHUT_WR)
    relayed.loop.doRead()
    assert relayed.right.recv(100) == b"question"
    relayed.loop.doRead()
    assert relayed.right.recv(100) == b""
    relayed.right.sendall(b"answer")
    relayed.loop.doRead()
    assert (relayed.left.recv(100), relayed.reasons) == (b"answer", [])


def test_nothing_is_read_for_which_there_is_no_room(relayed: Relayed) -> None:
    """Who sends to somebody that takes nothing is stopped, and goes on once that takes something."""
    sent = 0
    for _ in range(1000):
        try:
            sent += relayed.left.send(bytes(AT_ONCE))
        except BlockingIOError:
            relayed.loop.doRead()
            side = relayed.splice._sides[0]
            if side.out.held and not side.reads:
                break
    assert 0 < side.out.held <= PIPE
    came = 0
    while came < sent:
        relayed.loop.doRead()
        with contextlib.suppress(BlockingIOError):
            came += len(relayed.right.recv(1 << 20))
    relayed.left.sendall(b"more")
    relayed.loop.doRead()
    assert (came, relayed.right.recv(100)) == (sent, b"more")


def test_a_reset_is_no_proper_end(relayed: Relayed) -> None:
    """Then there is a reason, once; and no pipe is left behind with something in it."""
    relayed.right.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    relayed.right.close()
    relayed.left.sendall(b"question")
    relayed.loop.doRead()
    relayed.splice.stop("later")
    assert relayed.reasons == ["Connection reset by peer"]


def test_a_pipe_with_something_in_it_is_given_to_nobody() -> None:
    """What one connection has sent never reaches another."""
    pipes = Pipes(1)
    pipe = pipes.take()
    assert pipe is not None
    assert pipes.take() is None
    os.write(pipe.inlet, b"secret")
    pipes.give_back(pipe, False)
    fresh = pipes.take()
    assert fresh is not None
    with pytest.raises(BlockingIOError):
        os.read(fresh.outlet, 10)
    pipes.give_back(fresh, True)
    assert pipes.take() is fresh
    fresh.close()
