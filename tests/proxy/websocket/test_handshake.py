"""The opening handshake, through a whole node: who is let in, what the origin is asked, and what it may answer."""

from __future__ import annotations

import pytest

from edgenode.proxy.websocket.handshake import accepting
from edgenode.proxy.websocket.settings import Settings
from tests.proxy.websocket.dialogue import ACCEPT, KEY, accepted, asking, opened
from tests.proxy.websocket.frames import TEXT, frame
from tests.support import memory
from tests.support.node import PKI, Changes, get

WEBSOCKET = b"\r\nUpgrade: websocket\r\n"


def test_the_value_that_accepts_is_that_of_the_rfc() -> None:
    """RFC 6455, section 1.3."""
    assert accepting(KEY) == ACCEPT


# -- what the origin is asked ------------------------------------------------------------------------------------------


def test_the_origin_is_asked_with_a_key_of_ours(pki: PKI) -> None:
    """And with the client's subprotocols and extensions; the client gets the value for its own key."""
    with memory.node(pki) as node:
        client = node.client()
        offers = (
            b"Sec-WebSocket-Protocol: chat, mqtt",
            b"Sec-WebSocket-Extensions: permessage-deflate",
            b"Cookie: a=b",
        )
        client.send(asking(*offers))
        origin = node.origin()
        request = origin.read()
        assert request.startswith(b"GET /chat HTTP/1.1\r\nHost: open.test\r\n")
        assert all(b"\r\n%b\r\n" % offer in request for offer in offers)
        assert b"\r\nConnection: Upgrade\r\n" in request
        assert WEBSOCKET in request
        assert request.count(b"Sec-WebSocket-Version: 13\r\n") == request.count(b"Sec-WebSocket-Key: ") == 1
        assert KEY not in request
        origin.send(accepted(request, b"Sec-WebSocket-Protocol: mqtt", b"X-Origin: yes"))
        answer = client.read()
        assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"\r\nSec-WebSocket-Accept: %b\r\n" % ACCEPT in answer
        assert answer.count(b"Sec-WebSocket-Accept") == answer.count(b"Upgrade: websocket\r\n") == 1
        assert b"\r\nSec-WebSocket-Protocol: mqtt\r\n" in answer
        assert b"\r\nX-Origin: yes\r\n" in answer
        (event,) = node.events
        assert (event["status"], event["error"], event["origin"]["status"]) == (101, None, 101)
        assert "websocket" in event["tags"]
        assert "websocket" not in event


def test_an_origin_that_refuses_is_heard_and_the_connection_ends(pki: PKI) -> None:
    """Its answer is passed on, whatever it is; what the client has sent behind its handshake is no request."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(asking() + get("/smuggled"))
        origin = node.origin()
        assert b"smuggled" not in origin.read()
        origin.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        answer = client.answer()
        assert (answer.status, answer.body) == (403, b"no")
        assert b"\r\nConnection: close\r\n" in answer.head
        client.read()
        assert client.ended == "close_notify"
        assert len(node.opened) == 1
        assert b"smuggled" not in origin.read()
        assert [event["status"] for event in node.events] == [403]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % ACCEPT,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        "unnominated",
        "an extension",
    ],
)
def test_an_origin_that_accepts_something_else_is_502(pki: PKI, answer: bytes | str) -> None:
    """No accept value, that of another key, another protocol, no Connection, an extension that nobody offered."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(asking())
        origin = node.origin()
        good = accepted(origin.read())
        if answer == "unnominated":
            answer = good.replace(b"Connection: Upgrade\r\n", b"")
        elif answer == "an extension":
            answer = good.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        assert isinstance(answer, bytes)
        if answer.endswith(b"Accept: "):
            answer += good.partition(b"Sec-WebSocket-Accept: ")[2]
        origin.send(answer)
        assert client.answer().status == 502
        (event,) = node.events
        assert (event["error"]["kind"], event["status"]) == ("invalid", 502)
        origin.read()
        assert origin.ended


