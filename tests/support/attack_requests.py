"""Requests for a content filter: attacks, and what is none, in every place that an application reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from tests.support.attacks import ATTACKS, BENIGN
from tests.support.modsecurity import Asked

_FORM = b"application/x-www-form-urlencoded"
_AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
_BASE = ((b"Host", b"www.example.com"), (b"User-Agent", _AGENT), (b"Accept", b"*/*"))


def asked(
    method: str = "GET",
    target: bytes = b"/",
    *headers: tuple[bytes, bytes],
    body: bytes = b"",
    kind: bytes = b"",
    name: str = "",
) -> Asked:
    """A request with a browser's headers, those given in place of its own, and Content-Length of a body."""
    given = {key.lower() for key, _ in headers}
    fields = [each for each in _BASE if each[0].lower() not in given] + list(headers)
    if kind:
        fields.append((b"Content-Type", kind))
    if body or method in {"POST", "PUT", "PATCH"}:
        fields.append((b"Content-Length", b"%d" % len(body)))
    return Asked(method, target, tuple(fields), body, name)


def _line(value: str) -> bytes:
    """A value of a header: without what would end it."""
    return value.encode().replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\x00", b" ").strip()


def _multipart(name: str, value: str, file: str = "") -> Asked:
    more = f'; filename="{file}"\r\nContent-Type: text/plain' if file else ""
    body = f'--b0undary\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n--b0undary--\r\n'
    return asked("POST", b"/upload", body=body.encode(), kind=b"multipart/form-data; boundary=b0undary")


def _json(value: object) -> Asked:
    return asked("POST", b"/api", body=json.dumps(value).encode(), kind=b"application/json")


PLACES: Mapping[str, Callable[[str], Asked]] = {
    "argument": lambda value: asked(target=b"/search?q=" + quote_plus(value).encode()),
    "argument, with others": lambda value: asked(
        target=f"/search?page=2&sort=date&q={quote(value, safe='')}&lang=en".encode()
    ),
    "name of an argument": lambda value: asked(target=f"/search?{quote_plus(value)}=1".encode()),
    "twice encoded": lambda value: asked(target=b"/search?q=" + quote_plus(quote_plus(value)).encode()),
    "path": lambda value: asked(target=b"/shop/" + quote(value).encode()),
    "form": lambda value: asked(
        "POST", b"/login", body=b"user=ann&comment=" + quote_plus(value).encode(), kind=_FORM
    ),
    "cookie": lambda value: asked("GET", b"/", (b"Cookie", b"sid=1; theme=" + quote(value, safe="").encode())),
    "cookie, as it is": lambda value: asked("GET", b"/", (b"Cookie", b"sid=1; theme=" + _line(value))),
    "agent": lambda value: asked("GET", b"/", (b"User-Agent", _line(value))),
    "referer": lambda value: asked("GET", b"/", (b"Referer", b"https://www.example.com/?q=" + _line(value))),
    "header": lambda value: asked("GET", b"/", (b"X-Api-Version", _line(value))),
    "multipart": lambda value: _multipart("comment", value),
    "file": lambda value: _multipart("upload", "some text", value.replace('"', "%22").replace("\r\n", " ")),
    "json": lambda value: _json({"user": "ann", "comment": value}),
    "json, deep": lambda value: _json({"a": [{"b": value}, 1, None, True]}),
    "name in json": lambda value: _json({value: 1}),
    "xml": lambda value: asked(
        "POST", b"/soap", body=f"<?xml version='1.0'?><a><b c='d'>{escape(_clean(value))}</b></a>".encode(),
        kind=b"text/xml"
    ),
    "base64": lambda value: asked(target=b"/?t=" + quote(base64.b64encode(value.encode())).encode()),
}  # fmt: skip
"""How a text gets into a request, by the place's name."""


def _clean(value: str) -> str:
    """What XML may have."""
    return "".join(each for each in value if each >= " " or each in "\t\n")


