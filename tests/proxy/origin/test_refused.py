"""An origin that refuses our certificate: told as one kind, with its alert, in TLS 1.2 as in TLS 1.3."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.web.client import ResponseNeverReceived

from edgenode.model.presentation import Presentation
from edgenode.net.errors import NAMELESS, UNREAD
from edgenode.proxy.origin.refusals import OF_THE_HANDSHAKE, ended
from tests.support.certificates import make_authority, write_pem
from tests.support.http2_origins import Http2Origin
from tests.support.node import PKI, Changes, Node, Origin, Served, get, started
from tests.support.pools import agent_to, beneath, pool_to
from tests.support.real_origins import nginx, s_server

VERSIONS = ["-tls1_2", "-tls1_3"]
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates: of ours also one of strangers, and one that is revoked."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    make_authority("Strangers").issue("a stranger").write(pki.folder, "stranger")
    revoked = pki.servers.issue("revoked")
    revoked.write(pki.folder, "revoked")
    write_pem(pki.folder / "servers.crl.pem", [pki.servers.crl([revoked])])
    return pki


def ours(stem: str) -> Changes:
    """The certificate that a node presents; none at all if there is no name."""
    if not stem:
        return {"origin origin": {"certificate": None}}
    authorities = None if stem == "stranger" else "servers.pem"
    return {"certificate edge-client": {"chain": f"{stem}.pem", "key": f"{stem}.key", "authorities": authorities}}


async def ask(node: Node, method: str = "GET", body: bytes = b"") -> tuple[int, dict[str, Any]]:
    """The status that the client gets, and the event."""
    length = [f"Content-Length: {len(body)}"] if body else []
    answer = await node.exchange(get("/", "open.test", *length, method=method, close=True, body=body))
    (event,) = await node.events.take()
    return int(answer.split(b" ")[1]), event


# -- the alerts of OpenSSL ---------------------------------------------------------------------------------------------

LATER = str(int((datetime.datetime.now() + datetime.timedelta(days=36500)).timestamp()))
REASONS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, str]]] = {
    "none": ("", (), ("handshake failure", "certificate required")),
    "unknown-authority": ("stranger", (), ("unknown ca", "unknown ca")),
    "expired": ("edge-client", ("-attime", LATER), ("certificate expired", "certificate expired")),
    "revoked": (
        "revoked", ("-CRL", "servers.crl.pem", "-crl_check"), ("certificate revoked", "certificate revoked"),
    ),
    "wrong-purpose": (
        "edge-client", ("-purpose", "sslserver"), ("unsupported certificate", "unsupported certificate"),
    ),
}  # fmt: skip
"""By name: which certificate we present, how the origin is started, and its alert in TLS 1.2 and in TLS 1.3."""


@needs_openssl
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", REASONS)
async def test_a_refusal_is_told_alike_in_both_versions(pki: PKI, name: str, version: str, method: str) -> None:
    """It is of the kind ``handshake``, says that it is our certificate that was refused, and by which alert."""
    stem, options, alerts = REASONS[name]
    alert = alerts[VERSIONS.index(version)]
    with s_server(pki.folder, version, *options) as port:
        async with started(pki, port, ours(stem)) as node:
            for _ in range(3):
                status, event = await ask(node, method, b"x" * 100_000 if method == "POST" else b"")
                error, certificate = event["error"], event["origin"]["certificate"]
                assert (status, error["kind"], error["fault"]) == (502, "handshake", "origin")
                assert error["reason"].startswith(f"the origin refused our certificate: {alert}")
                assert ("was sent none" in error["reason"]) is (not stem)
                assert (certificate["asked"], certificate["accepted"], certificate["alert"]) == (True, False, alert)
                assert (certificate["subject"] is None, certificate["serial"] is None) == (not stem, not stem)
                assert event["origin"]["status"] is None


@needs_openssl
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_origin_that_accepts_our_certificate_is_told_too(pki: PKI, version: str) -> None:
    """Which certificate it was, and that it was accepted."""
    with s_server(pki.folder, version) as port:
        async with started(pki, port) as node:
            status, event = await ask(node)
    serial = event["origin"]["certificate"].pop("serial")
    assert (status, event["error"]) == (200, None)
    assert event["origin"]["certificate"] == {
        "asked": True, "subject": "CN=edge as a client", "accepted": True, "alert": None,
    }  # fmt: skip
    assert int(serial, 16) > 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_that_nobody_asked_for_is_told(pki: PKI, version: ssl.TLSVersion) -> None:
    """The event says that none was asked for, and so none was sent."""
    with Origin(pki, demand=False) as origin:
        origin.context.maximum_version = version
        async with started(pki, origin) as node:
            _, event = await ask(node)
    nothing = {"asked": False, "subject": None, "serial": None, "accepted": None, "alert": None}
    assert event["origin"]["certificate"] == nothing


@needs_nginx
@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
async def test_nginx_refuses_over_http(pki: PKI, protocol: str) -> None:
    """It completes the handshake and answers 400: its answer is passed on, and the event says what it was sent."""
    with nginx(pki.folder, protocol) as port:
        for stem, status, subject in (
            ("edge-client", 200, "CN=edge as a client"), ("stranger", 400, "CN=a stranger"), ("", 400, None),
        ):  # fmt: skip
            async with started(pki, port, ours(stem)) as node:
                seen, event = await ask(node)
            certificate = event["origin"]["certificate"]
            assert (seen, event["origin"]["status"], event["error"]) == (status, status, None)
            assert (certificate["asked"], certificate["subject"], certificate["accepted"]) == (True, subject, True)


@needs_nginx
async def test_the_protocol_version_is_a_refusal_too(pki: PKI) -> None:
    """An alert that has nothing to do with a certificate is told as what it is."""
    with nginx(pki.folder, "TLSv1.2") as port:
        async with started(pki, port, {"origin origin": {"minimum-version": "1.3"}}) as node:
            _, event = await ask(node)
    assert event["error"]["kind"] == "handshake"
    assert event["error"]["reason"] == "the origin refused the handshake: protocol version"
    assert event["origin"]["certificate"]["alert"] == "protocol version"


# -- a reset behind the alert ------------------------------------------------------------------------------------------


class Abrupt(Origin):
    """An origin that closes as soon as it has sent its alert, whatever of ours is unread: that is a reset.

    :ivar delay: seconds before it does.
    """

    delay = 0.0

    def _shake_hands(self, sock: Any) -> str | None:
        try:
            sock.do_handshake()
        except (ssl.SSLError, OSError):
            time.sleep(self.delay)
            sock.close()
            return None
        return ""


@pytest.mark.parametrize("size", [0, 1000, 100_000, 3_000_000])
@pytest.mark.parametrize("delay", [0.0, 0.02])
async def test_a_reset_behind_the_alert_is_no_other_kind(pki: PKI, delay: float, size: int) -> None:
    """However much of the request is unread, and whichever of our reads and writes meets the reset first."""
    with Abrupt(pki) as origin:
        origin.delay = delay
        async with started(pki, origin, {**ours(""), "path-map all": {"max-body-size": "10m"}}) as node:
            for _ in range(15):
                status, event = await ask(node, "POST" if size else "GET", b"x" * size)
                error = event["error"]
                assert (status, error["kind"]) == (502, "handshake"), error
                assert error["reason"].startswith("the origin refused our certificate: "), error
                assert event["origin"]["certificate"]["accepted"] is False
        assert origin.requests == []


# -- what follows ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def two(pki: PKI, **settings: str) -> Iterator[tuple[Origin, Origin, Changes]]:
    """An origin that refuses our certificate, one that does not ask, and a node's changes for the two as one."""
    with Abrupt(pki) as strict, Origin(pki, demand=False) as open:
        strict.delay = 0.02  # so that the alert is read, and what follows from it is certain
        servers = f"https://127.0.0.1:{strict.port} weight=9, https://127.0.0.1:{open.port}"
        yield strict, open, {"origin origin": {"certificate": None, "servers": servers, **settings}}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_request_goes_on_from_a_server_that_refuses_our_certificate(pki: PKI, method: str) -> None:
    """Whatever its method: the server has not acted on it, though in TLS 1.3 it was sent."""
    with two(pki) as (strict, open, changes):
        async with started(pki, 0, changes) as node:
            status, event = await ask(node, method)
        assert (status, event["error"], event["origin"]["tries"]) == (200, None, 2)
        assert (len(strict.connections), len(open.requests)) == (0, 1)
        assert event["origin"]["certificate"]["asked"] is False, "it is the last server's"


