"""What is accepted is accepted by llhttp, and read the same; what only llhttp takes is refused for a known reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from edgenode.model.errors import ClientError
from edgenode.proxy.http1.fields import MalformedHead
from edgenode.proxy.http1.request_head import read_request_head
from edgenode.proxy.http1.response_head import read_response_head
from edgenode.proxy.listener.limits import HeadLimits
from tests.fuzz import request_head, response_head
from tests.support import llhttp

_LIMITS = HeadLimits(1024, 8192, 64)

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}(?= )")
_METHODS = frozenset(
    b"""GET HEAD POST PUT PATCH DELETE OPTIONS TRACE QUERY ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY
    MKCALENDAR MKCOL MOVE NOTIFY PRI PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK
    UNSUBSCRIBE CONNECT""".split()
)

STRICTER: Mapping[str, str] = {
    # one server, one authority (RFC 9112, section 3.2)
    "the Host field is missing": "HTTP/1.0 may leave it out, if a listener presumes one",
    "the Host field is repeated": "two readers take two hosts",
    "the authority is not a valid host": "what is no host name is matched by no rule",
    "the authority is not a valid address": "likewise",
    # request lines
    "the request line is malformed": "llhttp takes HTTP/0.9, and other protocols: RTSP, ICE",
    "HTTP/0.9 is not spoken": "a response to it has no head",
    "the version is neither HTTP/1.1 nor HTTP/1.0": "llhttp takes 0.9 and 2.0",
    "CONNECT is not served": "there is nothing to tunnel to",
    "the method is longer than any": "a limit of ours",
    "the request target is too long": "a limit of ours",
    "too many header fields": "a limit of ours",
    "the request head is too large": "a limit of ours",
    # targets, which llhttp looks at byte by byte at the most
    "the target contains a character that no URI has": "RFC 3986",
    "the target is neither a path nor an absolute URI": "RFC 9112, section 3.2",
    "the path contains a character that no URI has": "a backslash is a slash to some",
    "a percent sign in the path is not followed by two hexadecimal digits": "decoders differ",
    "a dot segment with parameters": "Java's servers resolve it, others do not",
    "dot segments beside empty segments can be resolved in two ways": "one of them leads elsewhere",
    "the path leads above the root": "resolvers differ",
    "the path contains an encoded NUL, CR or LF": "C's strings end at the one, and for $ of PCRE a path at the others",
    "an encoded slash or percent sign hides a dot segment": "who decodes twice resolves it",
    "an overlong UTF-8 sequence, which some decoders read as another character": "RFC 3629, section 10",
    # framing and fields
    "a Transfer-Encoding other than chunked": "RFC 9112, section 6.1: faulty, and smuggled with",
    "a Transfer-Encoding in HTTP/1.0": "likewise",
    "a transfer coding besides chunked": "501",
    "a malformed Content-Length": "llhttp takes all that fit into 64 bits",
    "the Content-Type field is repeated": "rules see one body by one type",
    "an expectation other than 100-continue": "417",
}
"""For what heads are refused here that llhttp accepts, and why."""

STRICTER_RESPONSES: Mapping[str, str] = {
    "the status line is malformed": "llhttp takes other versions",
    "the status X is none of HTTP's": "llhttp takes any three digits",
    "a Transfer-Encoding other than chunked": "RFC 9112, section 6.1",
    "a Transfer-Encoding in HTTP/1.0": "likewise",
    "both Content-Length and Transfer-Encoding": "likewise",
    "a malformed Content-Length": "as for requests",
}


def check(data: bytes) -> None:
    """The first byte says whether it is a response; the rest is read up to the first empty line."""
    response, data = data[:1] == b"R", data[1:]
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return
    if response:
        _check_response(data[:end])
    else:
        _check_request(data[:end])


def _check_request(head: bytes) -> None:
    method = _METHOD.match(head)
    if method is not None and method[0] not in _METHODS:  # llhttp takes those that it knows
        head = b"POST" + head[method.end() :]
    theirs = llhttp.read_request(head)
    try:
        ours = read_request_head(head, _LIMITS)
    except ClientError as error:
        _check_reason(theirs, head, error.reason, STRICTER)
        return
    if theirs is None:
        # The value of a field does not include the white space around it (RFC 9112, section 5); llhttp takes it in.
        assert ours.length is None, "llhttp refuses it"
        return
    heard = theirs.heard
    assert (theirs.start, theirs.version) == (ours.method, f"{ours.version[0]}.{ours.version[1]}")
    assert heard.target == ours.target
    lines = [line.partition(b":") for line in ours.field_lines]
    assert heard.fields == tuple((name, value.strip(b" \t")) for name, _, value in lines)
    assert heard.keep_alive == ours.keep_alive
    # Behind an upgrade llhttp stops; one to another protocol than WebSocket is ignored here, and WebSocket refused.
    assert heard.complete == (ours.length == 0) or b"upgrade" in ours.options
    assert not heard.body


def _check_reason(theirs: llhttp.Read | None, head: bytes, reason: str, known: Mapping[str, str]) -> None:
    # It ignores empty lines before the first; those are not part of a head here.
    reason = re.sub("[0-9]{3} is", "X is", reason)
    assert theirs is None or head.startswith(b"\r\n") or reason in known, reason


def _check_response(head: bytes) -> None:
    theirs = llhttp.read_response(head)
    try:
        ours = read_response_head(head, b"GET")
    except MalformedHead as error:
        _check_reason(theirs, head, str(error), STRICTER_RESPONSES)
        return
    if theirs is None:
        # 101 is refused where it was not asked for; for white space behind "chunked" see above.
        assert ours.status == 101 or b"transfer-encoding" in ours.fields, "llhttp refuses it"
        return
    heard = theirs.heard
    assert (theirs.start, heard.reason) == (ours.status, ours.reason)
    assert tuple((name.lower(), value) for name, value in heard.fields) == ours.headers
    if heard.keep_alive != ours.keep_alive:
        # A 204 that announces a body may send it; to llhttp a coding that ends in white space is none.
        assert ours.status == 204 or b"transfer-encoding" in ours.fields
    assert heard.complete or ours.body is not None


def seeds() -> Iterator[bytes]:
    """Those of the two kinds of heads."""
    yield from (b"Q" + seed for seed in request_head.seeds())
    yield from (b"R" + seed[1:] for seed in response_head.seeds())
