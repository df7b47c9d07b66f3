"""Messages of alerts at receivers: mail servers, webhooks that look closely, and a Prometheus Alertmanager."""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import json
import pathlib
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from edgenode.model.errors import OriginError
from edgenode.model.settings import Seconds, Secret
from edgenode.observe.alerts.counted_by import EventValue
from edgenode.observe.alerts.forms import Subject, text
from edgenode.observe.alerts.incidents import Incident
from edgenode.observe.alerts.mail import MailSender
from edgenode.observe.alerts.mailboxes import Mailbox
from edgenode.observe.alerts.messages import Message
from edgenode.observe.alerts.webhook import WebhookSender
from edgenode.observe.exporters.http import SentHeader
from edgenode.observe.exporters.receiver import Refused, Unavailable
from edgenode.proxy.origin.server import Server
from edgenode.proxy.origin.stream import open_stream
from tests.observe.alerts.journals import alert
from tests.observe.alerts.mail_server import PASSWORD, USER, MailServer
from tests.support.node import PKI, Origin
from tests.support.origins import Served, answering
from tests.support.pools import pool_to
from tests.support.waiting import wait_for

NOW = 1_796_054_400.0
RAISED = Message(NOW, raised=(Incident("192.0.2.1", NOW - 1, 120),))
TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def subject(**keys: Any) -> Subject:
    """An alert with whatever receivers."""
    mail = {
        "mail_origin": "mail",
        "mail_from": Mailbox("edge@example.com"),
        "mail_to": (Mailbox("ops@example.com"), Mailbox("night@example.com")),
    }
    given = {"by": EventValue.from_text("ip.src"), "origin": "hooks", **mail, **keys}
    return Subject("errors", alert("more than 100 per 5m", **given), "edge.example.com")


# -- mail --------------------------------------------------------------------------------------------------------------


async def test_a_mail_server_takes_a_mail_over_tls_with_our_certificate(pki: PKI) -> None:
    """It is for all receivers, and says what was raised; lines that begin with a dot arrive as they were."""
    by = EventValue.from_text("edge.path_map")
    message = Message(NOW, raised=(Incident("\n.\r\nMAIL", NOW, 7),))
    made = subject(by=by)
    with MailServer(pki) as server, pool_to(pki, server.port, stream=True) as pool:
        await MailSender(made, partial(open_stream, pool)).send(message)
        ((sender, receivers, content),) = server.taken
    assert (sender, receivers) == ("edge@example.com", ["ops@example.com", "night@example.com"])
    assert server.peers == [{"commonName": "edge as a client"}]
    read = email.message_from_bytes(content, policy=email.policy.default)
    assert read.get_content().replace("\r\n", "\n") == text(made, message)
    assert read["Subject"] == "[raised] errors on edge.example.com: \\n.\\r\\nMAIL"


async def test_a_mail_server_without_tls_takes_a_mail(pki: PKI) -> None:
    """As the one on this host does."""
    with MailServer() as server, pool_to(pki, server.port, stream=True, tls=False) as pool:
        await MailSender(subject(), partial(open_stream, pool)).send(RAISED)
        assert len(server.taken) == 1


async def test_a_mail_server_is_logged_in_to(pki: PKI) -> None:
    """With the right password; with a wrong one it is tried again, for that can be put right."""
    with MailServer(pki, login=True) as server, pool_to(pki, server.port, stream=True) as pool:
        right = subject(mail_user=USER, mail_password=Secret(PASSWORD))
        await MailSender(right, partial(open_stream, pool)).send(RAISED)
        assert len(server.taken) == 1
        wrong = subject(mail_user=USER, mail_password=Secret("guess"))
        with pytest.raises(Unavailable, match="AUTH: the mail server answers 535"):
            await MailSender(wrong, partial(open_stream, pool)).send(RAISED)
        with pytest.raises(Refused, match="MAIL: the mail server answers 530"):
            await MailSender(subject(), partial(open_stream, pool)).send(RAISED)
        assert len(server.taken) == 1


async def test_the_others_get_a_mail_that_one_is_refused(pki: PKI) -> None:
    """If all are refused it is for ever."""
    sending = [subject(), subject(mail_to=(Mailbox("ops@example.com"),))]
    with MailServer(pki, refuses=["ops@example.com"]) as server, pool_to(pki, server.port, stream=True) as pool:
        await MailSender(sending[0], partial(open_stream, pool)).send(RAISED)
        assert [receivers for _, receivers, _ in server.taken] == [["night@example.com"]]
        with pytest.raises(Refused, match="550 nobody here"):
            await MailSender(sending[1], partial(open_stream, pool)).send(RAISED)


