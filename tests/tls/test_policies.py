"""One policy, one context: what a server group presents, whom it asks, and that no session crosses."""

from __future__ import annotations

import gc
import pathlib
import weakref
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from edgenode.model.errors import ConfigurationError, InvalidValue
from edgenode.model.settings import HostName
from edgenode.tls.policies import MOST_NAMES, TLSPolicy, check_ciphers, check_group, client_context, server_context
from edgenode.tls.servergroups import CIPHERS, ServerGroup
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verification import Record, judge
from tests.support.certificates import CLIENT, DAY, SERVER, Issued, make_authority, name, new_key, now, write_pem
from tests.support.handshakes import VERSIONS, Pair, client, listed, loaded, resumed, server, server_group, trusted

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(scope="module")
def root() -> Issued:
    """A trusted authority."""
    return make_authority("Root")


@pytest.fixture(scope="module")
def leaf(root: Issued) -> Issued:
    """A server's certificate."""
    return root.issue("localhost", eku=[SERVER], sans=["DNS:localhost"])


def group(mtls: str = "off", **options: Any) -> ServerGroup:
    """A server group."""
    return server_group(mtls, **options)


def context(leaf: Issued, group: ServerGroup, *stores: LoadedTrustStore) -> SSL.Context:
    """The context of a server group with one certificate."""
    return server_context(group, [loaded("server", leaf)], stores)


def test_rsa_and_ecdsa_side_by_side_each_with_its_own_chain() -> None:
    """A client that can do only one of both gets that certificate, with its own intermediate and no other."""
    root = make_authority("Root")
    ecdsa = make_authority("EC intermediate", issuer=root).issue("ec", eku=[SERVER])
    rsa = make_authority("RSA intermediate", issuer=root).issue("rsa", eku=[SERVER], key=new_key("rsa"))
    both = server_context(group(), [loaded("ec", ecdsa), loaded("rsa", rsa)], [])
    for suite, issued in ((b"ECDHE-RSA-AES128-GCM-SHA256", rsa), (b"ECDHE-ECDSA-AES128-GCM-SHA256", ecdsa)):
        pair = Pair.of(both, client(version="1.2", ciphers=suite))
        assert pair.client.get_peer_cert_chain(as_cryptography=True) == [
            issued.certificate, *(issuer.certificate for issuer in issued.intermediates)
        ]  # fmt: skip


def test_ed25519_is_presented(root: Issued) -> None:
    """An Ed25519 certificate completes a handshake."""
    assert Pair.of(context(root.issue("ed", eku=[SERVER], key=new_key("ed25519")), group()), client()).done


def test_an_authority_that_is_not_advertised_is_not_sent_with_our_chain(root: Issued, leaf: Issued) -> None:
    """OpenSSL does not complete our chain from the clients' trust store, which would show whom we believe."""
    hidden = trusted(root, advertise=False)
    pair = Pair.of(context(leaf, group("optional", trust_store=("store",)), hidden), client())
    assert pair.client.get_peer_cert_chain(as_cryptography=True) == [leaf.certificate]


@BOTH
def test_names_of_authorities_are_sent_only_if_advertised(root: Issued, leaf: Issued, version: str) -> None:
    """The CertificateRequest names each advertised authority once, and none of those that are not."""
    policy = group("optional", trust_store=("a", "b"))
    for advertise, count in ((True, 2), (False, 1)):
        stores = (trusted(root, advertise=advertise), trusted(make_authority("Other"), advertise=True))
        pair = Pair.of(context(leaf, policy, *stores), client(version=version))
        names = [dict(name.get_components())[b"CN"] for name in pair.client.get_client_ca_list()]
        assert sorted(names) == [b"Other", b"Root"][:count]


@pytest.fixture(scope="module")
def many() -> list[Issued]:
    """Authorities of one key, whose names take nearly all the room there is."""
    key, names, room = new_key(), list[str](), MOST_NAMES - _size("CN=x,O=y")
    for more in f",O={'a' * 60},OU={'b' * 60},L={'c' * 60}", f",O={'a' * 10}":
        while room > 2 + _size(f"CN=000{more}"):
            names.append(f"CN={len(names):03}{more}")
            room -= _size(names[-1])
    return [make_authority(each, key=key) for each in names]