@needs_openssl
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", REASONS)
async def test_no_request_of_http2_is_sent_to_who_refuses_our_certificate(pki: PKI, name: str, version: str) -> None:
    """It refuses before its SETTINGS, in TLS 1.3 too; so whatever was to be sent goes on, body and all."""
    stem, options, alerts = REASONS[name]
    alert = alerts[VERSIONS.index(version)]
    with s_server(pki.folder, version, "-alpn", "h2", *options) as port, Http2Origin(pki, demand=False) as open:
        changes = dict(ours(stem))
        keys = {**changes.get("origin origin", {}), "protocol": "h2"}
        async with started(pki, port, {**changes, "origin origin": keys}) as node:
            status, event = await ask(node, "POST", b"a body")
            error, certificate = event["error"], event["origin"]["certificate"]
            assert (status, error["kind"], certificate["alert"]) == (502, "handshake", alert)
            assert error["reason"].startswith(f"the origin refused our certificate: {alert}")
        keys["servers"] = f"https://127.0.0.1:{port} weight=9, https://127.0.0.1:{open.port}"
        async with started(pki, port, {**changes, "origin origin": keys}) as node:
            status, event = await ask(node, "POST", b"a body")
            assert (status, event["origin"]["tries"], open.asked[0].body) == (200, 2, b"a body")


