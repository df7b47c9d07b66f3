"""The fields: each as it is read from a request, and none that raises whatever a client sends."""

from __future__ import annotations

import base64
import datetime
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import evolve
from cryptography.x509.oid import ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st
from octorules_wirefilter import get_schema_info
from OpenSSL import crypto

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import (
    NO_BODY,
    Address,
    Body,
    ClientIdentity,
    Connection,
    Exchange,
    Geography,
    Request,
    Verification,
)
from edgenode.policy.tagging import Tagging
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.rules.fields import FIELDS, OF_KEY
from edgenode.rules.language.expressions import Expression
from edgenode.rules.language.foreign_fields import why_not
from edgenode.rules.language.types import Type
from edgenode.rules.views import certificates
from edgenode.tls.identity import identity_of
from tests.fuzz.rule_fields import fits
from tests.support.certificates import CLIENT, DAY, make_authority, now

CONNECTION = Connection(
    Address("192.0.2.7", 50000), Address("2001:db8::1", 8443),
    "www.test", "h2", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "t13d",
)  # fmt: skip
PLAIN = Connection(Address("192.0.2.7", 50000), Address("198.51.100.1", 80))
PLACE = Geography(
    "DE", "Germany", "EU", "Baden-Württemberg", "BW", "Karlsruhe", "KA", "Karlsruhe", "76131", "", "49.0", "8.4",
    "Europe/Berlin", True, 64500, "Example AG",
)  # fmt: skip
FORM, TEXT = "Content-Type: application/x-www-form-urlencoded", "Content-Type: text/plain"
MULTIPART = "Content-Type: multipart/form-data; boundary=b"


def request(target: str = "/", *headers: str, body: bytes = b"", method: str = "GET", version: str = "1.1") -> Request:
    """A request as the node reads it."""
    lines = [f"{method} {target} HTTP/{version}", *headers]
    if not any(header.lower().startswith("host:") for header in headers):
        lines.append("Host: WWW.test:8443")
    lines += [f"Content-Length: {len(body)}"] if body else []
    head = read_request_head("\r\n".join([*lines, "", ""]).encode("latin-1"), HeadLimits(8192, 16384, 100)).with_body(
        NO_BODY
    )
    return evolve(head, body=Body(body, len(body)))


def read(name: str, asked: Request | None, **facts: Any) -> Any:
    """The value of a field."""
    facts.setdefault("client", "192.0.2.7")
    return FIELDS[name].read(Exchange(facts.pop("connection", CONNECTION), asked, **facts))