def test_a_switch_that_nobody_asked_for_is_502(pki: PKI) -> None:
    """A 101 to an ordinary request, though it is otherwise right."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(get("/"))
        origin = node.origin()
        origin.read()
        origin.send(accepted(b"\r\nSec-WebSocket-Key: %b\r\n" % KEY))
        assert client.answer().status == 502
        assert "unrequested 101" in node.events[0]["error"]["reason"]


def test_an_origin_that_does_not_answer_is_504(pki: PKI) -> None:
    """Within the read-timeout."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(asking())
        node.origin()
        node.loop.wait(61, 1)
        assert client.answer().status == 504


def test_a_client_that_goes_before_the_answer_takes_the_origin_s_with_it(pki: PKI) -> None:
    """499, once."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(asking())
        origin = node.origin()
        origin.read()
        client.close()
        origin.read()
        assert origin.ended
        assert [event["status"] for event in node.events] == [499]


def test_what_comes_too_early_waits_for_the_answer(pki: PKI) -> None:
    """From the client before 101, and from the origin with it; in order, and frame by frame."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(asking() + frame(TEXT, b"early"))
        client.send(frame(TEXT, b"more"))
        origin = node.origin()
        request = origin.read()
        assert b"early" not in request
        assert request.endswith(b"\r\n\r\n")
        origin.send(accepted(request) + frame(TEXT, b"hello", masked=False))
        assert client.read().endswith(b"\r\n\r\n" + frame(TEXT, b"hello", masked=False))
        assert origin.read() == frame(TEXT, b"early") + frame(TEXT, b"more")


def test_a_handshake_sent_again_on_a_fresh_connection_is_one_handshake(pki: PKI) -> None:
    """A kept connection that the origin has closed is no failure."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(get("/"))
        origin = node.origin()
        origin.read()
        origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert client.answer().status == 200
        client.send(asking())
        again = node.asked()
        request = again.read()
        again.send(accepted(request))
        assert client.read().startswith(b"HTTP/1.1 101 ")


# -- who is let in -----------------------------------------------------------------------------------------------------


def _status(pki: PKI, data: bytes, changes: Changes | None = None, name: str = "open.test") -> tuple[int, str, bytes]:
    """The status, the reason and the head of the answer to a handshake that is not let in."""
    with memory.node(pki, changes) as node:
        client = node.client(name)
        answer = client.ask(data)
        assert node.opened == [], "the origin was asked"
        (event,) = node.events
        return answer.status, event["error"]["reason"], answer.head


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (asking(version=b"8"), 426, "version"),
        (asking().replace(b"Sec-WebSocket-Version: 13\r\n", b""), 426, "version"),
        (asking(b"Sec-WebSocket-Version: 13"), 426, "version"),
        (asking().replace(KEY, KEY[4:]), 400, "Key"),
        (asking().replace(KEY, KEY[:-1] + b"*"), 400, "Key"),
        (asking(b"Sec-WebSocket-Key: " + KEY), 400, "Key"),
        (asking().replace(b"GET", b"POST"), 400, "no GET"),
        (asking(b"Content-Length: 3") + b"abc", 400, "body"),
        (asking(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400, "body"),
        (asking(b"Origin: https://open.test", b"Origin: https://open.test"), 400, "repeated"),
        (asking(b"Origin: https://evil.test"), 403, "https://evil.test"),
        (asking(b"Origin: null"), 403, "null"),
        (asking(b"Origin: http://open.test"), 403, "http://open.test"),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_what_is_no_handshake_is_refused(pki: PKI, data: bytes, status: int, reason: str) -> None:
    """Before the origin hears of it; a wrong version is told the right one (RFC 6455, section 4.2.2)."""
    found, said, head = _status(pki, data)
    assert (found, reason in said) == (status, True), said
    if status == 426:
        assert b"\r\nsec-websocket-version: 13\r\n" in head.lower()
        assert WEBSOCKET in head
    assert b"\r\nConnection: close\r\n" in head


@pytest.mark.parametrize("line", [b"Upgrade: h2c", b"Upgrade: websockets", b"Upgrade: x-websocket", b"X: websocket"])
def test_an_upgrade_to_anything_else_is_ignored(pki: PKI, line: bytes) -> None:
    """The request is served as it is, without it."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(asking().replace(b"Upgrade: websocket", line))
        request = node.origin().read()
        assert b"Connection" not in request
        assert b"Upgrade:" not in request


