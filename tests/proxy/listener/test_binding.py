"""Endpoints as they are written, and the sockets that they stand for."""

from __future__ import annotations

import pytest
from twisted.internet.error import CannotListenError

from edgenode.model.errors import InvalidValue
from edgenode.proxy.listener.binding import listening_socket, sentence
from edgenode.proxy.listener.listener import Endpoint


@pytest.mark.parametrize(
    ("text", "endpoint", "shown"),
    [
        ("tcp:443", Endpoint(443), "0.0.0.0:443"),
        ("tcp:port=443:backlog=7", Endpoint(443, backlog=7), "0.0.0.0:443"),
        ("tcp:8443:interface=127.0.0.1", Endpoint(8443, "127.0.0.1"), "127.0.0.1:8443"),
        (r"tcp:8443:interface=\:\:1", Endpoint(8443, "::1"), "[::1]:8443"),
        ("tcp6:443", Endpoint(443, "::"), "[::]:443"),
        ("systemd:name=web", Endpoint(0, "", 0, "name=web"), "systemd:name=web"),
        ("systemd:domain=INET6:index=01", Endpoint(0, "", 0, "index=1"), "systemd:index=1"),
    ],
)
def test_endpoints_are_read_as_twisted_writes_them(text: str, endpoint: Endpoint, shown: str) -> None:
    """TCP ones, and those of systemd; and shown so that a person knows which is meant."""
    assert Endpoint.from_text(text) == endpoint
    assert str(endpoint) == shown


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("udp:443", 0),
        ("tcp", 0),
        ("tcp:https", 0),
        ("tcp:65536", 4),
        ("tcp:443:reuse=1", 8),
        ("tcp:443:interface=localhost", 18),
        ("systemd", 0),
        ("systemd:web", 0),
        ("systemd:name=", 0),
        ("systemd:index=-1", 0),
        ("systemd:index=0:name=web", 0),
        ("systemd:domain=UNIX:name=web", 15),
    ],
)
def test_what_is_no_endpoint_is_refused(text: str, column: int) -> None:
    """With a pointer to where the trouble begins."""
    with pytest.raises(InvalidValue) as caught:
        Endpoint.from_text(text)
    assert caught.value.column == column


def test_two_places_are_the_same_if_one_socket_serves_both() -> None:
    """The queue's length makes no other socket; a free port is the one that its listener has found."""
    assert Endpoint(443).place("a") == Endpoint(443, backlog=7).place("b")
    assert Endpoint(443).place("a") != Endpoint(443, "127.0.0.1").place("a")
    assert Endpoint(0).place("a") == Endpoint(0, backlog=7).place("a")
    assert Endpoint(0).place("a") != Endpoint(0).place("b")
    web, other = (Endpoint.from_text(f"systemd:name={name}") for name in ("web", "other"))
    assert web.place("a") == web.place("b") != other.place("a")


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (Endpoint(1, "192.0.2.1"), "cannot listen on 192.0.2.1:1: Cannot assign requested address"),
        (Endpoint(1, "2001:db8::1"), "cannot listen on [2001:db8::1]:1: Cannot assign requested address"),
        (Endpoint(0, "", 0, "index=7"), "cannot listen on systemd:index=7: systemd has passed no such socket"),
        (Endpoint(0, "", 0, "name=a:b"), "cannot listen on systemd:name=a:b: systemd has passed no such socket"),
    ],
)
def test_why_a_socket_cannot_be_had_is_one_sentence(endpoint: Endpoint, reason: str) -> None:
    """With the endpoint, as it is written."""
    with pytest.raises(CannotListenError) as caught:
        listening_socket(endpoint, None)
    assert sentence(caught.value) == reason
