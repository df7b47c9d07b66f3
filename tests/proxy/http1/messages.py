"""HTTP/1.1 messages of every framing, made together with what they mean, and the readers' reports in the same form."""

from __future__ import annotations

from attrs import frozen
from hypothesis import strategies as st

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Headers
from edgenode.proxy.http1.bodies import MalformedBody
from edgenode.proxy.http1.fields import MalformedHead
from edgenode.proxy.http1.reader import RequestReader, ResponseReader
from edgenode.proxy.listener.limits import HeadLimits

LIMITS = HeadLimits(1024, 8192, 64)
MAX_HEAD = 8192


@frozen
class Message:
    """What a message says.

    :ivar start: method and target of a request; status of a response.
    :ivar fields: names in lower case.
    """

    start: tuple[bytes, ...] | int
    fields: Headers
    body: bytes = b""
    trailers: Headers = ()


@frozen
class Written:
    """A message with its bytes.

    :ivar method: what a response answers.
    """

    data: bytes
    message: Message
    method: bytes = b"GET"


_NAMES = st.sampled_from((b"X", b"accept", b"X-Name", b"Cookie", b"user-agent"))
_VALUES = st.sampled_from((b"", b"a", b"a b", b"\xe4", b'"q"', b"a\tb"))
_SPACE = st.sampled_from((b"", b" ", b"\t", b" \t "))
_BODIES = st.binary(max_size=60) | st.sampled_from((b"\r\n\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"))
_LINES = st.lists(st.tuples(_NAMES, _SPACE, _VALUES, _SPACE), max_size=4)


def _lines(drawn: list[tuple[bytes, bytes, bytes, bytes]]) -> tuple[bytes, Headers]:
    data = b"".join(b"%b:%b%b%b\r\n" % each for each in drawn)
    return data, tuple((name.lower(), value) for name, _, value, _ in drawn)


@st.composite
def _framed(draw: st.DrawFn, framing: str) -> tuple[bytes, Headers, bytes, bytes, Headers]:
    """The field line of a framing and the field; a body, written and itself, and its trailers."""
    if framing == "none":
        return b"", (), b"", b"", ()
    body = draw(_BODIES)
    if framing == "length":
        return b"Content-Length: %d\r\n" % len(body), ((b"content-length", b"%d" % len(body)),), body, body, ()
    pieces, rest = [], body
    while rest:
        size = draw(st.integers(1, len(rest)))
        extension = draw(st.sampled_from((b"", b";a", b';a="b;c"', b" ; a = b")))
        pieces.append(b"%x%b\r\n%b\r\n" % (size, extension, rest[:size]))
        rest = rest[size:]
    written, trailers = _lines(draw(_LINES))
    data = b"".join(pieces) + draw(st.sampled_from((b"0", b"000", b"0;a"))) + b"\r\n" + written + b"\r\n"
    return b"Transfer-Encoding: chunked\r\n", ((b"transfer-encoding", b"chunked"),), data, body, trailers


@st.composite
def requests(draw: st.DrawFn) -> Written:
    """A request with nothing wrong with it."""
    method = draw(st.sampled_from((b"GET", b"POST", b"HEAD", b"OPTIONS")))
    target = draw(st.sampled_from((b"/", b"/a?b=c", b"/%7e/x")))
    line, framing, data, body, trailers = draw(_framed(draw(st.sampled_from(("none", "length", "chunked")))))
    before, first = _lines(draw(_LINES))
    after, last = _lines(draw(_LINES))
    head = b"%b%b %b HTTP/1.1\r\n%bHost: open.test\r\n%b%b\r\n" % (
        draw(st.sampled_from((b"", b"\r\n", b"\r\n\r\n"))), method, target, before, line, after,
    )  # fmt: skip
    fields = (*first, (b"host", b"open.test"), *framing, *last)
    return Written(head + data, Message((method, target), fields, body, trailers))


@st.composite
def responses(draw: st.DrawFn) -> Written:
    """A response with nothing wrong with it, whose end can be seen."""
    method = draw(st.sampled_from((b"GET", b"HEAD")))
    status = draw(st.sampled_from((200, 299, 404, 304)))
    line, framing, data, body, trailers = draw(_framed(draw(st.sampled_from(("length", "chunked")))))
    before, first = _lines(draw(_LINES))
    after, last = _lines(draw(_LINES))
    head = b"HTTP/1.1 %d%b\r\n%b%b%b\r\n" % (
        status, draw(st.sampled_from((b"", b" ", b" OK", b" All \xe4 Well"))), before, line, after,
    )  # fmt: skip
    if method == b"HEAD" or status == 304:
        data, body, trailers = b"", b"", ()
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * draw(st.integers(0, 2))
    return Written(interim + head + data, Message(status, (*first, *framing, *last), body, trailers), method)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The data in pieces."""
    at = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[begin:end] for begin, end in zip([0, *at], [*at, len(data)], strict=True)]


@frozen
class Report:
    """What a reader made of some bytes.

    :ivar messages: the whole messages.
    :ivar rest: the bytes that belong to none of them.
    :ivar refused: the status, or the words, of what is no message; empty if there is none.
    """

    messages: tuple[Message, ...]
    rest: bytes = b""
    refused: str = ""


def read_requests(pieces: list[bytes]) -> Report:
    """Read requests as a connection does."""
    reader, read = RequestReader(LIMITS), list[Message]()
    fields: Headers = ()
    start: tuple[bytes, ...] = ()
    body = b""
    try:
        for piece in pieces:
            reader.feed(piece)
            while True:
                if reader.body is None:
                    head = reader.read_head()
                    if head is None:
                        break
                    start, fields, body = (head.method, head.target), head.headers, b""
                    if reader.body is None:
                        read.append(Message(start, fields))
                        continue
                framed = reader.body
                assert framed is not None
                part, done = reader.read_body()
                body += part
                if not done:
                    break
                read.append(Message(start, fields, body, framed.trailers))
    except ClientError as error:
        return Report(tuple(read), b"", str(error.status))
    return Report(tuple(read), reader.buffered)


def read_response(pieces: list[bytes], method: bytes) -> Report:
    """Read one response as a connection does; what comes behind it is the rest."""
    reader = ResponseReader(MAX_HEAD)
    reader.expect(method)
    body, read, rest = b"", list[Message](), b""
    try:
        for piece in pieces:
            if read:
                rest += piece
                continue
            reader.feed(piece)
            while reader.head is None and reader.read_head() is not None:
                pass
            if reader.head is None:
                continue
            part, done = reader.read_body()
            body += part
            if done:
                read.append(Message(reader.head.status, reader.head.headers, body, reader.trailers))
                rest = reader._buffered
    except (MalformedHead, MalformedBody) as error:
        return Report(tuple(read), b"", str(error))
    return Report(tuple(read), rest)
