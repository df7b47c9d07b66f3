"""Response rules through a whole node: the header fields that clients get, and pages in the place of errors."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from edgenode.config.load import Configuration
from tests.proxy.http2.test_node import Client as Http2Client
from tests.proxy.websocket.dialogue import opened
from tests.support import memory
from tests.support.clients import Answer
from tests.support.memory import MemoryNode
from tests.support.node import PKI, Changes, get, ini

BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: a\r\nX-Powered-By: b\r\nX-Frame-Options: SAMEORIGIN\r\n"
DENY = "X-Frame-Options: DENY"
SECONDS = b"max-age=31536000"


def ruled(changes: Changes | None = None, /, group: str | None = None, **keys: str) -> Changes:
    """Rules of the path map, or of the server group too."""
    named = {name.replace("_", "-"): value for name, value in keys.items()}
    holder = (
        {"path-map all": {"response-rules": "site"}}
        if group is None
        else {"server-group open": {"response-rules": group}}
    )
    return memory.merged({"response-rules site": named, **holder}, changes or {})


@pytest.fixture(autouse=True)
def _pages(pki: PKI) -> None:
    (pki.folder / "down.html").write_text("<h1>${http.response.code}</h1><p>${cf.ray_id} ${http.host}\\n \\${x}</p>\n")
    (pki.folder / "down.json").write_text('{"status": ${http.response.code}, "id": "${cf.ray_id}"}')
    (pki.folder / "plain.txt").write_text("Down.\n")


def forwarded(node: MemoryNode, answer: bytes, request: bytes = get()) -> Answer:
    """What the client gets of an origin's answer."""
    client = node.client()
    client.send(request)
    node.asked().send(answer)
    return client.answer(request.split(b" ", 1)[0].decode())


# -- header fields -----------------------------------------------------------------------------------------------------


def test_fields_are_set_added_and_removed(pki: PKI) -> None:
    """What is set replaces the origin's, whatever the case of its name."""
    rules = ruled(set=DENY, add="Set-Cookie: a=1", remove="server x-POWERED-by")
    with memory.node(pki, rules) as node:
        answer = forwarded(node, BODY + b"Set-Cookie: o=1\r\nx-frame-OPTIONS: again\r\n\r\nok")
        assert answer.fields("x-frame-options") == [b"DENY"]
        assert answer.fields("set-cookie") == [b"o=1", b"a=1"]
        assert answer.fields("server") == answer.fields("x-powered-by") == []
        assert answer.body == b"ok"


def test_values_are_put_in_and_escaped(pki: PKI) -> None:
    """A client ends no header and begins no part of one."""
    query = "${url_decode(http.request.uri.query)}"
    lines = f"\n    X-Asked: {query}\n    Content-Security-Policy: report-uri /{query}"
    with memory.node(pki, ruled(set=lines)) as node:
        answer = forwarded(node, BODY + b"\r\nok", get("/?a%0d%0aSet-Cookie:%20b;%20c"))
        assert answer.fields("x-asked") == [b"a  Set-Cookie: b; c"]
        assert answer.fields("content-security-policy") == [b"report-uri /a%0D%0ASet-Cookie:%20b%3B%20c"]
        assert answer.fields("set-cookie") == []


@pytest.mark.parametrize("query", ["%20a%20", "%09", "%0a%0d", "%00a", ""])
def test_a_value_neither_begins_nor_ends_with_a_space(pki: PKI, query: str) -> None:
    """A client of HTTP/2 would take the answer for a malformed one (RFC 9113, section 8.2.1)."""
    changes: Changes = {
        "action no": {"type": "block", "headers": "x-asked: ${url_decode(http.request.uri.query)}"},
        "global-filter no": {"action": "no", "path": "^/no"},
    }
    with memory.node(pki, ruled(changes, set="X-Set: ${url_decode(http.request.uri.query)}")) as node:
        for path, names in (("/", (b"x-set",)), ("/no", (b"x-set", b"x-asked"))):
            client = Http2Client(node)
            stream = client.ask(f"{path}?{query}")
            if path == "/":
                node.asked().send(BODY + b"\r\nok")
            head = dict(client.head(stream))
            for name in names:
                assert head[name] == head[name].strip(b" \t")


