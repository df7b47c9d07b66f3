"""The ClientHello as bytes: whatever they are, they are read, asked for more of, or refused, and JA4 is JA4."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies
from OpenSSL import SSL

from edgenode.tls import clienthello
from edgenode.tls.clienthello import (
    MOST_BYTES,
    ClientHello,
    ClientHelloReader,
    MalformedClientHello,
    NotTLS,
)
from tests.support.handshakes import client

JA4 = "t13d1516h2_8daaf6152771_e5627efa2ab1"
"""The example of FoxIO's technical description of JA4: Chrome's ClientHello; its GREASE is put back in below."""

CIPHERS = (
    0x3A3A, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x9C, 0x9D, 0x2F,
    0x35,
)  # fmt: skip
KINDS = (
    0x0A0A, 0x1B, 0x00, 0x33, 0x10, 0x4469, 0x17, 0x2D, 0x0D, 0x05, 0x23, 0x12, 0x2B, 0xFF01, 0x0B, 0x0A, 0x15, 0x2A2A,
)  # fmt: skip
SCHEMES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)


def vector(data: bytes, size: int) -> bytes:
    """A length in ``size`` bytes, and the data."""
    return len(data).to_bytes(size, "big") + data


def numbers(*values: int) -> bytes:
    """16-bit numbers."""
    return b"".join(value.to_bytes(2, "big") for value in values)


def extension(kind: int, data: bytes) -> bytes:
    """One extension."""
    return numbers(kind) + vector(data, 2)


def server_name(name: bytes) -> bytes:
    """The extension server_name (RFC 6066, section 3)."""
    return extension(0, vector(b"\0" + vector(name, 2), 2))


def hello(*extensions: bytes, ciphers: tuple[int, ...] = (0x1301,), version: int = 0x0303, tail: bytes = b"") -> bytes:
    """A ClientHello in one record."""
    body = numbers(version) + bytes(32) + vector(b"", 1) + vector(numbers(*ciphers), 2) + vector(b"\0", 1)
    if extensions:
        body += vector(b"".join(extensions), 2)
    return record(b"\x01" + vector(body + tail, 3))


def record(message: bytes) -> bytes:
    """A handshake record."""
    return b"\x16\x03\x01" + vector(message, 2)


def openssl(name: bytes | None = b"open.test", *alpn: bytes) -> bytes:
    """The ClientHello of this OpenSSL."""
    connection = SSL.Connection(client(alpn=alpn), None)
    if name is not None:
        connection.set_tlsext_host_name(name)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65536)


def read(data: bytes) -> ClientHello:
    """A whole ClientHello."""
    found = ClientHelloReader().read(data)
    assert isinstance(found, ClientHello)
    return found


def split(data: bytes, size: int) -> bytes:
    """The same message in records of that many bytes."""
    return b"".join(record(data[at : at + size]) for at in range(5, len(data), size))


def test_ja4_of_foxio_s_example() -> None:
    """Chrome's ClientHello has the JA4 that its specification gives as the example; GREASE does not count."""
    content = {
        0x00: vector(b"\0" + vector(b"example.com", 2), 2),
        0x10: vector(vector(b"h2", 1) + vector(b"http/1.1", 1), 2),
        0x0D: vector(numbers(*SCHEMES), 2),
        0x2B: vector(numbers(0x7A7A, 0x0304, 0x0303), 1),
    }
    data = hello(*(extension(kind, content.get(kind, b"")) for kind in KINDS), ciphers=CIPHERS)
    assert read(data).fingerprint == JA4
    turned = hello(*(extension(kind, content.get(kind, b"")) for kind in reversed(KINDS)), ciphers=CIPHERS[::-1])
    assert read(turned).fingerprint == JA4, "the order of extensions and ciphers does not count"


@pytest.mark.parametrize(
    ("alpn", "expected"),
    [
        (b"h2", "h2"), (b"http/1.1", "h1"), (b"h", "hh"), (b"\xab", "ab"), (b"\xab\xcd", "ad"), (b"0\xab", "3b"),
        (b"01\xab\xcd", "3d"), (b"0\xab\xcd1", "01"),
    ],
)  # fmt: skip
def test_ja4_of_protocols(alpn: bytes, expected: str) -> None:
    """The first and last character of the first protocol, or of its hexadecimal form, as JA4's specification has it."""
    assert read(hello(extension(16, vector(vector(alpn, 1), 2)))).fingerprint[8:10] == expected


def test_ja4_of_nearly_nothing() -> None:
    """Without extensions, with a hundred ciphers and an unknown version, the fingerprint keeps its form."""
    many = tuple(range(1, 101))
    assert read(hello(ciphers=many, version=0x0305)).fingerprint[:10] == "t00i990000"
    assert read(hello(version=0x0303)).fingerprint[:11] == "t12i010000_"
    assert read(hello(ciphers=())).fingerprint == "t12i000000_000000000000_000000000000"


