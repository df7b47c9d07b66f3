"""What OpenSSL finds wrong with a peer's certificate, and whether that peer is let in.

The law: no path through here ends in trust by accident. The callback never raises, remembers every error, and answers
no to whatever it does not understand; a certificate counts as verified only if OpenSSL came all the way down to the
leaf and found nothing. OpenSSL forgets an error as soon as a callback tolerates it, so :class:`Record` is the only
memory there is.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from attrs import frozen
from OpenSSL import SSL, crypto

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Verification
from edgenode.tls.admission import APPLICATION_VERIFICATION, Admission, Objection
from edgenode.tls.revocation import CRL_EXPIRED, REVOKED, Revocation
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.verify_errors import reason

UNSPECIFIED = 1
UNABLE_TO_GET_CRL = 3
SELF_SIGNED_LEAF = 18
UNABLE_TO_GET_ISSUER = 20
UNABLE_TO_VERIFY_LEAF = 21

UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
"""The errors that ``optional-no-ca`` forgives; nginx's ``ngx_ssl_verify_error_optional``."""


class Record:
    """What the verification of one connection found; put it on the ``SSL.Connection`` with ``set_app_data``.

    :ivar errors: every error and its depth in the chain (0 is the leaf), in the order found.
    :ivar complete: whether OpenSSL reached the leaf and the leaf pleased it, and us.
    :ivar failure: what our own callback raised, if it did.
    :ivar leaf: the peer's leaf, if something is wrong with it: after a failed handshake nobody else has it.
    :ivar chain: the certificates that have pleased OpenSSL so far, DER, by their depth.
    :ivar objection: what speaks against the peer though OpenSSL is content.
    :ivar stale: the errors for lists past their date that may yet be accepted, likewise.
    """

    __slots__ = ("chain", "complete", "errors", "failure", "leaf", "objection", "stale")

    def __init__(self) -> None:
        self.leaf: crypto.X509 | None = None
        self.chain: dict[int, bytes] = {}
        self.objection: Objection | None = None
        self.errors: list[tuple[int, int]] = []
        self.stale: list[tuple[int, int]] = []
        self.complete = False
        self.failure: BaseException | None = None

    @property
    def reason(self) -> str:
        """The last error in OpenSSL's words, or in ours if it is our own objection; empty if there was none."""
        if not self.errors:
            return ""
        last, objection = self.errors[-1][0], self.objection
        return objection.reason if objection is not None and objection.error == last else reason(last)

    def verification(self, presented: bool) -> Verification:
        """The verdict.

        :param presented: whether the peer sent a certificate. Without an error and without ``complete`` the callback
            never ran, as on a resumed session: such a certificate is not verified.
        """
        if not presented:
            return Verification()
        errors = tuple(number for number, _ in self.errors)
        return Verification(
            presented=True,
            verified=self.complete and not errors and self.failure is None,
            revoked=REVOKED in errors,
            first_error=errors[0] if errors else 0,
            last_error=errors[-1] if errors else 0,
            depth=self.errors[-1][1] if errors else 0,
            reason=self.reason,
            errors=errors,
        )