async def test_a_body_that_was_sent_is_gone(pki: PKI) -> None:
    """A request of whose body something went to the server that refused cannot go on; no part of it is made up."""
    with two(pki) as (_, open, changes):
        async with started(pki, 0, changes) as node:
            status, event = await ask(node, "POST", b"a body")
        assert (status, event["error"]["kind"], event["origin"]["tries"]) == (502, "handshake", 1)
        assert open.requests == []


async def test_a_refusal_in_tls_1_2_costs_no_body(pki: PKI) -> None:
    """There it comes before a byte of the request is sent."""
    with two(pki) as (strict, open, changes):
        strict.context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with started(pki, 0, changes) as node:
            status, event = await ask(node, "POST", b"a body")
        assert (status, event["origin"]["tries"], open.requests[0][-6:]) == (200, 2, b"a body")


async def test_a_refusal_leads_on_only_as_an_error(pki: PKI) -> None:
    """It is nginx's ``error``: without that in next-upstream it is the end."""
    with two(pki, **{"next-upstream": "timeout"}) as (_, open, changes):
        async with started(pki, 0, changes) as node:
            status, event = await ask(node)
        assert (status, event["error"]["kind"], open.requests) == (502, "handshake", [])


async def test_a_server_that_refuses_our_certificate_is_passed_over(pki: PKI) -> None:
    """It has failed: the next request does not try it."""
    with two(pki, **{"max-fails": "1"}) as (_, _, changes):
        async with started(pki, 0, changes) as node:
            tries = [(await ask(node))[1]["origin"]["tries"] for _ in range(3)]
        assert tries == [2, 1, 1]


