"""Origins of HTTP/2 that misbehave: each request ends with one clear error, and if possible it alone."""

from __future__ import annotations

import pytest

from tests.proxy.http1.asking import Receiver
from tests.proxy.http2.asking import asking
from tests.support.http2_misbehaviours import CUT, KEEP, MISBEHAVIOURS, NOTIFY, STALL

_ENOUGH = 3000


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_whatever_an_origin_does_its_request_has_one_end(name: str) -> None:
    """A response that is whole, or an error of the right kind, in time; another stream goes on where it can."""
    wrong = MISBEHAVIOURS[name]
    with asking(read_timeout=1, ping_timeout=1) as each:
        stream, receiver = each.ask()
        other = Receiver()
        if wrong.alone:
            kept, other = each.ask()
        for piece in wrong.pieces:
            each.peer.send(piece)
            each.peer.read()
        if wrong.endless:
            for _ in range(_ENOUGH):
                each.peer.send(wrong.endless)
                each.peer.read()
                if receiver.error:
                    break
        if wrong.then == NOTIFY:
            each.peer.finish()
        elif wrong.then == CUT:
            each.peer.close()
        elif wrong.then == STALL and wrong.kind == "timeout":
            each.loop.wait(1.4, 0.2)
        each.loop.settle()
        if wrong.kind:
            assert receiver.error is not None
            assert (receiver.error.kind, receiver.error.sent) == (wrong.kind, True)
            assert receiver.error.status == (504 if wrong.kind == "timeout" else 502)
        else:
            assert receiver.error is None
            assert receiver.done
        assert (receiver.head is not None) is wrong.begun
        assert stream.over
        if wrong.alone and wrong.kind != "timeout":
            assert (other.error, each.ends) == (None, 0)
            each.peer.send(b"\0\0\1\1\5" + kept.number.to_bytes(4, "big") + b"\x88")
            assert other.done
        elif wrong.then == KEEP:
            assert each.ends == 1
