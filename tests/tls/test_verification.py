"""Client certificates are judged as nginx judges them, or more strictly; and the callback fails closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.bindings.openssl.binding import Binding
from hypothesis import example, given, strategies
from OpenSSL import SSL, crypto

from edgenode.model.exchange import Verification
from edgenode.tls import admission, verify_errors
from edgenode.tls.allowlists import DNSPattern
from edgenode.tls.identity import UNREADABLE
from edgenode.tls.policies import server_context
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.verification import Record, Verifier, judge
from edgenode.tls.verify_errors import reason
from tests.support.certificates import CLIENT, DAY, SERVER, Issued, make_authority, now
from tests.support.handshakes import Pair, client, server_certificate, server_group, shake, trusted
from tests.support.nginx_matrix import Cell, Scene, cells

ALERT = {
    "certificate revoked": "certificate_revoked",
    "certificate has expired": "certificate_expired",
    "unsuitable certificate purpose": "unsupported_certificate",
    "certificate is not yet valid or the system clock is incorrect": "bad_certificate",
}
"""The alerts of refusals in the handshake, by reason; ``unknown_ca`` otherwise."""


def group(mtls: str = "on", refusal: str = "400", **options: Any) -> ServerGroup:
    """A server group."""
    return server_group(mtls, mtls_refusal=refusal, **options)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """The certificates of the matrix."""
    return Scene.make()


def shaken(scene: Scene, group: ServerGroup, kind: str, *, crl: bool = False, version: str = "1.3") -> Pair:
    """A handshake of a kind of client with a server group."""
    store = trusted(scene.root, crls=[scene.crl] if crl else [])
    return shake(group, scene.clients[kind], store, version=version)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_over_http_the_verdict_is_nginx_s(scene: Scene, cell: Cell, version: str) -> None:
    """Every cell of nginx's matrix: same status, same reason; but that ``optional-no-ca`` refuses none."""
    pair = shaken(scene, group(cell.mode), cell.kind, crl=cell.crl, version=version)
    assert pair.done, "the handshake completes, whatever the certificate"
    refusal = judge(group(cell.mode), pair.verification)
    assert (refusal.status if refusal else 200) == cell.ours
    assert str(pair.verification) == cell.verify
    assert pair.verification.verified == (cell.verify == "SUCCESS")
    assert pair.verification.revoked == (23 in pair.verification.errors)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("cell", [cell for cell in cells() if cell.mode != "off"], ids=str)
def test_in_the_handshake_the_same_are_refused(scene: Scene, cell: Cell, version: str) -> None:
    """With refusal in the handshake exactly those fail who would be refused over HTTP, with an alert that says why."""
    pair = shaken(scene, group(cell.mode, "handshake"), cell.kind, crl=cell.crl, version=version)
    refused = cell.ours != 200
    assert pair.done is not refused
    if not refused:
        assert judge(group(cell.mode), pair.verification) is None
    elif cell.status == 496:
        assert pair.alerts == ["certificate_required" if version == "1.3" else "handshake_failure"]
    else:
        ((ended, _),) = pair.record.errors
        assert pair.alerts == [ALERT.get(reason(ended), "unknown_ca")]


@pytest.mark.parametrize("mode", ["optional", "optional-no-ca", "on"])
@pytest.mark.parametrize("refusal", ["400", "handshake"])
@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SSL.Error])
def test_a_callback_that_raises_fails_closed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, mode: str, refusal: str, failure: type[BaseException]
) -> None:
    """Whatever goes wrong in the callback ends the handshake as an ordinary TLS error, and is on record."""

    def fail(*_: object) -> bool:
        raise failure("broken")

    monkeypatch.setattr(Verifier, "_leaf_reached", fail)
    pair = shaken(scene, group(mode, refusal), "good")
    assert isinstance(pair.server_error, SSL.Error)
    assert isinstance(pair.record.failure, failure)
    assert pair.record.errors == [(50, 0)]
    assert not pair.verification.verified
    assert judge(group(mode), evolve(pair.verification, presented=True)) is not None