def _size(text: str) -> int:
    return len(name(text).public_bytes()) + 2


@BOTH
@pytest.mark.parametrize("more", [0, 1])
def test_more_names_than_a_handshake_holds_are_not_sent(
    many: list[Issued], leaf: Issued, version: str, more: int
) -> None:
    """With one byte more than there is room for clients are told none, which means any, and are let in all the same."""
    room = MOST_NAMES - sum(_size(each.certificate.subject.rfc4514_string()) for each in many) - _size("CN=x,O=y") + 1
    stores = (
        trusted(*many[:99]),
        trusted(*many[:99], make_authority("x"), advertise=False),
        trusted(*many[99:], make_authority(f"CN=x,O={'z' * (room + more)}")),
    )
    policy = group("on", trust_store=("a", "b", "c"))
    pair = Pair.of(context(leaf, policy, *stores), client(version=version, chain=[many[0].issue()]))
    assert pair.done
    assert pair.verification.verified
    assert len(pair.client.get_client_ca_list()) == (0 if more else len(many) + 1)
    problems = check_group("big", policy, [loaded("server", leaf)], stores)
    sentence = (
        f"the names of its {len(many) + 1} authorities take 64001 bytes, and a handshake has room for 64000: "
        "clients are told none; advertise = no in a trust store leaves out its own"
    )
    assert [(each.key, each.sentence, each.warning) for each in problems] == [("trust-store", sentence, True)][:more]


@pytest.mark.parametrize(("minimum", "served"), [("1.2", True), ("1.3", False)])
def test_the_minimum_version_holds(leaf: Issued, minimum: str, served: bool) -> None:
    """With ``minimum-version = 1.3`` a TLS 1.2 client gets the alert protocol_version."""
    pair = Pair.of(context(leaf, group(minimum_version=minimum)), client(version="1.2"))
    assert pair.done is served
    assert served or pair.alerts == ["protocol_version"]


@BOTH
@pytest.mark.parametrize(
    ("spoken", "offered", "agreed"),
    [
        ((b"h2", b"http/1.1"), (), b""),
        ((b"h2", b"http/1.1"), (b"http/1.1",), b"http/1.1"),
        ((b"h2", b"http/1.1"), (b"http/1.1", b"h2"), b"h2"),
        ((b"http/1.1", b"h2"), (b"h2", b"http/1.0", b"http/1.1"), b"http/1.1"),
        ((), (b"h2",), b""),
    ],
)
def test_alpn_agrees_on_what_we_prefer(
    leaf: Issued, version: str, spoken: tuple[bytes, ...], offered: tuple[bytes, ...], agreed: bytes
) -> None:
    """The protocol is the first of ours that the client offers; a client without ALPN is served, and so is every one
    where nothing is named."""
    pair = Pair.of(context(leaf, group()), client(version=version, alpn=offered), record=Record(spoken))
    assert pair.done
    assert pair.server.get_alpn_proto_negotiated() == agreed


@BOTH
def test_alpn_without_overlap_is_no_application_protocol(leaf: Issued, version: str) -> None:
    """A client that offers only other protocols gets the right alert, as a TLS error, and the next client is served."""
    server = context(leaf, group())
    pair = Pair.of(server, client(version=version, alpn=(b"h2", b"smtp")), record=Record((b"http/1.1",)))
    assert isinstance(pair.server_error, SSL.Error)
    assert pair.alerts == ["no_application_protocol"]
    assert Pair.of(server, client(version=version, alpn=(b"http/1.1",)), record=Record((b"http/1.1",))).done


@BOTH
def test_sni_context_switch_does_not_drop_client_auth(root: Issued, leaf: Issued, version: str) -> None:
    """A connection made on its group's own context demands the certificate; one switched to it by SNI would not."""
    asking = context(leaf, group("on", mtls_refusal="handshake", trust_store=("store",)), trusted(root))
    assert not Pair.of(asking, client(version=version), name=b"localhost").done
    plain = server(leaf)
    plain.set_tlsext_servername_callback(lambda connection: connection.set_context(asking))
    assert Pair.of(plain, client(version=version), name=b"localhost").done, "why the ClientHello is read first"