@pytest.mark.parametrize(
    ("asked", "field", "value"),
    [
        (request(), "http.request.method", b"GET"),
        (request(method="POST"), "http.request.method", b"POST"),
        (request(), "http.request.version", b"HTTP/1.1"),
        (request(version="1.0"), "http.request.version", b"HTTP/1.0"),
        (evolve(request(), version=(2, 0)), "http.request.version", b"HTTP/2"),
        (request(), "http.host", b"www.test"),
        (request("/", "Host: [2001:DB8::1]:8443"), "http.host", b"[2001:db8::1]"),
        (request(), "edge.authority", b"www.test:8443"),
        (request("/a%2fb?c=d"), "http.request.full_uri", b"https://www.test:8443/a%2Fb?c=d"),
        (request("/%61//b%2fc?x=%61"), "http.request.uri", b"/a/b%2Fc?x=%61"),
        (request("/%61//b%2fc?x=%61"), "http.request.uri.path", b"/a/b%2Fc"),
        (request("/%61//b%2fc?x=%61"), "raw.http.request.uri", b"/%61//b%2fc?x=%61"),
        (request("/%61//b%2fc?x=%61"), "raw.http.request.uri.path", b"/%61//b%2fc"),
        (request("/x/../%61?b"), "raw.http.request.uri.path", b"/x/../%61"),
        (request("/x/../%61?b"), "http.request.uri.path", b"/a"),
        (request("/%61//b%2fc?x=%61"), "edge.path", b"/a/b/c"),
        (request("/%61//b%2fc?x=%61"), "edge.paths", (b"/a/b/c",)),
        (request("/a;x=1/;y/b"), "edge.paths", (b"/a;x=1/;y/b", b"/a/b")),
        (request("/a%5Cb%5c%5cc"), "edge.paths", (b"/a\\b\\\\c", b"/a/b/c")),
        (request("/a%5cb;x%5cc"), "edge.paths", (b"/a\\b;x\\c", b"/a\\b", b"/a/b;x/c", b"/a/b/c", b"/a/b")),
        (request("*", method="OPTIONS"), "edge.paths", (b"*",)),
        (request("/a?b"), "raw.http.request.full_uri", b"https://www.test:8443/a?b"),
        (request("HTTPS://other.test/%61?b", "Host: other.test"), "raw.http.request.uri", b"/%61?b"),
        (request("https://other.test?b", "Host: other.test"), "raw.http.request.uri.path", b"/"),
        (request("*", method="OPTIONS"), "http.request.uri.path", b"*"),
        (request("/foo.tar.BZ2"), "http.request.uri.path.extension", b"bz2"),
        (request("/foo."), "http.request.uri.path.extension", b""),
        (request("/.profile"), "http.request.uri.path.extension", b""),
        (request("/a.b/c"), "http.request.uri.path.extension", b""),
        (request("/a%2ePHP"), "http.request.uri.path.extension", b"php"),
        (request("/a%2ePHP"), "raw.http.request.uri.path.extension", b""),
        (request("/?a=b?c"), "http.request.uri.query", b"a=b?c"),
        (request("/"), "http.request.uri.query", b""),
        (
            request("/?a=1&b=%32&a=3&&=4&c"), "http.request.uri.args",
            {b"a": (b"1", b"3"), b"b": (b"%32",), b"": (b"4",), b"c": (b"",)},
        ),
        (request("/?a=1&b=2&a=3"), "http.request.uri.args.names", (b"a", b"b", b"a")),
        (request("/?a=1&b=2=&a=3"), "raw.http.request.uri.args.values", (b"1", b"2=", b"3")),
        (request("/?%61=x+y"), "edge.arguments", {b"a": (b"x y",)}),
        (request("/?%20a=1&+b=2"), "edge.arguments", {b" a": (b"1",), b"a": (b"1",), b" b": (b"2",), b"b": (b"2",)}),
        (request("/?a%00x=1"), "edge.arguments", {b"a\0x": (b"1",), b"a": (b"1",)}),
        (request("/?a=1;b=2&c"), "edge.arguments", {b"a": (b"1;b=2", b"1"), b"c": (b"",), b"b": (b"2",)}),
        (request("/?a=%zz%4"), "edge.arguments", {b"a": (b"%zz%4",)}),
        (request("/?%74oken=a+b"), "edge.query", (b"%74oken=a+b", b"token=a b")),
        (request("/?token"), "edge.query", (b"token",)),
        (request("/"), "edge.query", ()),
        (request("/%61//b?q=%78"), "edge.uri", (b"/%61//b?q=%78", b"/a/b?q=%78", b"/a/b?q=x")),
        (
            request("/", "X-A: 1", "x-a: 2"), "http.request.headers",
            {b"x-a": (b"1", b"2"), b"host": (b"WWW.test:8443",)},
        ),
        (request("/", "X-A: 1", "x-a: 2"), "http.request.headers.names", (b"X-A", b"x-a", b"Host")),
        (request("/", "X-A: 1", "x-a: 2"), "http.request.headers.values", (b"1", b"2", b"WWW.test:8443")),
        (request(), "http.request.headers.truncated", False),
        (request("/", "Cookie: a=1; b=2", "Cookie: c=3"), "http.cookie", b"a=1; b=2; c=3"),
        (request("/", "Cookie: %61=%31;a=2; b"), "http.request.cookies", {b"a": (b"%31", b"2"), b"b": (b"",)}),
        (
            request("/", 'Cookie: %61=%31; b="x y"'), "edge.cookies",
            {b"%61": (b"%31", b"1"), b"a": (b"%31", b"1"), b"b": (b'"x y"', b"x y")},
        ),
        (request("/", "Cookie: a=1 b=2"), "edge.cookies", {b"a": (b"1 b=2", b"1"), b"b": (b"2",)}),
        (request("/", "Cookie: a=1, b = 2"), "edge.cookies", {b"a": (b"1, b = 2", b"1"), b"b": (b"2",)}),
        (request("/", "Cookie: a=1\tb=2"), "edge.cookies", {b"a": (b"1\tb=2", b"1"), b"b": (b"2",)}),
        (
            request("/", 'Cookie: a="x;y"'), "edge.cookies",
            {b"a": (b'"x', b'"x;y"', b"x;y"), b'y"': (b"",)},
        ),
        *(
            (request(target, f"Content-Type: {kind}", method="POST"), f"edge.grpc.{field}", value)
            for kind, target, service, method in (
                ("application/grpc", "/shop.v1.Cart/AddItem", b"shop.v1.Cart", b"AddItem"),
                ("Application/gRPC+json; charset=utf-8", "/shop.Cart/x/../%41dd?q", b"shop.Cart", b"Add"),
                ("application/grpc-web-text+proto", "/Cart/Add", b"Cart", b"Add"),
                ("application/grpcish", "/shop.Cart/Add", None, None),
                ("application/json", "/shop.Cart/Add", None, None),
                ("application/grpc", "/Add", None, None),
                ("application/grpc", "/shop.Cart/", None, None),
                ("application/grpc", "/api/shop.Cart/Add", None, None),
            )
            for field, value in (("service", service), ("method", method))
        ),
        (request("/", "Cookie: a.b=1; a%5Bc]=2"), "edge.cookies",
         {b"a.b": (b"1",), b"a_b": (b"1",), b"a%5Bc]": (b"2",), b"a%5Bc": (b"2",), b"a[c]": (b"2",), b"a": (b"2",),
          b"a_c]": (b"2",)}),
        (request("/", 'Cookie: a=j:"x"; b=j%3A%22y%22; c=j:"'), "edge.cookies",
         {b"a": (b'j:"x"', b"x"), b"b": (b"j%3A%22y%22", b'j:"y"', b"y"), b"c": (b'j:"',)}),
        (request("/", r'Cookie: a="\157ld"'), "edge.cookies", {b"a": (rb'"\157ld"', rb"\157ld", b"old")}),
        (request("/", "Referer: r"), "http.referer", b"r"),
        (request(), "http.user_agent", b""),
        (request("/", "User-Agent: curl/8"), "http.user_agent", b"curl/8"),
        (request("/", "X-Forwarded-For: a", "X-Forwarded-For: b"), "http.x_forwarded_for", b"a, b"),
        (
            request("/", "Accept-Language: de;q=0.5, en, fr;Q=0.9, xx;q=y"), "http.request.accepted_languages",
            (b"en", b"fr", b"de", b"xx"),
        ),
        (request(), "http.request.accepted_languages", ()),
    ],
)  # fmt: skip
def test_a_request_is_read(asked: Request, field: str, value: object) -> None:
    """The head of a request, raw and decoded, in the formats that Cloudflare documents."""
    assert read(field, asked) == value


