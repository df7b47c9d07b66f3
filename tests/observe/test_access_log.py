"""The access log: what each format says, that no client can forge or steer anything, and who writes it where."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from twisted.internet.task import Clock

from edgenode.config.edge import Edge
from edgenode.model.decision import Decision, Reason
from edgenode.model.errors import ClientError, ConfigurationError
from edgenode.model.exchange import Connection, Exchange, Verification
from edgenode.node.logs import Logs
from edgenode.observe.access_log import FORMATS, combined, common, line
from edgenode.observe.event_record import event_line
from tests.support.records import ADDRESSES, CLIENT, FakeRecord, records
from tests.support.requests import request_of

AT = "2023-11-14T22:13:20Z"
CLF = "[14/Nov/2023:22:13:20 +0000]"


def record(*fields: str, target: str = "/a?b", known: bool = False) -> FakeRecord:
    """A record of a request that was forwarded."""
    connection = Connection(*ADDRESSES, client=CLIENT if known else None)
    return FakeRecord(Exchange(connection, request_of(f"GET {target} HTTP/1.1", *fields), "192.0.2.7"))


def test_a_line_says_who_got_what_and_why() -> None:
    """The client, the request, the certificate, the filters with their annotations, own tags, the origin."""
    reasons = (Reason("global-filters", "scripts", "header.user-agent: ^curl/", "by hand", ""),)
    decision = Decision(tags=frozenset(("all", "ip:192-0-2-7", "script")), reasons=reasons)
    told = record(known=True)
    told.decision = decision
    shown = "scripts: header.user-agent: ^curl/ # by hand; tag script; forwarded to shop"
    assert line(told) == f"{AT}  200  192.0.2.7  GET www.test/a?b | CN=acme,O=Acme | {shown}"


def test_a_connection_without_a_request_has_a_line() -> None:
    """With what was wrong; and nothing of the client's reaches the terminal as it is."""
    client = evolve(CLIENT, subject="CN=\x1b]0;owned\x07\u00e9")
    told = FakeRecord(Exchange(Connection(*ADDRESSES, client=client), None, "192.0.2.7"), tries=0, status=0)
    told.error = ClientError(495, "unknown")
    assert line(told) == f"{AT}  0  192.0.2.7  no request | CN=\\x1b]0;owned\\x07\\xe9 | 495: unknown"
    assert common(told).endswith(f'{CLF} "-" 0 1024')


def test_who_only_claims_to_be_somebody_is_not_shown_as_him() -> None:
    """A certificate that was not verified says so, and no subject writes the column behind its own."""
    told = record(known=True)
    connection = told.exchange.connection
    client = evolve(CLIENT, verification=Verification(presented=True, reason="self-signed certificate"))
    told.exchange = evolve(told.exchange, connection=evolve(connection, client=client))
    assert " | not verified: CN=acme,O=Acme | " in line(told)
    told.exchange = evolve(
        told.exchange, connection=evolve(connection, client=evolve(CLIENT, subject="CN=a | blocked"))
    )
    assert r" | CN=a \x7c blocked | " in line(told)


def test_common_and_combined_are_those_of_web_servers() -> None:
    """The user is a certificate that was verified, in one word; no bytes are a dash."""
    assert common(record()) == f'192.0.2.7 - - {CLF} "GET /a?b HTTP/1.1" 200 1024'
    told = record('Referer: https://a.test/"x', "User-Agent: a\\b", known=True)
    told.sent = 0
    assert common(told) == f'192.0.2.7 - CN=acme,O=Acme {CLF} "GET /a?b HTTP/1.1" 200 -'
    assert combined(told) == f'{common(told)} "https://a.test/\\"x" "a\\\\b"'
    assert combined(record()).endswith(' "-" "-"')


COMBINED = re.compile(
    r'(\S+) - (\S+) \[[^]]+\] ("(?:[^"\\]|\\.)*") \d+ (?:\d+|-) ("(?:[^"\\]|\\.)*") ("(?:[^"\\]|\\.)*")'
)


@given(records)
def test_no_record_forges_a_line(told: FakeRecord) -> None:
    """Whatever was sent: one line of printable ASCII, whose parts can be told apart."""
    told.exchange = evolve(told.exchange, client="192.0.2.7")  # an address always, and no text of a client's
    for write in FORMATS.values():
        text = write(told)
        assert text.isascii()
        assert text.isprintable()
    assert COMBINED.fullmatch(combined(told)), combined(told)
    assert FORMATS["json"] is event_line


# -- where it is written -----------------------------------------------------------------------------------------------


def edge(folder: pathlib.Path, **changes: Any) -> Edge:
    """An ``[edge]`` with both logs in files."""
    written: dict[str, Any] = {"events": folder / "events", "access_log": folder / "access", **changes}
    return evolve(Edge(), **written)


def test_a_node_writes_both_logs(tmp_path: pathlib.Path) -> None:
    """The events are no reason to leave out the line, and off is off."""
    for events, access in ((True, True), (True, False), (False, True)):
        folder = tmp_path / f"{events}-{access}"
        folder.mkdir()
        changes = ({} if events else {"events": None}) | ({} if access else {"access_log": None})
        logs = Logs(edge(folder, **changes), Clock())
        logs.open()
        logs.sink.record(record())
        logs.close()
        assert {each.name for each in folder.iterdir()} == {
            *(["events"] if events else []),
            *(["access"] if access else []),
        }
        if access:
            assert (folder / "access").read_text() == f"{line(record())}\n"


def test_off_costs_no_call() -> None:
    """Without an access log the events' own writer takes the records."""
    logs = Logs(evolve(Edge(), access_log=None), Clock())
    assert logs.sink is logs._events


def test_a_reload_changes_place_and_format(tmp_path: pathlib.Path) -> None:
    """What came before stands where it belongs, as it was."""
    logs = Logs(edge(tmp_path), Clock())
    logs.open()
    logs.sink.record(record())
    logs.renew(edge(tmp_path, access_log=tmp_path / "other", access_log_format="common"))
    logs.sink.record(record())
    logs.renew(edge(tmp_path, access_log=None))
    logs.sink.record(record())
    logs.close()
    assert (tmp_path / "access").read_text() == f"{line(record())}\n"
    assert (tmp_path / "other").read_text() == f"{common(record())}\n"
    assert len((tmp_path / "events").read_text().splitlines()) == 3


def test_a_reload_of_the_format_alone_is_for_what_comes(tmp_path: pathlib.Path) -> None:
    """What waits to be written is in the format in which it came."""
    logs = Logs(edge(tmp_path), Clock())
    logs.open()
    logs.sink.record(record())
    logs.renew(edge(tmp_path, access_log_format="common"))
    logs.sink.record(record())
    logs.close()
    assert (tmp_path / "access").read_text() == f"{line(record())}\n{common(record())}\n"


@pytest.mark.parametrize("key", ["events", "access_log"])
def test_a_reload_that_cannot_write_changes_nothing(tmp_path: pathlib.Path, key: str) -> None:
    """Neither log is left between two configurations."""
    logs = Logs(edge(tmp_path), Clock())
    logs.open()
    changes = {"events": tmp_path / "e2", "access_log": tmp_path / "a2", key: tmp_path}
    with pytest.raises(ConfigurationError, match="cannot write"):
        logs.renew(edge(tmp_path, access_log_format="json", **changes))
    logs.sink.record(record())
    logs.close()
    assert (tmp_path / "access").read_text() == f"{line(record())}\n"
    assert json.loads((tmp_path / "events").read_text())["status"] == 200
