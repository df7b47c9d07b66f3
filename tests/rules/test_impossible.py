"""What is called impossible is: no value that a request was read with is called so."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgenode.model.errors import ClientError
from edgenode.model.exchange import NO_BODY, Address, Body, Connection, Exchange
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.rules.fields import FIELDS
from edgenode.rules.formulas import Predicate, Subject
from edgenode.rules.language.patterns import quote, wildcard
from edgenode.rules.language.types import BYTES
from edgenode.rules.matching.impossible import FORMS, impossible, is_never_empty
from tests.policy.test_seeds import ENCRYPTED
from tests.support.requests import request_of


def _never(predicate: Predicate) -> bool:
    """Whether it is said never to be true; "only" is another word."""
    return impossible(predicate).startswith("this never")


OF_REQUESTS = tuple(
    name
    for name in ("http.host", "edge.authority", "http.request.method", "http.request.uri", "http.request.full_uri",
                 "http.request.uri.path", "http.request.uri.query", "raw.http.request.uri.path", "edge.path")
)  # fmt: skip
HOSTS = st.from_regex(r"[A-Za-z0-9_.\-]{1,12}(:[0-9]{1,5})?|\[[0-9a-f:.]{2,12}\](:[0-9]{1,5})?", fullmatch=True)


@example("GET", "a_b.test:443", "/")
@example("get", "A.test.:8443", "/%2f?x=?")
@example("M-SEARCH", "[::1]:8443", "*")
@given(
    st.sampled_from(["GET", "get", "M-SEARCH", "!x"]),
    HOSTS,
    st.from_regex(r"/[A-Za-z0-9/.%_?=&;~-]{0,12}", fullmatch=True),
)
def test_what_a_request_has_is_never_called_impossible(method: str, host: str, target: str) -> None:
    """Nor is it as an exact expression or as a part of the value; and it is not empty where nothing is said to be."""
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    try:
        request = read_request_head(head, HeadLimits(8192, 16384, 100), b"https").with_body(NO_BODY)
    except ClientError:
        return
    exchange = Exchange(ENCRYPTED, request, "192.0.2.7")
    for name in OF_REQUESTS:
        field = FIELDS[name]
        value = field.read(exchange)
        if value is None:
            continue
        assert value or not is_never_empty(name), name
        subject = Subject(name, field.type, lambda _: ())
        assert not _never(Predicate(subject, "equal", value)), (name, value)
        text = re.escape(value.decode("latin-1"))
        for pattern in (f"^{text}$", text, f"^{text[:3]}" if "\\" not in text[:4] else "^"):
            assert not _never(Predicate(subject, "regex", pattern)), (name, pattern)


TARGETS = (
    "/", "*", "/a", "/a//b/./c/../d?x=%c3%bc&y=a+b?c", "/%61dmin/%2F%2fx%3F%3fy%23/a%20b%C3%BC%e2%82%ac", "/?", "/?#",
    "/a.b/c.tar.GZ", "/x.PHP?", "/??a", "https://www.test/full?x", "/a;b=c/../d", "/~user/'a'(b)!$&*,:@", "/a%7Eb",
    "/..a/a..", "/%25%32%46", "/a%0ab", "/a|b", "/a%5Cb", "/shop.v1.Cart/Add%0aItem?x",
)  # fmt: skip
BODIES = (b"", b"{}", b"%PDF-1", b"<!DOCTYPE html>", b"\xff\xd8\xff")


def exchanges() -> list[Exchange]:
    """Those of the targets that a listener lets through."""
    found: list[Exchange] = []
    for method, target in (("OPTIONS" if target == "*" else "GET", target) for target in TARGETS):
        for version, host in (("1.1", "WWW.test:8443"), ("1.0", "[2001:DB8::1]"), ("1.1", "xn--bcher-kva.test.")):
            try:
                request = request_of(f"{method} {target} HTTP/{version}", "Content-Type: application/grpc", host=host)
            except ClientError:
                continue
            request.body = Body(BODIES[len(found) % len(BODIES)])
            connection = Connection(
                Address("192.0.2.7", 1), Address("192.0.2.1", 443), "www.test", alpn="h2", tls_version="TLSv1.3"
            )
            found.append(
                Exchange(connection, request, "192.0.2.7", frozenset({"all"}), "a", "b", "c", time=1e9, identifier=b"i")
            )
    return found


def values(key: str) -> set[bytes]:
    """All that a field has in these exchanges."""
    field = FIELDS[key.removesuffix("[*]")]
    found = [field.read(each) for each in exchanges()]
    return {text for each in found if each is not None for text in (each if isinstance(each, tuple) else (each,))}


@pytest.mark.parametrize("key", FORMS)
def test_what_a_field_has_is_not_impossible(key: str) -> None:
    """Whole, in part, at its beginning and at its end, as a text and as a wildcard."""
    if FIELDS[key.removesuffix("[*]")].needs & {"geography", "certificate"}:
        return
    subject = Subject(key, BYTES, lambda exchange: None)
    found = values(key)
    assert found
    for value in found:
        assert not _never(Predicate(subject, "equal", value))
        for end in range(1, len(value) + 1):
            patterns = [rf"\A{quote(value[:end])}", rf"{quote(value[-end:])}\z"]
            patterns += [quote(value[start:end]) for start in range(max(0, end - 4), end)]
            if not {b"*", b"\\"} & {value[index : index + 1] for index in range(end)}:
                patterns.append(wildcard(value[:end] + b"*", strict=False))
            for pattern in patterns:
                assert re.search(pattern.replace(r"\z", r"\Z").encode("latin-1"), value) is not None
                assert not _never(Predicate(subject, "regex", pattern)), pattern
