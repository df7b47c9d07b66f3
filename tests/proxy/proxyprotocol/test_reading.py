"""Headers of the PROXY protocol, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.exchange import Address
from edgenode.model.proxy_protocol import ProxiedTLS, ProxyHeader
from edgenode.proxy.proxyprotocol.crc32c import crc32c
from edgenode.proxy.proxyprotocol.reading import MalformedProxyHeader, read_header
from edgenode.proxy.proxyprotocol.writing import vector, version1, version2
from tests.fuzz import proxy_header
from tests.fuzz.proxy_header import ALL, FOUR, SIX, TLS

_ADDRESSES = st.builds(Address.of, st.ip_addresses().map(lambda ip: str(ip).partition("%")[0]), st.integers(0, 65535))


@given(_ADDRESSES, _ADDRESSES, st.binary(max_size=40), st.booleans(), st.binary(max_size=20))
def test_what_is_written_is_read(one: Address, other: Address, name: bytes, checksum: bool, behind: bytes) -> None:
    """Addresses of two families too; and nothing of what is behind it is taken."""
    for header, said in (
        (version1(one, other), ProxyHeader(1, one, other)),
        (version2(one, other, vector(2, name), checksum), ProxyHeader(2, one, other, authority=name)),
    ):
        assert read_header(header + behind) == (said, len(header))


@given(st.sampled_from([*proxy_header.seeds()]), st.integers(0, 200), st.binary(max_size=6), st.integers(0, 3))
def test_a_slow_reader_agrees(seed: bytes, at: int, data: bytes, dropped: int) -> None:
    """On headers that are changed, however they are cut."""
    proxy_header.check(seed[:at] + data + seed[at + dropped :])


def test_a_whole_header_is_read() -> None:
    """With all that clouds say."""
    found = read_header(version2(*SIX, ALL, True))
    assert isinstance(found, tuple)
    tls = ProxiedTLS(7, 0, b"TLSv1.3", b"alice", b"AES")
    assert found[0] == ProxyHeader(2, *SIX, b"h2", b"shop.test", b"id", tls, b"vpce-1", 2)
    assert tls.spoken
    assert tls.verified
    assert not ProxiedTLS(1, 0).verified, "no certificate was shown"


def test_the_checksum_is_castagnolis() -> None:
    """Its check value, and RFC 3720's of 32 zeros."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


_WHOLE = version2(*FOUR, TLS, True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "neither version 1 nor 2"),
        (b"\x16\x03\x01", "neither version 1 nor 2"),
        (b"\r\n\r\nGET", "neither version 1 nor 2"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", "a malformed line"),
        (b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", "a malformed address"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "a port beyond 65535"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", "a malformed line"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8  1 2\r\n", "a malformed line"),
        (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "a malformed address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "a malformed line"),
        (b"PROXY UNKNOWN " + b"x" * 100, "no line of up to 107 bytes"),
        (_WHOLE[:12] + b"\x11" + _WHOLE[13:], "an unknown version or command"),
        (_WHOLE[:12] + b"\x22" + _WHOLE[13:], "an unknown version or command"),
        (_WHOLE[:13] + b"\x10" + _WHOLE[14:], "an unknown family or protocol"),
        (_WHOLE[:14] + b"\0\x0b" + _WHOLE[16:], "its addresses go beyond its end"),
        (_WHOLE[:14] + b"\xff\xff", "longer than 16384 bytes"),
        (_WHOLE[:-1] + b"\0", "the checksum is wrong"),
        (version2(*FOUR, vector(3, b"abc")), "a checksum that has not 4 bytes"),
        (version2(*FOUR, b"\2\0"), "a vector goes beyond its end"),
        (version2(*FOUR, b"\2\0\4abc"), "a vector goes beyond its end"),
        (version2(*FOUR, vector(2, b"a") * 2), "the vector 0x02 is repeated"),
        (version2(*FOUR, vector(5, bytes(129))), "a unique id of more than 128 bytes"),
        (version2(*FOUR, vector(0x20, b"\1\0")), "a vector of TLS of less than 5 bytes"),
        (version2(*FOUR, vector(0x20, b"\1\0\0\0\0\x22\0\x09x")), "a vector goes beyond its end"),
        (version2(*FOUR, vector(0xEE, b"\1\0")), "a link id that has not 4 bytes"),
    ],
)
def test_what_is_malformed_is_refused(data: bytes, reason: str) -> None:
    """Each with its reason."""
    with pytest.raises(MalformedProxyHeader) as raised:
        read_header(data)
    assert str(raised.value) == reason


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 nonsense\r\n",
        version2(*FOUR)[:12] + b"\x20\0\0\0",
        version2(*FOUR)[:12] + b"\x20\xff\0\x02no",
        version2(*FOUR)[:12] + b"\x21\0\0\0",
        version2(*FOUR)[:13] + b"\x12" + version2(*FOUR)[14:],
        version2(*FOUR)[:12] + b"\x21\x31\0\xd8" + bytes(216),
    ],
)
def test_the_balancers_own_and_what_is_no_tcp_has_no_addresses(data: bytes) -> None:
    """The connection's own count then."""
    found = read_header(data)
    assert isinstance(found, tuple)
    assert (found[0].source, found[1]) == (None, len(data))
