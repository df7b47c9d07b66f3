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
from edgenode.tls import verify_errors
from edgenode.tls.policies import server_context
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.verification import Record, Verifier, judge, only_unknown_authority
from edgenode.tls.verify_errors import REASONS, reason
from tests.support.certificates import CLIENT, DAY, SERVER, Issued, make_authority, now
from tests.support.handshakes import Pair, client, loaded, trusted
from tests.support.nginx_matrix import STRICTER, Cell, Scene, cells

ALERT = {
    "certificate revoked": "certificate_revoked",
    "certificate has expired": "certificate_expired",
    "unsuitable certificate purpose": "unsupported_certificate",
    "certificate is not yet valid or the system clock is incorrect": "bad_certificate",
}
"""The alerts of refusals in the handshake, by reason; ``unknown_ca`` otherwise."""


def group(mtls: str = "on", refusal: str = "400", **options: Any) -> ServerGroup:
    """A server group."""
    return ServerGroup(
        certificate=("server",),
        mtls=mtls,
        mtls_refusal=refusal,
        trust_store=("store",),
        security_policy="all",
        **options,
    )


@pytest.fixture(scope="module")
def scene() -> Scene:
    """The certificates of the matrix."""
    return Scene.make()


def shake(scene: Scene, group: ServerGroup, kind: str, *, crl: bool = False, version: str = "1.3") -> Pair:
    """A handshake of a kind of client with a server group."""
    store = trusted(scene.root, crls=[scene.crl] if crl else [])
    context = server_context(group, [loaded("server", scene.server)], [store])
    return Pair.of(context, client(version=version, chain=scene.clients[kind]))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_over_http_the_verdict_is_nginx_s(scene: Scene, cell: Cell, version: str) -> None:
    """Every cell of nginx's matrix: same status, same reason; stricter only where the table says so."""
    pair = shake(scene, group(cell.mode), cell.kind, crl=cell.crl, version=version)
    assert pair.done, "the handshake completes, whatever the certificate"
    refusal = judge(group(cell.mode), pair.verification)
    strict = cell.mode == "optional-no-ca" and (cell.kind, cell.crl) in STRICTER
    assert (refusal.status if refusal else 200) == (495 if strict else cell.status)
    assert str(pair.verification) == cell.verify
    assert pair.verification.revoked == (23 in pair.verification.errors)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("cell", [cell for cell in cells() if cell.mode != "off"], ids=str)
def test_in_the_handshake_the_same_are_refused(scene: Scene, cell: Cell, version: str) -> None:
    """With refusal in the handshake exactly those fail who would be refused over HTTP, with an alert that says why."""
    pair = shake(scene, group(cell.mode, "handshake"), cell.kind, crl=cell.crl, version=version)
    refused = cell.status != 200 or (cell.mode == "optional-no-ca" and (cell.kind, cell.crl) in STRICTER)
    assert pair.done is not refused
    if not refused:
        assert judge(group(cell.mode), pair.verification) is None
    elif cell.status == 496:
        assert pair.alerts == ["certificate_required" if version == "1.3" else "handshake_failure"]
    else:
        ended = pair.record.errors[-1][0]  # the error at which the handshake ended; a forgiven one came before it
        assert pair.alerts == [ALERT.get(reason(ended), "unknown_ca")]


@pytest.mark.parametrize("mode", ["optional", "optional-no-ca", "on"])
@pytest.mark.parametrize("refusal", ["400", "handshake"])
@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SSL.Error])
def test_trap_2_1_callback_raising_fails_closed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, mode: str, refusal: str, failure: type[BaseException]
) -> None:
    """Whatever goes wrong in the callback ends the handshake as an ordinary TLS error, and is on record."""

    def fail(*_: object) -> bool:
        raise failure("broken")

    monkeypatch.setattr(Verifier, "_leaf_reached", fail)
    pair = shake(scene, group(mode, refusal), "good")
    assert isinstance(pair.server_error, SSL.Error)
    assert isinstance(pair.record.failure, failure)
    assert not pair.verification.verified
    assert judge(group(mode), evolve(pair.verification, presented=True)) is not None


