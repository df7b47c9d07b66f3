"""With ``mtls = optional-no-ca`` every fault of a certificate is a fact for rules; Cloudflare's own rules refuse it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen
from cryptography import x509

from edgenode import __main__ as command
from edgenode.proxy.listener import client_session
from tests.support.certificates import DAY, SERVER, Issued, make, make_authority, now, write_pem
from tests.support.node import PKI, Changes, Client, Node, Origin, fields, get, in_thread, ini, running, started
from tests.support.odd_certificates import odd

pytestmark = [pytest.mark.lasting, pytest.mark.filterwarnings("ignore:Parsed a")]

# Both expressions of "Configure mTLS" in Cloudflare's documentation, word for word; the field in front of "in", and the
# host between the quotation marks, are what its dashboard fills in.
DEFAULT = """( in {""} and not cf.tls_client_auth.cert_verified)"""
WITH_REVOKED = """( in {""}) and (not cf.tls_client_auth.cert_verified or cf.tls_client_auth.cert_revoked)"""
RULES = {"default.test": (DEFAULT, 418), "revoked.test": (WITH_REVOKED, 410), "revocation.test": (None, 409)}
"""By host the expression, and the status of its action; the last host has a rule on revocation alone."""
FREE = "free.test"

STRICT = "strict verification: "
FAULTS: Mapping[str, tuple[bool, str]] = {
    "revoked": (True, "certificate revoked"),
    "revoked issuer": (True, "certificate revoked"),
    "revoked and expired": (True, "certificate has expired"),
    "revoked, for servers": (True, "certificate revoked"),
    "revoked, too deep": (True, "certificate revoked"),
    "expired": (False, "certificate has expired"),
    "early": (False, "certificate is not yet valid or the system clock is incorrect"),
    "for servers": (False, "unsuitable certificate purpose"),
    "no list": (False, "unable to get certificate CRL"),
    "old list": (False, "CRL has expired"),
    "early list": (False, "CRL is not yet valid"),
    "beyond constraints": (False, "permitted subtree violation"),
    "not strict": (False, f"{STRICT}no authority key identifier"),
    "stranger": (False, "unable to verify the first certificate"),
    "self-signed": (False, "unable to get certificate CRL"),
    "unreadable": (False, "it cannot be examined: "),
    "too large": (False, "its chain has "),
}
"""By kind of client whether it is revoked, and how the reason begins."""


@frozen(eq=False)
class Stage:
    """A node, and its clients by kind: what each presents, the leaf first."""

    pki: PKI
    node: Node
    origin: Origin
    clients: Mapping[str, Sequence[Issued]]

    async def ask(self, kind: str, host: str) -> bytes:
        """The answer to a client of a kind."""
        options: dict[str, Any] = {"chain": self.clients.get(kind, ())}
        if kind == "unreadable":
            options = {"context": next(each for each in odd(self.pki.clients) if each.subject is None).client()}
        return await self.node.exchange(get("/", host, close=True), host, **options)


def changes() -> dict[str, dict[str, str | None]]:
    """The node's group and rules."""
    group = {"hosts": ", ".join((*RULES, FREE)), "trust-store": "clients, strict", "verify-depth": "2"}
    found: dict[str, dict[str, str | None]] = {
        "trust-store clients": {"crl": "lists.pem"},
        "trust-store strict": {"authorities": "strict.pem", "crl": "strict.crl", "verification": "strict"},
        "server-group lenient": {**group, "certificate-headers": "nginx, xfcc, rfc9440"},
    }
    for host, (expression, status) in RULES.items():
        rule = "http.host eq HOST and cf.tls_client_auth.cert_revoked"
        if expression is not None:
            rule = expression.replace(' in {""}', " http.host in {HOST}")
        found[f"action {host}"] = {"type": "block", "status": f"{status}"}
        found[f"global-filter {host}"] = {"action": host, "expression": rule.replace("HOST", f'"{host}"')}
    return found