@pytest.mark.parametrize("alpn", [(), (b"http/1.1",), (b"h2", b"http/1.1")])
def test_openssl_s_own_hello(alpn: tuple[bytes, ...]) -> None:
    """What OpenSSL sends is read as what was asked of it."""
    found = read(openssl(b"Open.Test", *alpn))
    assert (found.server_name, found.alpn, found.version) == ("open.test", alpn, 0x0304)
    assert read(openssl(None)).server_name is None


MANY = {
    "ciphers": lambda n: hello(ciphers=tuple(range(n))),
    "extensions": lambda n: hello(*(extension(kind, b"") for kind in range(100, 100 + n))),
    "schemes": lambda n: hello(extension(13, vector(numbers(*range(n)), 2))),
}


@pytest.mark.parametrize("kind", MANY)
@pytest.mark.parametrize("count", [64, 65, 128, 129, 512, 513, 4000])
def test_lists_may_be_long(kind: str, count: int) -> None:
    """What no client in use sends is read all the same, and JA4 is that of the whole list; it is not remembered."""
    fingerprint = read(MANY[kind](count)).fingerprint
    assert len(fingerprint) == 36
    assert fingerprint != read(MANY[kind](count - 1)).fingerprint
    sizes = [memory.cache_info().currsize for memory in (clienthello._hash_of_ciphers, clienthello._hash_of_extensions)]
    read(MANY[kind](4001))
    read(MANY[kind](4002))
    assert sizes == [
        memory.cache_info().currsize for memory in (clienthello._hash_of_ciphers, clienthello._hash_of_extensions)
    ]


def test_a_name_has_a_largest_size() -> None:
    """253 characters (RFC 1035, section 3.1)."""
    assert read(hello(server_name(b"a" * 253))).server_name == "a" * 253
    with pytest.raises(MalformedClientHello):
        ClientHelloReader().read(hello(server_name(b"a" * 254)))


def test_what_fingerprints_are_remembered_by_is_bounded() -> None:
    """The hashes of lists of ciphers and of extensions, and of no more of them than clients in use have."""
    for memory in (clienthello._hash_of_ciphers, clienthello._hash_of_extensions):
        assert memory.cache_info().maxsize == 256


@pytest.mark.parametrize(
    ("versions", "legacy", "version", "mark"),
    [
        ((0x0304, 0x0303), 0x0303, 0x0304, "13"),
        ((0x0303, 0x0304), 0x0303, 0x0304, "13"),
        ((0x7A7A, 0x0303), 0x0301, 0x0303, "12"),
        ((0xFAFA,), 0x0302, 0x0302, "11"),
        ((), 0x0301, 0x0301, "10"),
        ((0x0300,), 0x0303, 0x0300, "s3"),
        ((0x7F1C,), 0x0303, 0x7F1C, "00"),
    ],
)
def test_the_version_is_the_highest_offered(versions: tuple[int, ...], legacy: int, version: int, mark: str) -> None:
    """Of ``supported_versions`` without GREASE, whatever their order; without any the legacy field's."""
    found = read(hello(extension(43, vector(numbers(*versions), 1)), version=legacy))
    assert (found.version, found.fingerprint[1:3]) == (version, mark)


def test_the_groups_are_those_of_a_client_of_tls_1_2() -> None:
    """By TLS 1.3 they say nothing of its keys, and are not looked at."""
    groups = extension(10, vector(numbers(29, 23, 25), 2))
    assert read(hello(groups)).groups == (29, 23, 25)
    assert read(hello()).groups == ()
    assert read(hello(groups, extension(43, vector(numbers(0x0304, 0x0303), 1)))).groups == ()
    for wrong in (extension(10, vector(b"\0", 2)), extension(10, b"\0\4\0\x17")):
        with pytest.raises(MalformedClientHello):
            ClientHelloReader().read(hello(wrong))


def test_another_message_in_the_same_record_is_not_looked_at() -> None:
    """The ClientHello ends where it says; what follows it in its record is OpenSSL's to judge."""
    whole = hello(server_name(b"open.test"))
    assert read(record(whole[5:] + b"\x0b\0\0\0")) == read(whole)


@pytest.mark.parametrize(
    "reaching",
    [
        extension(13, numbers(6) + b"\4\3"),
        extension(16, numbers(6) + b"\2h2"),
        extension(0, numbers(16) + b"\0" + vector(b"open.test", 2)),
        extension(43, b"\6\3\4"),
        extension(43, b""),
    ],
    ids=bytes.hex,
)
def test_no_list_reaches_into_the_next_extension(reaching: bytes) -> None:
    """The length of a list is held to its extension, not to the whole ClientHello."""
    with pytest.raises(MalformedClientHello):
        ClientHelloReader().read(hello(reaching, extension(21, bytes(8))))


