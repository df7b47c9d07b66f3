"""The options of curl, and the bytes of the request that curl would send for them.

Law: an option that changes the request is understood or refused. Ignored are only those that say how curl connects, and
what it prints.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import os
import pathlib
import re
import urllib.parse
from collections.abc import Sequence

import idna
from attrs import frozen

from edgenode.model.exchange import Address

USER_AGENT = "curl/8.14.1"

_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?([^/?#]*)([^#]*)")
_FORM = "application/x-www-form-urlencoded"
_BOUNDARY = "------------------------d74496d66958873e"

_HARMLESS_FLAGS = (
    ("-k", "--insecure"), ("-s", "--silent"), ("-S", "--show-error"), ("-v", "--verbose"), ("-i", "--include"),
    ("-N", "--no-buffer"), ("-f", "--fail"), ("-g", "--globoff"), ("--path-as-is",), ("--http1.1",),
    ("--no-keepalive",),
)  # fmt: skip
_HARMLESS_VALUES = (
    ("-o", "--output"), ("-w", "--write-out"), ("-m", "--max-time"), ("--connect-timeout",), ("--cacert",), ("--key",),
    ("--resolve",), ("--connect-to",), ("--retry",),
)  # fmt: skip


class InvalidRequest(Exception):
    """A request that cannot be made of what was asked for; the text says why."""


@frozen
class CurlRequest:
    """A request.

    :ivar host: the host of the URL, for SNI.
    :ivar encrypted: whether the URL is one of TLS.
    :ivar head: the head of the request, with its empty line.
    :ivar body: the body.
    :ivar http2: whether it is one of HTTP/2, though its head is written as in HTTP/1.1.
    """

    host: str
    encrypted: bool
    head: bytes
    body: bytes
    http2: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Have a parser know curl's options."""
    group = parser.add_argument_group("the request, as for curl")
    group.add_argument("url", nargs="?", metavar="URL", help="https:// may be left out")
    group.add_argument("--url", dest="named_url", metavar="URL", help=argparse.SUPPRESS)
    add = group.add_argument
    add("-X", "--request", metavar="METHOD", help="the method")
    add("-H", "--header", action="append", default=[], metavar="FIELD", help="a header field; 'Name:' takes one away")
    add("-A", "--user-agent", metavar="TEXT", help=f"without it {USER_AGENT}, as curl")
    add("-e", "--referer", metavar="URL", help="the field Referer")
    add("-b", "--cookie", action="append", default=[], metavar="PAIRS", help="name=value; no files")
    add("-u", "--user", metavar="NAME:PASSWORD", help="basic authentication")
    add("-d", "--data", "--data-ascii", dest="data", action=_Data, metavar="TEXT", help="a body; @FILE reads a file")
    raw = ("--data-raw", "--data-binary", "--data-urlencode")
    add(*raw, dest="data", action=_Data, metavar="TEXT", help="likewise: as it is, with line ends, encoded")
    add("-F", "--form", action="append", default=[], metavar="NAME=TEXT", help="a part of a form; @FILE reads a file")
    add("-G", "--get", action="store_true", help="the data become the query")
    add("-I", "--head", action="store_true", help="the method HEAD")
    add("-0", "--http1.0", dest="old", action="store_true", help="HTTP/1.0")
    add("--http2", action="store_true", help="HTTP/2; without it HTTP/1.1")
    add("--compressed", action="store_true", help="with Accept-Encoding")
    add("--request-target", metavar="TARGET", help="instead of the URL's")
    for flags in _HARMLESS_FLAGS:
        add(*flags, dest="harmless", action="store_true", help=argparse.SUPPRESS)
    for flags in _HARMLESS_VALUES:
        add(*flags, dest="harmless", help=argparse.SUPPRESS)


