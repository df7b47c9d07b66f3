"""The facts of connections that others accepted: nobody is verified by accident."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IProtocolNegotiationFactory, ISSLTransport, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import WrappingFactory
from zope.interface import implementer

from edgenode.embedding.connection_facts import KnownConnections, connection_of
from edgenode.model.exchange import UNKNOWN_CLIENT, Address, Connection
from tests.support.certificates import Issued, make_authority, now
from tests.support.listening import listening
from tests.support.node import PKI, Client, connect, in_thread, until

SECOND = datetime.timedelta(seconds=1)


class Asked(Protocol):
    """Says ``ok`` to everything."""

    def connectionMade(self) -> None:
        self.factory.asked.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"ok")  # type: ignore[union-attr]


@implementer(IProtocolNegotiationFactory)
class Asking(Factory[Asked]):
    """Keeps its protocols."""

    protocol = Asked

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def acceptableProtocols(self) -> list[bytes]:
        return [b"talk"]


@contextlib.asynccontextmanager
async def asked(pki: PKI, client: Issued | None, wrapped: bool = False, **options: Any) -> AsyncIterator[Any]:
    """The transport of a client on TLS of Twisted's own, once the handshake is done."""
    import twisted.internet.reactor as found  # only now: pytest-twisted installs it

    reactor: Any = found
    edge = pki.servers.issue("edge", sans=["DNS:open.test"])
    credentials: dict[str, Any] = {"privateKey": edge.key, "certificate": edge.certificate}
    context = ssl.CertificateOptions(**credentials, **options)
    factory: Any = Asking()
    port = reactor.listenSSL(0, WrappingFactory(factory) if wrapped else factory, context, interface="127.0.0.1")
    chain = () if client is None else (client,)
    number = port.getHost().port

    def greet() -> Client:
        made = Client(number, "Open.Test", chain=chain, alpn=() if wrapped else [b"talk"])
        made.send(b"hello")
        assert made.receive() == b"ok"
        return made

    try:
        with await in_thread(greet):
            yield factory.asked[0].transport
    finally:
        await port.stopListening()


def trust(authority: Issued) -> Any:
    """A trust root of Twisted's."""
    return ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(authority.pem)])


async def test_a_plain_connection_has_addresses_and_no_more(pki: PKI) -> None:
    """No name, no version, no certificate; vouching for it changes nothing."""
    from twisted.internet import reactor

    factory = Asking()
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
    with await in_thread(connect, port.getHost().port) as sock:
        await until(lambda: factory.asked)
        facts = connection_of(factory.asked[0].transport, verifies=True)
        name, host = sock.getsockname(), port.getHost()
    await port.stopListening()
    assert (facts.peer, facts.local) == (Address(*name), Address(host.host, host.port))
    assert (facts.server_name, facts.alpn, facts.tls_version, facts.client) == (None, "", "", None)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_certificate_is_presented_and_no_more(pki: PKI, wrapped: bool) -> None:
    """Of a listener that nobody vouches for, wrapped or not; everything else of the connection is known."""
    async with asked(pki, pki.client, wrapped, trustRoot=trust(pki.clients)) as transport:
        facts = connection_of(transport)
    assert (facts.server_name, facts.alpn, facts.tls_version) == ("open.test", "" if wrapped else "talk", "TLSv1.3")
    assert facts.cipher.startswith("TLS_")
    assert facts.client is not None
    assert facts.client.subject == "CN=Alice,O=Partners"
    assert facts.client.chain_verified == ()
    verdict = facts.verification
    assert (verdict.presented, verdict.verified, verdict.last_error) == (True, False, 50)
    assert str(verdict) == "FAILED:whether it was verified is not known"


async def test_a_certificate_is_verified_if_the_caller_vouches(pki: PKI) -> None:
    """With the chain up to the authority."""
    async with asked(pki, pki.client, trustRoot=trust(pki.clients)) as transport:
        facts = connection_of(transport, verifies=True)
    assert facts.client is not None
    assert facts.verification.verified
    assert facts.client.chain_verified == (pki.clients.der,)


