"""Requests of HTTP/2 that would be something else in HTTP/1.1: what the tool http2smugl sends, and what is like it.

HTTP/2 carries names and values as counted bytes (RFC 9113, section 8.2.1), so they can hold what ends a field line, a
head or a body in HTTP/1.1. Whatever stands here has one right end, judged by what an origin of HTTP/1.1 receives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from tests.support.hostile import Arrival
from tests.support.hostile_places import DECLINED_TARGETS, MALFORMED_TARGETS
from tests.support.http2_frames import Field

REFUSED, DECLINED, CUT, SERVED, EITHER = "refused", "declined", "cut", "served", "either"
"""What becomes of a request.

``refused``: it is malformed: a stream error of type PROTOCOL_ERROR or the status 400, and no byte of it reaches the
origin. ``declined``: the same with any status of 4xx or 5xx. ``cut``: its body is malformed, so the origin may get a
beginning of it, never the end. ``served``: it arrives, and exactly so. ``either``: declined or served, exactly so.
"""

SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: open.test\r\n\r\n"
"""A body that is a request to a reader that takes the framing for another."""


@frozen
class Downgrade:
    """A request.

    :ivar name: unique within its family.
    :ivar fields: all of its fields, pseudo-header fields included, as they are sent.
    :ivar end: one of the five.
    :ivar body: in one DATA frame; ``None`` if the head ends the stream.
    :ivar trailers: in a second block; ``None`` for none.
    :ivar arrival: what the origin gets if it is served.
    """

    name: str
    fields: tuple[Field, ...]
    end: str
    body: bytes | None = None
    trailers: tuple[Field, ...] | None = None
    arrival: Arrival | None = None


def pseudo(**changes: bytes | None) -> tuple[Field, ...]:
    """The pseudo-header fields of a good request, or others; ``None`` takes one out."""
    whole = {"method": b"GET", "scheme": b"https", "authority": b"open.test", "path": b"/", **changes}
    return tuple((b":" + name.encode(), value) for name, value in whole.items() if value is not None)


POST = pseudo(method=b"POST")


def refused(name: object, fields: Iterable[Field], body: bytes | None = None, end: str = REFUSED) -> Downgrade:
    """A request that does not arrive."""
    return Downgrade(str(name), tuple(fields), end, body)


# A control character, a delimiter, an upper-case letter or a byte beyond ASCII is no part of a name (section 8.2.1).
_NO_NAME = [*range(0x21), *b'"(),/:;<=>?@[\\]{}', 0x7F, 0x80, 0xA0, 0xAD, 0xC3, 0xFF, *b"ATZ"]
_NO_VALUE = [*range(0x09), *range(0x0A, 0x20), 0x7F]


def names() -> Iterator[Downgrade]:
    """Names of fields with a byte that does not belong there, at every place."""
    for byte in (bytes([number]) for number in _NO_NAME):
        for place, name in {"first": byte + b"x-y", "within": b"x" + byte + b"y", "last": b"x-y" + byte}.items():
            if name[:1] != b":":
                yield refused(f"{byte!r} {place}", (*pseudo(), (name, b"1")))
    yield refused("empty", (*pseudo(), (b"", b"1")))
    yield refused("empty and no value", (*pseudo(), (b"", b"")))
    yield refused("underscore", (*pseudo(), (b"x_y", b"1")))
    yield refused("utf-8", (*pseudo(), ("x-\u00e4".encode(), b"1")))


def values() -> Iterator[Downgrade]:
    """Values with a byte that does not belong there, at every place; and those that look so and are none."""
    for byte in (bytes([number]) for number in _NO_VALUE):
        for place, value in {"first": byte + b"ab", "within": b"a" + byte + b"b", "last": b"ab" + byte}.items():
            yield refused(f"{byte!r} {place}", (*pseudo(), (b"x-y", value)))
    # A value neither begins nor ends with white space.
    for value in (b" ", b"\t", b" a", b"\ta", b"a ", b"a\t"):
        yield refused(value, (*pseudo(), (b"x-y", value)))
    for value in (b"", b"a", b"a b", b"a\tb", b"a  b", b'"a"', b"a,b", b"a:b", b"%0d%0a", b"\\r\\n", b"a" * 1000):
        yield _served(f"value {value[:9]!r}", (*pseudo(), (b"x-y", value)), Arrival(fields=((b"x-y", value),)))
    for value in (b"\x85", b"\xa0a", b"\xe2\x80\xa8", b"a\x8d\x8ab", b"\xe5\x98\x8a\xe5\x98\x8d", b"\xff"):
        yield _either(f"value {value!r}", (*pseudo(), (b"x-y", value)), Arrival(fields=((b"x-y", value),)))


_HIDDEN = (
    b"%s ", b" %s", b"%s\t", b"\t%s", b"%s:", b"%s: ", b":%s", b"%s\r", b"%s\n", b"%s\r\n", b"\r\n%s", b"\n%s", b"\r%s",
    b"%s\0", b"\0%s", b"\x0b%s", b"\x0c%s", b"%s\x0b", b"\x1c%s", b"%s\x7f", b"\xa0%s", b"%s\xa0", b"\xef\xbb\xbf%s",
    b"x: y\r\n%s", b"x:y\n%s", b"x:y\r%s", b"x: y\r\n %s", b"%s,", b'"%s"', b"%s;", b"x\0%s",
)  # fmt: skip


def hidden() -> Iterator[Downgrade]:
    """Names that a lax reader takes for those that say how long a body is."""
    for name, value in ((b"transfer-encoding", b"chunked"), (b"content-length", b"3"), (b"host", b"other.test")):
        for pattern in _HIDDEN:
            hiding = pattern % name
            yield refused(hiding, (*POST, (hiding, value)), SMUGGLED)
        for hiding in (name.title(), name.upper(), name[:-1] + name[-1:].upper()):
            yield refused(hiding, (*POST, (hiding, value)), SMUGGLED)
    # An underscore is a hyphen to CGI (RFC 3875, section 4.1.18).
    for hiding in (b"transfer_encoding", b"content_length", b"x_forwarded_for", b"http_host"):
        yield refused(f"{hiding!r}", (*POST, (hiding, b"3")), SMUGGLED)
    for alike in ("tran\u017ffer-encoding", "transfer\u2010encoding", "transfer-encod\u0131ng", "content\u2011length"):
        yield refused(alike, (*POST, (alike.encode(), b"chunked")), SMUGGLED)


def lines() -> Iterator[Downgrade]:
    """Whole lines, heads and requests within what is one name or value."""
    ends = (b"\r\n", b"\n", b"\r", b"\r\n\t", b"\0\r\n")
    for end in ends:
        for more in (b"transfer-encoding: chunked", b"content-length: 0", b"x-smuggled: 1", b""):
            inside = end + more
            yield refused(f"value {inside!r}", (*POST, (b"x-y", b"a" + inside)), SMUGGLED)
            yield refused(f"name {inside!r}", (*POST, (b"x-y: a" + inside, b"b")), SMUGGLED)
    for end in ends[:3]:
        request = b" HTTP/1.1" + end + b"host: open.test" + end + end + b"GET /smuggled"
        yield refused(f"path {end!r}", pseudo(path=b"/" + request))
        yield refused(f"method {end!r}", pseudo(method=b"GET /" + request))
        yield refused(f"scheme {end!r}", pseudo(scheme=b"https" + request))
        yield refused(f"authority {end!r}", pseudo(authority=b"open.test" + request))
        for name in (b"cookie", b"user-agent", b"referer", b"x-forwarded-for", b"via", b"content-type", b"host"):
            fields = [] if name == b"host" else [(name, b"a" + request)]
            hosts = [(b"host", b"open.test" + request)] if name == b"host" else []
            yield refused(f"{name!r} {end!r}", (*pseudo(), *fields, *hosts))


def connection() -> Iterator[Downgrade]:
    """Fields that belong to a connection of HTTP/1.1 (section 8.2.2)."""
    specific = {
        b"connection": (b"close", b"keep-alive", b"x-y", b"upgrade", b"transfer-encoding", b"te", b""),
        b"keep-alive": (b"timeout=5", b""),
        b"proxy-connection": (b"close", b"keep-alive"),
        b"transfer-encoding": (
            b"chunked", b"identity", b"gzip", b"chunked, identity", b"identity, chunked", b" chunked", b"xchunked", b"",
            b"Chunked", b"chunked;x", b"trailers",
        ),
        b"upgrade": (b"websocket", b"h2c", b"TLS/1.0"),
        b"te": (b"chunked", b"gzip", b"trailers, gzip", b"gzip, trailers", b"trailers;q=0.5", b""),
    }  # fmt: skip
    for name, all_values in specific.items():
        for value in all_values:
            yield refused(f"{name!r} {value!r}", (*POST, (name, value)), SMUGGLED)
    yield refused("transfer-encoding with a length", (*POST, (b"content-length", b"47"), (b"transfer-encoding", b"x")))
    yield _served("te: trailers", (*pseudo(), (b"te", b"trailers")), Arrival())
    old = (b"http2-settings", b"AAMA")
    yield _either("http2-settings", (*pseudo(), old), Arrival(fields=(old,)))


def lengths() -> Iterator[Downgrade]:
    """Lengths that are not that of the body (section 8.1.1), and those that are none."""
    body = SMUGGLED
    for value in (0, 1, 3, len(body) - 1):
        yield refused(f"body longer than {value}", (*POST, (b"content-length", b"%d" % value)), body, CUT)
    for value in (len(body) + 1, 1000, 10**15):
        yield refused(f"body shorter than {value}", (*POST, (b"content-length", b"%d" % value)), body, CUT)
    for value in (1, 5):
        yield refused(f"no body for {value}", (*POST, (b"content-length", b"%d" % value)), end=CUT)
        yield refused(f"an empty body for {value}", (*POST, (b"content-length", b"%d" % value)), b"", CUT)
    right = b"%d" % len(body)
    for text in (
        b"+" + right, b"-" + right, b"-0", b"0x2f", right + b".0", right + b",", right + b", " + right, right + b" 1",
        right + b";", b"4e1", b"", b"a", right + b"a", b"4_7", b"\xd9\xa4", b" " + right, right + b" ", b"0, " + right,
        b"4 7", b"NaN", b"chunked",
    ):  # fmt: skip
        yield refused(f"length {text!r}", (*POST, (b"content-length", text)), body)
    for text in (b"9" * 20, b"9" * 5000, b"1" + b"0" * 30, b"18446744073709551663", b"4294967343"):
        yield refused(f"length {text[:30]!r}", (*POST, (b"content-length", text)), body, DECLINED)
    for texts in ((right, right), (right, b"0"), (b"0", right), (right, b"+" + right)):
        yield refused(f"lengths {texts}", (*POST, *((b"content-length", text) for text in texts)), body)
    yield _either("a zero before", (*POST, (b"content-length", b"0" + right)), Arrival(b"POST", body=body), body)
    yield _served("right length", (*POST, (b"content-length", right)), Arrival(b"POST", body=body), body)
    yield _served("no length", POST, Arrival(b"POST", body=body), body)
    yield _served("GET with a body", pseudo(), Arrival(body=body), body)
    yield _served("HEAD with a body", pseudo(method=b"HEAD"), Arrival(b"HEAD", body=body), body)
    yield _served("an empty body", POST, Arrival(b"POST"), b"")
    yield _served("no body", (*POST, (b"content-length", b"0")), Arrival(b"POST"))


def pseudos() -> Iterator[Downgrade]:
    """Pseudo-header fields: too few, too many, unknown, out of order, empty (section 8.3)."""
    for name in ("method", "scheme", "path"):
        yield refused(f"no {name}", pseudo(**{name: None}))
    for name in ("method", "scheme", "authority", "path"):
        key = b":" + name.encode()
        again = dict(pseudo())[key]
        yield refused(f"{name} empty", pseudo(**{name: b""}), end=DECLINED if name == "authority" else REFUSED)
        yield refused(f"{name} twice", (*pseudo(), (key, again)))
        yield refused(f"{name} twice, first", ((key, again), *pseudo()))
        yield refused(f"{name} behind a field", (*pseudo(**{name: None}), (b"x-y", b"1"), (key, again)))
        yield refused(f"{name} upper case", (*pseudo(**{name: None}), (key.upper(), again)))
    for other in ((b":status", b"200"), (b":protocol", b"x"), (b":x", b"1"), (b":", b"1"), (b":host", b"a")):
        yield refused(f"{other}", (*pseudo(), other))
    yield refused("nothing", ())
    yield refused("fields alone", ((b"host", b"open.test"), (b"x-y", b"1")))
    yield refused("nobody", pseudo(authority=None), end=DECLINED)


def authorities() -> Iterator[Downgrade]:
    """Whom it is for: two that differ, and what is no host."""
    others = (b"other.test", b"open.test:1", b"open.test.other.test", b"open.test, other.test", b"", b"open.test@x")
    for other in others:
        yield refused(f"host {other!r}", (*pseudo(), (b"host", other)), end=DECLINED)
    yield refused("two hosts", (*pseudo(), (b"host", b"open.test"), (b"host", b"open.test")), end=DECLINED)
    yield refused("two hosts alone", (*pseudo(authority=None), (b"host", b"open.test"), (b"host", b"other.test")))
    for text in (
        b"user@open.test", b"open.test@other.test", b"other.test@open.test", b"open.test/", b"open.test/a",
        b"open.test?a", b"open.test#a", b"open.test\\a", b"open.test:x", b"open.test:-1",
        b"open.test:99999", b"open .test", b" open.test", b"open.test ", b"open.test,other.test", b"open.test\t",
        b"open.test\0", b"[::1", b"::1", b"https://open.test", b"open.test%00", b"open.test%0d%0a",
        b"open.test\x7f", b"open.test\xff",
        b"unknown.test",
    ):  # fmt: skip
        yield refused(f"authority {text!r}", pseudo(authority=text), end=DECLINED)
    # A port without digits is one to RFC 3986.
    yield _either("authority without a port", pseudo(authority=b"open.test:"), Arrival())
    yield _served("host alone", (*pseudo(authority=None), (b"host", b"open.test")), Arrival())
    yield _served("host the same", (*pseudo(), (b"host", b"open.test")), Arrival())
    yield _either("host in upper case", (*pseudo(), (b"host", b"OPEN.TEST")), Arrival())


def starts() -> Iterator[Downgrade]:
    """Methods, schemes and paths that would be another request line."""
    for path in MALFORMED_TARGETS:
        yield refused(f"path {path!r}", pseudo(path=path))
    for path in (b"https://open.test/", b"http://other.test/a", b"open.test:443", b"HTTPS://OPEN.TEST/"):
        yield refused(f"absolute path {path!r}", pseudo(path=path))
    for path in (b"/a b", b"/ HTTP/1.0", b"/\t", b"/a\x7f", b"/\x01", b"/\x80", b"/\xc3\xa4", b"/?\xff", b" /", b"/ "):
        yield refused(f"path {path!r} ", pseudo(path=path))
    for path in DECLINED_TARGETS:
        yield refused(f"declined {path!r}", pseudo(path=path), end=DECLINED)
    for method in (
        b"G ET", b"GET ", b" GET", b"GET\t", b"GET\0", b"GET / HTTP/1.1", b"GET\r\n", b"(GET)", b"GET:", b"G\xc9T",
        b"\x7f", b"GET,POST", b'"GET"', b"GET/", b"@",
    ):  # fmt: skip
        yield refused(f"method {method!r}", pseudo(method=method))
    yield refused("CONNECT with a path", pseudo(method=b"CONNECT"), end=DECLINED)
    yield refused("CONNECT", pseudo(method=b"CONNECT", scheme=None, path=None), end=DECLINED)
    yield refused("CONNECT elsewhere", pseudo(method=b"CONNECT", scheme=None, path=None, authority=b"other.test:22"),
                  end=DECLINED)  # fmt: skip
    protocol = (b":protocol", b"connect-udp")
    yield refused("CONNECT for another protocol", (*pseudo(method=b"CONNECT"), protocol), end=DECLINED)
    for scheme in (b"ht tp", b"https ", b"https:", b"https://open.test/a?", b"1https", b"\xff", b"ht_tp", b"https/"):
        yield refused(f"scheme {scheme!r}", pseudo(scheme=scheme), end=DECLINED)
    for scheme in (b"http", b"ftp", b"javascript", b"HTTPS"):
        yield _either(f"scheme {scheme!r}", pseudo(scheme=scheme), Arrival())
    yield _served("OPTIONS *", pseudo(method=b"OPTIONS", path=b"*"), Arrival(b"OPTIONS", b"*"))
    for method in (b"get", b"M-SEARCH", b"PRI"):
        yield _either(f"method {method!r}", pseudo(method=method), Arrival(method))
    for path in (b"/a?b", b"/%41", b"//a", b"/a;b", b"/?%00"):
        yield _served(f"path {path!r}", pseudo(path=path), Arrival(target=path))


def trailers() -> Iterator[Downgrade]:
    """What stands behind a body (section 8.1)."""
    pseudos = (b":path", b":method", b":authority", b":scheme", b":status", b":x")
    names = (b"X", b"x y", b"x:", b"", b"x\r\n", b"x\0", b"x\n", b" x", b"\xff")
    values = (b"a\r\nb: c", b"a\nb", b"a\rb", b"\0", b"a\x7f", b" a")
    bad: dict[str, tuple[Field, ...]] = {
        **{f"{name!r}": ((name, b"x"),) for name in (*pseudos, *names)},
        **{f"value {value!r}": ((b"x-y", value),) for value in values},
        "transfer-encoding": ((b"transfer-encoding", b"chunked"),),
        "connection": ((b"connection", b"close"),),
        "upgrade": ((b"upgrade", b"h2c"),),
        "keep-alive": ((b"keep-alive", b"1"),),
        "proxy-connection": ((b"proxy-connection", b"close"),),
        "te": ((b"te", b"gzip"),),
    }
    for name, fields in bad.items():
        yield Downgrade(name, POST, CUT, SMUGGLED, fields)
    yield Downgrade("a request", POST, CUT, SMUGGLED, pseudo())
    arrival = Arrival(b"POST", body=SMUGGLED)
    # These may not be trailers (RFC 9110, section 6.5.1): the request may be served without them.
    for field in (b"content-length", b"host", b"content-type", b"authorization", b"cookie", b"expect", b"x_y"):
        yield Downgrade(f"forbidden {field!r}", POST, EITHER, SMUGGLED, ((field, b"1"),), arrival)
    good = ((b"x-checksum", b"1"),)
    yield Downgrade("good", POST, SERVED, SMUGGLED, good, arrival)
    yield Downgrade("behind no body", POST, SERVED, None, good, Arrival(b"POST"))


def cookies() -> Iterator[Downgrade]:
    """A Cookie field in pieces is one line in HTTP/1.1 (section 8.2.3)."""
    pieces = ((b"cookie", b"a=b"), (b"cookie", b"c=d"), (b"cookie", b"e=f"))
    yield _served("in pieces", (*pseudo(), *pieces), Arrival(fields=((b"cookie", b"a=b; c=d; e=f"),)))
    yield refused("one piece with a line", (*pseudo(), *pieces, (b"cookie", b"g\r\nx: y")))


def _served(name: str, fields: Iterable[Field], arrival: Arrival, body: bytes | None = None) -> Downgrade:
    return Downgrade(name, tuple(fields), SERVED, body, None, arrival)


def _either(name: str, fields: Iterable[Field], arrival: Arrival, body: bytes | None = None) -> Downgrade:
    return Downgrade(name, tuple(fields), EITHER, body, None, arrival)


FAMILIES = {
    kind.__name__: tuple(kind())
    for kind in (
        names, values, hidden, lines, connection, lengths, pseudos, authorities, starts, trailers, cookies
    )
}  # fmt: skip
"""All of them, by kind."""