def clients(pki: PKI) -> tuple[dict[str, Sequence[Issued]], list[x509.CertificateRevocationList], Issued]:
    """The clients by kind, the lists of their authorities, and the strict authority."""
    root, strict = pki.clients, make_authority("Strict")
    past: dict[str, Any] = {"not_before": now() - 9 * DAY, "not_after": now() - DAY}
    inner, bad, unlisted, stale, early = (
        make_authority(name, issuer=root) for name in ("inner", "bad", "unlisted", "stale", "early")
    )
    narrow = make_authority("narrow", issuer=root, extensions=[x509.NameConstraints([x509.DNSName("a.test")], None)])
    deep = inner
    above: list[Issued] = []
    for number in range(2):
        deep = make_authority(f"deep {number}", issuer=deep)
        above.insert(0, deep)
    revoked, old, unfit, deepest = root.issue(), root.issue(**past), root.issue(eku=[SERVER]), deep.issue()
    found: dict[str, Sequence[Issued]] = {
        "good": (root.issue(),),
        "good below": (inner.issue(), inner),
        "revoked": (revoked,),
        "revoked issuer": (bad.issue(), bad),
        "revoked and expired": (old,),
        "revoked, for servers": (unfit,),
        "revoked, too deep": (deepest, *above, inner),
        "expired": (root.issue(**past),),
        "early": (root.issue(not_before=now() + DAY),),
        "for servers": (root.issue(eku=[SERVER]),),
        "no list": (unlisted.issue(), unlisted),
        "old list": (stale.issue(), stale),
        "early list": (early.issue(), early),
        "beyond constraints": (narrow.issue(sans=["DNS:b.test"]), narrow),
        "not strict": (strict.issue(),),
        "stranger": (make_authority("Others").issue(),),
        "self-signed": (make("self-signed"),),
        "too large": (root.issue(), *(make_authority(f"unrelated {number}") for number in range(100))),
    }
    lists = [
        root.crl([revoked, old, unfit, bad]), inner.crl(), bad.crl(), narrow.crl(), above[1].crl(), deep.crl([deepest]),
        stale.crl(last_update=now() - 9 * DAY, next_update=now() - DAY),
        early.crl(last_update=now() + DAY, next_update=now() + 9 * DAY),
    ]  # fmt: skip
    return found, lists, strict


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The node and its clients."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    found, lists, strict = clients(pki)
    write_pem(pki.folder / "lists.pem", lists)
    write_pem(pki.folder / "strict.pem", [strict])
    write_pem(pki.folder / "strict.crl", [strict.crl()])
    with Origin(pki) as origin, running(pki, origin, changes()) as node:
        yield Stage(pki, node, origin, found)


def status(received: bytes) -> int:
    """The status of an answer."""
    return int(received.split(b" ")[1])


@pytest.mark.parametrize("kind", ["good", "good below"])
async def test_a_good_certificate_passes_both_rules(stage: Stage, kind: str) -> None:
    """Nothing is wrong with it, so nothing matches."""
    for host in (*RULES, FREE):
        assert status(await stage.ask(kind, host)) == 200
    stage.origin.take()
    for event in await stage.node.events.take(len(RULES) + 1):
        assert event["certificate"]["verify"] == "SUCCESS"


async def test_no_certificate_is_refused_by_the_rules_alone(stage: Stage) -> None:
    """By the status of the rule's own action; where there is none, it is served."""
    assert [status(await stage.ask("none", host)) for host in (*RULES, FREE)] == [418, 410, 200, 200]
    stage.origin.take()
    await stage.node.events.take(len(RULES) + 1)


@pytest.mark.parametrize("kind", FAULTS)
async def test_every_fault_is_a_fact_for_rules(stage: Stage, kind: str) -> None:
    """Both rules of Cloudflare refuse it with their own status; tags, events and headers say what is wrong with it."""
    revoked, words = FAULTS[kind]
    answers = [status(await stage.ask(kind, host)) for host in (*RULES, FREE)]
    assert answers == [418, 410, 409 if revoked else 200, 200]
    events = await stage.node.events.take(len(RULES) + 1)
    for event, (host, answer) in zip(events, zip((*RULES, FREE), answers, strict=True), strict=True):
        certificate = event["certificate"]
        assert certificate["verify"].startswith(f"FAILED:{words}")
        assert certificate["revoked"] is revoked is (23 in certificate["errors"])
        assert (event["action"], event["error"]) == (host if answer != 200 else None, None)
        assert {"mtls:failed"} <= set(event["tags"])
        assert ("mtls:revoked" in event["tags"]) is revoked
        assert not {"mtls:verified", "mtls:none"} & set(event["tags"])
        assert not any(tag.startswith(("cert-subject", "cert-issuer")) for tag in event["tags"])
    served = stage.origin.take()
    assert len(served) == answers.count(200)
    for request in served:
        (verdict,) = fields(request, "SSL_CLIENT_VERIFY")
        assert verdict.startswith(f"FAILED:{words}".encode())
        for name in ("Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert"):
            assert fields(request, name) == []