@pytest.mark.parametrize(
    ("asked", "field", "value"),
    [
        (request("/", TEXT, body=b"abc"), "http.request.body.raw", b"abc"),
        (request("/", TEXT, body=b"abc"), "http.request.body.size", 3),
        (request("/", TEXT, body=b"abc"), "http.request.body.truncated", False),
        (evolve(request(body=b"abc"), body=Body(b"a", 3, True)), "http.request.body.truncated", True),
        (request(), "http.request.body.raw", b""),
        (evolve(request(), body=None), "http.request.body.size", 0),
        (evolve(request(body=b"abc"), body=None), "http.request.body.raw", None),
        (evolve(request("/", FORM, body=b"a=b"), body=None), "http.request.body.form", None),
        (
            request("/", FORM, body=b"a=1&%62=x+y&a=3"), "http.request.body.form",
            {b"a": (b"1", b"3"), b"%62": (b"x+y",)},
        ),
        (request("/", FORM, body=b"a=1&b=2"), "http.request.body.form.names", (b"a", b"b")),
        (request("/", FORM, body=b"a=1&b=2"), "http.request.body.form.values", (b"1", b"2")),
        (request("/", TEXT, body=b"a=1&b=2"), "http.request.body.form", {}),
        (request("/", body=b"a=1"), "http.request.body.form", {b"a": (b"1",)}),
        (request("/", "Content-Type:", body=b"a=1"), "http.request.body.form", {b"a": (b"1",)}),
        (request("/", FORM, body=b"a&" * 4095), "http.request.body.truncated", False),
        (request("/", FORM, body=b"a&" * 4096), "http.request.body.truncated", True),
        (request("/", FORM, body=b"a;" * 4096), "http.request.body.truncated", True),
        (request("/", TEXT, body=b"a&" * 4096), "http.request.body.truncated", False),
        (
            request("/", FORM, body=b"a=1&" * 4095 + b"b=2&c=3"), "http.request.body.form",
            {b"a": (b"1",) * 4095, b"b": (b"2",)},
        ),
        (request("/", MULTIPART, body=b"--b\r\n\r\n1\r\n" * 1000), "http.request.body.truncated", False),
        (request("/", MULTIPART, body=b"--b\r\n\r\n1\r\n" * 1001), "http.request.body.truncated", True),
        (request("/", FORM.upper() + " ; charset=x", body=b"a=1"), "http.request.body.form", {b"a": (b"1",)}),
        (request("/?a=0", FORM, body=b"%61=1"), "edge.arguments", {b"a": (b"0", b"1")}),
        (request("/", f"{FORM}; charset=zlib", body=b"a=1"), "edge.arguments", {b"a": (b"1",)}),
        (request("/", body=b"\x89PNG\r\n\x1a\n..."), "http.request.body.mime", b"image/png"),
        (request("/", "Content-Type: image/png", body=b"PK\x03\x04..."), "http.request.body.mime", b"application/zip"),
        (request("/", body=b" \n<!DOCTYPE html>"), "http.request.body.mime", b"text/html"),
        (request("/", body=b"...."), "http.request.body.mime", b""),
        (request("/"), "http.request.body.mime", b""),
        (request("/", body=b"\0\0\0\x18ftypmp42"), "http.request.body.mime", b"video/mp4"),
    ],
)  # fmt: skip
def test_a_body_is_read(asked: Request, field: str, value: object) -> None:
    """The body, if somebody has read it, and the fields of a form in it."""
    assert read(field, asked) == value


SECRET = b"debug=1&q=%3Cscript%3E"
READ = {b"debug": b"1", b"q": b"<script>"}


@pytest.mark.parametrize(
    ("names", "codec"),
    [
        ("UTF-16 utf_16 x-utf-16 Unicode UCS-2 csUnicode ISO-10646-UCS-2", "utf-16"),
        ("UTF-16 utf16 ucs-2 byte2", "utf-16-be"),
        ("UTF-16LE utf_16_le x-UTF-16LE-BOM UnicodeLittle unicodeFEFF", "utf-16-le"),
        ("utf-16be UnicodeBigUnmarked unicodeFFFE UCS-2BE", "utf-16-be"),
        ("utf-32 UTF_32 ucs-4", "utf-32"),
        ("utf-7 unicode-1-1-utf-7 csUnicode11UTF7 x-unicode-2-0-utf-7", "utf-7"),
        ("ibm037 IBM-037 cp037 csIBM037 Cp037 ebcdic-cp-us 037 ibm-37", "cp037"),
        ("ibm500 IBM500 cp500 500 csIBM500", "cp500"),
        ("ibm01140 CCSID01140 cp1140 IBM-1140", "cp1140"),
        ("unicode_escape unicode-escape", "unicode_escape"),
    ],
)
def test_a_form_in_another_character_set_is_read_in_it(names: str, codec: str) -> None:
    """The whole body is in it, as Django, Spring and .NET decode it, or what is percent-encoded."""
    for name in names.split():
        for data in (
            SECRET.decode().encode(codec),
            urlencode({"debug".encode(codec): "1".encode(codec), "q".encode(codec): "<script>".encode(codec)}).encode(),
        ):
            found = read("edge.arguments", request("/", f"{FORM}; charset={name}", body=data))
            assert all(value in found.get(key, ()) for key, value in READ.items()), (name, data, found)
        body = request("/", f"Content-Type: application/json; charset={name}", body=SECRET.decode().encode(codec))
        assert SECRET in read("http.request.body.raw", body)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_json_is_read_as_its_first_bytes_say(codec: str) -> None:
    """So Python's json.loads and others find a character set that nobody names (RFC 4627, section 3)."""
    for text in ('{"q": "union select"}', "[]", "7"):
        found = read("http.request.body.raw", request("/", "Content-Type: application/json", body=text.encode(codec)))
        assert text.encode() in found, found


