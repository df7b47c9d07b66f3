"""Values that a field never has, however plausible they look.

Law: what is called impossible is; each sentence says in which form the field has its values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import evolve, frozen

from edgenode.rules.formulas import Predicate

_NOT_A_PATH = re.compile(r"\^(?:\[\^/\](?![?*{])|[A-Za-z0-9_~-](?![?*{])|\$)", re.ASCII)
"""The beginning of an expression for texts that begin with anything but a slash."""


@frozen(eq=False)
class _Form:
    """In which form a field has its values.

    :ivar possible: whether it can have one.
    :ivar sentence: the form, in words.
    :ivar within: why a text never stands in one; empty if it may.
    """

    possible: Callable[[bytes], object]
    sentence: str
    within: Callable[[bytes], str] = lambda text: ""


_LOWER_ESCAPE = re.compile(rb"%(?:[a-f]|[0-9A-F][a-f])")


def _in_a_path(text: bytes) -> str:
    if b"?" in text:
        return "what stands behind the ? is the query: look at http.request.uri"
    return "slashes are merged: look at raw.http.request.uri.path" if b"//" in text else ""


def _in_a_normal_path(text: bytes) -> str:
    return _in_a_path(text) or _in_a_normal_form(text)


def _in_a_normal_form(text: bytes) -> str:
    return "escapes are in upper case: %2F" if _LOWER_ESCAPE.search(text) else ""


def _in_any(text: bytes) -> str:
    return ""


_SCHEMES = (b"https://", b"http://")
_PATH = _Form(lambda text: text[:1] in (b"/", b"*"), "a path begins with /", _in_a_path)
_NORMAL_PATH = evolve(_PATH, within=_in_a_normal_path)
_RAW_PATH = evolve(_PATH, within=lambda text: _in_a_path(text.replace(b"//", b"/")))
_URI = evolve(_PATH, within=_in_a_normal_form)
_ANY_URI = evolve(_PATH, within=_in_any)
_FULL_URI = _Form(lambda text: text.startswith(_SCHEMES), "it begins with https:// or http://")


def _of_characters(characters: bytes, sentence: str) -> Callable[[bytes], str]:
    """A text within a value that has these characters alone."""
    return lambda text: sentence if text.strip(characters) else ""


_NAME = rb"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
_IN_NAMES = b"abcdefghijklmnopqrstuvwxyz0123456789_-.:[]"
_HOST_WORDS = "the host is in lower case, without *, its port and a final dot"
_HOST = _Form(re.compile(_NAME).fullmatch, _HOST_WORDS, _of_characters(_IN_NAMES, _HOST_WORDS))
_AUTHORITY_WORDS = "it is the host in lower case, without *, and its port, unless that is 443"
_AUTHORITY = _Form(
    re.compile(_NAME + rb"(?::(?!443$)[0-9]+)?").fullmatch,
    _AUTHORITY_WORDS,
    _of_characters(_IN_NAMES, _AUTHORITY_WORDS),
)
_TOKEN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
_METHOD_WORDS = "a method is one word: GET"
_METHOD = _Form(lambda text: text and not text.strip(_TOKEN), _METHOD_WORDS, _of_characters(_TOKEN, _METHOD_WORDS))
_VERDICT = _Form(
    lambda text: text in (b"NONE", b"SUCCESS") or text.startswith(b"FAILED:"),
    "it is NONE, SUCCESS, or FAILED: and the reason",
)
_NEVER_EMPTY = _Form(bool, "it is never empty")
_LOWER_HEX = _Form(re.compile(rb"[0-9a-f]*").fullmatch, "it is in lower-case hexadecimal, without colons")
_UPPER_HEX = _Form(re.compile(rb"[0-9A-F]*").fullmatch, "it is in upper-case hexadecimal, without colons")
_COUNTRY = _Form(
    re.compile(rb"(?!T1)[A-Z0-9]{2}").fullmatch,
    "it is a code of two capital letters; T1, Cloudflare's word for Tor, is none: look at ip.src in $name with a list",
)
_EXTENSION = _Form(lambda text: text == text.lower() and b"." not in text, "it is in lower case, without the dot")
_QUERY = _Form(lambda text: not text.startswith(b"?"), "a query is without its ?")
_VERSION = _Form(lambda text: text in (b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2"), "it is HTTP/1.0, HTTP/1.1 or HTTP/2")

_FORMS: Mapping[str, _Form] = {
    "cf.ray_id": _NEVER_EMPTY,
    "edge.alpn": _NEVER_EMPTY,
    "edge.authority": _AUTHORITY,
    "edge.path": _PATH,
    "edge.path_map": _NEVER_EMPTY,
    "edge.paths[*]": _PATH,
    "edge.security_policy": _NEVER_EMPTY,
    "edge.server_group": _NEVER_EMPTY,
    "edge.sni": _NEVER_EMPTY,
    "edge.tags[*]": _NEVER_EMPTY,
    "edge.tls_client_auth.verification": _VERDICT,
    "edge.uri[*]": _ANY_URI,
    "http.request.headers.names[*]": _NEVER_EMPTY,
    "http.request.method": _METHOD,
    "http.request.uri": _URI,
    "http.request.uri.path": _NORMAL_PATH,
    "http.request.full_uri": _FULL_URI,
    "raw.http.request.uri": _ANY_URI,
    "raw.http.request.uri.path": _RAW_PATH,
    "raw.http.request.full_uri": _FULL_URI,
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

_SAME_CHARACTERS = ("lower(", "upper(")
_EMPTY = ("^$", r"\A\z", r"^\z", r"\A$", r"^(?:$|\n\z)")

_NEVER_NEGATIVE = ("len(", "http.request.")
"""How subjects begin that are no negative number."""


def impossible(predicate: Predicate) -> str:
    """Why nothing can satisfy a predicate, in words; empty if something may."""
    sought = predicate.sought
    key = predicate.subject.key
    if key.startswith(_NEVER_NEGATIVE) and isinstance(sought, tuple) and predicate.match == "range" and sought[1] < 0:
        return "this never comes: it is never negative"
    if _asks_for_nothing(predicate):
        return "this never comes: it is never empty"
    rule = _FORMS.get(key)
    if rule is None:
        return ""
    if predicate.match == "equal" and isinstance(sought, bytes):
        sentence = rule.within(sought) if rule.possible(sought) else rule.sentence
        return f"this never comes: {sentence}" if sentence else ""
    if predicate.match == "regex" and isinstance(sought, str):
        sentence = _never_matched(rule, sought)
        return f"this never matches: {sentence}" if sentence else ""
    return ""


def is_never_empty(key: str) -> bool:
    """Whether a subject always has a text, or is missing."""
    rule = _FORMS.get(key)
    return rule is not None and not rule.possible(b"")


def _asks_for_nothing(predicate: Predicate) -> bool:
    """Whether it is the empty text that is sought, of a value that always has one."""
    key, sought, counted = predicate.subject.key, predicate.sought, False
    while key.startswith((*_SAME_CHARACTERS, "len(")):
        counted = counted or key.startswith("len(")
        key = key.partition("(")[2].removesuffix(")")
    if not is_never_empty(key):
        return False
    if counted:
        return predicate.match == "range" and isinstance(sought, tuple) and sought[1] == 0
    return sought == b"" if predicate.match == "equal" else predicate.match == "regex" and sought in _EMPTY


_LITERAL = re.compile(r"(\^|\\A)?((?:[A-Za-z0-9/_~%&=:;,!@\"' -]|\\x[0-9A-F]{2}|\\[^A-Za-z0-9])*)(\$|\\z)?")
_WRITTEN = re.compile(r"\\x([0-9A-F]{2})|\\(.)")


def _never_matched(rule: _Form, pattern: str) -> str:
    """Why no value matches an expression: it begins otherwise, or is one text that stands in no value."""
    # An alternative elsewhere in it could begin otherwise.
    if rule.sentence == _PATH.sentence and _NOT_A_PATH.match(pattern) is not None and "|" not in pattern:
        return rule.sentence
    literal = _LITERAL.fullmatch(pattern)
    if literal is None:
        return ""
    text = _WRITTEN.sub(lambda each: chr(int(each[1], 16)) if each[1] else each[2], literal[2]).encode("latin-1")
    if rule is _FULL_URI and literal[1] and not any(each.startswith(text[: len(each)]) for each in _SCHEMES):
        return rule.sentence
    if literal[1] and literal[3] and not rule.possible(text):
        return rule.sentence
    return rule.within(text)
