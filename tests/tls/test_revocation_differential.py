"""Our verdict on revocation against OpenSSL's own, over small lists of every kind: never laxer, and stricter only where
some list names the certificate."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from attrs import frozen
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import crypto

from edgenode.tls.revocation import Revocation
from tests.support.certificates import DAY, Issued, entry, key_identifier, make_authority, new_key, now
from tests.support.handshakes import trusted

FLAGS = crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL | 0x1000 | 0x2000
"""With ``X509_V_FLAG_EXTENDED_CRL_SUPPORT`` and ``X509_V_FLAG_USE_DELTAS``, which pyOpenSSL does not name."""

DATES = {"fresh": (1, 9), "newer": (0.5, 9), "old": (9, -1), "early": (-1, 9), "endless": (2, None)}
"""By name: how many days ago a list begins, and in how many it ends."""

SOME = frozenset({x509.ReasonFlags.key_compromise})
OTHERS = frozenset(x509.ReasonFlags) - SOME - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}
REASONS = {"all": None, "some": SOME, "others": OTHERS}
HERE, THERE = ([x509.UniformResourceIdentifier(f"http://{name}/")] for name in ("here", "there"))


def point(name: str, reasons: str, issuer: Issued | None) -> x509.CRLDistributionPoints:
    """The extension of a certificate."""
    full = {"": None, "here": HERE, "there": THERE}[name]
    issuers = [x509.DirectoryName(issuer.certificate.subject)] if issuer else None
    return x509.CRLDistributionPoints([x509.DistributionPoint(full, None, REASONS[reasons], issuers)])


@frozen
class World:
    """The authorities, and a client of each kind."""

    root: Issued
    inner: Issued
    leaves: Sequence[Issued]

    @classmethod
    @functools.cache
    def make(cls) -> World:
        """It."""
        root = make_authority("Root")
        inner = make_authority("Inner", issuer=root)
        freshest = x509.FreshestCRL(list(point("here", "all", None)))
        extensions: list[list[x509.ExtensionType]] = [[], [freshest]]
        for name, reasons, issuer in (("here", "all", None), ("there", "all", None), ("here", "some", None)):
            extensions.append([point(name, reasons, issuer)])
        extensions += [[point("here", "all", root)], [point("", "all", root)], [point("", "all", inner)]]
        return cls(root, inner, [inner.issue("leaf", extensions=each) for each in extensions])


LED_ELSEWHERE = (5, 6)
"""The leaves of which the root issues lists."""


@frozen
class Kind:
    """What a list is to be."""

    by_root: bool
    revoked: frozenset[str]
    release: bool
    dates: str
    only: str
    indirect: bool
    reasons: str
    name: str
    delta: int | None
    number: int | None
    identified: str
    forged: bool


KINDS = st.builds(
    Kind,
    st.sampled_from((False, False, False, True)),
    st.frozensets(st.sampled_from(("leaf", "inner", "other", "foreign")), max_size=2),
    st.sampled_from((False, False, True)),
    st.sampled_from(("fresh", "fresh", "newer", "old", "early", "endless")),
    st.sampled_from(("", "", "", "user", "ca", "attribute")),
    st.sampled_from((False, False, True)),
    st.sampled_from(("all", "all", "some", "others")),
    st.sampled_from(("", "", "here", "there")),
    st.sampled_from((None, None, None, 1, 2)),
    st.sampled_from((None, 1, 2, 3)),
    st.sampled_from(("", "", "right", "wrong")),
    st.sampled_from((False, False, False, False, False, True)),
)
FORGER = new_key()


def make(world: World, kind: Kind, leaf: Issued) -> x509.CertificateRevocationList:
    """A list."""
    issuer = world.root if kind.by_root else world.inner
    serials = {"leaf": leaf, "inner": world.inner, "other": world.root, "foreign": leaf}
    extensions = [x509.CRLReason(x509.ReasonFlags.remove_from_crl)] if kind.release else []
    revoked = []
    for each in sorted(kind.revoked):
        other = (world.inner if kind.by_root else world.root) if each == "foreign" and kind.indirect else None
        revoked.append(entry(serials[each], issuer=other, extensions=extensions))
    critical: list[x509.ExtensionType] = []
    if (kind.only, kind.indirect, kind.reasons, kind.name) != ("", False, "all", ""):
        full = {"": None, "here": HERE, "there": THERE}[kind.name]
        users, authorities, attributes = (kind.only == each for each in ("user", "ca", "attribute"))
        scope = (full, None, users, authorities, REASONS[kind.reasons], kind.indirect, attributes)
        critical.append(x509.IssuingDistributionPoint(*scope))
    if kind.delta is not None:
        critical.append(x509.DeltaCRLIndicator(kind.delta))
    plain: list[x509.ExtensionType] = [] if kind.number is None else [x509.CRLNumber(kind.number)]
    if kind.identified:
        right = key_identifier(Issued(issuer.certificate, issuer.key, issuer))
        plain.append(right if kind.identified == "right" else x509.AuthorityKeyIdentifier(b"wrong", None, None))
    begin, end = DATES[kind.dates]
    return issuer.crl(
        revoked,
        critical=critical,
        extensions=plain,
        last_update=now() - begin * DAY,
        next_update=now() + (900 if end is None else end) * DAY,
        key=FORGER if kind.forged else None,
    )


def openssl_s(world: World, leaf: Issued, crls: Sequence[x509.CertificateRevocationList]) -> int:
    """OpenSSL's first error, 0 for none."""
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(world.root.certificate))
    for crl in crls:
        store.add_crl(crl)
    store.set_flags(int(FLAGS))
    inner = crypto.X509.from_cryptography(world.inner.certificate)
    try:
        crypto.X509StoreContext(store, crypto.X509.from_cryptography(leaf.certificate), [inner]).verify_certificate()
    except crypto.X509StoreContextError as error:
        return int(error.errors[0])
    return 0