@pytest.mark.parametrize("status", [200, 206, 304, 404, 503])
def test_rules_hold_for_their_statuses_alone(pki: PKI, status: int) -> None:
    """Whoever gives the answer."""
    with memory.node(pki, ruled(set=DENY, status="200-299 503")) as node:
        answer = forwarded(node, b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status)
        assert answer.fields("x-frame-options") == ([b"DENY"] if status in (200, 206, 503) else [])


def test_those_of_the_path_map_come_behind_those_of_the_group(pki: PKI) -> None:
    """They replace its fields, and can take them away."""
    changes: Changes = {
        "response-rules base": {"set": "\n    X-One: 1\n    X-Two: 2", "add": "X-Three: 3", "hsts": "max-age=5"},
        "server-group open": {"response-rules": "base"},
    }
    with memory.node(pki, ruled(changes, set="X-One: own", remove="x-two")) as node:
        answer = forwarded(node, BODY + b"X-Two: origin\r\n\r\nok")
        assert (answer.fields("x-one"), answer.fields("x-two"), answer.fields("x-three")) == ([b"own"], [], [b"3"])
        assert answer.fields("strict-transport-security") == [b"max-age=5"]


def test_rules_that_are_named_twice_hold_once(pki: PKI) -> None:
    """By the group and by the path map."""
    changes: Changes = {"server-group open": {"response-rules": "site"}}
    with memory.node(pki, ruled(changes, add="X-One: 1")) as node:
        assert forwarded(node, BODY + b"\r\nok").fields("x-one") == [b"1"]


def test_answers_of_the_node_have_them(pki: PKI) -> None:
    """But no cache may keep one: it is one client's."""
    lines = "\n    X-Frame-Options: DENY\n    Cache-Control: public, max-age=600\n    Expires: x"
    changes: Changes = {"global-filter no": {"action": "block", "path": "^/no"}}
    with memory.node(pki, ruled(changes, set=lines)) as node:
        answer = node.client().ask(get("/no"))
        assert answer.status == 403
        assert answer.fields("x-frame-options") == [b"DENY"]
        assert answer.fields("cache-control") == [b"no-store"]
        assert answer.fields("expires") == []
        answer = forwarded(node, BODY + b"Cache-Control: private\r\n\r\nok")
        assert answer.fields("cache-control") == [b"public, max-age=600"]


def test_what_an_action_says_of_its_answer_stays(pki: PKI) -> None:
    """It knows its answer better: a page with a script of its own would not run under another's policy."""
    changes: Changes = {
        "action no": {"type": "block", "headers": "content-security-policy: script-src 'sha256-x'"},
        "global-filter no": {"action": "no"},
    }
    with memory.node(pki, ruled(changes, set="Content-Security-Policy: default-src 'none'")) as node:
        assert node.client().ask(get()).fields("content-security-policy") == [b"script-src 'sha256-x'"]


def test_a_websocket_has_them(pki: PKI) -> None:
    """And is none the worse for it."""
    with memory.node(pki, ruled(set=DENY, remove="server")) as node:
        client, origin = opened(node, answer=[b"Server: a"])
        head = bytes(client.received)
        assert b"\r\nX-Frame-Options: DENY\r\n" in head
        assert b"Server: a" not in head
        assert head.count(b"Sec-WebSocket-Accept") == 1
        origin.close()
        client.close()
        node.loop.wait(10, 0.5)


# -- Strict-Transport-Security -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "keys", "expected"),
    [
        (b"", {}, SECONDS),
        (b"max-age=0", {}, b"max-age=0"),
        (b"max-age=0", {"hsts": "max-age=7; includeSubDomains"}, b"max-age=7; includeSubDomains"),
        (b"max-age=0", {"remove": "Strict-Transport-Security"}, SECONDS),
        (b"max-age=0", {"hsts": "off"}, b"max-age=0"),
        (b"max-age=0", {"hsts": "off", "remove": "Strict-Transport-Security"}, b""),
        (b"", {"hsts": "off"}, b""),
    ],
)
def test_clients_hear_of_strict_transport_security_once(
    pki: PKI, own: bytes, keys: dict[str, str], expected: bytes
) -> None:
    """Without the key the origin's own counts, with it the key."""
    line = b"Strict-Transport-Security: %b\r\n" % own if own else b""
    with memory.node(pki, ruled(set=DENY, **keys)) as node:
        answer = forwarded(node, BODY + line + b"\r\nok")
        assert answer.fields("strict-transport-security") == ([expected] if expected else [])
        answer = node.client().ask(get(method="BREW", host="open.test\r\nMax-Forwards: 0").replace(b"BREW", b"TRACE"))
        assert answer.status == 405