@pytest.mark.parametrize(
    ("of_request", "of_part", "encoding", "value"),
    [
        ("; charset=utf-7", "", "", b"+AGEAdAB0AGEAYwBr-"),
        ("; charset=utf-16le", "", "", "attack".encode("utf-16-le")),
        ("; charset=utf-8", "; charset=utf-16le", "", "attack".encode("utf-16-le")),
        ("", "; charset=utf-16le", "base64", base64.b64encode("attack".encode("utf-16-le"))),
    ],
)
def test_parts_are_read_in_the_character_set_of_the_whole_as_well(
    of_request: str, of_part: str, encoding: str, value: bytes
) -> None:
    """Django takes that for theirs; and what a part is transferred in is undone first."""
    more = f"Content-Type: text/plain{of_part}\r\nContent-Transfer-Encoding: {encoding}\r\n".encode()
    body = b'--b\r\nContent-Disposition: form-data; name="q"\r\n' + more + b"\r\n" + value + b"\r\n--b--\r\n"
    asked = request("/", f"Content-Type: multipart/form-data; boundary=b{of_request}", body=body)
    assert b"attack" in read("edge.arguments", asked)[b"q"]


def test_where_each_is_read_in_further_character_sets_fewer_arguments_are_looked_at() -> None:
    """It takes so much longer; who sends more of them is told of as who sends too many."""
    for charset, count, truncated in (("utf-8", 513, False), ("utf-16", 511, False), ("utf-16", 513, True)):
        asked = request("/?" + "&".join(["a=1"] * count), f"{FORM}; charset={charset}")
        tags = Tagging.of({}).decide(Exchange(CONNECTION, asked)).tags
        assert ("args:truncated" in tags) is truncated


def test_where_a_form_is_read_in_further_character_sets_less_of_it_is_looked_at() -> None:
    """128 KiB that UTF-7 makes nothing of would take a tenth of a second in every reading."""
    for charset, size, truncated in (("utf-8", 20_000, False), ("utf-7", 16_000, False), ("utf-7", 20_000, True)):
        asked = request("/", f"{FORM}; charset={charset}", body=b"a=" + b"\xff" * size)
        assert read("http.request.body.truncated", asked) is truncated
        assert max(map(len, read("edge.arguments", asked)[b"a"])) < 3 * 20_000


def test_names_of_many_readings_have_a_bound_together() -> None:
    """A thousand parts whose names each have ten readings would take a tenth of a second."""
    names = b"; ".join(b'name*%d="a%d\\\\b"' % (n, n) for n in range(4)) + b'; name="x\\\\y"; name="z\\\\w"'
    part = b"--b\r\nContent-Disposition: form-data; " + names + b"\r\n\r\n1\r\n"
    asked = request("/", MULTIPART, body=part * 999)
    assert read("http.request.body.truncated", asked)


@pytest.mark.parametrize(
    ("content_type", "body", "known"),
    [
        (FORM, b"q=%2BAGEAdAB0AGEAYwBr-&_charset_=utf-7", True),
        (FORM, b"_%63harset%5f=UTF-7&q=+AGEAdAB0AGEAYwBr-".replace(b"+", b"%2B"), True),
        (FORM, b"_charset_=utf-9&q=1", False),
        (FORM, b"x_charset_=utf-9&q=1", True),
        (f"{FORM}; charset=utf-16", b"_charset_=utf-32&q=1", True),
        (f"{FORM}; charset=utf-16; charset=hz", b"_charset_=utf-32&q=1", False),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nutf-7\r\n'
         b'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\n+AGEAdAB0AGEAYwBr-\r\n--b--', True),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nutf-9\r\n--b--', False),
    ],
)  # fmt: skip
def test_a_form_says_its_character_set_in_a_field(content_type: str, body: bytes, known: bool) -> None:
    """HTML's ``_charset_``, whose name may be encoded; one that nobody knows is told."""
    asked = request("/", content_type, body=body)
    if b"-7" in body.lower():
        assert b"attack" in read("edge.arguments", asked)[b"q"]
        assert b"attack" in read("http.request.body.raw", asked) or content_type.startswith(FORM)
    assert ("body:unknown-charset" in Tagging.of({}).decide(Exchange(CONNECTION, asked)).tags) is not known


def test_the_raw_body_has_what_a_part_says_in_a_character_set_of_its_own() -> None:
    """Behind it, as it has what the whole says in one; and what a part is transferred in is undone."""
    for kind, value in ((b"text/plain; charset=utf-16le", "attack".encode("utf-16-le")), (b"text/plain", b"YXR0YWNr")):
        body = (
            b'--b\r\nContent-Disposition: form-data; name="q"\r\nContent-Type: %b\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\n%b\r\n--b--"
            % (kind, base64.b64encode(value) if b"=" in kind else value)
        )
        raw = read("http.request.body.raw", request("/", MULTIPART, body=body))
        assert raw.startswith(body)
        assert b"attack" in raw


def test_a_form_is_not_read_by_its_first_bytes() -> None:
    """No reader of forms does so."""
    asked = request("/", FORM, body="a=1".encode("utf-16-le"))
    assert read("edge.arguments", asked) == {b"a": (b"\x001\x00",), b"a\x00": (b"\x001\x00",)}


