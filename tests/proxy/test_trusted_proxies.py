"""What proxies in front of the node may report of a client, and what nobody else may."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.exchange import UNKNOWN_CLIENT, Request
from edgenode.proxy.headers import Forwarded, via_line
from edgenode.proxy.trusted_proxies import TrustedProxies
from tests.support.growth import grows_with_its_size

NETWORKS = ("10.0.0.0/8", "2001:db8::/32")
TRUSTED = TrustedProxies(NETWORKS)
FORWARDED = TrustedProxies(NETWORKS, "forwarded")
PROXY = "10.0.0.1"


def request(*fields: tuple[bytes, bytes]) -> Request:
    """A request with these header fields."""
    headers = tuple((name.lower(), value) for name, value in fields)
    names = tuple(name for name, _ in fields)
    return Request(b"GET", b"https", b"shop.example", b"/", b"/", None, b"/", headers, names)


def sent(
    peer: str, *fields: tuple[bytes, bytes], trusted: TrustedProxies = TRUSTED
) -> tuple[str, dict[bytes, list[bytes]]]:
    """The client found, and the fields for the origin."""
    reported = Forwarded(peer, peer, b"https", b"shop.example")
    if trusted.contains(peer):
        reported = Forwarded.reported(request(*fields), peer, trusted)
    found: dict[bytes, list[bytes]] = {}
    lines = reported.lines() + via_line(request(), b"edge")
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        found.setdefault(name.lower(), []).append(value)
    return reported.client, found


@pytest.mark.parametrize(
    ("reported", "client", "chain"),
    [
        (b"192.0.2.7", "192.0.2.7", b"192.0.2.7, 10.0.0.1"),
        (b"198.51.100.1, 192.0.2.7", "192.0.2.7", b"192.0.2.7, 10.0.0.1"),
        (b"192.0.2.7, 10.9.9.9", "192.0.2.7", b"192.0.2.7, 10.9.9.9, 10.0.0.1"),
        (b"10.1.1.1, 10.2.2.2", "10.1.1.1", b"10.1.1.1, 10.2.2.2, 10.0.0.1"),
        (b"192.0.2.7, nonsense, 10.2.2.2", "unknown", b"unknown, 10.2.2.2, 10.0.0.1"),
        (b"[2001:db9::1]:4711", "2001:db9::1", b"2001:db9::1, 10.0.0.1"),
        (b"192.0.2.7:4711", "192.0.2.7", b"192.0.2.7, 10.0.0.1"),
        (b"::ffff:192.0.2.7", "192.0.2.7", b"192.0.2.7, 10.0.0.1"),
        (b"", "10.0.0.1", b"10.0.0.1"),
        (b'192.0.2.7, fe80::1%";proto=http;by="', "unknown", b"unknown, 10.0.0.1"),
        (b"192.0.2.7, fe80::1%\xe9", "unknown", b"unknown, 10.0.0.1"),
        (b"unknown", "unknown", b"unknown, 10.0.0.1"),
        (b"[2001:db9::1]", "2001:db9::1", b"2001:db9::1, 10.0.0.1"),
        (b"[2001:db9::1]:_hidden", "2001:db9::1", b"2001:db9::1, 10.0.0.1"),
        (b"[2001:db9::1", "unknown", b"unknown, 10.0.0.1"),
        (b"[2001:db9::1]x", "unknown", b"unknown, 10.0.0.1"),
        (b"[192.0.2.7]", "unknown", b"unknown, 10.0.0.1"),
        (b"192.0.2.7:", "unknown", b"unknown, 10.0.0.1"),
        (b"192.0.2.7:x", "unknown", b"unknown, 10.0.0.1"),
        (b"192.0.2.7:\xb2", "unknown", b"unknown, 10.0.0.1"),
        (b"203.0.113.009", "unknown", b"unknown, 10.0.0.1"),
    ],
)
def test_the_list_is_walked_from_the_right(reported: bytes, client: str, chain: bytes) -> None:
    """The client is the first address from the right that is no trusted proxy; what stands left of it is dropped."""
    found, fields = sent(PROXY, (b"X-Forwarded-For", reported))
    assert found == client
    assert fields[b"x-forwarded-for"] == [chain]


def test_nobody_else_is_believed() -> None:
    """From a peer that is no trusted proxy no report crosses, in any spelling."""
    forged = (
        (b"X-Forwarded-For", b"192.0.2.7"),
        (b"x_forwarded_for", b"192.0.2.7"),
        (b"Forwarded", b"for=192.0.2.7;proto=http"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"evil.example"),
        (b"X-Real-IP", b"192.0.2.7"),
        (b"X-Request-Id", b"mine"),
    )
    client, fields = sent("203.0.113.9", *forged)
    assert client == "203.0.113.9"
    assert fields == {
        b"x-forwarded-for": [b"203.0.113.9"],
        b"x-forwarded-proto": [b"https"],
        b"x-forwarded-host": [b"shop.example"],
        b"forwarded": [b'for=203.0.113.9;host="shop.example";proto=https'],
        b"via": [b"1.1 edge"],
    }


def test_a_trusted_proxy_says_what_the_client_asked_for() -> None:
    """Its scheme and host are passed on, if each is one clean value."""
    _, fields = sent(PROXY, (b"X-Forwarded-Proto", b"http"), (b"X-Forwarded-Host", b"www.example"))
    assert (fields[b"x-forwarded-proto"], fields[b"x-forwarded-host"]) == ([b"http"], [b"www.example"])
    _, fields = sent(PROXY, (b"X-Forwarded-Proto", b"gopher"), (b"X-Forwarded-Host", b'a";for=b'))
    assert (fields[b"x-forwarded-proto"], fields[b"x-forwarded-host"]) == ([b"https"], [b"shop.example"])


@pytest.mark.parametrize("other", [b"", b"for=10.0.0.9", b"for=198.51.100.1", b'for="', b"nonsense"])
def test_nothing_in_the_header_that_proxies_do_not_write_hides_a_client(other: bytes) -> None:
    """A proxy writes one of X-Forwarded-For and Forwarded and passes the client's own other one on, empty or not."""
    client, fields = sent(PROXY, (b"X-Forwarded-For", b"203.0.113.66"), (b"Forwarded", other))
    assert client == "203.0.113.66"
    assert fields[b"x-forwarded-for"] == [b"203.0.113.66, 10.0.0.1"]
    assert sent(PROXY, (b"Forwarded", other))[0] == PROXY