def test_it_can_be_switched_off(pki: PKI) -> None:
    """501, as nothing else is."""
    status, reason, _ = _status(pki, asking(), {"path-map all": {"websocket": "no"}})
    assert (status, "websocket = no" in reason) == (501, True)


def test_methods_hold_for_it(pki: PKI) -> None:
    """A handshake is a GET."""
    assert _status(pki, asking(), {"path-map all": {"methods": "POST"}})[0] == 405


def test_filters_hold_for_it(pki: PKI) -> None:
    """Tags and actions, before the origin hears of it."""
    with memory.node(pki, {"global-filter none": {"tag": "websocket", "action": "block"}}) as node:
        assert node.client().ask(asking()).status == 403
        assert node.events[0]["action"] == "block"
        assert node.opened == []


def test_the_site_s_rules_on_certificates_hold_for_it(pki: PKI) -> None:
    """Without one it is 400, as of a request; and of another group's host 421."""
    with memory.node(pki, {"server-group strict": {"mtls-refusal": "403"}}) as node:
        client = node.client("strict.test")
        assert client.ask(asking(host=b"strict.test")).status == 403
        assert node.client().ask(asking(host=b"strict.test")).status == 421
        assert node.opened == []


UNSEEN: Changes = {"global-filter bodies": {"expression": 'http.request.body.raw contains "attack"', "action": "block"}}


def test_where_rules_look_at_bodies_messages_are_not_hidden_from_them(pki: PKI) -> None:
    """Unless they see them, or the path map says that they need not."""
    status, reason, _ = _status(pki, asking(), UNSEEN)
    assert (status, "inspect-messages" in reason) == (501, True)
    for key, value in (("inspect-messages", "text"), ("uninspected", "pass"), ("mode", "monitoring")):
        with memory.node(pki, {**UNSEEN, "path-map all": {key: value}}) as node:
            opened(node)


@pytest.mark.parametrize(
    ("origins", "origin", "let_in"),
    [
        ("same", "https://open.test", True),
        ("same", "https://open.test:443", True),
        ("same", "HTTPS://OPEN.test", True),
        ("same", "https://open.test:8443", False),
        ("same", "https://open.test.evil.test", False),
        ("same", "https://sub.open.test", False),
        ("same", "null", False),
        ("same", "", False),
        ("https://app.test", "https://app.test", True),
        ("https://app.test", "https://app.test:443", True),
        ("https://app.test", "http://app.test", False),
        ("https://app.test", "https://open.test", False),
        ("https://app.test:8443", "https://app.test:8443", True),
        ("https://*.app.test", "https://a.app.test", True),
        ("https://*.app.test", "https://a.b.app.test", True),
        ("https://*.app.test", "https://app.test", False),
        ("https://*.app.test", "https://evilapp.test", False),
        ("https://*.app.test", "https://a.app.test:8443", False),
        ("https://*.app.test", "https://*.app.test", False),
        ("null", "null", True),
        ("any", "https://evil.test", True),
        ("any", "null", True),
        ("any", "chrome-extension://abc", True),
        ("same", "chrome-extension://abc", False),
    ],
)
def test_pages_of_these_origins_are_let_in(origins: str, origin: str, let_in: bool) -> None:
    """By scheme, host and port (RFC 6454)."""
    settings = Settings(origins=frozenset(origins.split()))
    assert settings.lets_in(origin, ["https://open.test"]) is let_in


def test_behind_a_trusted_proxy_the_site_is_the_one_that_it_reports(pki: PKI) -> None:
    """Or the one that it asks for."""
    changes = {"edge": {"trusted-proxies": "127.0.0.1"}}
    with memory.node(pki, changes) as node:
        opened(node, b"Origin: https://shop.test", b"X-Forwarded-Host: shop.test", b"X-Forwarded-Proto: https")
        client = node.client()
        assert client.ask(asking(b"Origin: https://shop.test")).status == 403