@frozen
class Verifier:
    """The verify callback of one policy, for :func:`ask`.

    :ivar mode: ``optional``, ``optional-no-ca`` or ``on``.
    :ivar over_http: let every certificate through the handshake, to be refused by :func:`judge` over HTTP.
    :ivar admission: what is asked once OpenSSL is content.
    :ivar revocation: what is asked of the revocation lists, if there are any.
    """

    mode: str
    over_http: bool = False
    admission: Admission | None = None
    revocation: Revocation | None = None

    def __call__(self, connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        """Record one step of the verification, and say whether the handshake may go on."""
        record = None
        try:
            record = connection.get_app_data()
            if not isinstance(record, Record):
                return False
            return self._step(record, certificate, error, depth, bool(ok))
        except BaseException as failure:
            # An exception that leaves a callback ends the connection without an alert, and pyOpenSSL may raise it on
            # another connection of the same context instead: nothing may leave.
            if isinstance(record, Record):
                record.failure = failure
                record.errors.append((APPLICATION_VERIFICATION, depth))
            return False

    def _step(self, record: Record, certificate: crypto.X509, error: int, depth: int, ok: bool) -> bool:
        if error == CRL_EXPIRED and self.revocation is not None and self.revocation.tolerant:
            # Whose list it is cannot be seen here; at the leaf the whole chain is known, and is looked at again.
            # Among other errors it is one more, but not the reason.
            (record.errors or record.stale).insert(0, (error, depth))
            return True
        if ok and not error:
            record.chain[depth] = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
            if depth == 0:
                record.objection = self._objection(record)
                record.chain = {}  # the record lives as long as its connection
                record.complete = record.objection is None
                error = record.objection.error if record.objection is not None else 0
        if ok and not error:
            # The leaf comes last: only here is it known that a missing revocation list went with an unknown authority.
            return depth > 0 or self.over_http or not record.errors or self._forgives(record)
        record.errors += [*record.stale, (error or UNSPECIFIED, depth)]
        record.stale = []
        if depth == 0:
            record.leaf = certificate
        if error == SELF_SIGNED_LEAF and self.revocation is not None:
            # OpenSSL 4 no longer asks for its revocation list; OpenSSL 3 did, and so nginx refuses it without one.
            record.errors.append((UNABLE_TO_GET_CRL, depth))
        return self.over_http or (self.mode == "optional-no-ca" and _may_be_forgiven(record.errors))

    def _forgives(self, record: Record) -> bool:
        return self.mode == "optional-no-ca" and only_unknown_authority([number for number, _ in record.errors])

    def _objection(self, record: Record) -> Objection | None:
        chain = [record.chain[depth] for depth in sorted(record.chain)]
        now = datetime.datetime.now(datetime.UTC)
        if record.errors:
            return self.admission.unverified(chain[0]) if self.admission is not None else None
        if self.revocation is not None:
            error = self.revocation.error(chain, now, stale=bool(record.stale))
            if error:
                return Objection(error, reason(error))
        return self.admission.objection(chain, now) if self.admission is not None else None


def ask(context: SSL.Context, flags: int, verifier: Verifier) -> None:
    """Have a context verify its peers, and a verifier asked.

    :param flags: of OpenSSL: ``SSL.VERIFY_PEER`` and its kin.
    """
    context.set_app_data(verifier)
    context.set_verify(flags, _asked)


def _asked(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    # A callback of pyOpenSSL is a cycle, and with it whatever it holds stays until the garbage collector comes, which
    # may be never: so it holds nothing, or each new revocation list would stay for good.
    verifier = connection.get_context().get_app_data()
    return isinstance(verifier, Verifier) and verifier(connection, certificate, error, depth, ok)


def _may_be_forgiven(errors: Sequence[tuple[int, int]]) -> bool:
    """Whether :func:`only_unknown_authority` may still come true once the whole chain has been looked at."""
    # Error 21 is still to come if it is the leaf's own issuer that is unknown.
    unknown = (UNABLE_TO_GET_ISSUER, 0) in errors
    forgiven = UNKNOWN_AUTHORITY | {UNABLE_TO_GET_CRL} if unknown else UNKNOWN_AUTHORITY
    return forgiven.issuperset(number for number, _ in errors)


def only_unknown_authority(errors: Sequence[int]) -> bool:
    """Whether nothing is wrong but that no known authority vouches for the certificate.

    nginx looks at the last error alone, and so forgives a wrong purpose that came before. Here all errors count; only
    the revocation list that an unknown authority cannot have is forgiven, where nginx forgives it too: with error 21.
    """
    forgiven = UNKNOWN_AUTHORITY | {UNABLE_TO_GET_CRL} if UNABLE_TO_VERIFY_LEAF in errors else UNKNOWN_AUTHORITY
    return bool(errors) and errors[-1] in UNKNOWN_AUTHORITY and forgiven.issuperset(errors)


def judge(group: ServerGroup, verification: Verification) -> ClientError | None:
    """Whether a client's certificate, or its absence, is refused by its server group.

    Ask it whatever ``mtls-refusal`` says: after a refusal in the handshake it is the second lock on the same door.

    :return: the refusal with nginx's status, 495 for a bad certificate and 496 for a missing one; ``None`` if the
        client is let in.
    """
    if group.mtls == "off":
        return None
    if not verification.presented:
        return ClientError(496, "no required client certificate was sent") if group.mtls == "on" else None
    if verification.verified:
        return None
    if group.mtls == "optional-no-ca" and only_unknown_authority(verification.errors):
        return None
    return ClientError(495, f"client certificate: {verification.reason or 'it was not verified on this connection'}")
