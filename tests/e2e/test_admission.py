"""On a live listener: strict trust stores, lists of clients, and the tags of authorities."""

from __future__ import annotations

from typing import Any

import pytest

from edgenode.tls.identity import describe
from tests.support.certificates import Issued, key_identifier, make_authority, write_pem
from tests.support.node import PKI, Answer, Changes, Client, Origin, Refused, get, in_thread, started

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])
REFUSED = b"400 The SSL certificate error\n"


def changes(
    group: dict[str, str | None] | None = None, store: dict[str, str | None] | None = None, **sections: Any
) -> Changes:
    """What is different: the group ``strict``, which demands a certificate, and its trust store."""
    return {"server-group strict": group or {}, "trust-store clients": store or {}, **sections}


async def ask(client: Client) -> Answer:
    """Send a request on a kept connection."""
    answer: Answer = await in_thread(client.ask, get("/", "strict.test"))
    return answer


def alice(pki: PKI) -> Issued:
    """A client that keeps to RFC 5280."""
    return pki.clients.issue("CN=Alice", sans=["DNS:alice.test"], extensions=[key_identifier(pki.clients)])


async def refused(node: Any, version: str, chain: list[Issued]) -> None:
    """A client does not get through the handshake, or in TLS 1.3 not beyond it."""

    def shake() -> None:
        with node.client("strict.test", version=version, chain=chain) as client:
            client.receive()
            raise Refused(client.ended)

    with pytest.raises(Refused, match="alert internal error"):
        await in_thread(shake)


OUT: dict[str, tuple[Changes, str]] = {
    "strict": (changes(store={"verification": "strict"}), "strict verification: no authority key identifier"),
    "list": (changes({"allow-dns": "*.test"}), "none of its names is on the lists"),
    "pin": (changes({"pin-spki": "00" * 32}), "neither its certificate nor its key is pinned"),
    "key": (changes({"minimum-ec-bits": "384"}), "the ECDSA key of CN=Alice,O=Partners has 256 bits, and needs 384"),
}
"""Why the harness's client, which is verified, is not let in."""


@BOTH
@pytest.mark.parametrize("why", OUT)
async def test_refused_over_http(pki: PKI, origin: Origin, why: str, version: str) -> None:
    """The client gets nginx's page, the event the reason, and the origin nothing."""
    different, words = OUT[why]
    async with started(pki, origin, different) as node:
        received = await node.exchange(get("/", "strict.test"), "strict.test", version=version, chain=[pki.client])
        (event,) = await node.events.take()
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert received.endswith(REFUSED)
    assert (event["status"], event["error"]["status"]) == (400, 495)
    assert words in event["error"]["reason"]
    assert event["certificate"]["verify"].startswith("FAILED:")
    assert event["certificate"]["last_error"] == 50
    assert "mtls:failed" in event["tags"]
    assert origin.take() == []


@BOTH
@pytest.mark.parametrize("why", OUT)
async def test_refused_in_the_handshake(pki: PKI, origin: Origin, why: str, version: str) -> None:
    """The client gets an alert, and the event names it and the reason."""
    different, words = OUT[why]
    group = {**different["server-group strict"], "mtls-refusal": "handshake"}
    async with started(pki, origin, {**different, "server-group strict": group}) as node:
        await refused(node, version, [pki.client])
        (event,) = await node.events.take()
    assert event["error"]["status"] == 495
    assert words in event["error"]["reason"]
    assert event["certificate"]["subject"] == "CN=Alice,O=Partners"
    assert origin.take() == []


@BOTH
async def test_let_in(pki: PKI, origin: Origin, version: str) -> None:
    """Who keeps to RFC 5280, is on a list, is pinned and has a key that suffices is served."""
    client = alice(pki)
    different = changes(
        {
            "allow-dns": "*.test",
            "allow-subject": "CN=Bob\n  CN=Carol,O=x",
            "pin-certificate": describe(client.der).fingerprint_sha256,
            "minimum-ec-bits": "256",
            "signature-algorithms": "ecdsa-sha256",
            "mtls-refusal": "handshake",
        },
        {"verification": "strict"},
    )
    async with started(pki, origin, different) as node:
        data = get("/", "strict.test", close=True)
        assert (await node.exchange(data, "strict.test", version=version, chain=[client])).startswith(b"HTTP/1.1 200")
        await node.events.take()
    assert len(origin.take()) == 1


LATER: dict[str, Changes] = {
    "strict": changes(store={"verification": "strict"}),
    "list": changes({"allow-dns": "b.test"}),
    "usage": changes({"required-eku": "clientAuth"}),
}


@BOTH
@pytest.mark.parametrize("why", LATER)
async def test_a_reload_judges_kept_connections(pki: PKI, origin: Origin, why: str, version: str) -> None:
    """A client that the new configuration would not let in is refused at its next request, though it repeats itself."""
    client = pki.clients.issue("CN=Alice", sans=["DNS:alice.test"], eku=None)
    async with started(pki, origin) as node:
        with await in_thread(node.client, "strict.test", version=version, chain=[client]) as connection:
            assert [(await ask(connection)).status for _ in range(2)] == [200, 200]
            await node.reload(origin, changes({"allow-dns": "alice.test"}))
            assert (await ask(connection)).status == 200
            await node.reload(origin, LATER[why])
            answer = await ask(connection)
            assert (answer.status, answer.body) == (400, REFUSED)
    assert len(origin.take()) == 3


@BOTH
async def test_each_authority_adds_its_own_tags(pki: PKI, origin: Origin, version: str) -> None:
    """Rules see which trust store a client belongs to, and no client without a certificate has its tags."""
    partner = make_authority("Partner")
    write_pem(pki.folder / "partner.pem", [partner])
    different: Changes = {
        "trust-store clients": {"tags": "ours"},
        "trust-store partner": {"authorities": "partner.pem", "tags": "partner-a partner"},
        "server-group optional": {"trust-store": "clients, partner"},
        "server-group lenient": {"trust-store": "clients"},
        "global-filter partners": {"action": "block", "tag": "partner-a"},
    }
    async with started(pki, origin, different) as node:
        for group, chain, status, tags in (
            ("optional", [pki.client], 200, {"ours"}),
            ("optional", [partner.issue()], 403, {"partner-a", "partner"}),
            ("optional", [], 200, set()),
            ("lenient", [partner.issue(), partner], 200, set()),
        ):
            data = get("/", f"{group}.test", close=True)
            received = await node.exchange(data, f"{group}.test", version=version, chain=chain)
            (event,) = await node.events.take()
            assert received.startswith(f"HTTP/1.1 {status} ".encode())
            assert {"ours", "partner-a", "partner"}.intersection(event["tags"]) == tags


async def test_tags_follow_a_reload(pki: PKI, origin: Origin) -> None:
    """The tags of a kept connection are those of the trust stores of now."""
    blocked: dict[str, dict[str, str | None]] = {"global-filter all": {"action": "block", "tag": "new"}}
    async with started(pki, origin, changes(store={"tags": "old"})) as node:
        with await in_thread(node.client, "strict.test", chain=[pki.client]) as connection:
            assert (await ask(connection)).status == 200
            await node.reload(origin, {**changes(store={"tags": "new"}), **blocked})
            assert (await ask(connection)).status == 403