async def test_no_byte_of_a_mail_goes_to_a_server_with_another_name(pki: PKI) -> None:
    """Its certificate is verified as that of any origin."""
    with MailServer(pki) as server, pool_to(pki, server.port, stream=True, server_name="mx.other") as pool:
        with pytest.raises(OriginError, match="certificate"):
            await MailSender(subject(), partial(open_stream, pool)).send(RAISED)
        assert server.taken == []


async def test_tls_may_begin_by_starttls(pki: PKI) -> None:
    """With the same certificate and the same verification; a login goes over it."""
    made = subject(mail_user=USER, mail_password=Secret(PASSWORD))
    with MailServer(pki, login=True, starttls=True) as mail:
        for name in ("origin.test", "mx.other"):
            server = Server(True, "127.0.0.1", mail.port, stream=True, starttls=True)
            with pool_to(pki, server=server, server_name=name) as pool:
                sending = MailSender(made, partial(open_stream, pool)).send(RAISED)
                if name == "origin.test":
                    await sending
                else:
                    with pytest.raises(OriginError, match="certificate"):
                        await sending
        assert mail.peers == [{"commonName": "edge as a client"}]


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([b"220 mx\r\n", b"250-mx\r\n250 SIZE\r\n"], "it does not offer STARTTLS"),
        ([b"220 mx\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"454 not now\r\n"], "it answers 454"),
        (
            [b"220 mx\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"],
            "it says more than it was asked",
        ),
        ([b"220 mx\r\n250 mx\r\n"], "it says more than it was asked"),
        ([b"554 no\r\n"], "it answers 554"),
        ([b"SSH-2.0-x\r\n"], "it does not speak SMTP"),
        ([b"220-" + b"x" * 100_000], "it says too much"),
        ([b"220 mx\r\n", b""], "it has ended the connection"),
        ([b"220-a\r\n"], "no connection .* in time"),
    ],
)
async def test_nothing_is_said_to_a_mail_server_that_does_not_begin_tls(
    pki: PKI, replies: list[bytes], reason: str
) -> None:
    """Neither a name nor a mail goes over a connection in the clear, and no answer is believed that came over one."""

    def behave(served: Served) -> None:
        for reply in replies:
            served.send(reply)
            if reply and not served.receive():
                return

    with Origin(pki, behave, tls=False) as origin:
        server = Server(True, "127.0.0.1", origin.port, stream=True, starttls=True)
        with pool_to(pki, server=server, connect_timeout=Seconds(1.0)) as pool:
            sending = MailSender(subject(), partial(open_stream, pool)).send(RAISED)
            with pytest.raises(OriginError, match=reason):
                await sending
        said = b"".join(map(bytes, origin.connections))
    assert b"MAIL" not in said
    assert said in (b"", b"EHLO [127.0.0.1]\r\n", b"EHLO [127.0.0.1]\r\nSTARTTLS\r\n")