def test_what_stands_behind_the_list_of_an_extension_does_not_count() -> None:
    """OpenSSL ignores it too, where it does not refuse it; the list itself is read."""
    name = extension(0, vector(b"\0" + vector(b"open.test", 2), 2) + b"xx")
    alpn = extension(16, vector(vector(b"h2", 1), 2) + b"x")
    found = read(hello(name, alpn, extension(43, vector(numbers(0x0304), 1) + b"x")))
    assert (found.server_name, found.alpn, found.version) == ("open.test", (b"h2",), 0x0304)


def test_clients_differ_by_what_ja4_says() -> None:
    """Name or none, ciphers, extensions and schemes in order; a name by itself, and ALPN's second choice, do not."""
    schemes = extension(13, vector(numbers(0x0403, 0x0804), 2))
    base = [server_name(b"a.test"), schemes]
    plain = read(hello(*base)).fingerprint
    assert plain == read(hello(server_name(b"b.test"), schemes)).fingerprint
    assert plain[:4] == "t12d"
    others = [
        hello(schemes),
        hello(*base, ciphers=(0x1302,)),
        hello(*base, extension(23, b"")),
        hello(base[0], extension(13, vector(numbers(0x0804, 0x0403), 2))),
        hello(*base, extension(16, vector(vector(b"h2", 1), 2))),
    ]
    assert len({plain, *(read(other).fingerprint for other in others)}) == 6
    first, second = (extension(16, vector(vector(b"h2", 1) + more, 2)) for more in (b"", vector(b"http/1.1", 1)))
    assert read(hello(first)).fingerprint == read(hello(second)).fingerprint
    assert read(hello(extension(16, vector(b"", 2)))).fingerprint[8:10] == "00"


@given(strategies.data())
def test_a_part_of_a_hello_asks_for_more(data: strategies.DataObject) -> None:
    """Every proper beginning of a ClientHello asks for more bytes than it has, and for none that will not come."""
    whole = split(openssl(b"open.test"), data.draw(strategies.integers(1, 2000)))
    at = data.draw(strategies.integers(0, len(whole) - 1))
    wanted = ClientHelloReader().read(whole[:at])
    assert isinstance(wanted, int)
    assert at < wanted <= len(whole)


@given(strategies.integers(1, 2000), strategies.integers(0, 100))
def test_what_comes_in_pieces_is_read_once(size: int, more: int) -> None:
    """A reader that is given more and more of a ClientHello reads what one that is given all of it at once does."""
    whole = split(openssl(b"open.test"), size)
    reader, at = ClientHelloReader(), 0
    while isinstance(found := reader.read(whole[:at]), int):
        assert at < found <= len(whole)
        at = found + more
    assert found == read(whole)


@given(strategies.integers(1, 2000), strategies.binary(max_size=40))
def test_records_make_no_difference(size: int, behind: bytes) -> None:
    """A ClientHello in many records, with other bytes behind it, is the same ClientHello."""
    whole = openssl(b"open.test", b"http/1.1")
    assert read(split(whole, size) + behind) == read(whole)


