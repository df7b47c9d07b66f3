"""Kinds of keys that clients have, on a live listener: served as nginx serves them, whatever keys are exchanged by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric import ec, ed448

from tests.support.certificates import CLIENT, Key, new_key
from tests.support.handshakes import client as client_context
from tests.support.node import PKI, Node, Origin, Refused, get, in_thread, running

pytestmark = pytest.mark.lasting


def _on(curve: ec.EllipticCurve) -> Callable[[], Key]:
    return lambda: ec.generate_private_key(curve)


SERVED: dict[str, Callable[[], Any]] = {
    "RSA": lambda: new_key("rsa"),
    "Ed25519": lambda: new_key("ed25519"),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "P-256": _on(ec.SECP256R1()),
    "P-384": _on(ec.SECP384R1()),
    "P-521": _on(ec.SECP521R1()),
}
BRAINPOOL = (ec.BrainpoolP256R1(), ec.BrainpoolP384R1(), ec.BrainpoolP512R1())
BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


@frozen(eq=False)
class Front:
    """A node, and the certificates of its clients."""

    node: Node
    pki: PKI


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A node with every mode of mTLS."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    with Origin(pki) as origin, running(pki, origin) as node:
        yield Front(node, pki)


@BOTH
@pytest.mark.parametrize("kind", SERVED)
@pytest.mark.parametrize("name", ["strict", "optional", "lenient"])
async def test_every_kind_of_key_is_served(front: Front, name: str, kind: str, version: str) -> None:
    """In every mode, by both versions, P-521 included; and who has no certificate has not to have a key."""
    chain = [front.pki.clients.issue("CN=client", eku=[CLIENT], key=SERVED[kind]())]
    received = await front.node.exchange(
        get("/", f"{name}.test", close=True), f"{name}.test", version=version, chain=chain
    )
    assert received.startswith(b"HTTP/1.1 200 ")
    (event,) = await front.node.events.take()
    assert event["certificate"]["verify"] == "SUCCESS"


@BOTH
@pytest.mark.parametrize("curve", [ec.SECP224R1(), ec.SECP256K1(), *BRAINPOOL], ids=lambda curve: curve.name)
async def test_a_key_on_another_curve_is_no_client_key(front: Front, curve: ec.EllipticCurve, version: str) -> None:
    """By TLS 1.2 the handshake ends, as with nginx; by TLS 1.3 there are signatures for Brainpool's curves (RFC 8734),
    and with another a client cannot sign, and sends no certificate."""
    chain = [front.pki.clients.issue("CN=client", eku=[CLIENT], key=ec.generate_private_key(curve))]
    context = client_context(version=version, chain=chain)
    if version == "1.2":
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        with pytest.raises(Refused):
            await front.node.exchange(get("/", "strict.test"), "strict.test", context=context)
    else:
        received = await front.node.exchange(get("/", "strict.test", close=True), "strict.test", context=context)
        assert received.startswith(b"HTTP/1.1 200 " if curve in BRAINPOOL else b"HTTP/1.1 400 ")
    (event,) = await front.node.events.take()
    if version == "1.2":
        assert event["error"]["reason"] == "TLS handshake: wrong curve"
    elif curve not in BRAINPOOL:
        assert event["error"]["status"] == 496


@BOTH
@pytest.mark.parametrize("name", ["open", "strict", "optional"])
async def test_no_keys_are_exchanged_on_p521(front: Front, name: str, version: str) -> None:
    """Who knows no better exchange shares none with us, whatever its key is."""
    key: Key = ec.generate_private_key(ec.SECP521R1())
    context = client_context(version=version, chain=[front.pki.clients.issue("CN=client", key=key)])
    context.set_tmp_ecdh(ec.SECP521R1())
    with pytest.raises(Refused):
        await in_thread(front.node.client, f"{name}.test", context=context)
    await front.node.events.take()


async def test_p521_as_a_key_leaves_the_exchange_as_it_is(front: Front) -> None:
    """The best that both know, not the curve of the key."""

    def exchange() -> str | None:
        chain = [front.pki.clients.issue("CN=client", key=ec.generate_private_key(ec.SECP521R1()))]
        with front.node.client("strict.test", version="1.2", chain=chain) as client:
            return client.tls.get_group_name()

    assert await in_thread(exchange) == "x25519"
