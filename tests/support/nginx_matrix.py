"""What nginx does with ten kinds of client certificate, and seven more, in its modes, with and without a CRL.

Probed with nginx 1.22.1 on OpenSSL 3.0.22, TLS 1.2 and 1.3 alike, a store of one root and ``ssl_verify_depth 1``;
``tls/test_nginx.py`` asks a real nginx again where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from attrs import frozen
from cryptography import x509

from tests.support.certificates import DAY, SERVER, Issued, make, make_authority, now

MODES = ("off", "optional", "optional-no-ca", "on")

CRL_MISSING = "unable to get certificate CRL"
ISSUER = "unable to get local issuer certificate"
EXPIRED = "certificate has expired"
PURPOSE = "unsuitable certificate purpose"
UNVERIFIED = "unable to verify the first certificate"
NOT_YET = "certificate is not yet valid or the system clock is incorrect"
"""OpenSSL 4's words; those of OpenSSL 3 end at ``valid``."""


class Verdict(NamedTuple):
    """nginx's verdict.

    :ivar reason: the reason without a CRL, empty for SUCCESS.
    :ivar reason_crl: the reason with one.
    :ivar forgiven: whether ``optional_no_ca`` lets it in without a CRL.
    :ivar forgiven_crl: whether it does with one.
    """

    reason: str
    reason_crl: str
    forgiven: bool = False
    forgiven_crl: bool = False


NGINX: Mapping[str, Verdict] = {
    "good": Verdict("", "", True, True),
    "revoked": Verdict("", "certificate revoked", True),
    "expired": Verdict(EXPIRED, EXPIRED),
    "not-yet-valid": Verdict(NOT_YET, NOT_YET),
    "wrong-ca": Verdict(UNVERIFIED, UNVERIFIED, True, True),
    "self-signed": Verdict("self-signed certificate", CRL_MISSING, True),
    "server-auth-only": Verdict(PURPOSE, PURPOSE),
    "intermediate-sent": Verdict("", CRL_MISSING, True),
    "intermediate-not-sent": Verdict(UNVERIFIED, UNVERIFIED, True, True),
    "two-intermediates": Verdict(ISSUER, "CRL signature failure", True),
    "no-eku": Verdict("", "", True, True),
    "wrong-ca-expired": Verdict(EXPIRED, EXPIRED),
    "wrong-ca-sent": Verdict("self-signed certificate in certificate chain", CRL_MISSING, True),
    "wrong-ca-intermediate": Verdict(ISSUER, CRL_MISSING, True),
    "wrong-ca-server-auth": Verdict(UNVERIFIED, UNVERIFIED, True, True),
    "revoked-and-expired": Verdict(EXPIRED, EXPIRED),
}
"""By kind; a client without a certificate gets 496 in the mode ``on`` and 200 in the others."""


@frozen
class Scene:
    """The certificates of the matrix.

    :ivar root: the one trusted authority.
    :ivar crl: its revocation list.
    :ivar server: the server's certificate.
    :ivar clients: what each kind of client sends, the leaf first.
    """

    root: Issued
    crl: x509.CertificateRevocationList
    server: Issued
    clients: Mapping[str, Sequence[Issued]]

    @classmethod
    def make(cls) -> Scene:
        """All of them, new."""
        past = {"not_before": now() - 10 * DAY, "not_after": now() - DAY}
        root, other = make_authority("Root"), make_authority("Other root")
        inner = make_authority("Intermediate", issuer=root)
        deep = make_authority("Deep intermediate", issuer=inner).issue("deep")
        via, foreign = inner.issue("via"), make_authority("Foreign intermediate", issuer=other).issue("foreign")
        revoked, worse, wrong = root.issue("revoked"), root.issue("worse", **past), other.issue("wrong")
        clients = {
            "none": (),
            "good": (root.issue("good"),),
            "revoked": (revoked,),
            "expired": (root.issue("expired", **past),),
            "not-yet-valid": (root.issue("early", not_before=now() + DAY),),
            "wrong-ca": (wrong,),
            "self-signed": (make("self-signed"),),
            "server-auth-only": (root.issue("server-auth", eku=[SERVER]),),
            "intermediate-sent": (via, inner),
            "intermediate-not-sent": (via,),
            "two-intermediates": (deep, *deep.intermediates),
            "no-eku": (root.issue("no-eku", eku=None),),
            "wrong-ca-expired": (other.issue("wrong-expired", **past),),
            "wrong-ca-sent": (wrong, other),
            "wrong-ca-intermediate": (foreign, *foreign.intermediates),
            "wrong-ca-server-auth": (other.issue("wrong-server-auth", eku=[SERVER]),),
            "revoked-and-expired": (worse,),
        }
        server = root.issue("localhost", eku=[SERVER], sans=["DNS:localhost"])
        return cls(root, root.crl([revoked, worse]), server, clients)


@frozen
class Cell:
    """One cell of the matrix: what is sent, to whom, and what nginx answers.

    :ivar status: 200, 495 or 496.
    :ivar verify: nginx's ``$ssl_client_verify``.
    """

    kind: str
    mode: str
    crl: bool
    status: int
    verify: str

    @property
    def ours(self) -> int:
        """What we answer: with ``optional-no-ca`` every fault of a certificate is left to the rules."""
        return 200 if self.mode == "optional-no-ca" else self.status

    def __str__(self) -> str:
        return f"{self.kind}, {self.mode}, {'with' if self.crl else 'without'} CRL"


def cells() -> Iterator[Cell]:
    """Every cell, with nginx's answer."""
    for mode in MODES:
        for crl in (False, True):
            yield Cell("none", mode, crl, 496 if mode == "on" else 200, "NONE")
            for kind, verdict in NGINX.items():
                reason = verdict.reason_crl if crl else verdict.reason
                forgiven = mode == "optional-no-ca" and (verdict.forgiven_crl if crl else verdict.forgiven)
                if mode == "off":
                    yield Cell(kind, mode, crl, 200, "NONE")
                else:
                    verify = f"FAILED:{reason}" if reason else "SUCCESS"
                    yield Cell(kind, mode, crl, 200 if not reason or forgiven else 495, verify)