@pytest.mark.parametrize("greeting", [b"", b"220", b"x" * 100_000, b"220-a\r\n" * 1000, b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_a_mail_server_that_lies_or_says_nothing_is_left(pki: PKI, greeting: bytes) -> None:
    """Within the time of its origin, and whatever it sends without an end."""

    def behave(served: Served) -> None:
        served.send(greeting)
        served.stall()

    settings: dict[str, Any] = {"stream": True, "read_timeout": Seconds(0.5)}
    with Origin(pki, behave) as server, pool_to(pki, server.port, **settings) as pool:
        sending = MailSender(subject(), partial(open_stream, pool)).send(RAISED)
        with pytest.raises((OriginError, Unavailable)):
            await sending


# -- webhooks ----------------------------------------------------------------------------------------------------------


async def test_a_webhook_can_check_who_has_sent_a_message_and_that_it_is_whole(pki: PKI) -> None:
    """By the client certificate, the token and the signature; the body is JSON of its length."""
    keys = {
        "path": "/hooks/edge?x=1",
        "secret": Secret("s3cret"),
        "token": Secret("t0ken"),
        "headers": (SentHeader.from_text("x-team: security"),),
    }
    with Origin(pki, answering(TAKEN)) as receiver, pool_to(pki, receiver.port) as pool:
        await WebhookSender(subject(**keys), pool, lambda: NOW).send(RAISED)
        (request,) = receiver.requests
        assert "edge as a client" in receiver.peers[0]
    head, _, body = request.partition(b"\r\n\r\n")
    line, *lines = head.decode("ascii").split("\r\n")
    fields = {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}
    assert line == "POST /hooks/edge?x=1 HTTP/1.1"
    assert len(fields) == len(lines)
    assert int(fields["content-length"]) == len(body)
    assert fields["content-type"] == "application/json"
    assert fields["authorization"] == "Bearer t0ken"
    assert fields["x-team"] == "security"
    moment, signature = (part.partition("=")[2] for part in fields["x-edgenode-signature"].split(","))
    assert moment == str(int(NOW))
    assert signature == hmac.new(b"s3cret", moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert json.loads(body)["incidents"][0]["value"] == "192.0.2.1"


async def test_a_message_that_is_sent_again_can_be_recognised(pki: PKI) -> None:
    """By its Idempotency-Key, which no other message has."""
    with Origin(pki, answering(TAKEN)) as receiver, pool_to(pki, receiver.port) as pool:
        for message in (RAISED, RAISED, Message(NOW + 60, still=RAISED.raised)):
            await WebhookSender(subject(), pool, lambda: NOW).send(message)
        keys = [
            next(line for line in each.split(b"\r\n") if line.lower().startswith(b"idempotency-key"))
            for each in receiver.requests
        ]
    assert keys[0] == keys[1] != keys[2]


async def test_a_message_of_a_thousand_incidents_arrives_whole(pki: PKI) -> None:
    """By webhook, and by mail in lines that every server takes."""
    incidents = tuple(Incident(f"{number:04} " + "é" * 250, NOW, number) for number in range(1000))
    with Origin(pki, answering(TAKEN)) as receiver, pool_to(pki, receiver.port) as pool:
        await WebhookSender(subject(), pool, lambda: NOW).send(Message(NOW, raised=incidents))
        (request,) = receiver.requests
    told = json.loads(request.partition(b"\r\n\r\n")[2])["incidents"]
    assert [each["count"] for each in told] == list(range(1000))
    with MailServer(pki) as server, pool_to(pki, server.port, stream=True) as pool:
        await MailSender(subject(), partial(open_stream, pool)).send(Message(NOW, raised=incidents))
        ((_, _, content),) = server.taken
    read = email.message_from_bytes(content, policy=email.policy.default)
    assert read.get_content().count("raised: ip.src") == 1000


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno", Refused),
        (b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n", Unavailable),
        (b"HTTP/1.1 302 There\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n", Unavailable),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n", Unavailable),
        (b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 200_000, Unavailable),
        (b"220 mx.test ESMTP\r\n", Unavailable),
        (b"", Unavailable),
    ],
)
async def test_whatever_a_webhook_answers_it_is_known_whether_it_has_taken_the_message(
    pki: PKI, answer: bytes, error: type[Exception]
) -> None:
    """Nothing is followed, and nothing is read without an end."""

    def behave(served: Served) -> None:
        served.request()
        served.send(answer)

    with Origin(pki, behave) as receiver, pool_to(pki, receiver.port) as pool, pytest.raises(error) as caught:
        await WebhookSender(subject(), pool, lambda: NOW).send(RAISED)
    assert getattr(caught.value, "after", 0.0) == (100.0 if b"429" in answer else 0.0)


# -- Prometheus Alertmanager -------------------------------------------------------------------------------------------

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real one."""
    if ALERTMANAGER is None:
        pytest.skip("there is no prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("alertmanager")
    (folder / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                ALERTMANAGER,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ],
            stdout=file,
            stderr=file,
        )
    try:
        yield _port(process, log)
    finally:
        process.terminate()
        process.wait(10)


def _port(process: subprocess.Popen[bytes], log: pathlib.Path) -> int:
    """The port that it has chosen, once it serves."""
    found: list[str] = []

    def listening() -> bool:
        assert process.poll() is None, log.read_text()
        lines = [line for line in log.read_text().splitlines() if "127.0.0.1:" in line and "istening" in line]
        found[:] = [line.rpartition("127.0.0.1:")[2].split()[0].strip('"') for line in lines]
        return bool(found)

    wait_for(listening, "that the Alertmanager listens", 30.0, 0.1)
    return int(found[0])


def _known(port: int) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/alerts", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


async def test_a_real_alertmanager_takes_what_is_raised_and_what_is_resolved(pki: PKI, alertmanager: int) -> None:
    """The incident is active until it is told that it is over."""
    now = time.time()
    incident = Incident("192.0.2.1\n<x>", now - 1, 120)
    made = subject(format="alertmanager", severity="critical")
    with pool_to(pki, alertmanager, tls=False, host="server") as pool:
        sender = WebhookSender(made, pool, time.time)
        await sender.send(Message(now, raised=(incident,)))
        (known,) = _known(alertmanager)
        assert known["labels"] == {
            "alertname": "errors",
            "instance": "edge.example.com",
            "severity": "critical",
            "ip_src": "192.0.2.1\\n<x>",
        }
        assert known["status"]["state"] in ("active", "unprocessed")
        await sender.send(Message(now, resolved=(Incident(incident.value, incident.since, 120, now),)))
        assert _known(alertmanager) == []
