"""Whom the node takes for its origin; if it is somebody else, not a byte of the request is sent."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Mapping
from typing import Any

import pytest
from twisted.web.client import ResponseNeverReceived

from tests.support.certificates import CLIENT, SERVER, Issued, make, make_authority, now, write_pem
from tests.support.node import PKI, Origin, get, started
from tests.support.pools import agent_to, beneath, pool_to

PAGE = b"502 Bad Gateway\n"
NAMED: Mapping[str, Any] = {"eku": [SERVER], "sans": ["DNS:origin.test"]}
WRONG: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "another-name": ({"sans": ["DNS:other.test"]}, "it names other.test; not origin.test"),
    "a-longer-name": ({"sans": ["DNS:origin.test.evil"]}, "; not origin.test"),
    "an-address-only": ({"sans": ["IP:127.0.0.1"]}, "; not origin.test"),
    "a-wildcard-of-the-top": ({"sans": ["DNS:*.test"]}, "; not origin.test"),
    "a-uri-only": ({"sans": ["URI:https://origin.test/"]}, "it names no host"),
    "no-name": ({"subject": "somebody", "sans": []}, "it names no host"),
    "a-common-name-only": ({"subject": "origin.test", "sans": []}, "it names no host"),
    "expired": ({"not_after": now() - datetime.timedelta(hours=1)}, "has expired"),
    "not-yet-valid": ({"not_before": now() + datetime.timedelta(hours=1)}, "not yet valid"),
    "for-clients": ({"eku": [CLIENT]}, "purpose"),
}
"""By name: how it is issued by the right authority, and what the error says."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates, those in :data:`WRONG` too."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    for name, (options, _) in WRONG.items():
        pki.servers.issue(**{"subject": name, **NAMED, **options}).write(pki.folder, name)
    stranger = make_authority("Strangers")
    stranger.issue("origin", **NAMED).write(pki.folder, "of-strangers")
    make_authority("Servers").issue("origin", **NAMED).write(pki.folder, "of-namesakes")
    make("origin", **NAMED).write(pki.folder, "self-signed")
    stranger.issue("a stranger").write(pki.folder, "stranger")
    write_pem(pki.folder / "strangers.pem", [stranger])
    return pki


async def assert_refused(pki: PKI, origin: Origin, reason: str, changes: Any = None) -> None:
    """A node answers 502 and says why to its event only, an agent says ``certificate``; the origin got no byte."""
    async with started(pki, origin, changes) as node:
        answer = await node.exchange(get(close=True))
        (event,) = await node.events.take()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert answer.endswith(b"\r\n\r\n" + PAGE)
    assert reason in event["error"]["reason"]
    assert (event["error"]["fault"], event["error"]["status"], event["status"]) == ("origin", 502, 502)
    assert (origin.received, origin.requests) == (b"", [])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("stem", WRONG)
async def test_the_wrong_certificate_is_no_origin(pki: PKI, stem: str, version: ssl.TLSVersion) -> None:
    """Name, validity and purpose must be right; a common name counts for nothing, nor does having no name at all."""
    with Origin(pki, stem=stem) as origin:
        origin.context.maximum_version = version
        await assert_refused(pki, origin, WRONG[stem][1])


@pytest.mark.parametrize("stem", ["of-strangers", "of-namesakes", "self-signed"])
async def test_another_authority_vouches_for_nobody(pki: PKI, stem: str) -> None:
    """Neither a stranger, nor an authority that only has the right name, nor the origin itself is believed."""
    with Origin(pki, stem=stem) as origin:
        await assert_refused(pki, origin, "certificate of 127.0.0.1")


async def test_a_revoked_certificate_is_no_origin(pki: PKI) -> None:
    """The revocation list of the origin's trust store counts; a certificate that is not on it passes."""
    revoked = pki.servers.issue("origin", **NAMED)
    revoked.write(pki.folder, "revoked")
    write_pem(pki.folder / "servers.crl.pem", [pki.servers.crl([revoked])])
    changes = {"trust-store servers": {"crl": "servers.crl.pem"}}
    with Origin(pki, stem="revoked") as origin:
        await assert_refused(pki, origin, "revoked", changes)
    with Origin(pki) as origin:
        async with started(pki, origin, changes) as node:
            assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("stem", ["no-name", "expired", "of-strangers"])
async def test_the_error_is_of_the_kind_certificate(pki: PKI, stem: str) -> None:
    """Rules and metrics tell a wrong certificate from other failures, and know that nothing was sent."""
    with Origin(pki, stem=stem) as origin, pool_to(pki, origin.port) as pool:
        with pytest.raises(ResponseNeverReceived) as caught:
            await agent_to(pool).request(b"POST", b"https://shop.example/")
        error = beneath(caught.value)
        assert (error.status, error.kind, error.sent) == (502, "certificate", False)


