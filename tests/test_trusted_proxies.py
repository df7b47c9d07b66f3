"""What proxies in front of the node may report of a client, and what nobody else may."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.exchange import Request
from edgenode.proxy.headers import read_passage
from edgenode.proxy.trustedproxies import TrustedProxies

TRUSTED = TrustedProxies(("10.0.0.0/8", "2001:db8::/32"))
PROXY = "10.0.0.1"
VIA = b"edge"


def request(*fields: tuple[bytes, bytes]) -> Request:
    """A request with these header fields."""
    headers = tuple((name.lower(), value) for name, value in fields)
    names = tuple(name for name, _ in fields)
    return Request(b"GET", b"https", b"shop.example", b"/", b"/", None, b"/", headers, names)


def sent(peer: str, *fields: tuple[bytes, bytes]) -> tuple[str, dict[bytes, list[bytes]]]:
    """The client found, and the fields for the origin."""
    passage = read_passage(request(*fields), frozenset(), peer, TRUSTED, VIA)
    found: dict[bytes, list[bytes]] = {}
    for line in passage.lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        found.setdefault(name.lower(), []).append(value)
    return passage.client, found


@pytest.mark.parametrize(
    ("reported", "client", "chain"),
    [
        (b"192.0.2.7", "192.0.2.7", b"192.0.2.7, 10.0.0.1"),
        (b"198.51.100.1, 192.0.2.7", "192.0.2.7", b"192.0.2.7, 10.0.0.1"),
        (b"192.0.2.7, 10.9.9.9", "192.0.2.7", b"192.0.2.7, 10.9.9.9, 10.0.0.1"),
        (b"10.1.1.1, 10.2.2.2", "10.1.1.1", b"10.1.1.1, 10.2.2.2, 10.0.0.1"),
        (b"192.0.2.7, nonsense, 10.2.2.2", "10.2.2.2", b"10.2.2.2, 10.0.0.1"),
        (b"[2001:db9::1]:4711", "2001:db9::1", b"2001:db9::1, 10.0.0.1"),
        (b"192.0.2.7:4711", "192.0.2.7", b"192.0.2.7, 10.0.0.1"),
        (b"::ffff:192.0.2.7", "192.0.2.7", b"192.0.2.7, 10.0.0.1"),
        (b"", "10.0.0.1", b"10.0.0.1"),
        (b'192.0.2.7, fe80::1%";proto=http;by="', "10.0.0.1", b"10.0.0.1"),
        (b"192.0.2.7, fe80::1%\xe9", "10.0.0.1", b"10.0.0.1"),
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
    """Its scheme and host are passed on, if each is one clean value; its Forwarded counts without X-Forwarded-For."""
    _, fields = sent(PROXY, (b"X-Forwarded-Proto", b"http"), (b"X-Forwarded-Host", b"www.example"))
    assert (fields[b"x-forwarded-proto"], fields[b"x-forwarded-host"]) == ([b"http"], [b"www.example"])
    _, fields = sent(PROXY, (b"X-Forwarded-Proto", b"gopher"), (b"X-Forwarded-Host", b'a";for=b'))
    assert (fields[b"x-forwarded-proto"], fields[b"x-forwarded-host"]) == ([b"https"], [b"shop.example"])
    client, _ = sent(PROXY, (b"Forwarded", b'for="[2001:db9::7]:80";proto=https, for=10.3.3.3'))
    assert client == "2001:db9::7"


def test_of_two_reports_that_disagree_neither_is_believed() -> None:
    """A proxy writes one of X-Forwarded-For and Forwarded and passes the client's own other one on."""
    client, fields = sent(PROXY, (b"X-Forwarded-For", b"192.0.2.66"), (b"Forwarded", b"for=192.0.2.9"))
    assert client == PROXY
    assert fields[b"x-forwarded-for"] == [PROXY.encode()]
    client, _ = sent(PROXY, (b"X-Forwarded-For", b"192.0.2.9"), (b"Forwarded", b"for=192.0.2.9"))
    assert client == "192.0.2.9"


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
