"""What rules see of a real request over real mTLS: each of these filters is true of it, and tags it."""

from __future__ import annotations

import datetime

import pytest

from edgenode.tls.identity import describe
from tests.support.certificates import CLIENT, DAY, now, write_pem
from tests.support.node import PKI, Changes, Origin, get, in_thread, started


@pytest.fixture
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates, and a list of two hours ago."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    issued = now() - datetime.timedelta(hours=2)
    write_pem(pki.folder / "clients.crl", [pki.clients.crl(last_update=issued, next_update=now() + 7 * DAY)])
    return pki


ENTRIES = {
    "argument.a": "^b c$",
    "argument.debug": "^1$",
    "authority": "^strict\\.test$",
    "cookie.session": "^x y$",
    "certificate.crl-age": "7200..7500",
    "certificate.crl-stale": "!yes",
    "certificate.days-to-expiry": "9..10",
    "certificate.eku": "clientAuth",
    "certificate.issuer": "^CN=Clients$",
    "certificate.key-bits": "256..",
    "certificate.revoked": "!yes",
    "certificate.san-uri": "^spiffe://a/b$",
    "certificate.verified": "yes",
    "header.X-A": "^1$",
    "ip": "127.0.0.1",
    "method": "^POST$",
    "path": "^/x/y$",
    "path-matching-name": "all",
    "query": "^a=b c&debug=0$",
    "security-policy-name": "all",
    "uri": "^/x/%79\\?a=b\\+c",
}
EXPRESSIONS = (
    'edge.sni == "strict.test" and ssl and cf.tls_version == "TLSv1.3" and starts_with(edge.ja4, "t13d")',
    'any(http.request.headers.names[*] == "X-A") and http.request.body.size == 13',
    'http.request.body.form["debug"][0] == "%31" and http.request.uri.path == "/x/y"',
    "http.request.timestamp.sec > 1700000000 and cf.edge.server_ip == 127.0.0.1",
    'cf.tls_client_auth.cert_issuer_serial == "SERIAL"',
)


async def test_every_filter_is_true_of_a_real_request(pki: PKI, origin: Origin) -> None:
    """Entries of every kind and expressions, over what the handshake and the request really were."""
    serial = describe(pki.clients.der).serial
    rules = [*ENTRIES.items(), *(("expression", each.replace("SERIAL", serial)) for each in EXPRESSIONS)]
    filters = {f"global-filter f{n}": {"tags": f"f{n}", key: value} for n, (key, value) in enumerate(rules)}
    changes: Changes = {"trust-store clients": {"crl": "clients.crl"}, **filters}
    alice = pki.clients.issue("CN=Alice", eku=[CLIENT], sans=["URI:spiffe://a/b"], not_after=now() + 10 * DAY)
    body = b"debug=%31&x=y"
    request = (
        b"POST /x/%%79?a=b+c&debug=0 HTTP/1.1\r\nHost: strict.test\r\nX-A: 1\r\nCookie: session=x%%20y\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    async with started(pki, origin, changes) as node:
        client = await in_thread(node.client, "strict.test", version="1.3", chain=(alice,))
        with client:
            assert (await in_thread(client.ask, request)).status == 200
        (event,) = await node.events.take()
    missing = [rule for number, rule in enumerate(rules) if f"f{number}" not in event["tags"]]
    assert missing == []


@pytest.mark.parametrize(
    ("body", "lines", "status", "tag"),
    [
        (b'{"q": [{"cmd": "evil"}]}', ("Content-Type: application/json",), 403, "action:block"),
        (b'{"q": [{"cmd": "evil"}]}', (), 403, "action:block"),
        (b'{"q": [{"cmd": "ZXZpbA"}]}', ("Content-Type: text/plain",), 403, "action:block"),
        (b"<q><cmd>evil</cmd></q>", ("Content-Type: text/xml",), 403, "action:block"),
        (b'{"q": [{"cmd": "evil",}]}', ("Content-Type: application/json",), 400, "body:malformed"),
        (b'<!DOCTYPE q [<!ENTITY e "evil">]><q><cmd>&e;</cmd></q>', (), 400, "body:malformed"),
        (b'{"q": [{"cmd": "good"}]}', ("Content-Type: application/json",), 200, "args:0"),
        (b"", ("X-HTTP-Method-Override: delete",), 403, "action:block"),
        (b'{"_method": "DELETE"}', ("Content-Type: application/json",), 403, "action:block"),
    ],
)
async def test_further_readings_of_a_real_request(
    pki: PKI, origin: Origin, body: bytes, lines: tuple[str, ...], status: int, tag: str
) -> None:
    """What a body says in JSON, XML and Base64 is refused before the origin is asked; what cannot be read as well."""
    readings = "json xml base64 method-override"
    changes: Changes = {
        "global-filter commands": {"action": "block", "readings": readings, "argument.q_cmd": "^evil$"},
        "global-filter deletes": {"action": "block", "readings": readings, "method": "^DELETE$"},
    }
    async with started(pki, origin, changes) as node:
        asked = get("/", "open.test", f"Content-Length: {len(body)}", *lines, method="POST", body=body)
        client = await in_thread(node.client)
        with client:
            assert (await in_thread(client.ask, asked)).status == status
        (event,) = await node.events.take()
    assert tag in event["tags"]
