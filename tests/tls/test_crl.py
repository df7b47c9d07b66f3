"""A revocation list is read and verified once, and asked by serial number; whatever it holds."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from collections.abc import Callable, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgenode.tls.crl import RevocationList
from edgenode.tls.crl_facts import facts
from edgenode.tls.der_offsets import integer, within
from edgenode.tls.name_keys import NameKey, name_key
from edgenode.tls.revoked_serials import RevokedSerials
from edgenode.tls.trust import Trust
from tests.support.certificates import (
    DAY,
    Issued,
    entry,
    key_identifier,
    make_authority,
    name,
    new_key,
    now,
    sequence,
)
from tests.support.growth import grows_with_its_size
from tests.support.handshakes import listed, server_group, shake, trusted

ROOT = make_authority("Root")
INDIRECT = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
DATE = b"\x17\x0d260101000000Z"


def named(text: str) -> NameKey:
    """A name, for comparing."""
    return name_key(name(text).public_bytes())


def big(count: int) -> bytes:
    """A list of an authority with many entries, DER; the library's builder would take minutes."""
    der = ROOT.crl([ROOT]).public_bytes(Encoding.DER)
    (tbs, _, _), algorithm, _ = within(der, 0, len(der))
    parts = within(der, tbs, len(der))
    serials = (integer(int.from_bytes(hashlib.sha256(b"%d" % each).digest()[:16], "big")) for each in range(count))
    entries = sequence(b"".join(sequence(serial + DATE) for serial in serials))
    signed = sequence(b"".join(der[at:end] for at, _, end in parts[:-1]) + entries)
    assert isinstance(ROOT.key, ec.EllipticCurvePrivateKey)
    signature = ROOT.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return sequence(signed + der[algorithm[0] : algorithm[2]] + bytes((3, len(signature) + 1, 0)) + signature)


# -- entries -----------------------------------------------------------------------------------------------------------

Row = tuple[int, str, bool]
"""A serial number; the name of an issuer, or nothing; and whether it is released."""

ROWS = st.lists(st.tuples(st.sampled_from((0, 1, 127, 128, -1, -128, -129, 2**158, 2**160)) | st.integers(1, 9),
                          st.sampled_from(("", "", "", "A", "B")), st.booleans()), max_size=12)  # fmt: skip


def written(rows: Sequence[Row]) -> bytes:
    """The entries of a list, DER."""
    found = []
    for serial, issuer, released in rows:
        extensions = bytes.fromhex("300a0603551d1504030a0108") if released else b""
        if issuer:
            general = b"\xa4" + sequence(name(issuer).public_bytes())[1:]
            value = sequence(general)
            extensions += sequence(bytes.fromhex("0603551d1d0101ff04") + bytes((len(value),)) + value)
        found.append(sequence(integer(serial) + DATE + (sequence(extensions) if extensions else b"")))
    return b"".join(found)


@given(ROWS)
@example([(1, "", True), (1, "", False)])
@example([(1, "A", False), (1, "", False), (2, "", False), (1, "B", True)])
def test_entries_are_found_as_they_stand(rows: list[Row]) -> None:
    """By issuer, which holds for those after it, and serial number; of two for one certificate the one that revokes."""
    der, owner = b"\0" + written(rows), "Root"
    serials = RevokedSerials.read(der, 1, len(der), named("Root"), extensible=True)
    expected: dict[tuple[str, int], bool] = {}
    for serial, issuer, released in rows:
        owner = issuer or owner
        expected[owner, serial] = expected.get((owner, serial), False) or not released
    assert len(serials) == len(rows)
    for issuer in ("Root", "A", "B", "C"):
        for serial in (*range(10), 127, 128, -1, -128, -129, 2**158, 2**160, 77):
            assert serials.find(named(issuer), serial) == expected.get((issuer, serial))
            own = issuer == "Root" and not any(row[1] == "Root" for row in rows)
            assert serials.find(named(issuer), serial, foreign=True) == (
                None if own else expected.get((issuer, serial))
            )


