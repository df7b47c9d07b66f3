"""Values that a field never has, however plausible they look.

Law: what is called impossible is; each sentence says in which form the field has its values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import evolve, frozen

from edgenode.rules.formulas import Predicate
from edgenode.rules.views.media_type import MEDIA_TYPES

_NOT_A_PATH = re.compile(r"(?:\^|\\A)(?:\[\^/\](?![?*{])|[A-Za-z0-9_~-](?![?*{])|\$)", re.ASCII)
"""The beginning of an expression for texts that begin with anything but a slash."""


@frozen(eq=False)
class _Form:
    """In which form a field has its values.

    :ivar possible: whether it can have one.
    :ivar sentence: the form, in words.
    :ivar begins: whether one can begin so.
    :ivar within: why a text never stands in one; empty if it may.
    """

    possible: Callable[[bytes], object]
    sentence: str
    begins: Callable[[bytes], object] = lambda text: True
    within: Callable[[bytes], str] = lambda text: ""


_LOWER_ESCAPE = re.compile(rb"%(?:[a-f]|[0-9A-F][a-f])")
_NOT_IN_A_URI = re.compile(rb"[^!-~]|#")


def _in_a_path(text: bytes) -> str:
    if b"?" in text:
        return "what stands behind the ? is the query: look at http.request.uri"
    return "slashes are merged: look at raw.http.request.uri.path" if b"//" in text else ""


def _in_a_decoded_path(text: bytes) -> str:
    if b"?" in text:
        return (
            "this is found only where a client has encoded its ?: what stands behind another is the query: look at uri"
        )
    return _in_a_path(text)


def _in_a_normal_path(text: bytes) -> str:
    if b"/../" in text or b"/./" in text:
        return "dot segments are resolved: look at raw.http.request.uri.path"
    return _in_a_path(text) or _in_a_normal_form(text)


def _in_a_normal_form(text: bytes) -> str:
    if _NOT_IN_A_URI.search(text):
        return "this character is percent-encoded there, or refused: edge.path has it decoded"
    return "escapes are in upper case: %2F" if _LOWER_ESCAPE.search(text) else ""


def _in_any(text: bytes) -> str:
    return ""


def _a_scheme(text: bytes) -> bool:
    return any(each.startswith(text[: len(each)]) for each in _SCHEMES)


def _one_of(*values: bytes) -> Callable[[bytes], bool]:
    return frozenset(values).__contains__


_SCHEMES = (b"https://", b"http://")
_PATH = _Form(
    lambda text: text[:1] in (b"/", b"*"), "a path begins with /", lambda text: text[:1] in (b"/", b"*"), _in_a_path
)
_DECODED_PATH = evolve(_PATH, within=_in_a_decoded_path)
_NORMAL_PATH = evolve(_PATH, within=_in_a_normal_path)
_RAW_PATH = evolve(_PATH, within=lambda text: _in_a_path(text.replace(b"//", b"/")))
_URI = evolve(_PATH, within=_in_a_normal_form)
_ANY_URI = evolve(_PATH, within=_in_any)
_FULL_URI = _Form(lambda text: text.startswith(_SCHEMES), "it begins with https:// or http://", _a_scheme)


def _of_characters(characters: bytes, sentence: str) -> Callable[[bytes], str]:
    """A text within a value that has these characters alone."""
    return lambda text: sentence if text.strip(characters) else ""


_NAME = rb"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
_IN_NAMES = b"abcdefghijklmnopqrstuvwxyz0123456789_-.:[]"
_HOST_WORDS = "the host is in lower case, without *, its port and a final dot"
_HOST = _Form(re.compile(_NAME).fullmatch, _HOST_WORDS, within=_of_characters(_IN_NAMES, _HOST_WORDS))
_AUTHORITY_WORDS = "it is the host in lower case, without *, and its port, unless that is 443"
_AUTHORITY = _Form(
    re.compile(_NAME + rb"(?::(?!443$)[0-9]+)?").fullmatch,
    _AUTHORITY_WORDS,
    within=_of_characters(_IN_NAMES, _AUTHORITY_WORDS),
)
_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
_METHOD_WORDS = "a method is one word: GET"
_METHOD = _Form(lambda text: text and not text.strip(_WORD), _METHOD_WORDS, within=_of_characters(_WORD, _METHOD_WORDS))
_VERDICT = _Form(
    lambda text: text in (b"NONE", b"SUCCESS") or text.startswith(b"FAILED:"),
    "it is NONE, SUCCESS, or FAILED: and the reason",
)
_NEVER_EMPTY = _Form(bool, "it is never empty")
_SEGMENT_WORDS = "it is what stands between the slashes of the path, without them"
_SEGMENT = _Form(
    lambda text: text and b"/" not in text,
    _SEGMENT_WORDS,
    within=lambda text: _SEGMENT_WORDS if b"/" in text else "",
)
_LOWER_HEX = _Form(re.compile(rb"[0-9a-f]*").fullmatch, "it is in lower-case hexadecimal, without colons")
_UPPER_HEX = _Form(re.compile(rb"[0-9A-F]*").fullmatch, "it is in upper-case hexadecimal, without colons")
_COUNTRY = _Form(
    re.compile(rb"(?!T1|UK)[A-Z0-9]{2}").fullmatch,
    "it is a code of two capital letters, GB for the United Kingdom; T1, Cloudflare's word for Tor, is none: look at "
    "ip.src in $name with a list",
)
_CONTINENT = _Form(
    _one_of(b"AF", b"AN", b"AS", b"EU", b"NA", b"OC", b"SA"), "it is one of AF, AN, AS, EU, NA, OC and SA"
)
_TLS = _Form(re.compile(rb"TLSv1(?:\.[123])?").fullmatch, "it is TLSv1.2 or TLSv1.3")
_DOTLESS = "it is in lower case, without the dot"
_EXTENSION = _Form(
    lambda text: text == text.lower() and b"." not in text,
    _DOTLESS,
    within=lambda text: "" if text == text.lower() and b"." not in text else _DOTLESS,
)
_MEDIA_TYPE = _Form(
    MEDIA_TYPES.__contains__,
    'it is what the first bytes of a body tell, and none tell this: look at http.request.headers["content-type"]',
)
_QUERY = _Form(
    lambda text: not text.startswith(b"?"),
    "this is found only behind two ?: a query is without its ?",
    lambda text: not text.startswith(b"?"),
)
_VERSION = _Form(lambda text: text in (b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2"), "it is HTTP/1.0, HTTP/1.1 or HTTP/2")

FORMS: Mapping[str, _Form] = {
    "cf.ray_id": _NEVER_EMPTY,
    "edge.alpn": _NEVER_EMPTY,
    "edge.authority": _AUTHORITY,
    "edge.grpc.method": _SEGMENT,
    "edge.grpc.service": _SEGMENT,
    "edge.path": _DECODED_PATH,
    "edge.path_map": _NEVER_EMPTY,
    "edge.paths[*]": _DECODED_PATH,
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
    "http.request.body.mime": _MEDIA_TYPE,
    "http.request.version": _VERSION,
    "ip.src.country": _COUNTRY,
    "ip.src.continent": _CONTINENT,
    "cf.tls_version": _TLS,
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
    rule = FORMS.get(key)
    if rule is None:
        return ""
    if predicate.match == "equal" and isinstance(sought, bytes):
        return _said("comes", rule.within(sought) if rule.possible(sought) else rule.sentence)
    if predicate.match == "regex" and isinstance(sought, str):
        return _said("matches", _never_matched(rule, sought))
    return ""


def _said(verb: str, sentence: str) -> str:
    return sentence if not sentence or sentence.startswith("this is ") else f"this never {verb}: {sentence}"


def is_never_empty(key: str) -> bool:
    """Whether a subject always has a text, or is missing."""
    rule = FORMS.get(key)
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


_ANCHORED = re.compile(r"(\^|\\A)?(.*?)(\$|\\z)?", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<any>\(\?s:\.\*\)|\.\*)|\\x(?P<code>[0-9A-F]{2})|\\(?P<escaped>[^A-Za-z0-9])"
    r"|\[(?P<upper>[A-Z])(?P<lower>[a-z])\]|(?P<plain>[A-Za-z0-9/_~%&=:;,!@\"'#<> -])"
)
"""What stands in an expression that is made of texts, and of anything between them, as wildcards are."""


def _texts(pattern: str, case: str) -> list[bytes] | None:
    """The texts that a pattern looks for, one behind the other; ``None`` if it is not made of texts.

    :param case: how what may be in either case is given.
    """
    texts, at = [""], 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            return None
        if token["any"]:
            texts.append("")
        elif token["code"]:
            texts[-1] += chr(int(token["code"], 16))
        else:
            texts[-1] += token["escaped"] or token[case] or token["plain"]
        at = token.end()
    return [text.encode("latin-1") for text in texts]


def _never_matched(rule: _Form, pattern: str) -> str:
    """Why no value matches an expression: it begins otherwise, or one of its texts stands in no value."""
    # An alternative elsewhere in it could begin otherwise.
    if rule.sentence == _PATH.sentence and _NOT_A_PATH.match(pattern) is not None and "|" not in pattern:
        return rule.sentence
    anchored = _ANCHORED.fullmatch(pattern)
    assert anchored is not None
    found = [_texts(anchored[2], case) for case in ("lower", "upper")]
    sentences = [_never_there(rule, bool(anchored[1]), bool(anchored[3]), texts) for texts in found]
    return sentences[0] if all(sentences) else ""


def _never_there(rule: _Form, begins: bool, ends: bool, texts: list[bytes] | None) -> str:
    if texts is None:
        return ""
    if begins and texts[0] and not rule.begins(texts[0]):
        return rule.sentence
    if begins and ends and len(texts) == 1 and not rule.possible(texts[0]):
        return rule.sentence
    return next((sentence for text in texts if (sentence := rule.within(text))), "")