@given(strategies.binary(max_size=200) | strategies.binary(max_size=200).map(lambda rest: b"\x16\x03\x01" + rest))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes first is read, refused, or asked for more of, within bounds; nothing else happens."""
    _never_surprised(data)


@given(strategies.data())
def test_a_broken_hello(data: strategies.DataObject) -> None:
    """A ClientHello with some bytes changed is read, refused, or asked for more of; nothing else happens."""
    whole = bytearray(openssl(b"open.test", b"h2"))
    for _ in range(data.draw(strategies.integers(1, 4))):
        whole[data.draw(strategies.integers(0, len(whole) - 1))] = data.draw(strategies.integers(0, 255))
    _never_surprised(bytes(whole))


def _never_surprised(data: bytes) -> None:
    try:
        found = ClientHelloReader().read(data)
    except (NotTLS, MalformedClientHello):
        return
    if isinstance(found, int):
        assert len(data) < found <= MOST_BYTES
    else:
        assert len(found.fingerprint) == 36


@pytest.mark.parametrize(
    "data", [b"G", b"GET / HTTP/1.1", b"\x16\x02", b"\0", b"\x80\x2e\x01", b"\x13\3", b"\x19\3", b"\x15\2"]
)
def test_what_is_no_tls(data: bytes) -> None:
    """The first bytes tell that it is not TLS, as early as they can."""
    with pytest.raises(NotTLS):
        ClientHelloReader().read(data)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"open.test", "open.test"),
        (b"OPEN.Test.", "open.test"),
        (b"a_b.test", "a_b.test"),
        (b"xn--bcher-kva.test", "xn--bcher-kva.test"),
    ],
)
def test_server_names(name: bytes, expected: str) -> None:
    """The server name is in lower case, without its final dot."""
    assert read(hello(server_name(name))).server_name == expected


NAME = vector(b"open.test", 2)


@pytest.mark.parametrize(
    "data",
    [
        hello(server_name(b"")),
        hello(server_name(b"open test")),
        hello(server_name(b"open\0.test")),
        hello(server_name(b"\xf6pen.test")),
        hello(server_name(b"a" * 254)),
        hello(server_name(b".test")),
        hello(extension(0, b"")),
        hello(extension(0, vector(b"", 2))),
        hello(extension(0, vector(b"\1" + NAME, 2))),
        hello(extension(0, vector((b"\0" + NAME) * 2, 2))),
        hello(extension(0, vector(b"\0" + NAME, 2)[:-1])),
        hello(server_name(b"open.test"), server_name(b"other.test")),
        hello(extension(16, vector(vector(b"", 1), 2))),
        hello(extension(13, vector(b"\4\3\4", 2))),
        hello(extension(43, vector(b"\3", 1))),
        hello(extension(23, b""), tail=extension(24, b"")),
        hello(numbers(23) + b"\0\5"),
        hello(extension(0, vector(b"\0" + vector(b"open", 2) + b"test", 2))),
        hello(extension(16, vector(vector(b"h2", 1) + vector(b"", 1), 2))),
        hello(extension(43, vector(b"\3\4", 1)[:-1])),
        hello(extension(43, b"")),
        hello(extension(43, b"\3\3\4")),
        hello(extension(43, b"\3\3\4\3")),
        hello(extension(13, vector(b"\4\3", 2)[:-1])),
        hello(extension(16, vector(vector(b"h2", 1)[:-1], 2))),
        hello(extension(16, vector(vector(b"h2", 1), 2)[:-1])),
        hello(extension(0, vector(b"\0" + vector(b"open.test", 2)[:-1], 2))),
        hello(extension(0, vector(b"\0\0", 2))),
        hello(extension(10, b""), extension(10, b"")),
        record(b"\1" + vector(numbers(0x0303) + bytes(32) + vector(b"", 1) + vector(b"\x13\1\0", 2) + b"\1\0", 3)),
        record(b"\1" + vector(numbers(0x0303) + bytes(32) + b"\x20", 3)),
        record(b"\1" + vector(numbers(0x0303) + bytes(32) + vector(b"", 1) + b"\0\4\x13\1", 3)),
        record(b"\1" + vector(numbers(0x0303) + bytes(32) + vector(b"", 1) + vector(b"\x13\1", 2) + b"\2\0", 3)),
        record(b"\1" + vector(numbers(0x0303), 3)),
        record(b"\1" + vector(b"", 3)),
        hello(extension(23, b""), tail=b"\0"),
        hello(tail=b"\0\7"),
        record(b"\2\0\0\0"),
        hello(server_name(b"open.test")).replace(b"\1", b"\2", 2).replace(b"\2", b"\1", 1),
        record(b""),
        record(b"\1\xff\xff\xff"),
        record(b"\1\0\1\0") + b"\x17\3\3\0\1x",
        b"\x16\3\1\xff\xff",
    ],
    ids=bytes.hex,
)
def test_malformed(data: bytes) -> None:
    """A length that points outside, a name that is none, anything twice: no hello, rather than half of one."""
    with pytest.raises(MalformedClientHello):
        ClientHelloReader().read(data)


@pytest.mark.parametrize(
    ("data", "alert"),
    [
        (b"\x14\3\3\0\1\1", 10),
        (b"\x15\3\1\0\2\2\0", 10),
        (b"\x17\3", 10),
        (b"\x18\3\2", 10),
        (record(b"\2\0\0\0"), 10),
        (record(b"\2")[:6], 10),
        (record(b"\0"), 10),
        (record(b""), 10),
        (record(b"\1\0\1\0") + b"\x17\3\3\0\1x", 10),
        (record(b"\1\0\1\0") + b"\x16\2", 10),
        (b"\x16\3\1\x40\1", 22),
        (b"\x16\3\1\xff\xff", 22),
        (record(b"\1\2\2\0"), 50),
        (hello(server_name(b"open test")), 50),
        (split(hello(extension(21, bytes(3000))), 1), 50),
    ],
    ids=lambda value: value.hex()[:24] if isinstance(value, bytes) else None,
)
def test_alerts(data: bytes, alert: int) -> None:
    """Another message or record than a ClientHello is unexpected_message, a record of more than 2^14 bytes is
    record_overflow, and what is in a ClientHello that is none decode_error (RFC 8446, sections 5.1 and 6.2)."""
    with pytest.raises(MalformedClientHello) as raised:
        ClientHelloReader().read(data)
    assert raised.value.alert == alert