async def test_explain_and_replay_say_the_same_of_a_fault(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Explain has the certificate alone, replay the event alone: verdict, filters and status are the node's."""
    file, log = stage.pki.folder / "node.ini", stage.pki.folder / "events.jsonl"
    file.write_text(ini(stage.origin.port, changes()))
    for kind in FAULTS:
        await stage.ask(kind, "revocation.test")
    events = await stage.node.events.take(len(FAULTS))
    stage.origin.take()
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert await in_thread(command.main, ["replay", str(file), str(log), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] == len(FAULTS)
    for kind, event in zip(FAULTS, events, strict=True):
        if kind in ("unreadable", "too large"):  # the one is no PEM, the other is a matter of the handshake
            continue
        write_pem(stage.pki.folder / "client.pem", stage.clients[kind])
        words = ["--cert", str(stage.pki.folder / "client.pem"), "--json", "https://revocation.test/"]
        assert await in_thread(command.main, ["explain", str(file), *words]) == 0
        explained = json.loads(capsys.readouterr().out)
        assert explained["certificate"]["verify"].startswith("FAILED:")
        assert explained["certificate"]["revoked"] is event["certificate"]["revoked"], kind
        assert explained["outcome"].get("status", 200) == event["status"], kind
        mtls = {each["tag"] for each in explained["tags"] if each["tag"].startswith("mtls:")}
        assert mtls == {tag for tag in event["tags"] if tag.startswith("mtls:")}


# -- kept connections -------------------------------------------------------------------------------------------------


def asked(client: Client, host: str) -> int:
    """The status of a request on a kept connection."""
    return client.ask(get("/", host)).status


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_the_verdict_on_a_kept_connection_is_the_one_of_now(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """Revoked since, expired since, both since: a fact for rules with the next request, and only as long as it is."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    leaf = pki.clients.issue(not_after=now() + 10 * DAY)
    write_pem(pki.folder / "lists.pem", [pki.clients.crl(next_update=now() + 90 * DAY)])
    write_pem(pki.folder / "bad.pem", [pki.clients.crl([leaf], next_update=now() + 90 * DAY)])
    good = changes()
    del good["trust-store strict"]
    good["server-group lenient"]["trust-store"] = "clients"
    bad: Changes = {**good, "trust-store clients": {"crl": "bad.pem"}}
    ahead = [0.0]
    monkeypatch.setattr(client_session, "time", SimpleNamespace(time=lambda: time.time() + ahead[0]))
    with Origin(pki) as origin:
        async with started(pki, origin, good) as node:
            with await in_thread(node.client, FREE, chain=[leaf], version=version) as client:
                for days, lists, expected in (
                    (0, good, [200, 200, 200, 200]),
                    (0, bad, [418, 410, 409, 200]),
                    (0, good, [200, 200, 200, 200]),
                    (11, good, [418, 410, 200, 200]),
                    (11, bad, [418, 410, 409, 200]),
                    (0, good, [200, 200, 200, 200]),
                ):
                    ahead[0] = days * 86400.0
                    await node.reload(origin, lists)
                    statuses = [await in_thread(asked, client, host) for host in (*RULES, FREE)]
                    assert statuses == expected, (days, lists is bad)


async def test_who_came_with_a_fault_can_be_revoked_later(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A certificate that had expired in the handshake is revoked on its open connection by a list of later."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    leaf = pki.clients.issue(not_before=now() - 9 * DAY, not_after=now() - DAY)
    write_pem(pki.folder / "lists.pem", [pki.clients.crl()])
    write_pem(pki.folder / "bad.pem", [pki.clients.crl([leaf])])
    good = changes()
    del good["trust-store strict"]
    good["server-group lenient"]["trust-store"] = "clients"
    bad: Changes = {**good, "trust-store clients": {"crl": "bad.pem"}}
    with Origin(pki) as origin:
        async with started(pki, origin, good) as node:
            with await in_thread(node.client, FREE, chain=[leaf]) as client:
                assert await in_thread(asked, client, "revocation.test") == 200
                await node.reload(origin, bad)
                assert await in_thread(asked, client, "revocation.test") == 409
                assert await in_thread(asked, client, FREE) == 200
