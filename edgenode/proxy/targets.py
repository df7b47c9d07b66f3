"""Request targets and authorities: what is forwarded, and the form that rules match.

Law: what two readers could read differently is refused. Percent-encoding is kept as it came; only the form for
matching is decoded, once. Dot segments are the one thing that is resolved in what is forwarded too, as RFC 3986,
section 6.2.2.3, allows: a path map chosen by ``/public`` must not reach an origin as ``/admin/../public``.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from edgenode.model.alphabets import only
from edgenode.model.errors import ClientError

_UNSAFE = bytes(c for c in range(256) if c <= 0x20 or c >= 0x7F or c in b'"#<>')
_UNSAFE_IN_PATH = b"\\^`{}"
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)([/?].*)?", re.DOTALL)
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[([0-9A-Fa-f:.]{2,45})\])(?::(\d{0,5}))?")
_NORMAL_AUTHORITY = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?::(?!443\Z)(?:[1-5]\d{0,4}|[6-9]\d{0,3}))?")
"""Those that are in normal form as they stand: nearly all."""
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
# A segment that some reader takes for "." or "..": percent-encoded, or with parameters as Java's servers read "..;x".
_DOTS = re.compile(rb"(?:\.|%2[eE]){1,2}")
_DOT_SEGMENT = re.compile(rb"/(?:\.|%2[eE]){1,2}(?:/|\Z)")
_DOTS_WITH_PARAMETERS = re.compile(rb"/(?:\.|%2[eE]){1,2}(?:;|%3[bB])")
# The same in a path that has been decoded once, between what some reader takes for slashes.
_HIDDEN_DOTS = re.compile(rb"(?:[/\\]|%2[fF]|%5[cC])(?:\.|%2[eE]){1,2}(?:[/\\;]|%2[fF]|%5[cC]|%3[bB]|\Z)")
# The first bytes of sequences that say in two to four bytes what fits into fewer: RFC 3629, section 4.
_OVERLONG = re.compile(rb"[\xc0\xc1]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]")
_ENDS_TEXT = re.compile(rb"[\0\r\n]")
"""A text ends there for some reader: in C at a NUL, for ``$`` of PCRE, as of nginx's locations, before a last LF."""

_BYTE = {b"%02x" % c: bytes((c,)) for c in range(256)}


_PLAIN_PATH = only(bytes(c for c in range(256) if c not in _UNSAFE + _UNSAFE_IN_PATH + b"?%"))
_SAFE = only(bytes(c for c in range(256) if c not in _UNSAFE))


class Target(NamedTuple):
    """A request target, read.

    :ivar authority: of an absolute-form target, lower case; ``None`` for the other forms.
    :ivar path: as it is forwarded.
    :ivar query: behind the first ``?``; ``None`` without one.
    :ivar normalised_path: for matching: decoded once, slashes merged, dot segments resolved.
    """

    authority: bytes | None
    path: bytes
    query: bytes | None
    normalised_path: bytes


_target: Callable[[tuple[bytes | None, bytes, bytes | None, bytes]], Target] = functools.partial(tuple.__new__, Target)
"""What ``Target`` does, without a call of Python."""


def read_target(target: bytes, method: bytes) -> Target:
    """Read a request target in origin, absolute or asterisk form (RFC 9112, section 3.2).

    :raises ClientError: 400, if it is none of these or can be read in two ways.
    """
    path, mark, query = target.partition(b"?")
    if (  # nearly always there is nothing to decode or to resolve
        path[:1] == b"/"
        and path.find(b"//") < 0
        and path.find(b"/.") < 0
        and path.translate(_PLAIN_PATH) == path
        and query.translate(_SAFE) == query
    ):
        return _target((None, path, query if mark else None, path))
    if target.translate(_SAFE) != target:
        raise ClientError(400, "the target contains a character that no URI has")
    authority = None
    if not target.startswith(b"/"):
        if target == b"*" and method == b"OPTIONS":
            return Target(None, b"*", None, b"*")
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise ClientError(400, "the target is neither a path nor an absolute URI")
        authority = read_authority(absolute[1])
        if absolute[2] is None and method == b"OPTIONS":
            return Target(authority, b"*", None, b"*")  # RFC 9112, section 3.2.4
        target = absolute[2] or b"/"
        if target.startswith(b"?"):
            target = b"/" + target
    path, mark, query = target.partition(b"?")
    if path.translate(None, _UNSAFE_IN_PATH) != path:
        raise ClientError(400, "the path contains a character that no URI has")
    if b"%" in path or b"/." in path or b"//" in path:
        path, normalised = _normalise(path)
    else:
        normalised = path
    return Target(authority, path, query if mark else None, normalised)


def read_authority(authority: bytes) -> bytes:
    """The authority in its normal form: in lower case, without trailing dot, empty port and https's own port.

    So that a rule for ``a`` is not avoided by ``a.``, ``a:`` or ``a:443`` (RFC 3986, section 6.2.3); likewise a port is
    written without leading zeros, and an IPv6 address as short as it can be (RFC 5952).

    :raises ClientError: 400, if it is not a host name or an address, with a port or without.
    """
    if len(authority) <= 255 and _NORMAL_AUTHORITY.fullmatch(authority):
        return authority
    match = _AUTHORITY.fullmatch(authority) if len(authority) <= 261 else None
    if match is None or (match[2] and int(match[2]) > 65535):
        raise ClientError(400, "the authority is not a valid host")
    address, port = match.groups()
    host = authority[: match.start(2) - 1] if port is not None else authority
    host = host.lower().removesuffix(b".") if address is None else _bracketed(address)
    return b"%b:%d" % (host, int(port)) if port and int(port) != 443 else host


def _bracketed(address: bytes) -> bytes:
    try:
        return f"[{ipaddress.IPv6Address(address.decode('ascii'))}]".encode("ascii")
    except ValueError as error:
        raise ClientError(400, "the authority is not a valid address") from error


def _normalise(path: bytes) -> tuple[bytes, bytes]:
    """The path to forward and the path to match, of one that needs more than a look."""
    if _BAD_ESCAPE.search(path):
        raise ClientError(400, "a percent sign in the path is not followed by two hexadecimal digits")
    if _DOTS_WITH_PARAMETERS.search(path):
        raise ClientError(400, "a dot segment with parameters")
    if _DOT_SEGMENT.search(path):
        if b"//" in path:
            raise ClientError(400, "dot segments beside empty segments can be resolved in two ways")
        path = _resolve(path.split(b"/"))
    decoded = _ESCAPE.sub(lambda escape: _BYTE[escape[1].lower()], path)
    if _ENDS_TEXT.search(decoded):
        raise ClientError(400, "the path contains an encoded NUL, CR or LF")
    if _HIDDEN_DOTS.search(decoded):
        raise ClientError(400, "an encoded slash or percent sign hides a dot segment")
    if _OVERLONG.search(decoded):
        raise ClientError(400, "an overlong UTF-8 sequence, which some decoders read as another character")
    while b"//" in decoded:
        decoded = decoded.replace(b"//", b"/")
    return path, decoded


def _resolve(segments: list[bytes]) -> bytes:
    kept: list[bytes] = []
    for segment in segments[1:]:
        dots = len(_ESCAPE.sub(b".", segment)) if _DOTS.fullmatch(segment) else 0
        if dots == 2:
            if not kept:
                raise ClientError(400, "the path leads above the root")
            kept.pop()
        elif not dots:
            kept.append(segment)
    if _DOTS.fullmatch(segments[-1]):
        kept.append(b"")
    return b"/" + b"/".join(kept)