async def test_vouching_for_a_listener_that_asks_for_nothing_is_in_vain(pki: PKI) -> None:
    """Nobody has presented anything, and so nobody is verified."""
    async with asked(pki, pki.client) as transport:
        facts = connection_of(transport, verifies=True)
    assert facts.client is None
    assert not facts.verification.verified


async def test_vouching_is_in_vain_once_the_connection_has_stopped_asking(pki: PKI) -> None:
    """As after a context that was exchanged in the middle of the handshake: the mode is looked at."""
    async with asked(pki, pki.client, trustRoot=trust(pki.clients)) as transport:
        transport.getHandle().set_verify(SSL.VERIFY_NONE, lambda *_: True)
        facts = connection_of(transport, verifies=True)
    assert (facts.verification.presented, facts.verification.verified) == (True, False)


@pytest.mark.parametrize("depth", [0, 1])
async def test_a_client_that_expires_is_verified_no_longer(pki: PKI, depth: int) -> None:
    """Dates are looked at whenever the facts are read, those of its issuers too."""
    passing = now() + 3 * SECOND
    authority = make_authority("Brief", not_after=passing) if depth else pki.clients
    client = authority.issue("CN=Mayfly") if depth else authority.issue("CN=Mayfly", not_after=passing)
    async with asked(pki, client, trustRoot=trust(authority)) as transport:
        assert connection_of(transport, verifies=True).verification.verified
        known = KnownConnections(verifies=True)
        first = known.facts(transport, time.time())
        assert first is known.facts(transport, time.time()), "read once"
        await until(lambda: datetime.datetime.now(datetime.UTC) > passing)
        facts = connection_of(transport, verifies=True)
        assert first.verification.verified
        assert not known.facts(transport, time.time()).verification.verified, "read again"
    assert str(facts.verification) == "FAILED:certificate has expired"
    assert (facts.verification.last_error, facts.verification.depth) == (10, depth)


async def test_a_listener_of_ours_says_it_itself(pki: PKI) -> None:
    """The facts are its own, fingerprint included, whoever vouches or not."""
    factory = Asking()
    async with listening(pki, factory) as served:
        with await in_thread(served.client, "strict.test", chain=(pki.client,)):
            await until(lambda: factory.asked)
            transport = factory.asked[0].transport
            facts = connection_of(transport)
            assert facts is connection_of(transport, verifies=True)
        await served.events(1)
    assert isinstance(facts, Connection)
    assert facts.verification.verified
    assert facts.fingerprint


def test_of_tls_without_openssl_only_that_is_known() -> None:
    """A transport of treq.testing has addresses and no more; nobody is verified by it."""

    class Elsewhere:
        def getPeer(self) -> IPv4Address:
            return IPv4Address("TCP", "192.0.2.1", 1)

        getHost = getPeer

    transport: Any = implementer(ISSLTransport)(Elsewhere)()
    connection = connection_of(transport, verifies=True)
    assert (connection.tls_version, connection.client, connection.peer.host) == ("TLS", None, "192.0.2.1")


def test_at_a_unix_socket_nobody_knows_the_client() -> None:
    """Its addresses are those that no rule on addresses matches."""

    class Local:
        def getPeer(self) -> UNIXAddress:
            return UNIXAddress("/socket")

        getHost = getPeer

    connection = connection_of(implementer(ITransport)(Local)())
    assert (connection.peer, connection.local) == (Address(UNKNOWN_CLIENT, 0), Address(UNKNOWN_CLIENT, 0))


def test_a_transport_that_cannot_be_read_is_an_error() -> None:
    """An address that is none: better no facts than wrong ones."""

    class Nowhere:
        name = "/socket"

    class Other:
        def __init__(self, address: object) -> None:
            self.getPeer = self.getHost = lambda: address

    plain: Any = implementer(ITransport)(type("Plain", (Other,), {}))
    with pytest.raises(ValueError, match="not an address"):
        connection_of(plain(Nowhere()))