def ours(world: World, leaf: Issued, crls: Sequence[x509.CertificateRevocationList]) -> Iterator[int]:
    """All our errors."""
    revocation = Revocation.of([trusted(world.root, crls=crls)])
    assert revocation is not None
    chain = (leaf.der, world.inner.der, world.root.der)
    return (error for error, _ in revocation.faults(chain, now()))


PLAIN = Kind(True, frozenset(), False, "fresh", "", False, "all", "", None, 1, "", False)
"""The root's list about the intermediate, so that it is not for want of this that everybody is refused."""


@settings(max_examples=300, deadline=None)
@given(st.lists(KINDS, min_size=1, max_size=5), st.integers(0, 7))
def test_never_laxer_than_openssl(kinds: list[Kind], number: int) -> None:
    """Whom OpenSSL refuses we refuse, and whom it accepts we refuse only as revoked, for an entry that is there.

    One thing OpenSSL does not find: a list of another issuer, to which the certificate's distribution point leads.
    """
    world, kinds = World.make(), [PLAIN, *kinds]
    leaf, crls = world.leaves[number], [make(world, kind, world.leaves[number]) for kind in kinds]
    # A forged list may hide a good one from OpenSSL. From us it hides nothing, and it says nothing.
    signed = [crl for kind, crl in zip(kinds, crls, strict=True) if not kind.forged]
    theirs, found = openssl_s(world, leaf, signed), list(ours(world, leaf, crls))
    if theirs and not found:
        assert number in LED_ELSEWHERE
        assert any(kind.by_root and kind.indirect and not kind.forged for kind in kinds)
    if found and not theirs:
        begun = (crl for kind, crl in zip(kinds, crls, strict=True) if kind.dates != "early")
        named = {each.serial_number for crl in begun for each in crl}
        assert set(found) == {23}
        assert {leaf.certificate.serial_number, world.inner.certificate.serial_number} & named