@pytest.mark.parametrize(
    ("charset", "unknown"),
    [
        ("utf-8", False), ("\"UTF-8\"", False), ("ISO-8859-1", False), ("iso_8859-1:1987", False), ("us-ascii", False),
        ("windows-1252", False), ("Cp1252", False), ("Shift_JIS", False), ("gb18030", False), ("EUC-KR", False),
        ("koi8-r", False), ("x-mac-roman", False), ("utf8mb4", False), ("", False), ("utf-16", False),
        ("utf-9", True), ("cp1047", True), ("IBM-1047", True), ("utf7-imap", True), ("base64", True),
        ("HTML-ENTITIES", True), ("punycode", True), ("idna", True), ("zlib", True), ("iso-2022-cn", True),
    ],
)  # fmt: skip
def test_character_sets_that_nobody_knows_have_a_tag(charset: str, unknown: bool) -> None:
    """Of those it cannot be told whether ASCII is ASCII in them; in most it is."""
    exchange = Exchange(CONNECTION, request("/", f"{FORM}; charset={charset}", body=b"a=1"))
    assert ("body:unknown-charset" in Tagging.of({}).decide(exchange).tags) is unknown


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("cmd[]", "cmd"), ("cmd[0]", "cmd"), ("cmd[a][b]", "cmd"), ("cmd%5B%5D", "cmd"), ("[cmd]", "cmd"),
        ("cmd[", "cmd_"), ("a.b", "a_b"), ("a+b", "a_b"), ("a%20b", "a_b"), ("a.b[c]", "a_b"), ("+cmd", "cmd"),
        ("cmd%00x", "cmd"), ("cmd[]", "cmd[]"), ("a.b", "a.b"),
    ],
)  # fmt: skip
def test_a_name_is_read_as_php_rack_and_qs_read_it(written: str, name: str) -> None:
    """In the query and in a form; looked for by its name it is found without the map."""
    for asked in (request(f"/?{written}=1"), request("/", FORM, body=f"{written}=1".encode())):
        assert read("edge.arguments", asked)[name.encode()] == (b"1",)
        assert OF_KEY["edge.arguments"](name.encode())(Exchange(CONNECTION, asked)) == (b"1",)


PARTS = (
    b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.php"\r\nContent-Type: text/plain\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nZXZpbA==\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("http.request.body.multipart", {b"a": (b"1",), b"f": (b"ZXZpbA==",)}),
        ("http.request.body.multipart.names", ((b"a",), (b"f",))),
        ("http.request.body.multipart.values", (b"1", b"ZXZpbA==")),
        ("http.request.body.multipart.filenames", ((), (b"x.php",))),
        ("http.request.body.multipart.content_types", ((), (b"text/plain",))),
        (
            "http.request.body.multipart.content_dispositions",
            ((b'form-data; name="a"',), (b'form-data; name="f"; filename="x.php"',)),
        ),
        ("http.request.body.multipart.content_transfer_encodings", ((), (b"base64",))),
        ("edge.arguments", {b"a": (b"1",), b"f": (b"ZXZpbA==", b"evil")}),
    ],
)
def test_a_multipart_body_is_read(field: str, value: object) -> None:
    """Part by part; an argument is looked for in it too, with its transfer encoding taken away."""
    assert read(field, request("/", MULTIPART, body=PARTS)) == value


def test_only_a_multipart_body_has_parts() -> None:
    """Not one that looks like it; and any kind of multipart has."""
    for kind, found in (("text/plain", {}), ("Multipart/Mixed", {b"a": (b"1",), b"f": (b"ZXZpbA==",)})):
        asked = request("/", f"Content-Type: {kind}; boundary=b", body=PARTS)
        assert read("http.request.body.multipart", asked) == found


def test_a_part_is_read_in_its_own_character_set() -> None:
    """As it is, and as what it says to a server that believes it."""
    body = PARTS.replace(b"text/plain", b"text/plain; charset=utf-16").replace(b"ZXZpbA==", "evil".encode("utf-16"))
    asked = request("/", MULTIPART, body=body)
    assert b"evil" in read("edge.arguments", asked)[b"f"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ip.src", (4, 0xC0000207)),
        ("ssl", True),
        ("cf.tls_version", b"TLSv1.3"),
        ("cf.tls_cipher", b"TLS_AES_128_GCM_SHA256"),
        ("cf.edge.server_ip", (6, 0x20010DB8 << 96 | 1)),
        ("cf.edge.server_port", 8443),
        ("cf.edge.client_tcp", True),
        ("cf.bot_management.ja4", b"t13d"),
        ("edge.ja4", b"t13d"),
        ("edge.sni", b"www.test"),
        ("edge.alpn", b"h2"),
        ("edge.peer_ip", (4, 0xC0000207)),
        ("edge.peer_port", 50000),
        ("edge.server_group", b"g"),
        ("edge.security_policy", b"p"),
        ("edge.path_map", b"m"),
        ("edge.tags", (b"a", b"b")),
        ("http.request.timestamp.sec", 1700000000),
        ("http.request.timestamp.msec", 250),
        ("ip.src.country", b"DE"),
        ("ip.src.continent", b"EU"),
        ("ip.src.is_in_european_union", True),
        ("ip.src.region", "Baden-Württemberg".encode()),
        ("ip.src.region_code", b"BW"),
        ("ip.src.subdivision_1_iso_code", b"DE-BW"),
        ("ip.src.subdivision_2_iso_code", b"DE-KA"),
        ("ip.src.city", b"Karlsruhe"),
        ("ip.src.postal_code", b"76131"),
        ("ip.src.metro_code", b""),
        ("ip.src.lat", b"49.0"),
        ("ip.src.lon", b"8.4"),
        ("ip.src.timezone.name", b"Europe/Berlin"),
        ("ip.src.asnum", 64500),
        ("edge.region", ("Baden-Württemberg".encode(), b"BW")),
        ("edge.subregion", (b"Karlsruhe", b"KA")),
        ("edge.organization", (b"Example AG",)),
    ],
)
def test_a_connection_is_read(field: str, value: object) -> None:
    """Who connected where, over what, how it was routed, and where in the world that is."""
    facts = {"server_group": "g", "security_policy": "p", "path_map": "m", "tags": frozenset({"b", "a"})}
    assert read(field, None, **facts, geography=PLACE, time=1700000000.25) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ssl", False),
        ("cf.tls_version", b""),
        ("edge.sni", None),
        ("edge.alpn", None),
        ("edge.path_map", None),
        ("http.request.timestamp.sec", None),
        ("http.request.uri.path", None),
        ("http.request.body.raw", None),
        ("edge.arguments", None),
        ("edge.tags", ()),
        ("ip.src.country", b"XX"),
        ("ip.src.asnum", 0),
        ("ip.src.city", b""),
        ("ip.src.subdivision_1_iso_code", b""),
        ("ip.src.is_in_european_union", False),
        ("edge.region", ()),
        ("edge.organization", ()),
    ],
)
def test_what_is_not_there_is_missing_or_unknown(field: str, value: object) -> None:
    """Of a stream without TLS, from nowhere: missing, or Cloudflare's value of the unknown."""
    assert read(field, None, connection=PLAIN) == value


