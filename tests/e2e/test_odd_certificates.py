"""On a live listener: certificates that only OpenSSL reads, chains that are too large, and forged ones that cost."""

from __future__ import annotations

import pytest

from edgenode.tls.bounds import COSTLY, LARGEST_CHAIN
from edgenode.tls.identity import UNREADABLE
from tests.support.certificates import make_authority
from tests.support.node import PKI, Origin, Refused, get, in_thread, started
from tests.support.odd_certificates import odd
from tests.tls.test_bounds import constrained

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])
PAGE = b"400 The SSL certificate error\n"

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a")


@BOTH
async def test_who_can_be_read_is_served_and_nobody_is_reset(pki: PKI, origin: Origin, version: str) -> None:
    """Every odd certificate gets an answer over HTTP, and its event says whose it was, or why it was refused."""
    async with started(pki, origin) as node:
        for each in odd(pki.clients):
            data = get("/", "strict.test", "Connection: close")
            received = await node.exchange(data, "strict.test", context=each.client(version))
            (event,) = await node.events.take()
            if each.subject is not None:
                assert received.startswith(b"HTTP/1.1 200 "), each
                assert event["certificate"]["subject"] == each.subject
            else:
                assert received.startswith(b"HTTP/1.1 400 "), each
                assert received.endswith(PAGE)
                assert event["error"]["reason"] == f"client certificate: {UNREADABLE}"
                assert event["certificate"]["verify"] == f"FAILED:{UNREADABLE}"


@BOTH
async def test_a_chain_that_is_too_large_is_told_so(pki: PKI, origin: Origin, version: str) -> None:
    """Over HTTP, with the number of its bytes in the event."""
    chain = [pki.client, *(make_authority(f"unrelated {i}") for i in range(100))]
    size = sum(len(each.der) for each in chain)
    async with started(pki, origin) as node:
        received = await node.exchange(get("/", "strict.test"), "strict.test", version=version, chain=chain)
        (event,) = await node.events.take()
    assert received.endswith(PAGE)
    assert event["error"]["reason"] == f"client certificate: its chain has {size} bytes, and may have {LARGEST_CHAIN}"
    async with started(pki, origin, {"server-group strict": {"max-chain-size": "64k"}}) as node:
        data = get("/", "strict.test", "Connection: close")
        received = await node.exchange(data, "strict.test", version=version, chain=chain)
    assert received.startswith(b"HTTP/1.1 200 ")


@BOTH
async def test_a_forged_chain_that_costs_ends_the_handshake(pki: PKI, origin: Origin, version: str) -> None:
    """It is the one certificate that is refused there although refusals are over HTTP; the event has the reason."""
    chain = constrained(make_authority("Clients"), 4000, 250)

    def shake() -> None:
        with node.client("strict.test", version=version, chain=chain) as client:
            client.receive()
            raise Refused(client.ended)

    async with started(pki, origin) as node:
        with pytest.raises(Refused, match="alert"):
            await in_thread(shake)
        (event,) = await node.events.take()
        assert event["error"]["reason"] == f"client certificate: {COSTLY}"
        received = await node.exchange(
            get("/", "strict.test", "Connection: close"), "strict.test", version=version, chain=[pki.client]
        )
    assert received.startswith(b"HTTP/1.1 200 ")