@pytest.mark.parametrize("other", [b"", b"10.0.0.9", b"198.51.100.1"])
def test_of_proxies_that_write_forwarded_nothing_else_is_believed(other: bytes) -> None:
    """With ``client-address = forwarded`` whatever begins with X-Forwarded may be the client's."""
    given = (b"Forwarded", b"for=203.0.113.66"), (b"X-Forwarded-For", other), (b"X-Forwarded-Proto", b"http")
    client, fields = sent(PROXY, *given, trusted=FORWARDED)
    assert client == "203.0.113.66"
    assert fields[b"x-forwarded-for"] == [b"203.0.113.66, 10.0.0.1"]
    assert fields[b"x-forwarded-proto"] == [b"https"]


@pytest.mark.parametrize(
    ("reported", "client"),
    [
        (b"for=192.0.2.7", "192.0.2.7"),
        (b"For=192.0.2.7:80;Proto=https", "192.0.2.7"),
        (b'by=10.0.0.1; for="192.0.2.7:80" ; host=a.test;', "192.0.2.7"),
        (b'for="[2001:db9::7]:80";proto=https, for=10.3.3.3', "2001:db9::7"),
        (b'for=203.0.113.66;host="a, for=9.9.9.9"', "203.0.113.66"),
        (b'for=203.0.113.66;host="a, for=9.9.9.9;x=\\""', "203.0.113.66"),
        (b'for=203.0.113.66;host="a\\", for=9.9.9.9;x=\\""', "203.0.113.66"),
        (b'host="a;for=9.9.9.9";for=203.0.113.66', "203.0.113.66"),
        (b'for=", for=203.0.113.66', "203.0.113.66"),
        (b'for=9.9.9.9;host=", for=203.0.113.66;host="a"', "203.0.113.66"),
        (b'for=9.9.9.9, for="203.0.113.66', UNKNOWN_CLIENT),
        (b"for=9.9.9.9, for=203.0.113.66 junk", UNKNOWN_CLIENT),
        (b"for=9.9.9.9, proto=https", UNKNOWN_CLIENT),
        (b"for=9.9.9.9, for=unknown", UNKNOWN_CLIENT),
        (b"for=9.9.9.9, , for=203.0.113.66,", "203.0.113.66"),
        (b"", PROXY),
    ],
)
def test_elements_of_forwarded_are_read_from_the_right(reported: bytes, client: str) -> None:
    """RFC 7239, section 4; no string that the client has begun or had quoted is another element, or hides the last."""
    assert sent(PROXY, (b"Forwarded", reported), trusted=FORWARDED)[0] == client