def test_without_rules_there_is_none(pki: PKI) -> None:
    """Nor is an answer changed otherwise."""
    with memory.node(pki) as node:
        assert forwarded(node, BODY + b"\r\nok").fields("strict-transport-security") == []


def test_over_plain_http_there_is_none(pki: PKI) -> None:
    """As a trusted proxy reports it (RFC 6797, section 7.2)."""
    with memory.node(pki, ruled({"edge": {"trusted-proxies": "127.0.0.1"}}, set=DENY)) as node:
        for scheme, expected in (("http", []), ("https", [SECONDS])):
            request = get("/", "open.test", f"X-Forwarded-Proto: {scheme}", "X-Forwarded-For: 192.0.2.1")
            assert forwarded(node, BODY + b"\r\nok", request).fields("strict-transport-security") == expected


# -- pages -------------------------------------------------------------------------------------------------------------

DOWN = "\n    404 500-599: down.html\n    404 500-599: down.json"
BAD = (
    b'HTTP/1.1 503 Busy\r\nContent-Length: 5\r\nContent-Type: text/x\r\nContent-Encoding: gzip\r\nETag: "a"\r\n'
    b"Cache-Control: max-age=600\r\nContent-Security-Policy: default-src a\r\nX-Content-Type-Options: no\r\n"
    b"Retry-After: 7\r\nSet-Cookie: a=1\r\nX-Kept: 1\r\n\r\nerror"
)


def test_a_page_takes_the_place_of_an_origins_error(pki: PKI) -> None:
    """What was about its body goes with it, no cache keeps it, and all else stays."""
    with memory.node(pki, ruled(error_page=DOWN)) as node:
        answer = forwarded(node, BAD, get("/", "open.test", "Accept: text/html,*/*;q=0.1"))
        identifier = node.records[0].identifier
        assert answer.status == 503
        assert answer.body == b"<h1>503</h1><p>%b open.test\\n ${x}</p>\n" % identifier
        assert answer.fields("content-type") == [b"text/html; charset=utf-8"]
        assert answer.fields("cache-control") == [b"no-store"]
        assert answer.fields("content-encoding") == answer.fields("etag") == []
        assert answer.fields("content-security-policy") == []
        assert answer.fields("x-content-type-options") == [b"nosniff"]
        assert (answer.fields("retry-after"), answer.fields("set-cookie")) == ([b"7"], [b"a=1"])
        assert (answer.fields("x-kept"), answer.fields("vary")) == ([b"1"], [b"Accept"])
        record = node.records[0]
        assert (record.status, record.origin_status, record.sent) == (503, 503, len(answer.body))
        assert forwarded(node, BODY + b"\r\nok").status == 200
        assert len(node.opened) == 1


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/html"),
        ("*/*", "text/html"),
        ("application/json", "application/json"),
        ("text/html;q=0.2, application/*;q=0.3", "application/json"),
        ("text/*;q=0.5, application/json;q=0.5", "text/html"),
        ("image/png", "text/html"),
        ("text/html;q=0, */*", "application/json"),
        ("TEXT/HTML;Q=1, application/json;q=0.9", "text/html"),
        ("application/json;q=nan, text/html;q=0.1", "text/html"),
    ],
)
def test_the_page_is_the_one_that_the_client_likes_best(pki: PKI, accept: str, expected: str) -> None:
    """The first if it likes several, or none."""
    with memory.node(pki, ruled(error_page=DOWN)) as node:
        answer = forwarded(node, BAD, get("/", "open.test", *([f"Accept: {accept}"] if accept else ())))
        assert answer.fields("content-type")[0].startswith(expected.encode())
        if expected == "application/json":
            assert json.loads(answer.body) == {"status": 503, "id": node.records[0].identifier.decode()}


