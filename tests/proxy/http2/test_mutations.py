"""Streams of frames that were tampered with: nothing raises, nothing leaks, and both engines tell the same."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from edgenode.proxy.http2.guard import PREFACE
from edgenode.proxy.http2.hyper import HyperEngine
from edgenode.proxy.http2.limits import DEFAULT_LIMITS
from edgenode.proxy.http2.nghttp2 import Nghttp2Engine
from tests.proxy.http2.pair import ENGINES, OK, POST, REQUEST, Told
from tests.proxy.http2.wire import Wire, body, frame, frames, ping, priority, reset, window
from tests.proxy.http2.wire import settings as settings_frame

STREAMS = st.sampled_from((0, 1, 1, 3, 3, 5, 2, 7, 2**31 - 1))
FIELDS = st.sampled_from(
    (REQUEST, POST, [*POST, (b"content-length", b"3")], [(b"end", b"1")], OK, [*REQUEST, (b"A", b"b")])
)
FRAMES = st.one_of(
    st.builds(lambda stream, data, done: body(stream, data, done), STREAMS, st.binary(max_size=6), st.booleans()),
    st.builds(reset, STREAMS, st.integers(0, 20)),
    st.builds(window, STREAMS, st.sampled_from((0, 1, 1000, 2**31 - 1))),
    st.builds(priority, STREAMS, STREAMS),
    st.just(ping()),
    st.just(settings_frame(x4=10)),
    st.builds(frame, st.integers(0, 20), st.integers(0, 255), STREAMS, st.binary(max_size=12)),
)
HEADS = st.tuples(STREAMS, FIELDS, st.booleans())


def streams_of_frames(wire: Wire, script: Sequence[bytes | tuple[int, object, bool]]) -> bytes:
    """The bytes of what a peer says."""
    return b"".join(item if isinstance(item, bytes) else wire.head(*item) for item in script)  # type: ignore[arg-type]


class Answering(Told):
    """A receiver that answers requests, and takes what comes."""

    engine: Nghttp2Engine | HyperEngine

    def head(self, stream: int, fields: object, done: bool) -> None:
        """Answer."""
        super().head(stream, fields, done)  # type: ignore[arg-type]
        self.engine.respond(stream, OK, False)
        self.engine.data(stream, b"answer", True)

    def data(self, stream: int, data: bytes, done: bool) -> None:
        """Take it."""
        super().data(stream, data, done)
        self.engine.consumed(stream, len(data))


def run(kind: type[Nghttp2Engine] | type[HyperEngine], server: bool, data: bytes, cuts: list[int]) -> Answering:
    """What an engine tells of bytes that come in pieces."""
    told = Answering()
    told.engine = engine = kind(server, told, DEFAULT_LIMITS)
    if not server:
        assert engine.request(REQUEST, True) == 1
        assert engine.request(POST, False) == 3
        engine.data(3, b"x" * 100, False)
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        engine.feed(data[at:cut])
        at = max(at, cut)
        while output := engine.output():
            assert frames(output) is not None
    assert engine.closed or not engine.error
    return told


@given(
    kind=st.sampled_from(ENGINES),
    script=st.lists(st.one_of(FRAMES, HEADS), max_size=12),
    server=st.booleans(),
    data=st.data(),
)
def test_nothing_raises(
    kind: type, script: Sequence[bytes | tuple[int, object, bool]], server: bool, data: st.DataObject
) -> None:
    """Whatever a peer says, in pieces of any size, with any byte of it turned."""
    said = bytearray((PREFACE if server else b"") + settings_frame() + streams_of_frames(Wire(kind), script))
    for at in data.draw(st.lists(st.integers(0, len(said) - 1), max_size=3)):
        said[at] ^= data.draw(st.integers(0, 255))
    run(kind, server, bytes(said), data.draw(st.lists(st.integers(0, len(said)), max_size=4)))


USUAL = st.one_of(
    st.builds(body, st.sampled_from((1, 3, 5)), st.binary(max_size=6), st.booleans()),
    st.builds(reset, st.sampled_from((1, 3, 5)), st.integers(0, 20)),
    st.builds(window, st.sampled_from((0, 1, 3, 5)), st.sampled_from((1, 1000, 2**31 - 1))),
    st.builds(priority, st.sampled_from((1, 3, 5)), st.sampled_from((0, 1, 3))),
    st.just(ping()),
    st.sampled_from((settings_frame(x4=10), settings_frame(x4=0), settings_frame(x4=2**31 - 1))),
    st.tuples(st.sampled_from((1, 3)), FIELDS, st.booleans()),
)
"""What a peer may say when it has begun the streams 1, 3 and 5."""


@given(script=st.lists(USUAL, max_size=8), server=st.booleans())
def test_both_engines_tell_the_same(script: Sequence[bytes | tuple[int, object, bool]], server: bool) -> None:
    """Of one and the same stream of frames, as long as neither ends the connection: an error may be one of a stream to
    the one, and of the connection to the other, but no request is told by one of them alone."""
    wire, begun = Wire(Nghttp2Engine), b""
    if server:
        begun = PREFACE + b"".join(wire.head(stream, POST, stream == 5) for stream in (1, 3, 5))
    said = begun[: len(PREFACE)] + settings_frame() + begun[len(PREFACE) :] + streams_of_frames(wire, script)
    first, second = (run(kind, server, said, []) for kind in ENGINES)
    if not (first.engine.error or second.engine.error):
        assert first.take("head", "data", "trailers", "interim") == second.take("head", "data", "trailers", "interim")


@given(st.data(), st.sampled_from(ENGINES))
def test_pieces_change_nothing(data: st.DataObject, kind: type) -> None:
    """Where the reads end is nobody's choice but the network's."""
    wire = Wire(Nghttp2Engine)
    said = PREFACE + settings_frame()
    block = wire.block(POST)
    said += wire.blocks(1, [block[:9], block[9:]], False)
    said += wire.head(3) + body(1, b"abc") + ping() + body(1, b"", True) + wire.head(5, POST, False) + reset(5)
    cuts = data.draw(st.lists(st.integers(0, len(said)), max_size=6))
    whole, pieces = run(kind, True, said, []), run(kind, True, said, cuts)
    assert not pieces.engine.error
    told = [[call for call in each.take("head", "data") if call[1] != 5] for each in (whole, pieces)]
    assert told[0] == told[1]
