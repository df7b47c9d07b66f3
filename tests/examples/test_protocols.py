"""The examples of servers of any protocol, run as they are written; only the port is one that is free."""

from __future__ import annotations

import imaplib
import importlib
import io
import pathlib
import smtplib
import ssl
import sys
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.mail import imap4
from twisted.protocols import amp
from twisted.spread import pb

from edgenode.testing import Issued
from edgenode.testing.handshakes import Handshakes
from tests.examples.test_examples import ENDPOINT, curl, folder, running, tls
from tests.support.node import in_thread

__all__ = ["folder"]  # a fixture


def issued(folder: pathlib.Path, name: str) -> Issued:
    """A certificate of the examples."""
    place = folder / "examples" / "pki"
    key: Any = load_pem_private_key((place / f"{name}.key").read_bytes(), None)
    return Issued(x509.load_pem_x509_certificate((place / f"{name}.pem").read_bytes()), key)


async def connected(folder: pathlib.Path, port: int, factory: IProtocolFactory, *, client: bool = True) -> Any:
    """A protocol of Twisted's that has connected to an example, with or without a certificate."""
    from twisted.internet import reactor

    handshakes = Handshakes(issued(folder, "acme") if client else None, issued(folder, "ca"), "localhost")
    tcp: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    return await wrapClientTLS(handshakes, tcp).connect(factory)


async def over(protocol: Any) -> None:
    """Close a connection, and wait for its end."""
    ended: Deferred[None] = Deferred()
    lost = protocol.connectionLost

    def connection_lost(reason: Any) -> None:
        lost(reason)
        ended.callback(None)

    protocol.connectionLost = connection_lost
    protocol.transport.loseConnection()
    await ended


async def test_amp_knows_its_clients(folder: pathlib.Path) -> None:
    """With a certificate and without one."""
    sys.path.insert(0, str(folder / "examples"))
    try:
        command = importlib.import_module("amp_server").WhoAmI
    finally:
        del sys.path[0]
    with running(folder, sys.executable, "examples/amp_server.py", ENDPOINT) as port:
        for client, name in ((True, "CN=acme"), (False, "stranger")):
            protocol = await connected(folder, port, Factory.forProtocol(amp.AMP), client=client)
            assert await protocol.callRemote(command) == {"name": name}
            await over(protocol)


async def test_pb_makes_a_root_object_for_each_client(folder: pathlib.Path) -> None:
    """The object is the client's."""
    with running(folder, sys.executable, "examples/pb_server.py", ENDPOINT) as port:
        factory = pb.PBClientFactory()
        protocol = await connected(folder, port, factory)
        root = await factory.getRootObject()
        assert await root.callRemote("greet", "Hello") == "Hello, CN=acme."
        await over(protocol)


@pytest.mark.parametrize("client", [True, False])
async def test_smtp_takes_mail_of_clients_with_certificates(folder: pathlib.Path, client: bool) -> None:
    """Of others it does not."""
    pki = folder / "examples" / "pki"
    context = ssl.create_default_context(cafile=pki / "ca.pem")
    if client:
        context.load_cert_chain(pki / "acme.pem", pki / "acme.key")

    def send(port: int) -> Any:
        with smtplib.SMTP_SSL("localhost", port, local_hostname="client.test", timeout=20, context=context) as server:
            return server.sendmail("a@client.test", ["b@server.test"], "Subject: x\r\n\r\nHello\r\n")

    with running(folder, sys.executable, "examples/smtp_server.py", ENDPOINT) as port:
        if client:
            assert await in_thread(send, port) == {}
        else:
            with pytest.raises(smtplib.SMTPSenderRefused):
                await in_thread(send, port)


async def test_imap_knows_its_clients(folder: pathlib.Path) -> None:
    """With a certificate a client is logged in, and finds what it has left; Python's own client too. Without it is the
    end after the greeting."""

    class Client(imap4.IMAP4Client):
        def __init__(self) -> None:
            super().__init__()
            self.greeted: Deferred[None] = Deferred()
            self.ended: Deferred[None] = Deferred()

        def serverGreeting(self, capabilities: object) -> None:
            self.greeted.callback(None)

        def connectionLost(self, reason: Any = None) -> None:
            super().connectionLost(reason)
            self.ended.callback(None)

    pki = folder / "examples" / "pki"
    context = ssl.create_default_context(cafile=pki / "ca.pem")
    context.load_cert_chain(pki / "acme.pem", pki / "acme.key")
    context.set_alpn_protocols(["imap"])

    def fetch(port: int) -> Any:
        with imaplib.IMAP4_SSL("localhost", port, ssl_context=context, timeout=20) as client:
            assert client.state == "AUTH"
            client.select("INBOX")
            return client.fetch("1", "(RFC822)")[1][0]

    text = b"Subject: x\r\n\r\n" + b"Hello\r\n" * 20_000
    with running(folder, sys.executable, "examples/imap_server.py", f"{ENDPOINT}:alpn=imap") as port:
        client = await connected(folder, port, Factory.forProtocol(Client))
        await client.greeted
        assert client.state == "auth"
        await client.append("INBOX", io.BytesIO(text))
        assert (await client.select("INBOX"))["EXISTS"] == 1
        assert (await client.fetchMessage("1:*"))[1]["RFC822"] == text.decode()
        client.transport.loseConnection()
        await client.ended
        assert (await in_thread(fetch, port))[1] == text
        stranger = await connected(folder, port, Factory.forProtocol(Client), client=False)
        await stranger.ended
        assert not stranger.greeted.called


async def test_klein_is_filtered(folder: pathlib.Path) -> None:
    """Its request has the judgement."""
    with running(folder, sys.executable, "examples/klein_site.py", "examples/embedding.ini", ENDPOINT) as port:
        said = curl(folder, *tls(port, "localhost", "/hello/you"))
        assert said == "Hello, you. You are a script.\n200"
        assert curl(folder, *tls(port, "localhost", "/partners/", client=True)) == "For partners.\n200"
        assert curl(folder, *tls(port, "localhost", "/partners/")) == "Forbidden.\n403"


async def test_a_wsgi_application_is_filtered(folder: pathlib.Path) -> None:
    """On TCP, and on our endpoint, where the filters know who the client is."""
    command = [sys.executable, "examples/wsgi_site.py", "examples/embedding.ini"]
    with running(folder, *command, "tcp:0:interface=127.0.0.1") as port:
        assert curl(folder, f"http://127.0.0.1:{port}/a") == "You have asked for /a.\n200"
        assert curl(folder, f"http://127.0.0.1:{port}/partners/") == "Forbidden.\n403"
    with running(folder, *command, ENDPOINT) as port:
        assert curl(folder, *tls(port, "localhost", "/partners/", client=True)) == "You have asked for /partners/.\n200"
        assert curl(folder, *tls(port, "localhost", "/partners/")) == "Forbidden.\n403"


async def test_websocket_knows_its_clients(folder: pathlib.Path) -> None:
    """With autobahn at both ends."""
    websocket: Any = pytest.importorskip("autobahn.twisted.websocket")
    heard: Deferred[bytes] = Deferred()

    class Client(websocket.WebSocketClientProtocol):
        def onOpen(self) -> None:
            self.sendMessage(b"hello")

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            heard.callback(payload)

    with running(folder, sys.executable, "examples/websocket_server.py", ENDPOINT) as port:
        factory = websocket.WebSocketClientFactory(f"wss://localhost:{port}")
        factory.protocol = Client
        protocol = await connected(folder, port, factory)
        assert await heard == b"CN=acme: hello"
        await over(protocol)
