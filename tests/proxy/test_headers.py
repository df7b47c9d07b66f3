"""Fields on their way: what crosses, what does not, and what is added, in each direction."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies

from edgenode.proxy import header_names
from edgenode.proxy.framing import END_TO_END
from edgenode.proxy.header_names import (
    HOP_BY_HOP,
    claims_certificate,
    crosses,
    misleads,
    request_header_fault,
    response_header_fault,
)
from edgenode.proxy.headers import answered_here, max_forwards_line, request_lines, response_lines, via_line
from edgenode.proxy.http1.response_head import read_response_head
from tests.proxy.http1.test_request_head import read

NAMES = (
    "client-cert", "client-cert-chain", "x-forwarded-client-cert", "x-forwarded-tls-client-cert", "x-ssl-client-verify",
    "ssl-client-cert", "ssl-client-s-dn", "ssl-client-verify", "x-client-cert", "x-arr-clientcert",
    "x-amzn-mtls-clientcert", "wl-proxy-client-cert", "cf-client-cert-sha256",
)  # fmt: skip


# -- names -----------------------------------------------------------------------------------------------------------


@given(strategies.sampled_from(NAMES), strategies.data())
def test_every_separator_is_the_same(name: str, data: strategies.DataObject) -> None:
    """Whatever characters of a token stand between the words, and around them, the name claims the same."""
    separators = strategies.text("-_.!#$%&'*+^`|~", min_size=1, max_size=3)
    spelled = "".join(data.draw(separators) if character == "-" else character for character in name)
    around = strategies.text("-_.", max_size=2)
    assert claims_certificate(f"{data.draw(around)}{spelled}{data.draw(around)}".encode())


@pytest.mark.parametrize(
    "name",
    [b"client", b"client-id", b"cert", b"x-client-version", b"accept", b"x-request-id", b"content-type", b"x-trace"],
)
def test_innocent_names(name: bytes) -> None:
    """Names that merely resemble them are passed on."""
    assert not claims_certificate(name)


CLAIMS = (
    b"x-original-url", b"x-rewrite-url", b"x-original-uri", b"x-original-host", b"x-host", b"x-real-ip",
    b"true-client-ip", b"cf-connecting-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-forwarded-for",
    b"x-forwarded-proto", b"x-forwarded-anything", b"forwarded", b"x-request-id", b"remote-user", b"x-remote-user",
    b"remote-addr", b"front-end-https", b"proxy", b"via",
)  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("spelled", [b"%b", b"-%b", b"%b-", b"--%b--"])
def test_what_a_client_only_claims_does_not_cross(name: bytes, spelled: bytes) -> None:
    """In any spelling of hyphens: where it comes from, who it is, what it really asks for."""
    assert misleads(spelled % name)
    assert not crosses(spelled % name)
    for separator in (b"_", b".", b"~"):
        assert not crosses((spelled % name).replace(b"-", separator))


@pytest.mark.parametrize("name", sorted(header_names.CROSSING))
def test_what_crosses_at_once_crosses_by_the_rule(name: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of frequent names only saves time: the rule says the same of each."""
    monkeypatch.setattr(header_names, "CROSSING", frozenset())
    assert crosses(name)
    assert not misleads(name)
    assert name not in HOP_BY_HOP


@pytest.mark.parametrize("name", [*sorted(HOP_BY_HOP), b"host", b"content-length", b"expect", b"max-forwards"])
def test_what_is_of_one_hop_does_not_cross(name: bytes) -> None:
    """Nor does framing, in any spelling that CGI would read as that."""
    for spelled in (name, b"-" + name, name + b"-", name.replace(b"-", b"_")):
        assert not crosses(spelled)


@pytest.mark.parametrize("name", [b"user_agent", b"a.b", b"x!", b"x'", b"\x80"])
def test_strange_names_do_not_cross(name: bytes) -> None:
    """CGI reads ``User_Agent`` as ``User-Agent``, which rules have not seen."""
    assert misleads(name)
    assert not crosses(name)


def test_the_node_s_own_headers_cannot_be_set_by_an_action() -> None:
    """Of framing, of one hop, of certificates, of where a request comes from; everything else can."""
    for name in (b"host", b"connection", b"client-cert", b"x-forwarded-for", b"via", b"a_b", b"x-request-id", b"te"):
        assert request_header_fault(name)
    for name in (b"connection", b"content-length", b"date", b"via", b"content-type", b"location", b"cache-control"):
        assert response_header_fault(name)
    assert not request_header_fault(b"x-mine")
    assert not response_header_fault(b"x-mine")


# -- requests ----------------------------------------------------------------------------------------------------------


def _kept(*lines: bytes, without: tuple[bytes, ...] = ()) -> list[bytes]:
    return request_lines(read(*lines), without).split(b"\r\n")[:-1]


def test_lines_cross_as_they_were_received() -> None:
    """In their order, names as they were written; Host and framing are written anew."""
    assert _kept(b"x-A: 1", b"Content-Length: 5", b"ACCEPT: b", b"X-a: 2") == [b"x-A: 1", b"ACCEPT: b", b"X-a: 2"]