class _Data(argparse.Action):
    """Keeps data in the order given, each with the option that it came by."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or ()), (option, values)])


def request_of(options: argparse.Namespace) -> CurlRequest:
    """The request that options ask for.

    :raises InvalidRequest: if they ask for none, or a file of theirs cannot be read.
    """
    text = options.url or options.named_url
    if not text:
        raise InvalidRequest("a URL is missing")
    if text.startswith("curl "):
        raise InvalidRequest("what stands behind curl is written as words of their own, not as one: URL -d a=1")
    scheme, authority, rest = _split(text)
    authority = _ascii(authority)
    data = [_datum(option, value) for option, value in options.data or ()]
    target = rest if rest.startswith("/") else f"/{rest}"
    body, media_type = _body(data, options)
    if options.get and data:
        target += ("&" if "?" in target else "?") + os.fsdecode(b"&".join(data))
        body, media_type = b"", ""
    method = options.request or ("HEAD" if options.head else "POST" if media_type else "GET")
    fields = _fields(options, authority, media_type, len(body) if media_type else None)
    line = f"{method} {options.request_target or target} HTTP/1.{'0' if options.old else '1'}"
    if options.http2:
        fields = [(name.lower(), value) for name, value in fields]
    head = "".join(f"{each}\r\n" for each in (line, *(f"{name}: {value}".rstrip() for name, value in fields), ""))
    return CurlRequest(_host(authority), scheme == "https", os.fsencode(head), body, options.http2)


def _split(url: str) -> tuple[str, str, str]:
    match = _URL.fullmatch(url.partition("#")[0])
    if match is None or not match[2]:
        raise InvalidRequest(f"this is no URL: {url}")
    scheme, authority, rest = (match[1] or "https").lower(), match[2], match[3]
    if scheme not in ("http", "https"):
        raise InvalidRequest(f"a URL here is one of https, not of {scheme}")
    if "@" in authority:
        raise InvalidRequest("a name and password are given with -u, not in the URL")
    return scheme, authority, rest


def _ascii(authority: str) -> str:
    """An authority as curl sends it: A-labels for what is not ASCII (UTS #46), without escapes."""
    if authority.startswith("["):
        return authority
    host, colon, port = authority.partition(":")
    try:
        host = urllib.parse.unquote(host, errors="strict") if "%" in host else host
        if not host.isascii():
            labels = idna.uts46_remap(host, std3_rules=False, transitional=False).split(".")
            host = ".".join(
                each if each.isascii() else f"xn--{each.encode('punycode').decode('ascii')}" for each in labels
            )
    except UnicodeError as error:
        raise InvalidRequest(f"this is no host name: {host}: {error}") from None
    if any(each <= " " or each in "/?#@:%\\\x7f" for each in host):
        raise InvalidRequest(f"this is no host name: {host}")
    return f"{host}{colon}{port}"


def _host(authority: str) -> str:
    if authority.startswith("["):
        return authority.partition("]")[0].removeprefix("[")
    return authority.partition(":")[0].lower().removesuffix(".")


def _fields(options: argparse.Namespace, authority: str, media_type: str, length: int | None) -> list[tuple[str, str]]:
    """The header fields: curl's own, except those that are given otherwise or removed, and then the given ones.

    :param length: of the body; ``None`` without one.
    """
    given = [_field(each) for each in options.header]
    named = {name.lower() for name, _ in given}
    user = "" if options.user is None else base64.b64encode(os.fsencode(options.user)).decode("ascii")
    own = (
        ("Host", authority),
        ("Authorization", "" if options.user is None else f"Basic {user}"),
        ("User-Agent", USER_AGENT if options.user_agent is None else options.user_agent),
        ("Accept", "*/*"),
        ("Accept-Encoding", "deflate, gzip" if options.compressed else ""),
        ("Referer", options.referer),
        ("Cookie", "; ".join(map(_cookie, options.cookie))),
        ("Content-Length", "" if length is None or "transfer-encoding" in named else str(length)),
        ("Content-Type", media_type),
    )
    kept = [(name, value) for name, value in own if name.lower() not in named and value]
    return [*kept, *((name, value) for name, value in given if value is not None)]


def _field(text: str) -> tuple[str, str | None]:
    """A field of ``-H``; ``Name:`` removes curl's own, and ``Name;`` is an empty one."""
    if ":" not in text and text.endswith(";"):
        return text[:-1], ""
    name, colon, value = text.partition(":")
    if not colon:
        raise InvalidRequest(f"a header field is written Name: value, not {text}")
    return name, value.strip() or None


def _cookie(text: str) -> str:
    if "=" not in text:
        raise InvalidRequest(f"cookies are written name=value; a file of them is not read: {text}")
    return text


def _body(data: Sequence[bytes], options: argparse.Namespace) -> tuple[bytes, str]:
    """The body and its media type, both empty without one."""
    if data and options.form:
        raise InvalidRequest("-d and -F exclude each other")
    if options.form:
        return _form(options.form), f"multipart/form-data; boundary={_BOUNDARY}"
    return (b"&".join(data), _FORM) if data else (b"", "")


def _datum(option: str, value: str) -> bytes:
    if option == "--data-urlencode":
        name, equals, text = value.partition("=")
        if equals:
            return os.fsencode(f"{name}=" if name else "") + _quoted(os.fsencode(text))
        name, at, path = value.partition("@")
        return os.fsencode(f"{name}=" if name else "") + _quoted(read_file(path)) if at else _quoted(os.fsencode(value))
    if option != "--data-raw" and value.startswith("@"):
        content = read_file(value[1:])
        return content if option == "--data-binary" else content.translate(None, b"\r\n\0")
    return os.fsencode(value)


def _quoted(data: bytes) -> bytes:
    return urllib.parse.quote(data, safe="-._~").encode("ascii")


def _form(parts: Sequence[str]) -> bytes:
    written = []
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise InvalidRequest(f"a part of a form is written NAME=TEXT, not {part}")
        disposition = f'form-data; name="{name}"'
        content, media_type = os.fsencode(value), ""
        if value.startswith(("@", "<")):
            path, _, kind = value[1:].partition(";type=")
            content = read_file(path)
            if value.startswith("@"):
                disposition += f'; filename="{pathlib.PurePath(path).name}"'
                media_type = f"Content-Type: {kind or 'application/octet-stream'}\r\n"
        head = f"--{_BOUNDARY}\r\nContent-Disposition: {disposition}\r\n{media_type}\r\n"
        written.append(os.fsencode(head) + content + b"\r\n")
    return b"".join(written) + f"--{_BOUNDARY}--\r\n".encode("ascii")


def read_file(path: str) -> bytes:
    """The content of a file.

    :raises InvalidRequest: if it cannot be read.
    """
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from None


def server_name(host: str) -> str | None:
    """What a client sends as the server name: RFC 6066, section 3, knows no addresses."""
    try:
        Address.of(host, 0)
    except ValueError:
        return host
    return None


def moment(text: str | None, option: str = "--at") -> float:
    """A time as seconds since the epoch; now if none is given.

    :param option: the option that it is given by.
    :raises InvalidRequest: if it is none.
    """
    if text is None:
        return datetime.datetime.now(datetime.UTC).timestamp()
    try:
        at = _seconds(text)
        datetime.datetime.fromtimestamp(at, datetime.UTC)  # only of these there is a date
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest(f"{option}: expected a time such as 2026-11-21T12:00:00Z, not {text}") from None
    return at


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        at = datetime.datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=datetime.UTC)).timestamp()