def test_behind_what_is_no_element_nothing_is_believed() -> None:
    """The field before a malformed one is at its left."""
    given = (b"Forwarded", b"for=9.9.9.9"), (b"Forwarded", b'for="203.0.113.66')
    assert sent(PROXY, *given, trusted=FORWARDED)[0] == UNKNOWN_CLIENT


def test_an_address_of_ipv6_is_quoted_in_forwarded() -> None:
    """RFC 7239, section 6."""
    _, fields = sent("2001:db9::1")
    assert fields[b"forwarded"] == [b'for="[2001:db9::1]";host="shop.example";proto=https']


@given(st.lists(st.ip_addresses(v=4).map(str), max_size=6), st.ip_addresses(v=4).map(str))
def test_what_an_untrusted_hand_wrote_never_decides(left: list[str], honest: str) -> None:
    """Whatever stands left of the first untrusted address changes nothing."""
    if ipaddress.ip_address(honest) in ipaddress.ip_network("10.0.0.0/8"):
        return
    alone, _ = sent(PROXY, (b"X-Forwarded-For", honest.encode()))
    padded, _ = sent(PROXY, (b"X-Forwarded-For", ", ".join((*left, honest)).encode()))
    assert alone == padded == honest


PAIRS = st.tuples(
    st.sampled_from((b"for", b"host", b"by")),
    st.text('a,;="\\ ', max_size=6).map(lambda text: b'"%b"' % re.sub(rb'(["\\])', rb"\\\1", text.encode()))
    | st.sampled_from((b"9.9.9.9", b"unknown")),
).map(b"=".join)


@given(st.text('for=9.,;"\\ ', max_size=30), st.lists(PAIRS, max_size=3))
def test_whatever_stands_at_the_left_an_element_is_read_whole(left: str, pairs: list[bytes]) -> None:
    """The element of the trusted proxy is found however its strings read, and whatever the client has begun."""
    element = b";".join((b"for=203.0.113.66", *pairs))
    assert sent(PROXY, (b"Forwarded", b"%b, %b" % (left.encode(), element)), trusted=FORWARDED)[0] == "203.0.113.66"


@pytest.mark.parametrize("piece", [b",", b" ", b'a="', b'a="";', b',a="', b',a="\\', b',a="x,b=";c=', b";", b'"'])
def test_no_forwarded_takes_long_to_read(piece: bytes) -> None:
    """A header as large as any may be is read in linear time."""

    def reading(size: int) -> Callable[[], object]:
        return lambda: sent(PROXY, (b"Forwarded", piece * (size // len(piece)) + b"@"), trusted=FORWARDED)

    assert grows_with_its_size(reading, 8_000)