@BOTH
def test_no_resumption_where_a_certificate_is_asked_for(root: Issued, leaf: Issued, version: str) -> None:
    """A session of a group that asks for a certificate resumes nowhere, not even there: the client is judged anew."""
    asking = context(leaf, group("on", trust_store=("store",)), trusted(root))
    for tickets in (True, False):
        sender = client(version=version, chain=[root.issue("client")], tickets=tickets)
        first = Pair.of(asking, sender)
        assert first.verification.verified
        again = Pair.of(asking, sender, session=first.client.get_session())
        assert again.verification.verified
        assert not resumed(again.server)


def test_every_context_has_a_session_id_of_its_own(root: Issued, leaf: Issued, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each context is given a session id context, and never that of another, be it of the same group."""
    given: list[bytes] = []
    monkeypatch.setattr(SSL.Context, "set_session_id", lambda _, identifier: given.append(identifier))
    for policy, stores in ((group(), ()), (group(), ()), (group("on", trust_store=("store",)), (trusted(root),))):
        context(leaf, policy, *stores)
    assert len(set(given)) == 3
    assert {len(identifier) for identifier in given} == {32}


@BOTH
def test_no_session_resumes_across_groups(root: Issued, leaf: Issued, version: str) -> None:
    """A session of a group without mTLS, or with other authorities, does not resume on a group that asks."""
    other = make_authority("Other root")
    target = context(leaf, group("on", trust_store=("store",)), trusted(root))
    believer = context(leaf, group("on", trust_store=("other",)), trusted(other))
    for source in (context(leaf, group()), believer):
        sender = client(version=version, chain=[other.issue("client")])
        first = Pair.of(source, sender)
        assert first.done
        again = Pair.of(target, sender, session=first.client.get_session())
        assert not resumed(again.server)
        assert again.record.errors
        assert judge(group("on"), again.verification) is not None


@BOTH
def test_without_mtls_a_session_resumes_in_its_own_context_alone(leaf: Issued, version: str) -> None:
    """Without mTLS a session resumes in its own context, and in no other with the same settings."""
    mine, other = context(leaf, group()), context(leaf, group())
    sender = client(version=version)
    session = Pair.of(mine, sender).client.get_session()
    assert resumed(Pair.of(mine, sender, session=session).server)
    elsewhere = Pair.of(other, sender, session=session)
    assert elsewhere.done
    assert not resumed(elsewhere.server)


@BOTH
def test_a_revoked_client_does_not_resume(root: Issued, leaf: Issued, version: str) -> None:
    """A client whose session predates the revocation is refused once the group has the new list."""
    issued = root.issue("client")
    policy, sender = group("on", trust_store=("store",)), client(version=version, chain=[issued])
    before = context(leaf, policy, trusted(root, crls=[root.crl()]))
    after = context(leaf, policy, trusted(root, crls=[root.crl([issued])]))
    first = Pair.of(before, sender)
    assert first.verification.verified
    assert Pair.of(after, sender, session=first.client.get_session()).verification.revoked


def test_renegotiation_is_refused(leaf: Issued) -> None:
    """A TLS 1.2 client cannot make us shake hands again: neither to change its certificate nor to burn our CPU."""
    pair = Pair.of(context(leaf, group()), client(version="1.2"))
    assert pair.client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        pair.client.do_handshake()
    pair.server.bio_write(pair.client.bio_read(1 << 16))
    with pytest.raises(SSL.WantReadError):
        pair.server.recv(1)
    assert pair.alerts == ["no_renegotiation"]
    assert pair.server.total_renegotiations() == 0


@pytest.mark.parametrize("mtls", ["off", "on"])
def test_every_context_forbids_renegotiation_and_compression(root: Issued, leaf: Issued, mtls: str) -> None:
    """The options are set, whatever OpenSSL's own defaults are; tickets only where no certificate is asked for."""
    made = context(leaf, group(mtls), *([] if mtls == "off" else [trusted(root)]))
    origin = client_context()
    for options in (made.set_options(0), origin.set_options(0)):
        assert options & SSL.OP_NO_RENEGOTIATION
        assert options & SSL.OP_NO_COMPRESSION
    assert made.set_options(0) & SSL.OP_CIPHER_SERVER_PREFERENCE
    assert bool(made.set_options(0) & SSL.OP_NO_TICKET) is (mtls == "on")
    assert origin.set_options(0) & SSL.OP_NO_TICKET
    assert made.get_session_cache_mode() == origin.get_session_cache_mode() == SSL.SESS_CACHE_OFF


@pytest.mark.parametrize(("mtls", "refusal", "flags"), [
    ("on", "handshake", SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT), ("on", "400", SSL.VERIFY_PEER),
    ("optional", "handshake", SSL.VERIFY_PEER), ("optional-no-ca", "handshake", SSL.VERIFY_PEER),
    ("off", "400", SSL.VERIFY_NONE),
])  # fmt: skip
def test_the_verify_mode_is_that_of_the_section(
    root: Issued, leaf: Issued, mtls: str, refusal: str, flags: int
) -> None:
    """A missing certificate ends the handshake only if one is required and refusal is there."""
    made = context(leaf, group(mtls, mtls_refusal=refusal, verify_depth=3), *([] if mtls == "off" else [trusted(root)]))
    assert made.get_verify_mode() == flags
    assert mtls == "off" or made.get_verify_depth() == 3


def test_server_preference_of_ciphers(leaf: Issued) -> None:
    """Our order of TLS 1.2 suites decides, not the client's."""
    ours, theirs = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    pair = Pair.of(
        context(leaf, group(ciphers=f"{ours}:{theirs}")), client(version="1.2", ciphers=f"{theirs}:{ours}".encode())
    )
    assert pair.server.get_cipher_name() == ours


def test_suites_of_tls_1_3_are_in_the_order_of_those_of_1_2(leaf: Issued) -> None:
    """AES of 128 bits first, as in Mozilla's "intermediate", whatever a client prefers; who has only others gets those.

    To an origin all are offered in this order, which is the one that decides where a server has none.
    """
    assert Pair.of(context(leaf, group()), client()).server.get_cipher_name() == "TLS_AES_128_GCM_SHA256"
    assert Pair.of(server(leaf), client_context(verify=False)).server.get_cipher_name() == "TLS_AES_128_GCM_SHA256"
    for suite in ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
        theirs = client()
        theirs.set_tls13_ciphersuites(suite.encode())
        assert Pair.of(context(leaf, group()), theirs).server.get_cipher_name() == suite


CURVES = {
    "P-256": (ec.SECP256R1(), True),
    "P-384": (ec.SECP384R1(), True),
    "P-521": (ec.SECP521R1(), False),
}


@BOTH
@pytest.mark.parametrize(("curve", "good"), CURVES.values(), ids=CURVES)
def test_key_exchanges_are_those_of_mozilla_s_intermediate(
    root: Issued, curve: ec.EllipticCurve, good: bool, version: str
) -> None:
    """Who offers another group alone shares none with us."""
    offers = client(version=version)
    offers.set_tmp_ecdh(curve)
    # An RSA key: in TLS 1.2 an ECDSA certificate needs its own curve among the client's groups as well.
    leaf = root.issue("localhost", eku=[SERVER], key=new_key("rsa"))
    assert Pair.of(context(leaf, group()), offers).done is good


def test_the_key_exchange_is_post_quantum_with_who_can(leaf: Issued) -> None:
    """Limiting the groups takes nothing from a client that knows ML-KEM."""
    assert Pair.of(context(leaf, group()), client()).server.get_group_name() == "X25519MLKEM768"


UNKNOWN = "OpenSSL knows no cipher suite in "


@pytest.mark.parametrize(("ciphers", "sentence"), [
    ("nonsense", UNKNOWN + "'nonsense'"),
    ("", UNKNOWN + "''"),
    ("ECDHE-ÄES", UNKNOWN + "'ECDHE-ÄES'"),
    ("aNULL:@SECLEVEL=0", "the cipher suite ADH-AES256-GCM-SHA384 authenticates or encrypts nothing"),
    ("AECDH:@SECLEVEL=0", "the cipher suite AECDH-AES256-SHA authenticates or encrypts nothing"),
    ("eNULL:@SECLEVEL=0", "the cipher suite ECDHE-ECDSA-NULL-SHA authenticates or encrypts nothing"),
    ("ALL:eNULL:@SECLEVEL=0", "the cipher suite ADH-AES256-GCM-SHA384 authenticates or encrypts nothing"),
])  # fmt: skip
def test_ciphers_that_protect_nothing_are_refused(ciphers: str, sentence: str) -> None:
    """Unknown, anonymous and unencrypted suites are errors of the configuration, which say what is wrong."""
    with pytest.raises(InvalidValue) as caught:
        check_ciphers(ciphers)
    assert caught.value.sentence == sentence


def test_the_default_ciphers_are_in_order() -> None:
    """The default list is one that OpenSSL takes."""
    check_ciphers(CIPHERS)


def test_check_group_finds_everything_at_once(root: Issued, leaf: Issued) -> None:
    """Two certificates of one key type, bad ciphers, mTLS without a trust store: all are reported, and none is used."""
    certificates = [loaded("one", leaf), loaded("two", root.issue("two", eku=[SERVER]))]
    policy = group("optional-no-ca", ciphers="nonsense")
    problems = check_group("shop", policy, certificates, [])
    assert [(problem.section, problem.key) for problem in problems] == [
        ("server-group shop", "certificate"), ("server-group shop", "ciphers"), ("server-group shop", "trust-store"),
    ]  # fmt: skip
    with pytest.raises(ConfigurationError):
        server_context(policy, certificates, [])


def test_a_key_of_another_certificate_is_never_presented(root: Issued, leaf: Issued) -> None:
    """Though loading has checked it: a context with a wrong key is not made."""
    wrong = evolve(loaded("server", leaf), key=new_key())
    with pytest.raises(SSL.Error):
        server_context(group(), [wrong], [])


def test_a_store_without_crl_beside_one_with_is_an_error(root: Issued, leaf: Issued) -> None:
    """OpenSSL sees one store: lists in one trust store would silently refuse all clients of the other."""
    stores = [trusted(root, crls=[root.crl()]), evolve(trusted(make_authority("B")), name="plain")]
    (problem,) = check_group("shop", group("on", trust_store=("store", "plain")), [loaded("server", leaf)], stores)
    assert problem.key == "trust-store"
    assert "plain has none" in problem.sentence


def test_equal_policies_are_those_that_judge_clients_alike(root: Issued) -> None:
    """Whatever judges a client makes policies differ; names, certificates and hosts do not."""
    store, crl = trusted(root), listed(root.crl())
    base = group("on", trust_store=("store",))
    policy = TLSPolicy.of(base, [store])
    assert policy == TLSPolicy.of(
        evolve(base, hosts=(HostName("a"),), security_policy="b", mode="off", strict=True),
        [evolve(store, name="renamed")],
    )
    assert hash(policy) == hash(TLSPolicy.of(base, [store]))
    for change in (
        {"mtls": "optional"}, {"mtls_refusal": "handshake"}, {"verify_depth": 2}, {"required_eku": ("clientAuth",)},
        {"minimum_version": "1.3"}, {"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"},
    ):  # fmt: skip
        assert TLSPolicy.of(evolve(base, **change), [store]) != policy
    with_crl = TLSPolicy.of(base, [evolve(store, crls=(crl,))])
    assert with_crl != policy
    leaves_alone = evolve(store.section, crl_check="leaf")
    assert with_crl != TLSPolicy.of(base, [evolve(store, crls=(crl,), section=leaves_alone)])
    assert TLSPolicy.of(base, [trusted(make_authority("Root"))]) != policy, "same name, other key"


def test_without_mtls_nothing_about_client_certificates_counts(root: Issued) -> None:
    """Groups without mTLS have the same policy whatever else they say about client certificates."""
    assert TLSPolicy.of(group(), []) == TLSPolicy.of(group(verify_depth=5, mtls_refusal="444"), [trusted(root)])


@pytest.mark.parametrize("mtls", ["off", "on"])
@pytest.mark.parametrize("change", [{"minimum_version": "1.3"}, {"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"}], ids=str)
def test_versions_and_ciphers_count_with_and_without_mtls(root: Issued, mtls: str, change: dict[str, str]) -> None:
    """A group that asks for more of the connection than another does not serve the other's connections."""
    stores = [] if mtls == "off" else [trusted(root)]
    plain = TLSPolicy.of(group(mtls), stores)
    stricter = TLSPolicy.of(group(mtls, **change), stores)
    assert plain != stricter
    assert plain.settled != stricter.settled


def test_every_trust_store_counts(root: Issued) -> None:
    """Whichever of several it is, and in any order."""
    one, two, three = (trusted(make_authority(name)) for name in ("One", "Two", "Three"))
    policy = TLSPolicy.of(group("on"), [one, two])
    assert policy == TLSPolicy.of(group("on"), [two, one])
    assert policy != TLSPolicy.of(group("on"), [one, three])
    assert policy != TLSPolicy.of(group("on"), [three, two])
    assert policy != TLSPolicy.of(group("on"), [one])


def test_what_can_be_judged_again_is_not_settled_by_the_handshake(root: Issued) -> None:
    """Trust stores, depth and lists may change on an open connection; whether a certificate was asked for may not."""
    policy = TLSPolicy.of(group("on"), [trusted(root)])
    other = TLSPolicy.of(group("optional", verify_depth=5, minimum_rsa_bits=4096), [trusted(make_authority())])
    assert policy != other
    assert policy.settled == other.settled
    assert policy.settled != TLSPolicy.of(group("off"), []).settled


@BOTH
def test_an_origin_must_be_trusted(root: Issued, leaf: Issued, version: str) -> None:
    """An origin under our authority is accepted; untrusted, expired, revoked or a mere client, it is refused."""
    past = {"not_before": now() - 9 * DAY, "not_after": now() - DAY}
    revoked = root.issue("revoked", eku=[SERVER])
    store = trusted(root, crls=[root.crl([revoked])])
    assert Pair.of(server(leaf, version), client_context(trust_store=store)).done
    for bad, words in (
        (make_authority("Other").issue("x", eku=[SERVER]), "unable to get local issuer certificate"),
        (root.issue("x", eku=[SERVER], **past), "certificate has expired"),
        (revoked, "certificate revoked"),
        (root.issue("x", eku=[CLIENT]), "unsuitable certificate purpose"),
    ):
        pair = Pair.of(server(bad, version), client_context(trust_store=store))
        assert isinstance(pair.client_error, SSL.Error)
        assert pair.client.get_app_data().reason == words


def test_without_a_trust_store_the_system_s_authorities_are_believed(
    root: Issued, leaf: Issued, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An origin under a private authority is refused if no trust store names it; with verification off it is not."""
    assert not Pair.of(server(leaf), client_context()).done
    assert Pair.of(server(leaf), client_context(verify=False)).done
    monkeypatch.setenv("SSL_CERT_FILE", str(write_pem(tmp_path / "system.pem", [root])))
    assert Pair.of(server(leaf), client_context()).done


def test_our_certificate_is_presented_to_an_origin_that_asks(root: Issued, leaf: Issued) -> None:
    """An origin that demands a client certificate gets ours, with its intermediate."""
    mine = make_authority("inner", issuer=root).issue("edge")
    asking = context(leaf, group("on", trust_store=("store",)), trusted(root))
    pair = Pair.of(
        asking,
        client_context(certificate=loaded("edge", mine), trust_store=trusted(root)),
        record=Record((b"http/1.1",)),
    )
    assert pair.verification.verified
    assert pair.server.get_peer_certificate(as_cryptography=True) == mine.certificate
    assert pair.server.get_alpn_proto_negotiated() == b"http/1.1"


def test_an_origin_below_the_minimum_version_is_refused(root: Issued, leaf: Issued) -> None:
    """With ``minimum-version = 1.3`` an origin that speaks TLS 1.2 only is refused."""
    assert not Pair.of(server(leaf, "1.2"), client_context(minimum_version="1.3", trust_store=trusted(root))).done
    assert set(VERSIONS) == {"1.2", "1.3"}


def test_a_context_that_is_dropped_keeps_no_revocation_list(root: Issued, leaf: Issued) -> None:
    """It goes with the context, without the garbage collector: lists are large, and new ones come for years."""
    store = trusted(root, crls=[root.crl()])
    made = context(leaf, group("on", trust_store=("store",)), store)
    left = weakref.ref(store.crls[0])
    gc.disable()
    try:
        del store
        assert left() is not None
        del made
        assert left() is None
    finally:
        gc.enable()
