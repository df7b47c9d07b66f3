"""Dynamic rules of a node in a process of its own: on real connections, over a reload, a restart and two protocols."""

from __future__ import annotations

import pathlib

from tests.e2e.test_quarantine import quarantine, reload, status, told, written
from tests.support.node import PKI, Client, Origin, get
from tests.support.twistd import twistd

RULES = {
    "dynamic-rule busy": {"key": "ip", "limit": "3 per 1m", "hold": "1h", "tags": "busy"},
    "dynamic-rule users": {"key": "argument.user", "limit": "2 per 1m", "hold": "1h", "global": "no"},
    "dynamic-rule certificates": {"key": "certificate.fingerprint", "limit": "2 per 1m", "hold": "1h"},
    "path-map all": {"dynamic-rules": "users"},
}


def test_who_comes_too_often_is_held_over_reload_and_restart(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """By its address, or its network of IPv6; the proxy in front of the node, and others, are not. The event says which
    rule, and a lift ends it."""
    file = written(pki, origin, tmp_path, RULES)
    with twistd(file) as node:
        assert [status(node, "203.0.113.7") for _ in range(5)] == [200, 200, 200, 403, 403]
        assert [status(node, f"2001:db8::{host}") for host in range(5)] == [200, 200, 200, 403, 403]
        assert [status(node, "203.0.113.8"), status(node, "2001:db8:0:1::1")] == [200, 200]
        with Client(node.port, "open.test") as client:
            assert [client.ask(get("/", "open.test")).status for _ in range(6)] == [200] * 6  # the proxy itself
        assert reload(node) == 0
        assert [status(node, "203.0.113.7"), status(node, "203.0.113.8")] == [403, 200]
        assert "2001:db8::/64" in quarantine(node, "list", "--key", "ip")[1]
    held = [each["entry"] for each in told(tmp_path)]
    assert [(each["value"], each["who"], each["why"]) for each in held] == [  # type: ignore[index]
        ("203.0.113.7", "dynamic-rule busy", "4 of 3 per 1m"),
        ("2001:db8::/64", "dynamic-rule busy", "4 of 3 per 1m"),
    ]
    with twistd(file) as node:
        assert [status(node, "203.0.113.7"), status(node, "2001:db8::77")] == [403, 403]
        assert quarantine(node, "lift", "--who", "dynamic-rule busy") == (0, "2 of dynamic-rule busy lifted")
        assert [status(node, "203.0.113.7"), status(node, "2001:db8::77")] == [200, 200]


def test_a_kept_connection_is_refused_in_its_next_request(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """A certificate is held on all its connections, however good it is; another client's is not."""
    with twistd(written(pki, origin, tmp_path, RULES)) as node:

        def request(number: int) -> bytes:
            return get("/", "strict.test", f"X-Forwarded-For: 198.51.100.{number}")

        with Client(node.port, "strict.test", chain=[pki.client]) as kept:
            assert kept.ask(request(1)).status == 200
            with Client(node.port, "strict.test", chain=[pki.client]) as other:
                assert [other.ask(request(number)).status for number in (2, 3, 4)] == [200, 403, 403]
            assert kept.ask(request(5)).status == 403
        with Client(node.port, "strict.test", chain=[pki.clients.issue("CN=Bob")]) as bob:
            assert bob.ask(request(6)).status == 200


def test_an_argument_is_held_wherever_it_stands(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """In the query, in a form, encoded, in another case."""
    with twistd(written(pki, origin, tmp_path, RULES)) as node:

        def ask(number: int, query: str, body: bytes = b"") -> int:
            form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}"
            head = (
                f"POST /{query} HTTP/1.1\r\nHost: open.test\r\nX-Forwarded-For: 198.51.100.{number}\r\n{form}\r\n\r\n"
            )
            with Client(node.port, "open.test") as client:
                return client.ask(head.encode() + body).status

        assert [ask(1, "?user=ann"), ask(2, "", b"user=Ann"), ask(3, "?user=%61nn")] == [200, 200, 403]
        assert [ask(4, "", b"x=1&user=ANN"), ask(5, "?user=bob&user=ann"), ask(6, "", b"user=bob")] == [403, 403, 200]