def holder(**options: Any) -> tuple[Exchange, ClientIdentity]:
    """An exchange with a verified client, and its identity."""
    root = make_authority("Root")
    leaf = root.issue(**options)
    identity = identity_of(crypto.X509.from_cryptography(leaf.certificate), Verification(True, True))
    identity = evolve(identity, chain_verified=(b"inner", root.der), chain_sent=(root.der,))
    return Exchange(evolve(CONNECTION, client=identity), None, "192.0.2.7", time=now().timestamp()), identity


def of_certificate(name: str, exchange: Exchange) -> Any:
    """The value of a field of ours on certificates."""
    return FIELDS[f"edge.tls_client_auth.{name}"].read(exchange)


def test_a_client_certificate_is_read() -> None:
    """All names by kind, usages by number and name, the key, the chain."""
    sans = ["DNS:a.test", "DNS:b.test", "URI:spiffe://a/b", "email:a@b.test", "IP:192.0.2.1", "IP:2001:db8::1"]
    exchange, identity = holder(sans=sans, eku=[CLIENT, ObjectIdentifier("1.2.3")])
    expected = {
        "san_dns": (b"a.test", b"b.test"),
        "san_uri": (b"spiffe://a/b",),
        "san_email": (b"a@b.test",),
        "san_ip": ((4, 0xC0000201), (6, 0x20010DB8 << 96 | 1)),
        "eku": (b"1.3.6.1.5.5.7.3.2", b"clientAuth", b"1.2.3"),
        "key_type": b"ECDSA",
        "key_bits": 256,
        "signature_algorithm": b"ecdsa-sha256",
        "spki_sha256": identity.spki_sha256.encode(),
        "chain_length": 3,
        "verification": b"SUCCESS",
        "reason": b"",
        "first_error": 0,
        "errors": (),
    }
    assert {name: of_certificate(name, exchange) for name in expected} == expected


def test_what_is_wrong_with_a_certificate_is_read() -> None:
    """The reason, the first and the last error, where it arose, and all of them."""
    exchange, identity = holder()
    wrong = Verification(True, False, False, 20, 21, 1, "unable to verify the first certificate", (20, 21))
    exchange = evolve(exchange, connection=evolve(CONNECTION, client=evolve(identity, verification=wrong)))
    expected = {"first_error": 20, "last_error": 21, "depth": 1, "errors": (20, 21), "reason": wrong.reason.encode()}
    assert {name: of_certificate(name, exchange) for name in expected} == expected
    assert of_certificate("chain_length", exchange) == 3
    sent = evolve(identity, verification=wrong, chain_verified=())
    assert of_certificate("chain_length", evolve(exchange, connection=evolve(CONNECTION, client=sent))) == 2
    assert of_certificate("verification", exchange) == b"FAILED:unable to verify the first certificate"


@pytest.mark.parametrize(("days", "left"), [(0, 10), (9.5, 0), (10.5, -1), (30, -20)])
def test_days_to_expiry_are_whole(days: float, left: int) -> None:
    """They count down, and below zero once it has expired; it takes a clock to tell."""
    exchange, identity = holder(not_after=now() + 10 * DAY)
    later = evolve(exchange, time=(identity.not_after - 10 * DAY + days * DAY).timestamp())
    assert of_certificate("days_to_expiry", later) == left
    assert of_certificate("days_to_expiry", evolve(exchange, time=0.0)) is None
    assert "clock" in FIELDS["edge.tls_client_auth.days_to_expiry"].needs


def test_the_age_of_a_revocation_list_is_read() -> None:
    """In seconds; stale is one past its date, and without a list there is neither."""
    exchange, identity = holder()
    issued = datetime.datetime.fromtimestamp(exchange.time - 60, datetime.UTC)
    for due, stale in ((issued + DAY, False), (issued, True), (None, False)):
        covered = evolve(identity, crl_this_update=issued, crl_next_update=due)
        there = evolve(exchange, connection=evolve(CONNECTION, client=covered))
        assert (of_certificate("crl_age", there), of_certificate("crl_stale", there)) == (60, stale)
    assert (of_certificate("crl_age", exchange), of_certificate("crl_stale", exchange)) == (None, None)