def test_the_same_entry_a_hundred_thousand_times_is_read_in_time() -> None:
    """Entries for one certificate stand in one place of the table."""

    def reading(size: int) -> Callable[[], RevokedSerials]:
        der = b"\0" + sequence(integer(7) + DATE) * size
        return lambda: RevokedSerials.read(der, 1, len(der), named("Root"), extensible=True)

    assert reading(100_000)().find(named("Root"), 7)
    assert grows_with_its_size(reading, 5_000)


@pytest.mark.parametrize("entries", [
    "3000", "3002", "30120201011", "301302010117", "3012020201 01170d323630313031303030303030 5a".replace(" ", ""),
    sequence(b"\x02\x02\x00\x01" + DATE).hex(), sequence(b"\x02\x02\xff\xff" + DATE).hex(),
    sequence(b"\x02\x00" + DATE).hex(), sequence(b"\x04\x01\x01" + DATE).hex(),
    sequence(b"\x02\x01\x01\x17\x0d26010100000xZ").hex(), sequence(b"\x02\x01\x01\x17\x0d2601010000000").hex(),
    sequence(b"\x02\x01\x01\x18\x0d260101000000Z").hex(), sequence(b"\x02\x01\x01" + DATE + b"\x05\x00").hex(),
    sequence(b"\x02\x01\x01" + DATE + sequence(bytes.fromhex("300a0603551d1504030a0101")) + b"\x05\x00").hex(),
    sequence(b"\x02\x01\x01" + DATE + sequence(bytes.fromhex("300a0603551d1504030a0101") * 2)).hex(),
    sequence(b"\x02\x01\x01" + DATE + sequence(bytes.fromhex("30090603551d1504020a00"))).hex(),
])  # fmt: skip
def test_a_malformed_entry_is_an_error(entries: str) -> None:
    """Whatever it is: not in the shortest form, cut short, without a date, with an extension twice."""
    der = b"\0" + bytes.fromhex(entries + "0" * (len(entries) % 2))
    with pytest.raises(ValueError, match=r"malformed|cut short|no valid DER|follows|expected|unpack"):
        RevokedSerials.read(der, 1, len(der), named("Root"), extensible=True)


# -- lists -------------------------------------------------------------------------------------------------------------


@settings(max_examples=400)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_a_mutated_list_is_read_or_a_value_error(place: int, byte: int, cut: bool) -> None:
    """A changed byte, or a lost end, of a list with everything in it: nothing but a ``ValueError`` comes of it."""
    der = bytearray(WHOLE)
    der[place % len(der)] = byte
    with contextlib.suppress(ValueError):
        read = RevocationList.read(bytes(der[: place % len(der)] if cut else der))
        assert read.is_signed_by(ROOT.key.public_key(), b"") == (bytes(der) == WHOLE)


WHOLE = ROOT.crl(
    [ROOT, entry(make_authority("x"), issuer=make_authority("Other"), extensions=[x509.InvalidityDate(now())])],
    critical=[INDIRECT, x509.DeltaCRLIndicator(2)],
    extensions=[x509.CRLNumber(3), key_identifier(Issued(ROOT.certificate, ROOT.key, ROOT))],
).public_bytes(Encoding.DER)


@pytest.mark.parametrize("fields", ["", "020101", "020101 3000", "020101 3000 3000", "3000 3000", "3000 3000 170d"])
def test_a_list_without_its_fields_is_a_value_error(fields: str) -> None:
    """Nothing in it, or a part."""
    tbs = sequence(bytes.fromhex(fields))
    with pytest.raises(ValueError, match=r"cut short|no valid DER"):
        RevocationList.read(sequence(tbs + bytes.fromhex("3000 030100")))