@pytest.mark.parametrize("stem", ["of-strangers", "self-signed", "no-name", "expired"])
async def test_verification_can_be_switched_off(pki: PKI, stem: str) -> None:
    """With verify = no every certificate passes, and ours is still presented."""
    changes = {"origin origin": {"verify": "no", "trust-store": None}}
    with Origin(pki, stem=stem) as origin:
        async with started(pki, origin, changes) as node:
            assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")
        assert origin.peers == ["edge as a client"]


# -- names -------------------------------------------------------------------------------------------------------------


async def test_the_server_name_is_sent_and_looked_for(pki: PKI) -> None:
    """server-name goes into SNI, whatever the server's address and the client's Host are."""
    with Origin(pki) as origin:
        async with started(pki, origin) as node:
            assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")
        assert origin.names == ["origin.test"]


async def test_without_a_server_name_the_servers_own_host_counts(pki: PKI) -> None:
    """A name is sent and looked for; an address is looked for among addresses, and not sent."""
    pki.servers.issue("local", eku=[SERVER], sans=["DNS:localhost", "IP:127.0.0.1"]).write(pki.folder, "local")
    with Origin(pki, stem="local") as origin:
        for host, name in (("localhost", "localhost"), ("127.0.0.1", None)):
            changes = {"origin origin": {"server-name": None, "servers": f"https://{host}:{origin.port}"}}
            async with started(pki, origin, changes) as node:
                assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")
            assert origin.names.pop() == name


@pytest.mark.parametrize("sans", [["DNS:127.0.0.1"], ["IP:127.0.0.2"], ["DNS:localhost"]])
async def test_an_address_is_looked_for_among_addresses_only(pki: PKI, sans: list[str]) -> None:
    """An address written as a DNS name is no address."""
    pki.servers.issue("odd", eku=[SERVER], sans=sans).write(pki.folder, "odd")
    with Origin(pki, stem="odd") as origin:
        await assert_refused(pki, origin, "; not 127.0.0.1", {"origin origin": {"server-name": None}})


# -- versions ----------------------------------------------------------------------------------------------------------


async def test_the_minimum_version_is_kept(pki: PKI) -> None:
    """An origin that speaks TLS 1.2 only is refused if 1.3 is the least, and accepted by default."""
    with Origin(pki) as origin:
        origin.context.maximum_version = ssl.TLSVersion.TLSv1_2
        await assert_refused(pki, origin, "protocol version", {"origin origin": {"minimum-version": "1.3"}})
        async with started(pki, origin) as node:
            assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")


# -- our own certificate -----------------------------------------------------------------------------------------------


STRANGER = {"certificate edge-client": {"chain": "stranger.pem", "key": "stranger.key", "authorities": "strangers.pem"}}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_origin_that_refuses_our_certificate_is_502(pki: PKI, version: ssl.TLSVersion, method: str) -> None:
    """In TLS 1.3 the refusal comes with the first read: it is 502 all the same, and the event has its words."""
    with Origin(pki) as origin:
        origin.context.maximum_version = version
        async with started(pki, origin, STRANGER) as node:
            answer = await node.exchange(get(close=True, method=method))
            (event,) = await node.events.take()
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert answer.endswith(PAGE)
        assert event["error"]["kind"] == "handshake"
        assert event["error"]["reason"] == "the origin refused our certificate: unknown ca"
        assert origin.requests == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_origin_that_misses_our_certificate_is_502(pki: PKI, version: ssl.TLSVersion) -> None:
    """Without a certificate an origin that demands one refuses, and the event says so."""
    with Origin(pki) as origin:
        origin.context.maximum_version = version
        async with started(pki, origin, {"origin origin": {"certificate": None}}) as node:
            answer = await node.exchange(get(close=True))
            (event,) = await node.events.take()
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert event["error"]["kind"] == "handshake"
        assert event["error"]["reason"].startswith("the origin refused our certificate: ")
        assert origin.requests == []


async def test_an_origin_need_not_ask_for_our_certificate(pki: PKI) -> None:
    """A certificate that nobody asks for is not sent, and the request goes through."""
    with Origin(pki, demand=False) as origin:
        async with started(pki, origin) as node:
            assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")
        assert origin.peers == [""]


def test_every_wrong_certificate_is_wrong_in_one_way_only() -> None:
    """The certificate that they are all made from is good, or the tests above would show nothing."""
    assert isinstance(make_authority("CA").issue("origin", **NAMED), Issued)
