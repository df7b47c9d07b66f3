"""The verification of a peer's certificate in the handshake: OpenSSL's errors recorded, and whether it may go on.

The law: no path through here ends in trust by accident. The callback never raises, records every error, and answers
no to whatever it does not understand; a certificate counts as verified only if OpenSSL came all the way down to the
leaf and found nothing. OpenSSL forgets an error as soon as a callback tolerates it, so :class:`Record` is the only
memory there is. The callback converts no certificate: it keeps OpenSSL's objects until the leaf, which comes last,
and only the chain of a verified client is then written as DER.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from OpenSSL import SSL, crypto
from OpenSSL._util import ffi, lib

from edgenode.model.errors import ClientError
from edgenode.model.exchange import NO_CERTIFICATE, Verification
from edgenode.tls.admission import Admission, Objection
from edgenode.tls.bounds import COSTLY, CROWDED, MOST_COMPARISONS, MOST_IN_VAIN, is_costly, is_crowded
from edgenode.tls.identity import der_of, describe
from edgenode.tls.revocation import Revocation
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.verify_errors import (
    ABOUT_LISTS,
    APPLICATION_VERIFICATION,
    CRL_SIGNATURE_FAILURE,
    DIFFERENT_CRL_SCOPE,
    LATER,
    REVOKED,
    UNABLE_TO_GET_CRL,
    UNSPECIFIED,
    UNVERIFIED,
    reason,
)

_VERIFIED = Verification(presented=True, verified=True)

_UNLISTED = frozenset({UNABLE_TO_GET_CRL, CRL_SIGNATURE_FAILURE, DIFFERENT_CRL_SCOPE})
"""The errors of a certificate about which no list is known to say anything."""


class Record:
    """What the verification of one connection found; put it on the ``SSL.Connection`` with ``set_app_data``.

    :ivar protocols: the application protocols spoken on it, the preferred first; with none of them nothing is
        negotiated, whatever a client offers.
    :ivar errors: every error and its depth in the chain (0 is the leaf), in the order found.
    :ivar complete: whether OpenSSL reached the leaf and found nothing wrong with it, nor our admission.
    :ivar path: the chain of a verified client, DER: the leaf, the intermediates, the authority; else empty.
    :ivar failure: what our own callback raised, if it did.
    :ivar leaf: the peer's leaf, if something is wrong with it: after a failed handshake nobody else has it.
    :ivar chain: the certificates that OpenSSL has looked at so far, by their depth; empty once it reached the leaf.
    :ivar unlisted: the chain of a client whom OpenSSL verified, if nothing is wrong but that no list is about it:
        whoever has signed one may come with the client.
    :ivar whose: the issuer whose revocation list the lists' last error is about.
    :ivar objection: why admission refuses a client that OpenSSL verified.
    """

    __slots__ = (
        "chain", "complete", "errors", "failure", "leaf", "objection", "path", "protocols", "unlisted", "whose",
    )  # fmt: skip

    def __init__(self, protocols: Sequence[bytes] = ()) -> None:
        self.protocols = protocols
        self.leaf: crypto.X509 | None = None
        self.chain: dict[int, crypto.X509] = {}
        self.path: tuple[bytes, ...] = ()
        self.unlisted: tuple[bytes, ...] = ()
        self.whose = ""
        self.objection: Objection | None = None
        self.errors: list[tuple[int, int]] = []
        self.complete = False
        self.failure: BaseException | None = None

    @property
    def reason(self) -> str:
        """The last error in OpenSSL's words, or in ours if it is admission's; empty if there was none."""
        if not self.errors:
            return ""
        # Admission is asked last: what it says stands behind all errors of OpenSSL's.
        return reason(self.errors[-1][0]) if self.objection is None else self.objection.reason

    def verification(self, presented: bool) -> Verification:
        """The verdict.

        :param presented: whether the peer sent a certificate. Without an error and without ``complete`` the callback
            never ran, as on a resumed session: such a certificate is not verified.
        """
        if not presented:
            return NO_CERTIFICATE
        if self.complete and not self.errors and self.failure is None:
            return _VERIFIED
        errors = tuple(number for number, _ in self.errors)
        return Verification(
            presented=True,
            verified=False,
            revoked=REVOKED in errors,
            first_error=errors[0] if errors else 0,
            last_error=errors[-1] if errors else 0,
            depth=self.errors[-1][1] if errors else 0,
            reason=self.reason,
            errors=errors,
            whose=self.whose if errors and errors[-1] in ABOUT_LISTS else "",
        )


@frozen
class Verifier:
    """The verify callback of one policy, see :func:`set_verifier`.

    :ivar lets_through: let every certificate through the handshake: :func:`judge` refuses it over HTTP, or it is left
        to the rules.
    :ivar admission: asked once OpenSSL has verified the client; ``None`` for origins.
    :ivar revocation: asked about the revocation lists, if there are any.
    """

    lets_through: bool = False
    admission: Admission | None = None
    revocation: Revocation | None = None

    def __call__(self, connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        """Record one step of the verification (``SSL_CTX_set_verify(3)``), and say whether the handshake may go on.

        OpenSSL comes here once for every error, and once for every certificate of the chain that it found in order:
        the authority first, the leaf last.

        :param certificate: the one that it is about.
        :param error: one of ``X509_V_ERR_*``, 0 for none.
        :param depth: of the certificate, 0 is the leaf.
        :param ok: 1 if OpenSSL found nothing wrong, else 0.
        """
        record = None
        try:
            record = connection.get_app_data()
            if not isinstance(record, Record):
                return False
            record.chain[depth] = certificate
            if error or not ok:
                return self._refused(record, certificate, error or UNSPECIFIED, depth)
            return depth > 0 or self._leaf_reached(record)
        except BaseException as failure:
            # An exception that leaves a callback ends the connection without an alert, and pyOpenSSL may raise it on
            # another connection of the same context instead: nothing may leave.
            if isinstance(record, Record):
                record.failure = failure
                record.errors.append((APPLICATION_VERIFICATION, depth))
            return False

    def _leaf_reached(self, record: Record) -> bool:
        """The whole chain has been looked at, all but its name constraints: now whatever needs it is asked."""
        chain, record.chain = record.chain, {}  # the record lives as long as its connection
        now = datetime.datetime.now(datetime.UTC)
        path = tuple(map(der_of, map(chain.__getitem__, range(len(chain)))))
        if is_costly(path, MOST_IN_VAIN if record.errors else MOST_COMPARISONS):
            # OpenSSL would go on with just that, and nothing but the end of the handshake keeps it from it.
            record.objection = Objection(APPLICATION_VERIFICATION, COSTLY)
            self._refused(record, chain[0], APPLICATION_VERIFICATION, 0)
            return False
        if any(map(is_crowded, path if record.errors else path[:-1] or path)):  # the authority is not the client's
            record.objection = Objection(APPLICATION_VERIFICATION, CROWDED)
            return self._refused(record, chain[0], APPLICATION_VERIFICATION, 0)
        if self.revocation is not None and not self._ask_lists(self.revocation, record, chain[0], path, now):
            return False
        if record.errors:
            path = ()
            objection = None if self.admission is None else self.admission.unverified(der_of(chain[0]))
        else:
            objection = None if self.admission is None else self.admission.objection(path, now)
        if objection is not None:
            record.objection = objection
            return self._refused(record, chain[0], objection.error, 0)
        record.complete, record.path = True, path
        return self.lets_through or not record.errors

    def _refused(self, record: Record, certificate: crypto.X509, error: int, depth: int) -> bool:
        record.errors.append((error, depth))
        if depth == 0:
            record.leaf = certificate
        return self.lets_through

    def _ask_lists(
        self,
        revocation: Revocation,
        record: Record,
        leaf: crypto.X509,
        path: tuple[bytes, ...],
        now: datetime.datetime,
    ) -> bool:
        """Put what the revocation lists say where OpenSSL would: before dates and signatures, which it looks at last.

        :return: whether the handshake may go on.
        """
        verified = UNVERIFIED.isdisjoint(number for number, _ in record.errors)
        at = next((at for at, (number, _) in enumerate(record.errors) if number in LATER), len(record.errors))
        found = list(revocation.faults(path, now, verified=verified))
        if not found:
            return True
        if not record.errors and _UNLISTED.issuperset(number for number, _ in found):
            record.unlisted = path
        record.errors[at:at] = found
        record.whose = whose(found[-1][0], path[found[-1][1]])
        record.leaf, _alert.error = leaf, found[0][0]
        return self.lets_through


def set_verifier(context: SSL.Context, flags: int, verifier: Verifier) -> None:
    """Have a context verify its peers, by ``SSL.VERIFY_PEER`` and its kin, with a verifier as its callback."""
    context.set_app_data(verifier)
    context.set_verify(flags, _callback)
    # pyOpenSSL hands its callback no X509_STORE_CTX, and OpenSSL takes the alert from there; see _Alert.
    helper = context._verify_helper
    assert helper is not None
    helper.callback = _telling(helper.callback)
    lib.SSL_CTX_set_verify(context._context, flags, helper.callback)


class _Alert(threading.local):
    """The error for which our callback has just refused a chain that OpenSSL has found good: it chooses the alert."""

    error = 0


_alert = _Alert()


def _telling(callback: Any) -> Any:
    """A callback of OpenSSL's that tells it why the one of pyOpenSSL's says no."""

    def verify(ok: int, context: Any) -> int:
        _alert.error = 0
        answer: int = callback(ok, context)
        if not answer and _alert.error:
            lib.X509_STORE_CTX_set_error(context, _alert.error)
        return answer

    return ffi.callback("int(int, X509_STORE_CTX *)", verify)


def _callback(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    # A callback of pyOpenSSL is a reference cycle, and with it whatever it holds stays until the garbage collector
    # comes, which may be never: so it holds nothing, or each new revocation list would stay for good.
    verifier = connection.get_context().get_app_data()
    return isinstance(verifier, Verifier) and verifier(connection, certificate, error, depth, ok)


def whose(error: int, certificate: bytes) -> str:
    """The issuer of a certificate, DER, for a sentence, if an error is about a revocation list; else empty."""
    if error not in ABOUT_LISTS:
        return ""
    try:
        return "".join(each for each in describe(certificate).issuer if each.isprintable())[:_LONGEST_NAME]
    except Exception:
        return ""


_LONGEST_NAME = 100


def judge(group: ServerGroup, verification: Verification) -> ClientError | None:
    """Whether a client's certificate, or its absence, is refused by its server group.

    To be asked whatever ``mtls-refusal`` says: what was refused in the handshake is refused here once more. With
    ``optional-no-ca`` every fault of a certificate is a fact for rules; one at which nobody has looked has none.

    :param verification: the verdict on the client, as of now.
    :return: the refusal with nginx's status, 495 for a bad certificate and 496 for a missing one; ``None`` if the
        client is let in.
    """
    if group.mtls == "off":
        return None
    if not verification.presented:
        return ClientError(496, "no required client certificate was sent") if group.mtls == "on" else None
    if verification.verified:
        return None
    if group.mtls == "optional-no-ca" and verification.errors:
        return None
    return ClientError(495, f"client certificate: {verification.sentence or 'it was not verified on this connection'}")