def test_certificates_are_written_as_rfc_9440_says() -> None:
    """Leaf and chain as Byte Sequences; one that is longer than Cloudflare's limit is empty, and said to be."""
    exchange, identity = holder()

    def found(**changes: Any) -> list[object]:
        there = evolve(exchange, connection=evolve(CONNECTION, client=evolve(identity, **changes)))
        names = ("rfc9440", "rfc9440_too_large", "chain_rfc9440", "chain_rfc9440_too_large")
        return [FIELDS[f"cf.tls_client_auth.cert_{name}"].read(there) for name in names]

    leaf, root = (b":%b:" % base64.b64encode(der) for der in (identity.leaf, identity.chain_sent[0]))
    assert found() == [leaf, False, root, False]
    assert found(chain_sent=()) == [leaf, False, b"", False]
    assert found(chain_sent=identity.chain_sent * 2) == [leaf, False, root + b", " + root, False]
    fits = (certificates.LARGEST - 2) // 4 * 3
    assert found(leaf=bytes(fits))[1] is False
    assert found(leaf=bytes(fits + 1), chain_sent=(bytes(16 * 1024),)) == [b"", True, b"", True]


def test_without_a_certificate_there_are_cloudflare_s_defaults() -> None:
    """False and empty, for all 21 fields."""
    found = {name: field for name, field in FIELDS.items() if name.startswith("cf.tls_client_auth.")}
    assert len(found) == 21
    for field in found.values():
        value = field.read(Exchange(PLAIN, None, "192.0.2.7"))
        assert value == (False if field.type.name == "Bool" else b""), field.name


def test_the_types_are_cloudflare_s() -> None:
    """Whatever field its parser knows has the same type here."""
    theirs = {each["name"]: each["type"] for each in get_schema_info()["fields"]}
    words = {"Bytes": "STRING", "Int": "INT", "Bool": "BOOL", "Ip": "IP"}

    def word(type: Type) -> str:
        return words[type.name] if type.of is None else f"{type.name.upper()}_{word(type.of)}"

    shared = {name: word(field.type) for name, field in FIELDS.items() if name in theirs}
    assert len(shared) > 60
    assert shared == {name: theirs[name] for name in shared}


def test_every_field_of_cloudflare_s_is_one_here_or_has_a_reason() -> None:
    """Nobody is left to guess why a rule that works there is refused here; nor is another field offered for it."""
    for each in get_schema_info()["fields"]:
        name = each["name"]
        if name not in FIELDS:
            assert why_not(name), name
            with pytest.raises(InvalidValue, match=re.escape(f"there is no field {name} here: ")):
                Expression.from_text(name)


@pytest.mark.parametrize("name", ["cf.tls_client_ciphers_sha1", "cf.bot_management.ja3_hash", "cf.bot_detection.score"])
def test_fields_that_its_parser_lacks_have_a_reason_too(name: str) -> None:
    """Its documentation has more of them."""
    with pytest.raises(InvalidValue, match=r"look at .*cf\.bot_management\.ja4"):
        Expression.from_text(name)


def test_older_names_of_fields_are_read() -> None:
    """``ip.geoip.country`` is ``ip.src.country``: Cloudflare's own examples still have it."""
    assert str(Expression.from_text("cf.edge.client_port lt 1024")) == "edge.peer_port lt 1024"
    assert str(Expression.from_text('ip.geoip.country eq "DE" or ip.geoip.asnum in {1}')) == (
        'ip.src.country eq "DE" or ip.src.asnum in {1}'
    )


def test_a_field_of_another_meaning_is_never_offered() -> None:
    """A slip of the pen is told; whoever followed any other hint would have a rule that is always true."""
    for text, hint in (
        ("http.hots", "; did you mean http.host?"),
        ("cf.client.tcp", ""),
        ("cf.edge.bot", ""),
        ("http", ""),
    ):
        with pytest.raises(InvalidValue) as raised:
            Expression.from_text(f'{text} eq "a"')
        assert raised.value.sentence == f"there is no field {text}{hint}"


def test_a_request_has_an_identifier_and_a_seed_of_its_own() -> None:
    """The first is that of events; the second differs for each, and is missing where there is no identifier."""
    one, two = (read("cf.random_seed", request(), identifier=each) for each in (b"1", b"2"))
    assert one != two
    assert len(one) == 32
    assert read("cf.ray_id", request(), identifier=b"1") == b"1"
    assert read("cf.ray_id", request()) is read("cf.random_seed", request()) is None


