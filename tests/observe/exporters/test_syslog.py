"""``type = syslog``: what a real rsyslogd has read of events, over TLS and TCP, whatever becomes of it meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from edgenode.model.settings import Seconds, Word
from edgenode.observe.exporters.receiver import Outgoing, Unavailable
from edgenode.observe.exporters.syslog import Syslog, SyslogSender
from tests.observe.exporters.support import configured, events
from tests.support.certificates import make_authority
from tests.support.handshakes import trusted
from tests.support.node import PKI, Origin, Served
from tests.support.pools import pool_to
from tests.support.rsyslog import Rsyslog, drivers, needs_rsyslog
from tests.support.waiting import wait_for

pytestmark = pytest.mark.deadline(120)  # a process starts, and it is not alone on the machine

DRIVERS = [pytest.param(each, marks=needs_rsyslog, id=each or "tcp") for each in ("", *drivers())]


@contextlib.contextmanager
def server(pki: PKI, folder: pathlib.Path, driver: str = "") -> Iterator[Rsyslog]:
    """An rsyslogd that demands our certificate, if it speaks TLS."""
    for name in ("origin.pem", "origin.key", "servers.pem"):
        (folder / name).write_bytes((pki.folder / name).read_bytes())
    with Rsyslog(folder, driver) as rsyslog:
        yield rsyslog


@contextlib.contextmanager
def sending(
    pki: PKI, port: int, receiver: Syslog | None = None, tls: bool = True, timeout: float = 20.0, **options: Any
) -> Iterator[SyslogSender]:
    """What sends to a receiver."""
    with pool_to(pki, port, tls=tls, stream=True, **options) as pool:
        yield SyslogSender(receiver or Syslog(), pool, timeout, "edge-1")


async def written(rsyslog: Rsyslog, count: int) -> list[dict[str, Any]]:
    """The messages, once there are as many; a batch is taken when it is read, and written a little later."""
    await deferToThread(wait_for, lambda: len(rsyslog.messages()) >= count, f"{count} messages", 60)
    return rsyslog.messages()


async def unavailable(sender: SyslogSender, batch: list[Outgoing]) -> str:
    """Why a batch was not taken."""
    with pytest.raises(Unavailable) as caught:
        await sender.send(batch)
    return str(caught.value)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_rsyslog_reads_every_field(pki: PKI, tmp_path: pathlib.Path, driver: str) -> None:
    """As RFC 5424 has them, with what is quoted in structured data, and each message as a whole."""
    batch = events(600)
    receiver = Syslog(facility="local3", close_notify=driver == "ossl")
    with server(pki, tmp_path, driver) as rsyslog, sending(pki, rsyslog.port, receiver, bool(driver)) as sender:
        assert not (await sender.send(batch)).refused
        found = await written(rsyslog, 600)
    first = found[0]
    assert json.loads(first.pop("message").removeprefix("\ufeff")) == batch[0].event
    assert first == {
        "facility": "local3", "severity": "info", "time": "2026-11-30T17:00:00.000000Z", "host": "edge-1",
        "app_name": "edgenode", "process": str(os.getpid()), "kind": "exchange", "version": "1",
        "data": f'[edgenode@32473 id="{batch[0].key}" client="192.0.2.1" method="GET" status="200"]',
    }  # fmt: skip
    assert [json.loads(each["message"].removeprefix("\ufeff"))["id"] for each in found[1:]] == [
        each.event["id"] for each in batch[1:]
    ]


@needs_rsyslog
async def test_what_a_client_chose_is_read_as_it_was(pki: PKI, tmp_path: pathlib.Path) -> None:
    """Quotes, brackets and backslashes end nothing; a line end begins no other message."""
    target = 'a"]\\ b=\n<13>1 - - - - - -'
    event = {"request": {"method": "GET", "authority": target, "target": "/"}, "client": "192.0.2.1", "status": 404}
    batch = [Outgoing("k", 1796058000.5, event, event, json.dumps(event).encode())]
    receiver = Syslog(message="line", byte_order_mark=False)
    with server(pki, tmp_path) as rsyslog, sending(pki, rsyslog.port, receiver, False) as sender:
        await sender.send(batch)
        (found,) = await written(rsyslog, 1)
    assert found["severity"] == "notice"
    assert found["data"] == (
        '[edgenode@32473 id="k" client="192.0.2.1" method="GET" '
        'authority="a\\"\\]\\\\ b=\\\\n<13>1 - - - - - -" status="404"]'
    )
    assert found["message"] == '192.0.2.1 GET ://a"]\\ b=\\n<13>1 - - - - - -/ 404'


@pytest.mark.parametrize("driver", DRIVERS)
async def test_nothing_is_lost_when_it_is_killed_and_starts_again(
    pki: PKI, tmp_path: pathlib.Path, driver: str
) -> None:
    """What was not taken is sent again, and what was taken is there."""
    with server(pki, tmp_path, driver) as rsyslog, sending(pki, rsyslog.port, None, bool(driver)) as sender:
        await sender.send(events(50))
        await written(rsyslog, 50)
        rsyslog.kill()
        assert "refused" in (await unavailable(sender, events(50, 50)))
        await deferToThread(rsyslog.start)
        await sender.send(events(50, 50))
        found = await written(rsyslog, 100)
    assert [json.loads(each["message"].removeprefix("\ufeff"))["id"] for each in found] == [
        each.event["id"] for each in events(100)
    ]


@pytest.mark.parametrize("driver", [each for each in DRIVERS if each.values[0]])
async def test_it_does_not_take_anybody(pki: PKI, tmp_path: pathlib.Path, driver: str) -> None:
    """A client of another authority, or none that it knows: an error, and nothing is written."""
    stranger = make_authority("Strangers").issue("edge as a client")
    with server(pki, tmp_path, driver) as rsyslog, sending(pki, rsyslog.port, certificate=stranger) as sender:
        why = await unavailable(sender, events(1))
        # Whose alert comes behind the end of the connection, or never, has said no more than that.
        assert "refused our certificate" in why or "the connection is broken" in why or driver == "gtls"
        assert rsyslog.messages() == []


@pytest.mark.parametrize("driver", [each for each in DRIVERS if each.values[0]])
async def test_it_is_not_told_anything_before_it_is_known(pki: PKI, tmp_path: pathlib.Path, driver: str) -> None:
    """A receiver of another name, or of another authority."""
    with server(pki, tmp_path, driver) as rsyslog:
        with sending(pki, rsyslog.port, server_name=Word("other.test")) as sender:
            assert "it names origin.test; not other.test" in await unavailable(sender, events(1))
        with sending(pki, rsyslog.port, trust_store=trusted(make_authority("Strangers"))) as sender:
            assert "the certificate of" in await unavailable(sender, events(1))
        assert rsyslog.messages() == []


async def test_a_receiver_that_does_not_read_is_waited_for_only_so_long(pki: PKI) -> None:
    """And so is one that reads, and does not end."""
    going: list[bool] = []

    def idle(served: Served) -> None:
        while not going:
            served.receive()

    with Origin(pki, idle) as origin:
        with sending(pki, origin.port, timeout=0.2) as sender:
            assert await unavailable(sender, events(1)) == "not read by the receiver within 0.2 s"
        with sending(pki, origin.port, read_timeout=Seconds(0.2)) as sender:
            assert "took too long" in await unavailable(sender, events(1))
        going.append(True)


async def test_what_is_too_long_is_set_aside(pki: PKI) -> None:
    """A receiver would cut it; the others are sent."""
    batch = events(3)
    batch[1] = Outgoing("k", 0.0, {}, {}, b"x" * 9000)

    def take(served: Served) -> None:
        served.stall()
        served.notify()

    with Origin(pki, take) as origin, sending(pki, origin.port) as sender:
        outcome = await sender.send(batch)
        assert outcome.refused.keys() == {1}
        assert re.fullmatch(r"the message has 9\d\d\d bytes: max-size is 8192", outcome.refused[1])
        assert origin.received.count(b'"status":200') == 2
        assert (await sender.send(batch[1:2])).refused.keys() == {0}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("structured-data = a=b", "structured-data"),
        ("app-name = " + "a" * 49, "app-name"),
        ("max-size = 100", "max-size"),
        ("facility = kern", "facility"),
    ],
)
def test_what_no_message_can_have_is_an_error(keys: str, sentence: str) -> None:
    """With its key."""
    found = configured(f"type = syslog\n{keys}")
    assert any(each.startswith(f"[exporter x] {sentence}: ") for each in found), found