async def test_an_agent_hears_the_same(pki: PKI) -> None:
    """Its requests fail with the kind ``handshake``, and the certificate's fate."""
    stranger = make_authority("Strangers").issue("x")
    with Abrupt(pki) as origin, pool_to(pki, origin.port, certificate=stranger) as pool:
        asked = agent_to(pool).request(b"POST", b"https://shop.example/")
        with pytest.raises(ResponseNeverReceived) as caught:
            await asked
    error = beneath(caught.value)
    assert caught.value.reasons[0].check(SSL.Error)
    assert (error.status, error.kind, error.sent) == (502, "handshake", False)
    assert error.reason == "the origin refused our certificate: unknown ca"
    assert error.presented is not None
    assert (error.presented.subject, error.presented.accepted) == ("CN=x", False)


# -- every alert -------------------------------------------------------------------------------------------------------


@pytest.mark.deadline(60)
async def test_every_alert_in_a_handshake_has_words(pki: PKI) -> None:
    """All 256 are told as a refusal, and none by a name of a library's: those that a standard defines by theirs."""
    alerts = iter(range(256))

    def refusing(served: Served) -> None:
        served.receive()
        number = next(alerts)
        served.send(bytes((21, 3, 3, 0, 2, 2 if number else 1, number)))  # only close_notify is no fatal one
        served.stall()

    reasons = {}
    with Origin(pki, refusing, tls=False) as origin:
        async with started(pki, origin) as node:
            for number in range(256):
                status, event = await ask(node)
                reasons[number] = event["error"]["reason"]
                assert (status, event["error"]["kind"]) == (502, "handshake"), number
    assert reasons.pop(0) == f"no TLS with 127.0.0.1:{origin.port}: closed by the other side", "close_notify"
    assert reasons[48] == "the origin refused our certificate: unknown ca"
    assert reasons[49] == "the origin refused our certificate: access denied"
    assert reasons[40] == "the origin refused the handshake: handshake failure"
    assert reasons[112] == "the origin refused the handshake: unrecognized name"
    assert reasons[7] == "the origin refused the handshake: an alert that nobody has defined"
    defined = {number for number, reason in reasons.items() if "nobody has defined" not in reason}
    assert defined == {
        10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 86, 90, 100, 109, 110, 111,
        112, 113, 114, 115, 116, 120,
    }  # fmt: skip


ASKED, GIVEN = Presentation(asked=True), Presentation(True, "CN=edge", "0C")


@pytest.mark.parametrize("presentation", [Presentation(False), ASKED, GIVEN])
@pytest.mark.parametrize("alert", [*sorted(OF_THE_HANDSHAKE), "internal error", "unexpected message", NAMELESS, UNREAD])
def test_every_alert_right_after_the_handshake_is_a_refusal(alert: str, presentation: Presentation) -> None:
    """As long as nothing has come on the connection. What can only be said in a handshake was said before the request
    was acted on; what can be said at any time need not have been."""
    error = ended(f"alert {alert}", presentation, "before the response", True)
    assert (error.status, error.kind) == (502, "handshake")
    assert error.sent is (alert not in OF_THE_HANDSHAKE)
    assert error.presented is not None
    assert (error.presented.alert, error.presented.accepted) == (alert, False if presentation.asked else None)


@pytest.mark.parametrize(("alert", "kind"), [("certificate expired", "handshake"), ("internal error", "reset")])
def test_an_alert_on_a_connection_that_has_served_is_of_the_handshake_only_by_its_name(alert: str, kind: str) -> None:
    """And the request may have been acted on."""
    error = ended(f"alert {alert}", GIVEN, "before the response", False)
    assert (error.status, error.kind, error.sent) == (502, kind, True)
    assert alert in error.reason


def test_what_is_no_alert_is_a_reset() -> None:
    """The event has what is known of the certificate all the same."""
    error = ended("", GIVEN, "before the response", True)
    assert (error.kind, error.reason, error.sent) == ("reset", "connection ended before the response: closed", True)
    assert error.presented is GIVEN
