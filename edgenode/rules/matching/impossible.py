"""Values that a field never has, however plausible they look.

Law: what is called impossible is; each sentence says in which form the field has its values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import frozen

from edgenode.rules.formulas import Predicate

_NOT_A_PATH = re.compile(r"\^(?:\[\^/\](?![?*{])|[A-Za-z0-9_~-](?![?*{])|\$)", re.ASCII)
"""The beginning of an expression for texts that begin with anything but a slash."""


@frozen(eq=False)
class _Form:
    """In which form a field has its values.

    :ivar possible: whether it can have one.
    :ivar sentence: the form, in words.
    """

    possible: Callable[[bytes], object]
    sentence: str


_PATH = _Form(lambda text: text[:1] in (b"/", b"*"), "a path begins with /")
_HOST = _Form(
    lambda host: host == host.lower() and (b":" not in host or host.endswith(b"]")) and not host.endswith(b"."),
    "the host is in lower case, without its port and a final dot",
)
_LOWER_HEX = _Form(re.compile(rb"[0-9a-f]*").fullmatch, "it is in lower-case hexadecimal, without colons")
_UPPER_HEX = _Form(re.compile(rb"[0-9A-F]*").fullmatch, "it is in upper-case hexadecimal, without colons")
_COUNTRY = _Form(re.compile(rb"[A-Z0-9]{2}").fullmatch, "it is a code of two capital letters")
_EXTENSION = _Form(lambda text: text == text.lower() and b"." not in text, "it is in lower case, without the dot")
_QUERY = _Form(lambda text: not text.startswith(b"?"), "a query is without its ?")
_VERSION = _Form(lambda text: text in (b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2"), "it is HTTP/1.0, HTTP/1.1 or HTTP/2")

_FORMS: Mapping[str, _Form] = {
    "edge.path": _PATH,
    "edge.paths[*]": _PATH,
    "edge.uri[*]": _PATH,
    "http.request.uri": _PATH,
    "http.request.uri.path": _PATH,
    "raw.http.request.uri": _PATH,
    "raw.http.request.uri.path": _PATH,
    "http.request.uri.path.extension": _EXTENSION,
    "raw.http.request.uri.path.extension": _EXTENSION,
    "http.request.uri.query": _QUERY,
    "raw.http.request.uri.query": _QUERY,
    "http.host": _HOST,
    "http.request.version": _VERSION,
    "ip.src.country": _COUNTRY,
    "cf.tls_client_auth.cert_serial": _UPPER_HEX,
    "cf.tls_client_auth.cert_issuer_serial": _UPPER_HEX,
    "cf.tls_client_auth.cert_ski": _UPPER_HEX,
    "cf.tls_client_auth.cert_issuer_ski": _UPPER_HEX,
    "cf.tls_client_auth.cert_fingerprint_sha1": _LOWER_HEX,
    "cf.tls_client_auth.cert_fingerprint_sha256": _LOWER_HEX,
    "edge.tls_client_auth.spki_sha256": _LOWER_HEX,
}
"""The form of each field that has one that is easily missed."""

_NEVER_NEGATIVE = ("len(", "http.request.")
"""How subjects begin that are no negative number."""


def impossible(predicate: Predicate) -> str:
    """Why nothing can satisfy a predicate, in words; empty if something may."""
    sought = predicate.sought
    key = predicate.subject.key
    if key.startswith(_NEVER_NEGATIVE) and isinstance(sought, tuple) and predicate.match == "range" and sought[1] < 0:
        return "this never comes: it is never negative"
    rule = _FORMS.get(key)
    if rule is None:
        return ""
    if predicate.match == "equal" and isinstance(sought, bytes):
        return "" if rule.possible(sought) else f"this never comes: {rule.sentence}"
    if predicate.match == "regex" and isinstance(sought, str) and rule is _PATH:
        # An alternative elsewhere in it could begin otherwise.
        never = _NOT_A_PATH.match(sought) is not None and "|" not in sought
        return f"this never matches: {rule.sentence}" if never else ""
    return ""
