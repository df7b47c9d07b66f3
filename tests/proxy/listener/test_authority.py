"""Requests of HTTP/1.0 that say no authority, as old health checks send them: whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.node import OK, PKI, Changes, Origin, answering, fields, get, started

BARE = b"GET /health HTTP/1.0\r\n\r\n"


def group(hosts: str) -> Changes:
    """A node whose default server group has these hosts."""
    return {
        "listener public": {"default-server-group": "open"},
        "server-group open": {"hosts": hosts},
        "global-filter seen": {"header.host": ".", "tags": "seen"},
    }


@pytest.mark.parametrize(
    ("hosts", "name", "authority"),
    [
        ("open.test a.test", "a.test", "a.test"),
        ("open.test a.test", "unknown.test", "unknown.test"),
        ("*.test b.test a.test", None, "b.test"),
        ("a.test 127.0.0.1", None, "127.0.0.1"),
        ("*.test", None, "127.0.0.1"),
    ],
)
async def test_the_authority_is_the_server_name_s_or_the_default_group_s(
    pki: PKI, hosts: str, name: str | None, authority: str
) -> None:
    """To the origin, to rules and in the event it is as though the request had said so."""
    changes: Any = {**group(hosts), "origin origin": {"host": "client"}}
    with Origin(pki, answering(OK)) as origin:
        async with started(pki, origin, changes) as node:
            received = await node.exchange(BARE, name)
            (event,) = await node.events.take()
        (request,) = origin.take()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert fields(request, "host") == fields(request, "x-forwarded-host") == [authority.encode()]
    assert (event["request"]["authority"], event["server_group"]) == (authority, "open")
    assert "seen" in event["tags"]


async def test_it_is_judged_under_the_group_of_its_handshake(pki: PKI) -> None:
    """Who says no host gets nowhere that who says one does not: without a certificate 400, with one 200."""
    with Origin(pki) as origin:
        async with started(pki, origin) as node:
            refused = await node.exchange(BARE, "strict.test")
            served = await node.exchange(BARE, "strict.test", chain=[pki.client])
            events = await node.events.take(2)
    assert (refused[:13], served[:13]) == (b"HTTP/1.1 400 ", b"HTTP/1.1 200 ")
    assert [(event["server_group"], event["status"]) for event in events] == [("strict", 400), ("strict", 200)]


async def test_of_http_1_1_a_host_is_demanded(pki: PKI) -> None:
    """RFC 9112, section 3.2: 400, whatever the server name."""
    with Origin(pki) as origin:
        async with started(pki, origin) as node:
            received = await node.exchange(BARE.replace(b"1.0", b"1.1") + get())
            await node.events.take()
    assert received.startswith(b"HTTP/1.1 400 ")
    assert not origin.requests