@settings(max_examples=400)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_mutated_certificate_has_facts_or_is_a_value_error(place: int, byte: int) -> None:
    """The same of certificates that OpenSSL reads and this library does not."""
    der = bytearray(ROOT.der)
    der[place % len(der)] = byte
    with contextlib.suppress(ValueError):
        assert facts(bytes(der)).spki


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_every_kind_of_key_signs_lists(kind: str) -> None:
    """Its own signature counts, no other's, and none over other bytes."""
    root = make_authority("Root", key=new_key(kind))
    der = root.crl([ROOT]).public_bytes(Encoding.DER) if kind != "ed25519" else _by_ed25519(root)
    crl, own = RevocationList.read(der), facts(root.der)
    assert crl.is_signed_by(own.key, own.spki)
    assert not crl.is_signed_by(ROOT.key.public_key(), facts(ROOT.der).spki)
    assert not crl.is_signed_by(None, b"unreadable")
    other = RevocationList.read(der.replace(b"Root", b"Toor"))
    assert not other.is_signed_by(own.key, own.spki)


def _by_ed25519(root: Issued) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(root.certificate.subject)
    builder = builder.last_update(now() - DAY).next_update(now() + DAY)
    return builder.sign(root.key, None).public_bytes(Encoding.DER)


@pytest.mark.parametrize(("one", "other", "equal"), [
    ("CN=Inner", "CN=INNER", True), ("CN=An  inner one", "CN=an inner  one", True), ("CN=\\ x\\ ", "CN=x", True),
    ("CN=x", "CN=xx", False), ("CN=x", "O=x", False), ("CN=x,O=y", "O=y,CN=x", False), ("CN=a+O=b", "O=b+CN=a", True),
    ("CN=a\\,O=b", "CN=a,O=b", False),
])  # fmt: skip
def test_names_are_compared_as_rfc_5280_says(one: str, other: str, equal: bool) -> None:
    """Case and white space do not count, nor the type of a string, nor the order within a part (section 7.1)."""
    assert (named(one) == named(other)) is equal


def test_the_list_of_an_issuer_that_is_written_in_another_way_counts() -> None:
    """Its name in the list, and in what it issued, differ in case, white space and type of string."""
    inner = make_authority("Test  inner", issuer=ROOT)
    namesake = Issued(make_authority("TEST INNER", key=inner.key).certificate, inner.key)
    leaf = inner.issue()
    for revoked in (False, True):
        store = trusted(ROOT, crls=[ROOT.crl(), namesake.crl([leaf] if revoked else [])])
        assert shake(server_group(), [leaf, inner], store).verification.errors == ((23,) if revoked else ())


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_a_list_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At load; no handshake and no later look checks the signature again, or hashes anything of it."""
    tried: list[bytes] = []
    verify = RevocationList._verify

    def counting(crl: RevocationList, key: object) -> bool:
        tried.append(crl.digest)
        return verify(crl, key)

    monkeypatch.setattr(RevocationList, "_verify", counting)
    leaf, revoked = ROOT.issue("leaf"), ROOT.issue("revoked")
    store = trusted(ROOT, crls=[ROOT.crl([revoked])])
    trust = Trust.of(server_group(), [store])
    for _ in range(3):
        pair = shake(server_group(), [leaf], store)
        assert pair.verification.verified
        assert trust.look_again(pair.identity(), now())[0].verification.verified
        assert shake(server_group(), [revoked], store).verification.revoked
    assert len(tried) == 1


def test_a_big_list_takes_the_memory_of_its_file_and_microseconds() -> None:
    """Of 100,000 entries: less than half as much again in memory, and a look takes the time of one in a small list."""
    der = big(100_000)
    crl = RevocationList.read(der)
    own = facts(ROOT.der)
    assert crl.is_signed_by(own.key, own.spki)
    assert len(crl.revoked) == 100_000
    assert crl.der is der
    assert sys.getsizeof(crl.revoked._slots) + sys.getsizeof(crl.revoked._numbers) < len(der) / 2
    serial = int.from_bytes(hashlib.sha256(b"99999").digest()[:16], "big")
    assert crl.revoked.find(crl.issuer_key, serial) is True
    assert crl.revoked.find(crl.issuer_key, serial + 1) is None
    small = listed(ROOT.crl([ROOT]))
    assert _time_of(crl, serial) < 20 * _time_of(small, serial) + 1e-3


def _time_of(crl: RevocationList, serial: int) -> float:
    begin = time.perf_counter()
    for _ in range(100):
        crl.revoked.find(crl.issuer_key, serial)
    return time.perf_counter() - begin
