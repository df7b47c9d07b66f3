"""Hostile places: targets, hosts, and fields that say for whom, over which hop, and in whose name."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.hostile import CHUNKED, HOST, Arrival, Hostile, declined, head, malformed, post, served, starts

MALFORMED_TARGETS = (
    b"", b"a", b"a/b", b"?a", b"#", b"#a", b"%2f", b"%2Fa", b"\\", b"\\a", b".", b"..", b"./a", b"../a", b"~", b":",
    b"://", b"open.test", b"open.test:443", b"open.test/", b"*", b"**", b"*/", b"*a", b"/#", b"/#a", b"/a#b",
    b"/a?b#c", b'/"', b"/a\"b", b"/<", b"/>", b"/?<a>", b'/?"', b"/a\\b", b"/\\", b"/\\\\a", b"/a^b", b"/`", b"/{",
    b"/}", b"/{a}", b"mailto:a", b"javascript:1", b"data:,a", b"file:///etc/passwd", b"https:", b"https:/",
    b"https:/a", b"https://", b"https:///a", b"https:open.test", b"https:/open.test/", b"https:\\\\open.test\\",
    b"https://open.test\\@other.test/", b"https://open.test#@other.test/", b"https://other.test#@open.test/",
    b"https://other.test\\.open.test/", b"https://open.test:x/", b"https://open.test:-1/", b"https://[::1/",
    b"https://::1/", b"https://user@open.test/", b"https://user:pass@open.test/", b"https://open.test@other.test/",
    b"https://@open.test/", b"https://open.test%00.other.test/", b"https://open.test,other.test/",
    b"https://open.test%2f@other.test/", b"//open.test\x00/",
)  # fmt: skip
DECLINED_TARGETS = (
    b"/../", b"/..", b"/../a", b"/a/../..", b"/a/../../b", b"/%2e%2e/a", b"/%2E%2E/", b"/.%2e/a", b"/%2e./a",
    b"/a/..;/b", b"/..;/", b"/.;/a", b"/a/..;x=1/b", b"/a/.;x/b", b"/a/%2e%2e;/b", b"/a/..%3b/b", b"/a/%2e%2e%3bx/b",
    b"/a/..%2fb", b"/a%2f../b", b"/a%2f..%2fb", b"/a/%2e%2e%2fb", b"/a%2F%2e%2e", b"/a%5c..%5cb", b"/a/..%5cb",
    b"/%5c..%5c", b"/a/%252e%252e/b", b"/%252e%252e%252fa", b"/a%252f..%252fb", b"/a/%252e/b", b"/a/..%252fb",
    b"/a/..%255cb", b"/a//../b", b"//a/../b", b"/a/..//b", b"//..", b"/%", b"/%2", b"/%zz", b"/%2g", b"/%%", b"/%25%",
    b"/a%", b"/%u002e%u002e/", b"/%00", b"/a%00b", b"/a%00.html", b"/%2500/..%2f", b"/%c0%ae%c0%ae/a", b"/%c0%afa",
    b"/%c1%9ca", b"/%C0%80", b"/.%c0%ae/", b"/a/%2e%2e%5cb", b"/a/%5c%2e%2e/b", b"/a%2f%2e%2e%2f%2e%2e%2fb",
    b"/;/../..;/a", b"/a%2f..;/b", b"/a%5c..;/b", b"/a%0d%0aX:%20b", b"/a%0a",
)  # fmt: skip
SERVED_TARGETS = {
    b"/": b"/", b"/a": b"/a", b"/a/": b"/a/", b"/?": b"/?", b"/??": b"/??", b"/?a=b&c=d": b"/?a=b&c=d",
    b"/a?b?c/d:e@f": b"/a?b?c/d:e@f", b"//": b"//", b"//a": b"//a", b"//other.test/a": b"//other.test/a",
    b"/a//b": b"/a//b", b"///": b"///", b"/.a": b"/.a", b"/a.": b"/a.", b"/...": b"/...", b"/..a": b"/..a",
    b"/a..": b"/a..", b"/./a": b"/a", b"/a/.": b"/a/", b"/a/..": b"/", b"/a/./b": b"/a/b", b"/a/../b": b"/b",
    b"/a/b/../../c": b"/c", b"/%2e/a": b"/a", b"/a/%2e%2e/b": b"/b", b"/%41%42": b"/%41%42", b"/%c3%a4": b"/%c3%a4",
    b"/%ff": b"/%ff", b"/a%2fb": b"/a%2fb", b"/a%5cb": b"/a%5cb", b"/a%20b": b"/a%20b",
    b"/a%3fb": b"/a%3fb", b"/a%23b": b"/a%23b", b"/%25": b"/%25",
    b"/%2541": b"/%2541", b"/a;b=c": b"/a;b=c", b"/a:b@c": b"/a:b@c", b"/!$&'()*+,;=": b"/!$&'()*+,;=",
    b"/~a-b_c.d": b"/~a-b_c.d", b"/a|b[c]": b"/a|b[c]", b"/?a|b\\c^d`e{f}": b"/?a|b\\c^d`e{f}", b"/?%": b"/?%",
    b"/?%zz": b"/?%zz", b"/?%00": b"/?%00", b"/?../..": b"/?../..",
    b"/?a=https://other.test/": b"/?a=https://other.test/", b"/https://other.test/": b"/https://other.test/",
    b"/?" + b"a" * 900: b"/?" + b"a" * 900, b"https://open.test": b"/", b"https://open.test/": b"/",
    b"HTTPS://OPEN.TEST/a": b"/a", b"http://open.test/a?b": b"/a?b", b"https://open.test?a": b"/?a",
    b"https://open.test/a/../b": b"/b", b"https://open.test//other.test/": b"//other.test/",
    b"https://open.test/@other.test/": b"/@other.test/",
}  # fmt: skip


def targets() -> Iterator[Hostile]:
    """Where to: what is no target, what two readers resolve differently, and what is only unusual."""
    yield from starts(b"GET " + target + b" HTTP/1.1" for target in MALFORMED_TARGETS)
    yield from (declined(target, head(start=b"GET " + target + b" HTTP/1.1")) for target in DECLINED_TARGETS)
    for target, arrives in SERVED_TARGETS.items():
        yield served(target, head(start=b"GET " + target + b" HTTP/1.1"), Arrival(target=arrives))
    for target, arrives in ((b"*", b"*"), (b"https://open.test", b"*"), (b"https://open.test/", b"/"), (b"/*", b"/*")):
        data = head(start=b"OPTIONS " + target + b" HTTP/1.1")
        yield served(b"OPTIONS " + target, data, Arrival(b"OPTIONS", arrives))


BAD_HOSTS = (
    b"", b" ", b".", b"..", b".open.test", b"open..test", b"open.test..", b"open.test/", b"open.test/a",
    b"/open.test", b"open.test?a", b"open.test#a", b"open.test\\a", b"user@open.test", b"open.test@other.test",
    b"@open.test", b"open.test@", b"open.test other.test", b"open.test\tother.test", b"open.test,other.test",
    b"open.test, other.test", b"other.test, open.test", b"open.test;other.test", b"https://open.test", b"//open.test",
    b"open.test:x", b"open.test:https", b"open.test:-1", b"open.test:+443", b"open.test:65536", b"open.test:99999",
    b"open.test:123456", b"open.test:443:443", b"open.test::443", b"open.test: 443", b"open.test :443",
    b"open.test:443 ,", b"open.test:0x1bb", b"open.test:4_43", b"open.test:\xd9\xa4", b"open.test:443@other.test",
    b":443", b":", b"open%2etest", b"open.test%00", b"open.test%20", b"%6fpen.test", b"open.test%",
    b"\xc3\xb6pen.test", b"open\xe3\x80\x82test", b"open.test\xa0", b"open.te\xc2\xadst", b"[::1", b"::1", b"::1]",
    b"[::1]a", b"[]", b"[:]", b"[:::]", b"[1]", b"[1:2]", b"[::1::2]", b"[::12345]", b"[1:2:3:4:5:6:7:8:9]",
    b"[::1%25eth0]", b"[fe80::1%lo]", b"[v1.a]", b"[127.0.0.1]", b"[open.test]", b"[::ffff:300.0.0.1]", b"[::1]:x",
    b"[::1]]", b"[[::1]]", b"*", b"*.test", b"open.test*", b"'open.test'", b'"open.test"', b"(open.test)",
    b"<open.test>", b"open.test|", b"$open.test", b"open.test&", b"open.test=", b"{open.test}", b"open.test`id`",
    b"localhost\x00", b"open.test\x00.other.test",
)  # fmt: skip
MISDIRECTED = (
    b"none.test", b"test", b"open", b"xopen.test", b"open.testx", b"127.0.0.1", b"0", b"2130706433", b"0x7f.1",
    b"[::1]", b"[::ffff:127.0.0.1]:443", b"xn--pen-sna.test", b"_open.test", b"-open.test", b"open_test",
    b"a.open.test", b"localhost", b"a" * 63 + b".test", b"[1:2:3:4:5:6:7:8]", b"metadata.google.internal",
    b"169.254.169.254", b"open.test.other",
)  # fmt: skip
SERVED_HOSTS = {
    b"open.test": b"open.test", b"OPEN.TEST": b"open.test", b"Open.Test": b"open.test", b"open.test.": b"open.test",
    b"open.test:": b"open.test", b"open.test:443": b"open.test", b"open.test.:443": b"open.test",
    b"open.test:00443": b"open.test", b"open.test:8443": b"open.test:8443", b"open.test:08443": b"open.test:8443",
    b"open.test:1": b"open.test:1", b"open.test:65535": b"open.test:65535", b" open.test\t ": b"open.test",
    b"other.test": b"other.test",
}  # fmt: skip


def hosts() -> Iterator[Hostile]:
    """For whom: no Host, two of them, none that is one, others than ours."""
    yield malformed("none", head(host=b""))
    for host, arrives in (
        (b"other.test", b"other.test"),
        (b"OPEN.test:8443", b"open.test:8443"),
        (b"open.test.:443", HOST[6:]),
    ):
        data = head(start=b"GET https://%b/a HTTP/1.1" % host)
        yield served(b"as an absolute target: " + host, data, Arrival(target=b"/a", host=arrives))
    yield malformed("none, but an absolute target", head(start=b"GET https://open.test/ HTTP/1.1", host=b""))
    for host in BAD_HOSTS:
        yield malformed(host, head(host=b"Host: " + host))
        yield malformed(b"behind a good one: " + host, head(b"Host: " + host))
    for host in (b"a" * 262, b"open.test." + b"a" * 300, b"a." * 200 + b"test"):
        yield declined(host, head(host=b"Host: " + host))
    for host in MISDIRECTED:
        yield declined(host, head(host=b"Host: " + host), 421)
        yield malformed(b"behind a good one: " + host, head(b"Host: " + host))
        yield malformed(b"before a good one: " + host, head(HOST, host=b"Host: " + host))
        # RFC 9112, section 3.2.2: the Host beside an absolute target is ignored, whoever it says.
        absolute = b"GET https://open.test/ HTTP/1.1", b"GET https://%b/ HTTP/1.1" % host
        yield served(b"beside an absolute target: " + host, head(start=absolute[0], host=b"Host: " + host))
        yield declined(b"as an absolute target: " + host, head(start=absolute[1]), 421)
    for host, arrives in SERVED_HOSTS.items():
        yield served(b"ours: " + host, head(host=b"Host: " + host), Arrival(host=arrives))
    for name in (b"host", b"HOST", b"hOsT"):
        yield served(name, head(host=name + b": open.test"))
        yield malformed(b"twice: " + name, head(name + b": open.test"))
    for line in (
        b"X-Host: other.test", b"X-Forwarded-Host: other.test", b"X-Original-Host: other.test",
        b"X_Forwarded_Host: other.test", b"X-Forwarded-Server: other.test", b"Forwarded: host=other.test",
        b"X-Original-URL: /admin", b"X-Rewrite-URL: /admin", b"Host_: other.test", b"X-Forwarded-Prefix: /admin",
        b"Proxy: http://other.test",
    ):  # fmt: skip
        yield served(line, head(line))


def hops() -> Iterator[Hostile]:
    """Over which hop: Connection and what it names, upgrades, and what says who the client is."""
    nominated = (
        b"Host", b"Content-Length", b"Transfer-Encoding", b"X-Forwarded-For", b"X-Forwarded-Host",
        b"X-Forwarded-Proto", b"Forwarded", b"Via", b"X-Request-Id", b"Cookie", b"Authorization", b"Content-Type",
        b"TE", b"Connection", b"Keep-Alive", b"Date", b"Expect",
    )  # fmt: skip
    for name in nominated:
        yield served(b"nominates " + name, head(b"Connection: " + name))
        yield served(
            b"nominates, over a body, " + name,
            post(b"Connection: " + name, b"Content-Length: 5", body=b"hello"),
            Arrival(b"POST", body=b"hello"),
        )
    for name in (b"Cookie", b"Authorization", b"Content-Type"):
        yield served(
            b"nominates a present " + name,
            head(b"Connection: " + name, name + b": a"),
            Arrival(fields=((name.lower(), b"a"),)),
        )
    for value in (b"X", b"x", b"X, Y", b"X,Y", b" , X ,, Y, ", b"\tX\t,\tY\t", b"keep-alive, X, Y", b"X\xff, X, Y"):
        fields = ((b"y", b"b"),) if b"Y" not in value else ()
        yield served(b"Connection: " + value, head(b"Connection: " + value, b"X: a", b"Y: b"), Arrival(fields=fields))
    for line in (
        b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"Proxy-Authorization: a", b"TE: gzip",
        b"TE: chunked", b"Trailer: X", b"Proxy-Authenticate: a", b"Upgrade: h2c", b"Upgrade: websocket",
        b"Upgrade: TLS/1.0, HTTP/1.1", b"Connection:", b"Connection: ,",
    ):  # fmt: skip
        yield served(line, head(line))
    for line in (
        b"X-Forwarded-For: 127.0.0.1", b"X_Forwarded_For: 127.0.0.1", b"X-Real-IP: 127.0.0.1",
        b"True-Client-IP: 127.0.0.1", b"Forwarded: for=127.0.0.1", b"SSL_CLIENT_VERIFY: SUCCESS",
        b"SSL-Client-Cert: a", b"X-SSL-Client-S-DN: CN=root", b"X-Forwarded-Client-Cert: a", b"Client-Cert: :a:",
        b"Client_Cert: :a:", b"X-Client-Cert: a", b"X.Client.Cert: a", b"X-ARR-ClientCert: a", b"Remote-User: root",
        b"X-Forwarded-Proto: http", b"X-Forwarded-Port: 80", b"X-Request-Id: a\xff",
    ):  # fmt: skip
        yield served(line, head(line))
    upgrade = b"Connection: Upgrade"
    for line in (b"Upgrade: h2c", b"Upgrade: TLS/1.0", b"Upgrade: HTTP/2.0, h2c", b"Upgrade:", b"Upgrade: \xff"):
        yield served(b"is not given " + line, head(upgrade, line))
    for line in (b"Upgrade: websocket", b"Upgrade: WebSocket", b"Upgrade: h2c, websocket"):
        yield declined(b"asks for " + line, head(upgrade, line), 426)
        yield declined(b"asks, over a body, for " + line, post(upgrade, line, b"Content-Length: 5", body=b"hello"), 400)
    settings = b"HTTP2-Settings: AAMAAABkAAQAAP__"
    yield served("h2c as curl asks", head(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", settings))
    yield served("settings without an upgrade", head(b"Connection: HTTP2-Settings", settings))


BODY_LIMIT = 2000
LIMITS = {
    "listener public": {
        "max-target-size": "1k",
        "max-header-size": "8k",
        "max-headers": "25",
        "keepalive-timeout": "3s",
    },
    "path-map all": {"max-body-size": str(BODY_LIMIT)},
}
"""What a node has to be told for the sizes of this corpus."""


def sizes() -> Iterator[Hostile]:
    """As large as may be, and one more."""
    for size in (1022, 1023):
        yield served(
            f"a target of {size + 1}",
            head(start=b"GET /%b HTTP/1.1" % (b"a" * size)),
            Arrival(target=b"/" + b"a" * size),
        )
    for size in (1024, 1025, 4000, 8000):
        yield declined(f"a target of {size + 1}", head(start=b"GET /%b HTTP/1.1" % (b"a" * size)), 414)
    for count in (22, 24):
        yield served(
            f"{count} fields",
            head(*(b"X: %d" % n for n in range(count))),
            Arrival(fields=tuple((b"x", b"%d" % n) for n in range(count))),
        )
    for count in (25, 26, 100, 1000):
        yield declined(f"{count} fields and Host", head(*(b"X: %d" % n for n in range(count))), 431)
    room = 8192 - len(head(b"X: "))
    yield served("a head of 8 KiB", head(b"X: " + b"a" * room), Arrival(fields=((b"x", b"a" * room),)))
    for more in (1, 2, 1000, 20000):
        yield declined(f"a head of {more} more", head(b"X: " + b"a" * (room + more)), 431)
    yield declined("a long name", head(b"X" * 9000 + b": a"), 431)
    yield served("a name of 1000", head(b"x" * 1000 + b": a"), Arrival(fields=((b"x" * 1000, b"a"),)))
    for size in (1, BODY_LIMIT - 1, BODY_LIMIT):
        body = b"a" * size
        yield served(f"a body of {size}", post(b"Content-Length: %d" % size, body=body), Arrival(b"POST", body=body))
        yield served(
            f"a chunk of {size}",
            post(CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)),
            Arrival(b"POST", body=body),
        )
    for size in (BODY_LIMIT + 1, BODY_LIMIT * 2, 10**17):
        yield declined(f"a body of {size}", post(b"Content-Length: %d" % size, body=b"a" * 100), 413)
