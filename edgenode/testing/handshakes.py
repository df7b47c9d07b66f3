"""TLS of Twisted's at the other side of the node: a client, or an origin, with certificates in memory."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL, crypto
from service_identity.exceptions import VerificationError
from service_identity.pyopenssl import verify_hostname
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.testing.certificates import Issued


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class Handshakes:
    """Makes the TLS connections of one side.

    :param presented: the certificate that it presents; ``None`` for none.
    :param authority: whom it trusts. A client without one believes everybody, a server asks for no certificate.
    :param name: of a client: the server name, which must be the certificate's if there is an authority.
    """

    def __init__(self, presented: Issued | None, authority: Issued | None, name: str | None = None) -> None:
        self._name = name
        self._context = context = SSL.Context(SSL.TLS_METHOD)
        self._verifies = authority is not None
        if presented is not None:
            context.use_certificate(presented.certificate)
            context.use_privatekey(presented.key)
            for each in presented.intermediates:
                context.add_extra_chain_cert(each.certificate)
        if authority is not None:
            store = context.get_cert_store()
            assert store is not None
            store.add_cert(crypto.X509.from_cryptography(authority.certificate))
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *found: bool(found[-1]))
            if name is not None:
                context.set_info_callback(self._check_name)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """The connection of a client."""
        connection = self.serverConnectionForTLS(tlsProtocol)
        assert self._name is not None
        connection.set_tlsext_host_name(self._name.encode("ascii"))
        return connection

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """The connection of a server."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        return connection

    def _check_name(self, connection: SSL.Connection, where: int, _: int) -> None:
        if where & SSL.SSL_CB_HANDSHAKE_DONE:
            assert self._name is not None
            try:
                verify_hostname(connection, self._name)
            except VerificationError:
                connection.get_app_data().failVerification(Failure())