def test_an_exception_does_not_reach_the_next_connection(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure in the callback of one connection is not raised on another of the same context."""
    context = server_context(group(), [server_certificate()], [trusted(scene.root)])
    with monkeypatch.context() as broken:
        broken.setattr(Verifier, "_leaf_reached", lambda *_: 1 / 0)
        assert Pair.of(context, client(chain=scene.clients["good"])).server_error is not None
    assert Pair.of(context, client(chain=scene.clients["good"])).verification.verified


def test_a_connection_without_a_record_fails_closed(scene: Scene) -> None:
    """A certificate on a connection whose owner forgot the record is refused in the handshake."""
    context = server_context(group("optional-no-ca"), [server_certificate()], [trusted(scene.root)])
    pair = Pair.of(context, client(chain=scene.clients["good"]), record=object())  # type: ignore[arg-type]
    assert isinstance(pair.server_error, SSL.Error)


def test_no_certificate_means_the_callback_never_runs(scene: Scene) -> None:
    """A client without a certificate leaves an empty record, which is judged as missing, never as verified."""
    pair = shaken(scene, group("on"), "none")
    assert pair.done
    assert pair.record.errors == []
    assert not pair.record.complete
    assert pair.verification == Verification()
    refusal = judge(group("on"), pair.verification)
    assert refusal is not None
    assert refusal.status == 496


@pytest.mark.parametrize("mode", ["optional", "optional-no-ca", "on"])
def test_a_certificate_that_nobody_looked_at_is_refused(mode: str) -> None:
    """A certificate for which the callback never ran, as on a resumed session, is refused in every mode."""
    verdict = Record().verification(presented=True)
    assert not verdict.verified
    refusal = judge(group(mode), verdict)
    assert refusal is not None
    assert refusal.status == 495


def test_accepting_an_error_hides_it_from_all_but_the_record(scene: Scene) -> None:
    """After a forgiven error OpenSSL shows a "verified" chain; only our record knows better."""
    pair = shaken(scene, group("optional-no-ca"), "wrong-ca")
    chain = pair.server.get_verified_chain(as_cryptography=True)
    assert chain, "if OpenSSL stops doing this the comment in identity.py can go"
    assert not pair.verification.verified


def test_first_and_last_error_are_both_kept(scene: Scene) -> None:
    """The first error (HAProxy's) and the last (nginx's) of one chain differ, and both are known, with all between."""
    verdict = shaken(scene, group(), "wrong-ca", crl=True).verification
    assert (verdict.first_error, verdict.last_error, verdict.errors) == (20, 21, (20, 3, 21))
    assert verdict.reason == "unable to verify the first certificate"


def test_the_depth_is_that_of_the_last_error() -> None:
    """An expired intermediate is an error at depth 1."""
    root = make_authority()
    inner = make_authority("inner", issuer=root, not_before=now() - 9 * DAY, not_after=now() - DAY)
    verdict = shake(group(), [inner.issue("leaf"), inner], trusted(root)).verification
    assert (verdict.last_error, verdict.depth) == (10, 1)


@pytest.mark.parametrize(("eku", "served"), [((CLIENT,), True), ((CLIENT, SERVER), True), (None, False)])
@pytest.mark.parametrize("refusal", ["400", "handshake"])
@pytest.mark.parametrize("mode", ["optional", "optional-no-ca", "on"])
def test_a_leaf_without_eku_passes_unless_one_is_required(
    scene: Scene, eku: Sequence[Any] | None, served: bool, refusal: str, mode: str
) -> None:
    """OpenSSL accepts a leaf that names no usage; with ``required-eku`` it is refused with error 26."""
    chain = [scene.root.issue("leaf", eku=eku)]
    for required, expected in (((), True), (("clientAuth",), served)):
        policy = group(mode, refusal, required_eku=required)
        pair = shake(policy, chain, trusted(scene.root))
        if mode == "optional-no-ca":
            assert pair.verification.verified is expected
        else:
            assert (pair.done and judge(policy, pair.verification) is None) is expected
        if not expected:
            assert [number for number, _ in pair.record.errors] == [26]


@pytest.mark.parametrize(
    ("depth", "intermediates", "served"), [(0, 0, True), (0, 1, False), (1, 1, True), (1, 2, False), (2, 2, True)]
)
def test_verify_depth_counts_intermediates_only(depth: int, intermediates: int, served: bool) -> None:
    """As nginx's: with depth 1 one intermediate between leaf and root is accepted, two are not."""
    issuer: Issued = make_authority("root")
    root = issuer
    above: list[Issued] = []
    for number in range(intermediates):
        issuer = make_authority(f"intermediate {number}", issuer=issuer)
        above.insert(0, issuer)
    policy = group(verify_depth=depth)
    pair = shake(policy, [issuer.issue("leaf"), *above], trusted(root))
    assert pair.verification.verified is served
    assert served or pair.verification.first_error == 22


@pytest.mark.parametrize(("check", "revoke", "errors"), [
    ("leaf", "leaf", (23,)), ("leaf", "intermediate", ()), ("chain", "leaf", (23,)), ("chain", "intermediate", (23,)),
])  # fmt: skip
def test_crl_check_leaf_and_chain(check: str, revoke: str, errors: tuple[int, ...]) -> None:
    """``crl-check = leaf`` finds a revoked leaf, ``chain`` a revoked intermediate as well."""
    root = make_authority("root")
    inner = make_authority("inner", issuer=root)
    leaf = inner.issue("leaf")
    crls = [root.crl([inner] if revoke == "intermediate" else []), inner.crl([leaf] if revoke == "leaf" else [])]
    store = trusted(root, inner, crls=crls, check=check)
    assert shake(group(), [leaf, inner], store).verification.errors == errors


def test_an_expired_crl_refuses_everyone_and_still_revokes(scene: Scene) -> None:
    """A revocation list out of date is error 12 for all; a certificate that it names is error 23 besides."""
    good, bad = scene.root.issue("good"), scene.root.issue("bad")
    crl = scene.root.crl([bad], last_update=now() - 9 * DAY, next_update=now() - DAY)
    store = trusted(scene.root, crls=[crl])
    assert shake(group(), [good], store).verification.errors == (12,)
    verdict = shake(group(), [bad], store).verification
    assert verdict.errors == (12, 23)
    assert verdict.revoked


@example([])
@given(strategies.lists(strategies.integers(1, 100), max_size=5))
def test_only_optional_no_ca_leaves_errors_to_the_rules(errors: list[int]) -> None:
    """Whatever is wrong, it serves; only a certificate of which nothing is known but that it came is refused there."""
    verdict = Verification(presented=True, last_error=errors[-1] if errors else 0, errors=tuple(errors))
    assert (judge(group("optional-no-ca"), verdict) is None) is bool(errors)
    for mode in ("on", "optional"):
        assert judge(group(mode), verdict) is not None


def test_an_error_without_a_number_is_an_error() -> None:
    """If OpenSSL dislikes a certificate and names no error, that is error 1, and a refusal."""
    context = SSL.Context(SSL.TLS_METHOD)
    connection = SSL.Connection(context, None)
    record = Record()
    connection.set_app_data(record)
    certificate = crypto.X509.from_cryptography(make_authority().certificate)
    assert Verifier()(connection, certificate, 0, 0, 0) is False
    assert record.errors == [(1, 0)]


def test_an_error_without_words_is_told_by_its_number() -> None:
    """OpenSSL has words for those that it knows, and one sentence for all others."""
    assert reason(23) == "certificate revoked"
    assert reason(101) == "unknown certificate verification error (101)"
    assert reason(-1) == "unknown certificate verification error (-1)"


def test_names_of_errors_in_the_code_are_openssl_s_numbers() -> None:
    """The constants that decide are the numbers of OpenSSL's header."""
    lib = Binding().lib
    assert verify_errors.REVOKED == lib.X509_V_ERR_CERT_REVOKED
    assert verify_errors.CRL_EXPIRED == lib.X509_V_ERR_CRL_HAS_EXPIRED
    assert verify_errors.UNABLE_TO_GET_CRL == lib.X509_V_ERR_UNABLE_TO_GET_CRL
    assert verify_errors.INVALID_PURPOSE == lib.X509_V_ERR_INVALID_PURPOSE
    for name, words in {
        "UNSPECIFIED": "unspecified certificate verification error",
        "NOT_YET_VALID": "certificate is not yet valid or the system clock is incorrect",
        "EXPIRED": "certificate has expired",
        "SELF_SIGNED_LEAF": "self-signed certificate",
        "UNABLE_TO_GET_ISSUER": "unable to get local issuer certificate",
        "UNABLE_TO_VERIFY_LEAF": "unable to verify the first certificate",
        "CHAIN_TOO_LONG": "certificate chain too long",
        "APPLICATION_VERIFICATION": "application verification failure",
        "AUTHORITY_KEY_TOO_WEAK": "CA certificate key too weak",
        "SIGNATURE_TOO_WEAK": "CA signature digest algorithm too weak",
    }.items():
        assert reason(getattr(verify_errors, name)) == words
    assert {
        lib.X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        lib.X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
        lib.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        lib.X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
    } == verify_errors.UNKNOWN_AUTHORITY


def step(verifier: Verifier, record: Record, certificate: Issued, error: int, depth: int) -> bool:
    """One call of the callback as OpenSSL makes it."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    connection.set_app_data(record)
    return verifier(connection, crypto.X509.from_cryptography(certificate.certificate), error, depth, int(not error))


def test_the_callback_keeps_the_chain_of_a_verified_client_alone(scene: Scene) -> None:
    """The record of a verified client has its chain, DER, from leaf to authority; any other's has none."""
    good = shaken(scene, group(), "intermediate-sent").record
    leaf, inner = scene.clients["intermediate-sent"]
    assert good.path == (leaf.der, inner.der, scene.root.der)
    assert good.chain == {}
    for kind in ("wrong-ca", "expired", "self-signed", "server-auth-only"):
        assert shaken(scene, group("optional-no-ca"), kind).record.path == ()
    refused = shaken(scene, group(allow_dns=(DNSPattern("a.test"),)), "good").record
    assert (refused.path, refused.chain, refused.complete) == ((), {}, False)


def test_a_chain_with_a_gap_is_refused(scene: Scene) -> None:
    """If OpenSSL named no certificate at some depth, nobody knows what was verified there: no chain is made up."""
    record, verifier = Record(), Verifier(lets_through=True)
    assert step(verifier, record, scene.root, 0, 2)
    assert not step(verifier, record, scene.clients["good"][0], 0, 0)
    assert isinstance(record.failure, KeyError)
    assert not record.verification(presented=True).verified


@pytest.mark.parametrize("mode", ["optional", "optional-no-ca", "on"])
def test_a_leaf_that_pleases_lifts_no_earlier_error(scene: Scene, mode: str) -> None:
    """An error above the leaf stays the verdict, though OpenSSL goes on and likes the leaf."""
    record, verifier = Record(), Verifier(lets_through=True)
    assert step(verifier, record, scene.root, 10, 1)
    assert step(verifier, record, scene.clients["good"][0], 0, 0)
    verdict = record.verification(presented=True)
    assert (verdict.verified, verdict.errors, verdict.depth) == (False, (10,), 1)
    assert (judge(group(mode), verdict) is None) is (mode == "optional-no-ca")


def test_without_reaching_the_leaf_nothing_is_verified(scene: Scene) -> None:
    """An authority that pleases OpenSSL says nothing of the client."""
    record = Record()
    assert step(Verifier(), record, scene.root, 0, 1)
    assert not record.verification(presented=True).verified


def test_a_failure_of_ours_behind_a_good_leaf_undoes_the_verdict(scene: Scene) -> None:
    """The record of a callback that failed at any time is no verified client's."""
    record = Record()
    assert step(Verifier(), record, scene.clients["good"][0], 0, 0)
    assert record.verification(presented=True).verified
    record.failure = ValueError()
    assert not record.verification(presented=True).verified


def test_a_verifier_without_admission_is_that_of_origins(scene: Scene) -> None:
    """Without admission OpenSSL's verification is all, and an unknown authority stays one."""
    record = Record()
    assert not step(Verifier(), record, scene.clients["wrong-ca"][0], 20, 0)
    assert record.errors == [(20, 0)]


def test_an_untrusted_leaf_is_at_hand_for_the_event(scene: Scene) -> None:
    """Whose certificate was refused is known though the handshake failed; of an issuer's error it is not the leaf."""
    pair = shaken(scene, group(refusal="handshake"), "expired")
    assert pair.record.leaf is not None
    assert pair.record.leaf.to_cryptography() == scene.clients["expired"][0].certificate
    record = Record()
    step(Verifier(), record, scene.root, 10, 1)
    assert record.leaf is None


@pytest.mark.parametrize("refusal", ["400", "handshake"])
def test_that_a_client_cannot_be_examined_is_a_fault_like_any(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    """If the usages of an unverified client cannot be read, that is error 50, and ``optional-no-ca`` serves it."""

    def fail(der: bytes) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(admission, "describe", fail)
    policy = group("optional-no-ca", refusal, required_eku=("clientAuth",))
    pair = shaken(scene, policy, "wrong-ca")
    assert pair.done
    verdict = pair.record.verification(presented=True)
    assert (verdict.verified, verdict.last_error, verdict.reason) == (False, 50, UNREADABLE)
    assert judge(policy, verdict) is None


def test_an_error_counts_whatever_else_openssl_says(scene: Scene) -> None:
    """A number of an error with a verdict of 1 is an error."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    connection.set_app_data(record := Record())
    certificate = crypto.X509.from_cryptography(scene.root.certificate)
    assert Verifier()(connection, certificate, 10, 0, 1) is False
    assert record.errors == [(10, 0)]


def test_of_errors_at_several_depths_the_last_one_s_counts(scene: Scene) -> None:
    """The depth belongs to the reason, which is the last error's."""
    record, verifier = Record(), Verifier(lets_through=True)
    step(verifier, record, scene.root, 10, 1)
    step(verifier, record, scene.clients["good"][0], 26, 0)
    verdict = record.verification(presented=True)
    assert (verdict.first_error, verdict.last_error, verdict.depth) == (10, 26, 0)


def test_a_context_without_a_verifier_fails_closed(scene: Scene) -> None:
    """If a context lost its verifier nobody is let in."""
    context = server_context(group("optional-no-ca"), [server_certificate()], [trusted(scene.root)])
    context.set_app_data(None)
    pair = Pair.of(context, client(chain=scene.clients["good"]))
    assert isinstance(pair.server_error, SSL.Error)
    assert not pair.record.complete