_TABLE: tuple[tuple[str, Asked], ...] = (
    ("no user agent", Asked("GET", b"/", ((b"Host", b"www.example.com"), (b"Accept", b"*/*")))),
    ("no accept", Asked("GET", b"/", ((b"Host", b"www.example.com"), (b"User-Agent", _AGENT)))),
    ("host is an address", asked("GET", b"/", (b"Host", b"203.0.113.1"))),
    ("host with port", asked("GET", b"/", (b"Host", b"www.example.com:8080"))),
    ("empty agent", asked("GET", b"/", (b"User-Agent", b""))),
    ("empty accept", asked("GET", b"/", (b"Accept", b""))),
    ("get with body", asked("GET", b"/", body=b"a=b", kind=_FORM)),
    ("post without type", asked("POST", b"/", body=b"a=b")),
    ("post without body", asked("POST", b"/")),
    ("unknown type", asked("POST", b"/", body=b"a", kind=b"application/x-unknown")),
    ("type with charset", asked("POST", b"/", body=b"a=b", kind=_FORM + b"; charset=utf-8")),
    ("type with bad charset", asked("POST", b"/", body=b"a=b", kind=_FORM + b"; charset=ibm037")),
    ("two charsets", asked("POST", b"/", body=b"a=b", kind=_FORM + b"; charset=utf-8; charset=ibm037")),
    ("broken json", asked("POST", b"/", body=b'{"a": ', kind=b"application/json")),
    ("json text", asked("POST", b"/", body=b'"<script>alert(1)</script>"', kind=b"application/json")),
    ("json list", asked("POST", b"/", body=b"[1, 2]", kind=b"application/json")),
    ("broken xml", asked("POST", b"/", body=b"<a><b>", kind=b"text/xml")),
    ("put", asked("PUT", b"/a", body=b"x=1", kind=_FORM)),
    ("patch", asked("PATCH", b"/a", body=b"{}", kind=b"application/json")),
    ("range of one", asked("GET", b"/", (b"Range", b"bytes=0-1"))),
    ("many ranges", asked("GET", b"/", (b"Range", b"bytes=" + b",".join(b"%d-" % n for n in range(40))))),
    ("ranges backwards", asked("GET", b"/", (b"Range", b"bytes=5-1"))),
    ("connection twice", asked("GET", b"/", (b"Connection", b"keep-alive, close"))),
    ("expect", asked("POST", b"/", (b"Expect", b"100-continue"), body=b"a=b", kind=_FORM)),
    ("proxy header", asked("GET", b"/", (b"Proxy", b"http://evil.test"))),
    ("override", asked("POST", b"/", (b"X-HTTP-Method-Override", b"DELETE"), body=b"a=b", kind=_FORM)),
    ("coded body", asked("POST", b"/", (b"Content-Encoding", b"gzip"), body=b"a=b", kind=_FORM)),
    ("accept-encoding", asked("GET", b"/", (b"Accept-Encoding", b"gzip, deflate, br, zstd"))),
    ("odd accept-encoding", asked("GET", b"/", (b"Accept-Encoding", b"sdch, x"))),
    ("x-forwarded-for", asked("GET", b"/", (b"X-Forwarded-For", b"203.0.113.7, 198.51.100.2"))),
    ("same argument", asked(target=b"/?a=1&a=2&a=3")),
    ("polluted argument", asked(target=b"/?a=1+union&a=select+1+from+users")),
    ("empty argument", asked(target=b"/?a=&b=&=c")),
    ("argument without value", asked(target=b"/?a&b&c")),
    ("many arguments", asked(target=b"/?" + b"&".join(b"a%d=%d" % (n, n) for n in range(300)))),
    ("long argument", asked(target=b"/?a=" + b"b" * 5000)),
    ("bad coding", asked(target=b"/?a=%zz%1")),
    ("bad utf-8", asked(target=b"/?a=%c0%af%ff")),
    ("latin-1", asked(target=b"/?a=caf%e9")),
    ("raw bytes", asked(target=b"/?a=caf\xc3\xa9")),
    ("nul", asked(target=b"/?a=b%00c")),
    ("newline", asked(target=b"/?a=b%0ac")),
    ("dots in path", asked(target=b"/a/../b")),
    ("backup file", asked(target=b"/index.php.bak")),
    ("hidden file", asked(target=b"/.git/HEAD")),
    ("ini file", asked(target=b"/config.ini")),
    ("well-known", asked(target=b"/.well-known/security.txt")),
    ("double slash", asked(target=b"//a//b")),
    ("options", asked("OPTIONS", b"/")),
    ("trace", asked("TRACE", b"/")),
    ("delete", asked("DELETE", b"/a/1")),
    ("webdav", asked("PROPFIND", b"/a")),
    ("unknown method", asked("FOO", b"/")),
    ("scanner", asked("GET", b"/", (b"User-Agent", b"sqlmap/1.5.2#stable (http://sqlmap.org)"))),
    ("nikto", asked("GET", b"/", (b"User-Agent", b"Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:000001)"))),
    ("nmap", asked("GET", b"/nmaplowercheck1", (b"User-Agent", b"Mozilla/5.0 (compatible; Nmap Scripting Engine)"))),
    ("curl", asked("GET", b"/", (b"User-Agent", b"curl/8.5.0"))),
    ("python", asked("GET", b"/", (b"User-Agent", b"python-requests/2.31.0"))),
    ("crawler", asked("GET", b"/", (b"User-Agent", b"Mozilla/5.0 (compatible; Googlebot/2.1)"))),
    ("session fixed", asked("GET", b"/?PHPSESSID=abc", (b"Referer", b"https://evil.test/"))),
    ("session without referer", asked(target=b"/?jsessionid=abc")),
    ("no length", Asked("POST", b"/", (*_BASE, (b"Content-Type", _FORM)), b"a=b")),
    ("bad length", Asked("POST", b"/", (*_BASE, (b"Content-Type", _FORM), (b"Content-Length", b"x")), b"a=b")),
    ("part without name", asked("POST", b"/", body=b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
                                kind=b"multipart/form-data; boundary=b")),
    ("part without end", asked("POST", b"/", body=b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx',
                               kind=b"multipart/form-data; boundary=b")),
    ("php file", _multipart("upload", "<?php system('id'); ?>", "x.php")),
    ("picture", _multipart("upload", "GIF89a", "photo.gif")),
    ("two extensions", _multipart("upload", "GIF89a", "photo.php.gif")),
    ("graphql", _json({"query": "query { user(id: 1) { name } }", "variables": {}})),
    ("introspection", _json({"query": "{__schema{types{name}}}"})),
    ("soap", asked("POST", b"/", body=b"<s:Envelope xmlns:s='x'><s:Body/></s:Envelope>",
                   kind=b"application/soap+xml; charset=utf-8")),
)  # fmt: skip
"""What is odd in more than one value."""


def attacks() -> Iterator[Asked]:
    """Every attack in every place."""
    for kind, texts in ATTACKS.items():
        for text in texts:
            for place, put in PLACES.items():
                yield _named(put(text), f"{kind} as {place}: {text!r}")


def benign() -> Iterator[Asked]:
    """Every benign text in every place."""
    for text in BENIGN:
        for place, put in PLACES.items():
            yield _named(put(text), f"benign as {place}: {text[:60]!r}")


def odd() -> Iterator[Asked]:
    """Requests whose form is what matters."""
    for name, request in _TABLE:
        yield _named(request, name)


def _named(request: Asked, name: str) -> Asked:
    return Asked(request.method, request.target, request.headers, request.body, name)
