"""Reading into one space for all connections: never past it, and nothing of it but what was just read."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from edgenode.net.records import RECORD, Space, reading, writing
from tests.support.transports import numbered, talking

KINDS = pytest.mark.parametrize("kind", ["plain", "TLS"])


@KINDS
def test_a_read_never_goes_past_the_space(kind: str) -> None:
    """However much is asked for, and wherever the read begins: OpenSSL would write over whatever lies behind."""
    with talking(kind) as ends:
        ends.left.write(numbered(200))
        space = Space(100)
        fill = reading(ends.right.connection, space)
        assert fill(60, RECORD) == 40
        assert space.content[60:] == numbered(200)[:40]
        assert not any(space.content[:60])
        assert fill(0, 30) == 30
        assert space.content[:30] == numbered(200)[40:70]


@KINDS
def test_of_what_others_have_read_nothing_is_delivered(kind: str) -> None:
    """A long message on one connection, then a short one on another of the same poller: it gets its own bytes alone."""
    with talking(kind) as one, talking(kind) as other:
        space = one.right._reactor.space
        other.right._content, other.right._fill = space.content, reading(other.right.connection, space)
        one.left.write(b"secret" * 1000)
        one.loop.until(lambda: one.told[1].pieces)
        other.left.write(b"short")
        other.loop.until(lambda: other.told[1].pieces)
        assert other.told[1].pieces == [b"short"]


@KINDS
def test_a_call_that_fails_says_why_as_pyopenssl_does(kind: str) -> None:
    """Nothing there, and a proper end; a socket that takes nothing, and one that is gone."""
    with talking(kind) as ends:
        fill = reading(ends.right.connection, Space())
        with pytest.raises(SSL.WantReadError):
            fill(0, RECORD)
        ends.left.close()
        with pytest.raises(SSL.ZeroReturnError):
            fill(0, RECORD)
    with talking(kind) as ends:
        give = writing(ends.right.connection)
        taken = iter(lambda: give(memoryview(bytes(RECORD))), 0)
        with pytest.raises(SSL.WantWriteError):
            sum(taken)
        ends.left.abort()
        with pytest.raises(SSL.SysCallError):
            give(bytes(RECORD))