PIECES = st.sampled_from(
    [b"%", b"%4", b"%41", b"%zz", b"+", b"&", b"=", b";", b"/", b"//", b"/..", b"/.", b"?", b'"', b"\\", b"'", b"*0*",
     b"a", b"\xff", b"\xc3\xa4", b"\r\n", b"\n", b"--b", b"--b--", b"boundary=b", b"name", b"multipart/form-data", b" ",
     b"application/x-www-form-urlencoded", b"Content-Disposition: form-data;name=", b"base64", b"q=0.5", b",",
     b"\0", b":", b";charset=utf-7"]
) | st.binary(max_size=3)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=8).map(b"".join)
NAMES = st.sampled_from([b"cookie", b"content-type", b"accept-language", b"user-agent", b"host", b"x"])
REQUESTS = st.builds(
    lambda method, target, query, headers, body, length: Request(
        method, b"https", target, target, target, query, target, tuple(headers), (), (1, 1), length, body
    ),
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
    st.lists(st.tuples(NAMES, TEXTS), max_size=4),
    st.none() | st.builds(Body, TEXTS, st.integers(0, 9), st.booleans()),
    st.sampled_from([0, 5, None]),
)
WORDS = st.text(max_size=4)
IDENTITIES = st.builds(
    lambda leaf, word, verified, when: ClientIdentity(
        leaf, (leaf,), word, word, word, word, when, when, Verification(True, verified, reason=word),
        crl_this_update=when, crl_next_update=when, extended_key_usages=("1.2.3",),
    ),
    st.binary(max_size=9),
    WORDS,
    st.booleans(),
    st.datetimes(min_value=datetime.datetime(1950, 1, 1), timezones=st.just(datetime.UTC)),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.none() | REQUESTS, st.none() | IDENTITIES, st.none() | st.just(PLACE), st.sampled_from([0.0, 1e9 + 0.9999]))
def test_every_field_of_any_exchange_is_of_its_type(
    asked: Request | None, client: ClientIdentity | None, place: Geography | None, time: float
) -> None:
    """Whatever a client sends, no reader raises, and each value has the type that rules were checked with."""
    exchange = Exchange(evolve(CONNECTION, client=client), asked, "192.0.2.7", geography=place, time=time)
    for name, field in FIELDS.items():
        value = field.read(exchange)
        assert value is None or fits(value, field.type), (name, value)


@pytest.mark.parametrize("need", ["body", "clock", "tags", "geography", "certificate"])
def test_fields_say_what_they_need(need: str) -> None:
    """Without it a field has nothing but missing and unknown values; every other field reads the same."""
    asked = request("/?a=1", FORM, "Cookie: a=b", body=b"a=1")
    identity = holder()[1]
    covered = evolve(identity, crl_this_update=now(), crl_next_update=now())
    whole = Exchange(evolve(CONNECTION, client=covered), asked, "192.0.2.7", frozenset({"a"}), "", "", "", PLACE, 1e9)
    without = {
        "body": evolve(whole, request=evolve(asked, body=None)),
        "clock": evolve(whole, time=0.0),
        "tags": evolve(whole, tags=frozenset()),
        "geography": evolve(whole, geography=None),
        "certificate": evolve(whole, connection=CONNECTION),
    }[need]
    for name, field in FIELDS.items():
        if need not in field.needs:
            assert field.read(without) == field.read(whole), name
    assert any(FIELDS[name].read(without) != FIELDS[name].read(whole) for name in FIELDS if need in FIELDS[name].needs)


def _written(pieces: tuple[str, ...], separators: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Pieces with separators between them."""
    pairs = st.tuples(st.sampled_from(pieces), st.sampled_from(separators))
    return st.lists(pairs, max_size=4).map(lambda several: "".join(piece + end for piece, end in several))


_NAMES = (b"a", b"a", b"a", b"session", b"a=b", b"x a", b"", b"a b", b"a_b", b"a_b")
_COOKIES = _written(
    (
        "a=1",
        "a=2",
        "a_b=3",
        "a.b=4",
        "a[b]=5",
        "a b=6",
        "a",
        "xa=3",
        "ax=4",
        "session=a",
        "%61=5",
        "b=a=6",
        "=7",
        "a =8",
        "a=b=9",
        '"a=10"',
        'c="d; a=11"',
        "",
    ),
    ("; ", "; ", ";", "", " ", ", ", "\t", "  "),
)
_QUERIES = _written(
    ("a=1", "a=2", "a", "xa=3", "ax=4", "%61=5", "+a=6", "a+b=7", "a%00x=8", "=9", "b=a", "x+a=1", "\xff=2"),
    ("&", "&", ";", ""),
)


@settings(max_examples=500)
@given(
    st.sampled_from(_NAMES),
    st.lists(_COOKIES, max_size=2),
    st.none() | _QUERIES,
    st.sampled_from(("", "a=1&b=2", "session=", "%61=3")),
    st.sampled_from((None, FORM, TEXT, MULTIPART, "Content-Type: text/plain; charset=utf-16")),
)
def test_one_value_of_a_map_is_read_without_the_map_and_is_the_same(
    name: bytes, several: list[str], query: str | None, form: str, content_type: str | None
) -> None:
    """Headers, cookies and arguments: what is read by a short way is what the whole map has, whatever is sent."""
    headers = tuple((b"cookie", each.encode("latin-1")) for each in several)
    headers += () if content_type is None else ((b"content-type", content_type.partition(": ")[2].encode()),)
    raw = None if query is None else query.encode("latin-1")
    asked = Request(b"GET", b"https", b"a", b"/", b"/", raw, b"/", headers, length=len(form))
    if form:
        asked = evolve(asked, body=Body(form.encode(), len(form)))
    for field, of_name in OF_KEY.items():
        for key in (name, *[each for each, _ in headers]):
            whole = FIELDS[field].read(Exchange(CONNECTION, evolve(asked)))
            assert of_name(key)(Exchange(CONNECTION, evolve(asked))) == whole.get(key)
            assert of_name(key)(Exchange(CONNECTION)) is None


def test_a_view_is_computed_once_for_a_request() -> None:
    """And anew for a request with another body."""
    asked = request("/?a=1", FORM, body=b"b=2")
    first = read("edge.arguments", asked)
    assert read("edge.arguments", asked) is first
    assert read("edge.arguments", evolve(asked, body=Body(b"c=3", 3))) == {b"a": (b"1",), b"c": (b"3",)}