def test_what_connection_nominates_does_not_cross() -> None:
    """But for what rules have judged."""
    lines = (b"X-Hop: 1", b"X-Other: 2", b"Authorization: Basic QTpC", b"Cookie: a=b", b"Accept: c")
    kept = _kept(b"Connection: x-hop, AUTHORIZATION, cookie, accept", *lines)
    assert kept == list(lines[1:])


@pytest.mark.parametrize("name", sorted(END_TO_END - {b"host", b"content-length"}))
def test_what_rules_have_judged_cannot_be_nominated_away(name: bytes) -> None:
    """Else a filter that let a request pass for its credentials would send it without."""
    assert _kept(b"Connection: " + name, name + b": 5") == [name + b": 5"]


def test_what_an_action_sets_takes_the_place_of_what_came() -> None:
    """All of it."""
    assert _kept(b"X-Mark: 1", b"x-mark: 2", b"X: y", without=(b"x-mark",)) == [b"X: y"]


def test_via_names_every_hop() -> None:
    """Those before us, then us, with the version in which we were spoken to."""
    assert via_line(read(), b"edge") == b"Via: 1.1 edge\r\n"
    assert via_line(read(start=b"GET / HTTP/1.0"), b"edge") == b"Via: 1.0 edge\r\n"
    assert via_line(read(b"Via: 1.0 a", b"Via: 1.1 b"), b"edge") == b"Via: 1.0 a, 1.1 b, 1.1 edge\r\n"


@pytest.mark.parametrize(
    ("method", "value", "status", "line"),
    [
        (b"OPTIONS", b"0", 204, b""),
        (b"TRACE", b"0", 405, b""),
        (b"TRACE", b"000", 405, b""),
        (b"OPTIONS", b"1", 0, b"Max-Forwards: 0\r\n"),
        (b"TRACE", b"10", 0, b"Max-Forwards: 9\r\n"),
        (b"GET", b"0", 0, b"Max-Forwards: 0\r\n"),
        (b"GET", b"5", 0, b"Max-Forwards: 5\r\n"),
        (b"OPTIONS", b"a", 0, b""),
        (b"OPTIONS", b"-1", 0, b""),
        (b"OPTIONS", b"1234567890", 0, b""),
        (b"OPTIONS", None, 0, b""),
    ],
)
def test_max_forwards_counts_for_two_methods(method: bytes, value: bytes | None, status: int, line: bytes) -> None:
    """RFC 9110, section 7.6.2."""
    request = read(*(() if value is None else (b"Max-Forwards: " + value,)), start=method + b" / HTTP/1.1")
    answer = answered_here(request, b"GET, OPTIONS")
    assert answer is None or answer.headers == ((b"allow", b"GET, OPTIONS"),)
    assert (0 if answer is None else answer.status) == status
    if not status:
        assert max_forwards_line(request) == line


# -- responses ---------------------------------------------------------------------------------------------------------


def _sent(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> list[bytes]:
    head = b"\r\n".join((start, *lines, b"", b""))
    return response_lines(read_response_head(head, b"GET"), b"edge").split(b"\r\n")[:-1]


def test_a_response_crosses_as_it_was_received() -> None:
    """Without framing and hop-by-hop fields, with Via, and with a Date if it has none."""
    lines = (b"Server: a", b"Set-Cookie: a", b"set-cookie: b", b"Date: yesterday", b"ETag: c")
    hops = (b"Connection: x-hop", b"X-Hop: 1", b"Keep-Alive: a", b"Proxy-Authenticate: a", b"Content-Length: 5",
            b"Upgrade: a", b"Trailer: b")  # fmt: skip
    assert _sent(*lines, *hops) == [*lines, b"Via: 1.1 edge"]
    *sent, date = _sent(b"Via: 1.0 a", b"VIA: 1.1 b")
    assert sent == [b"Via: 1.0 a, 1.1 b, 1.1 edge"]
    assert re.fullmatch(rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT", date)


def test_an_interim_response_is_given_no_date() -> None:
    """Its time is not the response's."""
    assert _sent(b"Link: a", start=b"HTTP/1.1 103 Early Hints") == [b"Link: a", b"Via: 1.1 edge"]


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (b"Vary: Accept", b"Vary: Accept"),
        (b"vary: accept, Client-Cert", b"vary: *"),
        (b"VARY: X-SSL-Client-Verify", b"VARY: *"),
        (b"Vary: Client_Cert", b"Vary: *"),
        (b"X-Vary: Client-Cert", b"X-Vary: Client-Cert"),
    ],
)
def test_what_varies_by_a_certificate_varies_by_everything(line: bytes, sent: bytes) -> None:
    """RFC 9440, section 2.4."""
    assert _sent(b"Date: a", b"Vary: Accept-Language", line) == [
        b"Date: a", b"Vary: Accept-Language", sent, b"Via: 1.1 edge",
    ]  # fmt: skip