def test_trap_2_1_an_exception_does_not_reach_the_next_connection(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure in the callback of one connection is not raised on another of the same context."""
    context = server_context(group(), [loaded("server", scene.server)], [trusted(scene.root)])
    with monkeypatch.context() as broken:
        broken.setattr(Verifier, "_leaf_reached", lambda *_: 1 / 0)
        assert Pair.of(context, client(chain=scene.clients["good"])).server_error is not None
    assert Pair.of(context, client(chain=scene.clients["good"])).verification.verified


def test_a_connection_without_a_record_fails_closed(scene: Scene) -> None:
    """A certificate on a connection whose owner forgot the record is refused in the handshake."""
    context = server_context(group("optional-no-ca"), [loaded("server", scene.server)], [trusted(scene.root)])
    pair = Pair.of(context, client(chain=scene.clients["good"]), record=object())  # type: ignore[arg-type]
    assert isinstance(pair.server_error, SSL.Error)


def test_trap_2_1_no_certificate_means_the_callback_never_runs(scene: Scene) -> None:
    """A client without a certificate leaves an empty record, which is judged as missing, never as verified."""
    pair = shake(scene, group("on"), "none")
    assert pair.done
    assert pair.record.errors == []
    assert not pair.record.complete
    assert pair.verification == Verification()
    refusal = judge(group("on"), pair.verification)
    assert refusal is not None
    assert refusal.status == 496


@pytest.mark.parametrize("mode", ["optional", "optional-no-ca", "on"])
def test_trap_2_1_a_certificate_that_nobody_looked_at_is_refused(mode: str) -> None:
    """A certificate for which the callback never ran, as on a resumed session, is refused in every mode."""
    verdict = Record().verification(presented=True)
    assert not verdict.verified
    refusal = judge(group(mode), verdict)
    assert refusal is not None
    assert refusal.status == 495


def test_trap_2_1_accepting_an_error_hides_it_from_all_but_the_record(scene: Scene) -> None:
    """After a forgiven error OpenSSL shows a "verified" chain; only our record knows better."""
    pair = shake(scene, group("optional-no-ca"), "wrong-ca")
    chain = pair.server.get_verified_chain(as_cryptography=True)
    assert chain, "if OpenSSL stops doing this the comment in identity.py can go"
    assert not pair.verification.verified


def test_first_and_last_error_are_both_kept(scene: Scene) -> None:
    """The first error (HAProxy's) and the last (nginx's) of one chain differ, and both are known, with all between."""
    verdict = shake(scene, group(), "wrong-ca", crl=True).verification
    assert (verdict.first_error, verdict.last_error, verdict.errors) == (20, 21, (20, 3, 21))
    assert verdict.reason == "unable to verify the first certificate"


def test_the_depth_is_that_of_the_last_error() -> None:
    """An expired intermediate is an error at depth 1."""
    root = make_authority()
    inner = make_authority("inner", issuer=root, not_before=now() - 9 * DAY, not_after=now() - DAY)
    context = server_context(group(), [loaded("server", root.issue("server", eku=[SERVER]))], [trusted(root)])
    verdict = Pair.of(context, client(chain=[inner.issue("leaf"), inner])).verification
    assert (verdict.last_error, verdict.depth) == (10, 1)


@pytest.mark.parametrize(("eku", "served"), [((CLIENT,), True), ((CLIENT, SERVER), True), (None, False)])
@pytest.mark.parametrize("refusal", ["400", "handshake"])
@pytest.mark.parametrize("mode", ["optional", "optional-no-ca", "on"])
def test_trap_2_1_a_leaf_without_eku_passes_unless_one_is_required(
    scene: Scene, eku: Sequence[Any] | None, served: bool, refusal: str, mode: str
) -> None:
    """OpenSSL accepts a leaf that names no usage; with ``required-eku`` it is refused with error 26."""
    chain = [scene.root.issue("leaf", eku=eku)]
    for required, expected in (((), True), (("clientAuth",), served)):
        policy = group(mode, refusal, required_eku=required)
        context = server_context(policy, [loaded("server", scene.server)], [trusted(scene.root)])
        pair = Pair.of(context, client(chain=chain))
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
    context = server_context(policy, [loaded("server", root.issue("server", eku=[SERVER]))], [trusted(root)])
    pair = Pair.of(context, client(chain=[issuer.issue("leaf"), *above]))
    assert pair.verification.verified is served
    assert served or pair.verification.first_error == 22


@pytest.mark.parametrize(("check", "revoke", "errors"), [
    ("leaf", "leaf", (23,)), ("leaf", "intermediate", ()), ("chain", "leaf", (23,)), ("chain", "intermediate", (23,)),
])  # fmt: skip
def test_trap_2_2_crl_check_leaf_and_chain(check: str, revoke: str, errors: tuple[int, ...]) -> None:
    """``crl-check = leaf`` finds a revoked leaf, ``chain`` a revoked intermediate as well."""
    root = make_authority("root")
    inner = make_authority("inner", issuer=root)
    leaf = inner.issue("leaf")
    crls = [root.crl([inner] if revoke == "intermediate" else []), inner.crl([leaf] if revoke == "leaf" else [])]
    store = trusted(root, inner, crls=crls, check=check)
    context = server_context(group(), [loaded("server", root.issue("server", eku=[SERVER]))], [store])
    assert Pair.of(context, client(chain=[leaf, inner])).verification.errors == errors


def test_trap_2_2_an_expired_crl_refuses_everyone_and_still_revokes(scene: Scene) -> None:
    """A revocation list out of date is error 12 for all; a certificate that it names is error 23 besides."""
    good, bad = scene.root.issue("good"), scene.root.issue("bad")
    crl = scene.root.crl([bad], last_update=now() - 9 * DAY, next_update=now() - DAY)
    context = server_context(group(), [loaded("server", scene.server)], [trusted(scene.root, crls=[crl])])
    assert Pair.of(context, client(chain=[good])).verification.errors == (12,)
    verdict = Pair.of(context, client(chain=[bad])).verification
    assert verdict.errors == (12, 23)
    assert verdict.revoked


@example([21, 3])
@example([20, 3, 21])
@given(strategies.lists(strategies.sampled_from([3, 9, 10, 12, 18, 19, 20, 21, 23, 26]), max_size=5))
def test_only_an_unknown_authority_is_ever_forgiven(errors: list[int]) -> None:
    """``optional-no-ca`` lets in no list of errors that holds anything but 18 to 21, and 3 where 21 is there too."""
    verdict = Verification(presented=True, last_error=errors[-1] if errors else 0, errors=tuple(errors))
    served = judge(group("optional-no-ca"), verdict) is None
    assert served == only_unknown_authority(errors)
    if served:
        assert errors
        assert set(errors) <= {3, 18, 19, 20, 21}
        assert 3 not in errors or (21 in errors and errors[-1] != 3)
    for mode in ("on", "optional"):
        assert judge(group(mode), verdict) is not None


def test_an_error_without_a_number_is_an_error() -> None:
    """If OpenSSL dislikes a certificate and names no error, that is error 1, and a refusal."""
    context = SSL.Context(SSL.TLS_METHOD)
    connection = SSL.Connection(context, None)
    record = Record()
    connection.set_app_data(record)
    certificate = crypto.X509.from_cryptography(make_authority().certificate)
    assert Verifier("on")(connection, certificate, 0, 0, 0) is False
    assert record.errors == [(1, 0)]


def test_the_reasons_are_openssl_s_own_words() -> None:
    """The table of reasons is what the OpenSSL in use says, for every number it knows."""
    binding = Binding()
    for number in range(1, 130):
        words = binding.ffi.string(binding.lib.X509_verify_cert_error_string(number)).decode()
        assert words.startswith("unknown") or REASONS[number] == words


def test_names_of_errors_in_the_code_are_openssl_s_numbers() -> None:
    """The constants that decide are the numbers of OpenSSL's header."""
    lib = Binding().lib
    assert verify_errors.REVOKED == lib.X509_V_ERR_CERT_REVOKED
    assert verify_errors.CRL_EXPIRED == lib.X509_V_ERR_CRL_HAS_EXPIRED
    assert verify_errors.UNABLE_TO_GET_CRL == lib.X509_V_ERR_UNABLE_TO_GET_CRL
    assert verify_errors.INVALID_PURPOSE == lib.X509_V_ERR_INVALID_PURPOSE
    assert {
        lib.X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        lib.X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
        lib.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        lib.X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
    } == verify_errors.UNKNOWN_AUTHORITY