def test_head_has_the_length_of_the_page_and_no_body(pki: PKI) -> None:
    """RFC 9110, section 9.3.2."""
    with memory.node(pki, ruled(error_page="503: plain.txt")) as node:
        answer = forwarded(node, b"HTTP/1.1 503 x\r\nContent-Length: 999\r\n\r\n", get(method="HEAD"))
        assert (answer.fields("content-length"), answer.body) == ([b"6"], b"")
        assert node.records[0].sent == 0
        assert forwarded(node, BODY + b"\r\nok").body == b"ok"


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_body_that_is_dropped_leaves_the_connection_usable(pki: PKI, pieces: int) -> None:
    """The client does not wait for it, and the origin is asked again on the same connection."""
    with memory.node(pki, ruled(error_page="503: plain.txt")) as node:
        client = node.client()
        client.send(get())
        origin = node.origin()
        origin.read()
        data = BAD.replace(b"Content-Length: 5", b"Content-Length: 50000").replace(b"error", b"")
        origin.send(data)
        assert client.answer().body == b"Down.\n"
        for _ in range(pieces):
            origin.send(bytes(50_000 // pieces))
        origin.send(bytes(50_000 - 50_000 // pieces * pieces))
        client.send(get("/second"))
        node.asked().send(BODY + b"\r\nok")
        assert client.answer().body == b"ok"
        assert len(node.opened) == 1
        assert [record.sent for record in node.records] == [6, 2]


@pytest.mark.parametrize("length", [b"Content-Length: 9000000", b"Transfer-Encoding: chunked"])
def test_a_large_body_is_not_waited_for(pki: PKI, length: bytes) -> None:
    """Its connection is given up; the client has its page and its connection."""
    with memory.node(pki, ruled(error_page="503: plain.txt")) as node:
        client = node.client()
        client.send(get())
        origin = node.origin()
        origin.read()
        origin.send(b"HTTP/1.1 503 x\r\n%b\r\n\r\n" % length)
        assert client.answer().body == b"Down.\n"
        for _ in range(20):
            origin.send(b"1000\r\n%b\r\n" % bytes(4096))
        node.loop.settle()
        origin.read()
        assert origin.ended
        assert not client.ended
        client.send(get("/second"))
        node.origin().send(BODY + b"\r\nok")
        assert client.answer().body == b"ok"


def test_a_body_that_trickles_is_not_waited_for(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs it, and its connection could be another's."""
    monkeypatch.setattr("edgenode.proxy.answers._LONGEST_DROPPED", 0.0)
    with memory.node(pki, ruled(error_page="503: plain.txt")) as node:
        client = node.client()
        client.send(get())
        origin = node.origin()
        origin.send(b"HTTP/1.1 503 x\r\nContent-Length: 9\r\n\r\n")
        assert client.answer().body == b"Down.\n"
        origin.send(b"x")
        origin.read()
        assert origin.ended


def test_a_body_that_breaks_off_does_no_harm(pki: PKI) -> None:
    """The client has its page already, and its next request."""
    with memory.node(pki, ruled(error_page="503: plain.txt")) as node:
        client = node.client()
        client.send(get())
        node.origin().send(b"HTTP/1.1 503 x\r\nContent-Length: 9\r\n\r\nhalf")
        assert client.answer().body == b"Down.\n"
        client.send(get("/second"))
        node.opened[0].close()
        node.loop.settle()
        node.origin().send(BODY + b"\r\nok")
        assert client.answer().body == b"ok"


def test_an_error_while_the_client_still_sends_ends_the_request(pki: PKI) -> None:
    """As without a page: nobody takes the rest."""
    with memory.node(pki, ruled(error_page="413: plain.txt")) as node:
        client = node.client()
        client.send(get("/", "open.test", "Content-Length: 100", method="POST", body=b"begin"))
        origin = node.origin()
        origin.send(b"HTTP/1.1 413 x\r\nContent-Length: 9\r\n\r\nhalf")
        answer = client.answer()
        assert (answer.body, answer.fields("connection")) == (b"Down.\n", [b"close"])
        origin.read()
        assert origin.ended, "it waits for the rest of the request"


def test_errors_of_an_origin_can_be_kept(pki: PKI) -> None:
    """And the node's own have their page."""
    with memory.node(pki, ruled(error_page="502 503: plain.txt", origin_errors="keep")) as node:
        answer = forwarded(node, BAD)
        assert (answer.body, answer.fields("etag")) == (b"error", [b'"a"'])
        node.opened[0].close()
        node.refusing = True
        answer = node.client().ask(get())
        assert (answer.status, answer.body) == (502, b"Down.\n")
        assert answer.fields("cache-control") == [b"no-store"]


def test_the_page_of_the_path_map_comes_before_that_of_the_group(pki: PKI) -> None:
    """For its statuses; the group's are for all others."""
    changes: Changes = {
        "response-rules base": {"error-page": '\n    502 503: "group"\n    502: down.html'},
        "server-group open": {"response-rules": "base"},
    }
    with memory.node(pki, ruled(changes, error_page='502: "own"')) as node:
        assert forwarded(node, BAD).body == b"group\n"
        node.opened[0].close()
        node.refusing = True
        assert node.client().ask(get("/", "open.test", "Accept: text/html")).body == b"own\n"


def _refused(node: MemoryNode, host: str = "open.test", *lines: str, path: str = "/", **options: Any) -> Answer:
    return node.client(host).ask(get(path, host, *lines, **options))


GROUP_PAGES = "\n".join(f'    {status}: "page {status}"' for status in (403, 404, 405, 413, 421, 429, 495, 496))


@pytest.mark.parametrize(
    ("status", "page", "refuse"),
    [
        (404, 404, lambda node: _refused(node, path="/nowhere")),
        (405, 405, lambda node: _refused(node, path="/shop", method="TRACE")),
        (413, 413, lambda node: _refused(node, "open.test", "Content-Length: 9", path="/shop", method="POST")),
        (421, 421, lambda node: node.client("open.test").ask(get("/", "strict.test"))),
        (400, 496, lambda node: _refused(node, "strict.test")),
        (403, 403, lambda node: _refused(node, path="/shop/403")),
        (429, 429, lambda node: _refused(node, path="/shop/429")),
    ],
)
def test_a_server_group_has_its_own_pages(
    pki: PKI, status: int, page: int, refuse: Callable[[MemoryNode], Answer]
) -> None:
    """Also where no path map is responsible, where the certificate is wrong, and for actions without a body of their
    own."""
    changes: Changes = {
        "response-rules base": {"error-page": "\n" + GROUP_PAGES, "set": DENY},
        "server-group open": {"response-rules": "base"},
        "server-group strict": {"response-rules": "base"},
        "path-map all": {"path": "^/shop", "max-body-size": "8"},
        "action busy": {"type": "block", "status": "429", "headers": "retry-after: 7"},
        "global-filter a": {"action": "block", "path": "^/shop/403"},
        "global-filter b": {"action": "busy", "path": "^/shop/429"},
    }
    with memory.node(pki, changes) as node:
        answer = refuse(node)
        assert (answer.status, answer.body) == (status, b"page %d\n" % page)
        assert answer.fields("content-length") == [b"%d" % len(answer.body)]
        assert (answer.fields("x-frame-options"), answer.fields("cache-control")) == ([b"DENY"], [b"no-store"])
        assert answer.fields("strict-transport-security") == [SECONDS]
        assert answer.fields("retry-after") == ([b"7"] if status == 429 else [])
        assert bool(answer.fields("allow")) == (status == 405)


def test_a_body_of_an_actions_own_stays(pki: PKI) -> None:
    """Somebody has written it for that very refusal."""
    changes: Changes = {
        "action no": {"type": "block", "body": "Because."},
        "global-filter no": {"action": "no"},
    }
    with memory.node(pki, ruled(changes, error_page="403: plain.txt")) as node:
        assert node.client().ask(get()).body == b"Because.\n"


@pytest.mark.parametrize("own", [False, True])
def test_over_http_2_it_is_the_same(pki: PKI, own: bool) -> None:
    """Fields and pages, the origin's errors and our own."""
    with memory.node(pki, ruled(set=DENY, error_page="502 503: plain.txt")) as node:
        node.refusing = own
        client = Http2Client(node)
        stream = client.ask("/")
        if not own:
            node.origin().send(BAD)
        head = client.head(stream)
        assert dict(head)[b":status"] == (b"502" if own else b"503")
        assert [value for name, value in head if name == b"content-length"] == [b"6"]
        assert {(b"x-frame-options", b"DENY"), (b"strict-transport-security", SECONDS)} <= set(head)
        assert client.body(stream) == b"Down.\n"


@pytest.mark.parametrize("own", [False, True])
def test_a_call_of_grpc_gets_no_page(pki: PKI, own: bool) -> None:
    """Its answer is left alone, but for the fields of its head."""
    with memory.node(pki, ruled(set=DENY, error_page="502 503: plain.txt")) as node:
        node.refusing = own
        client = Http2Client(node)
        fields = (b"content-type", b"application/grpc"), (b"te", b"trailers")
        stream = client.ask("/a.B/C", *fields, method="POST", body=b"")
        if not own:
            node.origin().send(BAD)
        head = dict(client.head(stream))
        assert head[b":status"] == (b"200" if own else b"503")
        assert head[b"x-frame-options"] == b"DENY"
        assert (b"grpc-status" in head) is own
        assert client.body(stream) == (b"" if own else b"error")


def test_a_compressed_error_is_replaced_whole(pki: PKI) -> None:
    """The page is not read as what the origin has sent."""
    body = gzip.compress(b"error")
    with memory.node(pki, ruled(error_page="500: plain.txt")) as node:
        answer = forwarded(
            node, b"HTTP/1.1 500 x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert (answer.body, answer.fields("content-encoding")) == (b"Down.\n", [])


def test_markup_in_a_page_is_escaped(pki: PKI) -> None:
    """Whatever a client asks for."""
    (pki.folder / "asked.html").write_text("<p>${url_decode(http.request.uri.path)}</p>")
    with memory.node(pki, ruled(error_page="404: asked.html")) as node:
        answer = forwarded(node, b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", get("/%3Cscript%3E"))
        assert answer.body == b"<p>/&lt;script&gt;</p>"
        assert answer.fields("x-content-type-options") == [b"nosniff"]


def test_a_page_that_has_changed_is_read_anew(pki: PKI) -> None:
    """And one that cannot be used leaves the old one in use."""
    text = ini(80, memory.merged(memory.PLAIN, ruled(error_page="503: plain.txt")))
    before = Configuration.from_text(text, pki.folder, {})
    (pki.folder / "plain.txt").write_text("Still down.\n")
    assert set(before.changed()) == {"response-rules site"}
    after, problems = before.refreshed(before.changed())
    assert problems == []
    with memory.node(pki, ruled(error_page="503: plain.txt"), lambda _: after) as node:
        assert forwarded(node, BAD).body == b"Still down.\n"
    (pki.folder / "plain.txt").write_bytes(b"\xff")
    same, problems = after.refreshed(after.changed())
    assert same is after
    assert [problem.key for problem in problems] == ["error-page"]


def test_what_is_the_same_is_made_once(pki: PKI) -> None:
    """A thousand path maps with the same rules take the memory of one, and so do two hundred statuses."""
    rules = ruled(set=DENY, status="400-599 200", error_page='500-599: "x"')
    rules = memory.merged(rules, {"path-map other": {"origin": "origin", "path": "^/x", "response-rules": "site"}})
    rules = memory.merged(rules, {"security-policy all": {"path-maps": "other all"}})
    with memory.node(pki, rules) as node:
        group = node.port.context.router.named("open.test")
        assert group is not None
        first, second = (each.responses for each in group.path_maps)
        assert first is second
        assert first is not None
        assert first.changes(404) is first.changes(200)
        assert first.changes(300) is not first.changes(200)
        assert len({id(pages[0]) for pages in first.pages.values()}) == 1


def test_limits_see_what_the_origin_answered_behind_a_page(pki: PKI) -> None:
    """Failures of the origin are counted, in whatever form the client hears of them; the refusal has its page too."""
    changes: Changes = {"rate-limit failures": {"key": "ip", "limit": "2 per 1m", "count": "status >= 400"}}
    with memory.node(pki, ruled(changes, error_page='\n    503: plain.txt\n    429: "slow down"')) as node:
        client = node.client()
        for expected in (503, 503, 429):
            client.send(get())
            if expected == 503:
                node.asked().send(BAD)
            answer = client.answer()
            assert answer.status == expected
        assert answer.body == b"slow down\n"
        assert answer.fields("retry-after") == [b"60"]
        assert len(node.opened) == 1
