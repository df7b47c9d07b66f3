"""What is called impossible is: no value that a request was read with is called so."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from edgenode.model.errors import ClientError
from edgenode.model.exchange import NO_BODY, Exchange
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.rules.fields import FIELDS
from edgenode.rules.formulas import Predicate, Subject
from edgenode.rules.matching.impossible import impossible, is_never_empty
from tests.policy.test_seeds import ENCRYPTED

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
        assert not impossible(Predicate(subject, "equal", value)), (name, value)
        text = re.escape(value.decode("latin-1"))
        for pattern in (f"^{text}$", text, f"^{text[:3]}" if "\\" not in text[:4] else "^"):
            assert not impossible(Predicate(subject, "regex", pattern)), (name, pattern)
