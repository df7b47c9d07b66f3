"""Certificate headers through a live node: each style for each kind of client, forged copies, changing verdicts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

import pytest
from attrs import frozen

from tests.support.certificates import SERVER, Issued, make_authority, write_pem
from tests.support.node import PKI, Changes, Client, Node, Origin, answering, fields, get, in_thread, running, started

pytestmark = pytest.mark.lasting

STYLES = {"none": "none", "rfc9440": "rfc9440", "xfcc": "xfcc", "nginx": "nginx", "all": "nginx, xfcc, rfc9440"}
NAMES = (
    "Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "SSL_CLIENT_VERIFY", "SSL_CLIENT_CERT",
    "SSL_CLIENT_S_DN", "SSL_CLIENT_I_DN", "SSL_CLIENT_SERIAL", "SSL_CLIENT_FINGERPRINT",
)  # fmt: skip
BY = "spiffe://edge.test/front"

Told = dict[str, list[bytes]]
"""The certificate headers of a request, every value by name."""


@frozen(eq=False)
class Stage:
    """A node with a server group for each style, and clients of four kinds: what each presents, the leaf first."""

    pki: PKI
    node: Node
    origin: Origin
    clients: Mapping[str, Sequence[Issued]]


def changes(mtls: str = "optional-no-ca", **group: str) -> dict[str, dict[str, str | None]]:
    """A server group ``STYLE.test`` for each style, all of them with the same policy on clients."""
    found: dict[str, dict[str, str | None]] = {"listener public": {"server-groups": ", ".join(STYLES)}}
    for name, styles in STYLES.items():
        found[f"server-group {name}"] = {
            "hosts": f"{name}.test", "certificate": "edge", "security-policy": "all", "trust-store": "clients",
            "mtls": mtls, "certificate-headers": styles, **group,
        }  # fmt: skip
    return found


def make_pki(folder: pytest.TempPathFactory) -> PKI:
    """The certificates of a node that has a URI of its own."""
    pki = PKI.make(folder.mktemp("pki"))
    sans = [*(f"DNS:{name}.test" for name in STYLES), f"URI:{BY}"]
    pki.servers.issue("edge", eku=[SERVER], sans=sans).write(pki.folder, "edge")
    return pki


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The node."""
    pki = make_pki(tmp_path_factory)
    inner = make_authority("Inner", issuer=pki.clients)
    clients = {
        "none": (),
        "good": (pki.clients.issue("CN=Alice,O=Acme\\, Inc.", sans=["URI:spiffe://a.test/alice", "DNS:alice.test"]),),
        "intermediate": (inner.issue("Bob"), inner),
        "bad": (make_authority("Stranger").issue("Mallory"),),
    }
    with Origin(pki) as origin, running(pki, origin, changes()) as node:
        yield Stage(pki, node, origin, clients)


def told(request: bytes) -> Told:
    """What a request says of the client's certificate."""
    return {name: values for name in NAMES if (values := fields(request.partition(b"\r\n\r\n")[0] + b"\r\n", name))}


def serial_of(issued: Issued) -> bytes:
    """A serial number as OpenSSL prints it: whole bytes, and none of zero in front."""
    number = issued.certificate.serial_number
    return number.to_bytes((number.bit_length() + 7) // 8, "big").hex().upper().encode()


def expected(style: str, chain: Sequence[Issued], *, verified: bool) -> Told:
    """What a style tells of a client, worked out from the certificates alone.

    :param chain: the leaf, and its issuers up to the root.
    """
    leaf = chain[0] if chain else None
    if style == "nginx" and leaf is None:
        return {"SSL_CLIENT_VERIFY": [b"NONE"]}
    if leaf is None or (style != "nginx" and not verified):
        return {}
    name = leaf.certificate.subject.rfc4514_string()
    issuer = leaf.certificate.issuer.rfc4514_string()
    pem = quote(leaf.pem.decode(), safe="")
    names = ";URI=spiffe://a.test/alice;DNS=alice.test" if b"spiffe://" in leaf.der else ""
    written = {
        "rfc9440": {
            "Client-Cert": b":%b:" % base64.b64encode(leaf.der),
            "Client-Cert-Chain": b", ".join(b":%b:" % base64.b64encode(each.der) for each in chain[1:]),
        },
        "xfcc": {
            "X-Forwarded-Client-Cert": (
                f'By={BY};Hash={hashlib.sha256(leaf.der).hexdigest()};Cert="{pem}";'
                f'Chain="{"".join(quote(each.pem.decode(), safe="") for each in chain)}";Subject="{name}"{names}'
            ).encode(),
        },
        "nginx": {
            "SSL_CLIENT_VERIFY": b"SUCCESS" if verified else b"FAILED:unable to verify the first certificate",
            "SSL_CLIENT_CERT": pem.encode(),
            "SSL_CLIENT_S_DN": name.encode(),
            "SSL_CLIENT_I_DN": issuer.encode(),
            "SSL_CLIENT_SERIAL": serial_of(leaf),
            "SSL_CLIENT_FINGERPRINT": hashlib.sha1(leaf.der, usedforsecurity=False).hexdigest().encode(),
        },
    }
    return {name: [value] for name, value in written[style].items()}


def ask(node: Node, host: str, chain: Sequence[Issued], version: str, *lines: str) -> int:
    """The status of one request."""
    with node.client(host, chain=chain, version=version) as client:
        return client.ask(get("/", host, *lines, close=True)).status


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["none", "good", "intermediate", "bad"])
@pytest.mark.parametrize("style", list(STYLES))
async def test_each_style_for_each_kind_of_client(stage: Stage, style: str, kind: str, version: str) -> None:
    """The origin gets exactly the fields of the styles configured, each once, and of nobody else's."""
    chain = stage.clients[kind]
    verified = kind in ("good", "intermediate")
    whole = (*chain, stage.pki.clients) if verified else chain
    assert await in_thread(ask, stage.node, f"{style}.test", chain, version) == 200
    (request,) = stage.origin.take()
    styles = [] if style == "none" else STYLES[style].split(", ")
    wanted: Told = {}
    for each in styles:
        wanted |= expected(each, whole, verified=verified)
    assert told(request) == wanted


async def test_what_the_origin_is_not_told_the_event_says(stage: Stage) -> None:
    """The verdict stays where the certificate is too long for a field; the event names what is missing."""
    sans = [f"DNS:{'a' * 50}{number}.test" for number in range(150)]
    large = stage.pki.clients.issue("CN=large", sans=sans)
    assert await in_thread(ask, stage.node, "all.test", [large], "1.3") == 200
    (request,) = stage.origin.take()
    event = stage.node.events.told[-1]
    names = [name for name in event["origin"]["left_out"] if " " not in name]
    assert "SSL_CLIENT_CERT" in names
    assert "Client-Cert" in names
    assert fields(request, "ssl_client_verify") == [b"SUCCESS"]
    assert not any(fields(request, name.lower()) for name in names)
    assert await in_thread(ask, stage.node, "all.test", stage.clients["good"], "1.3") == 200
    stage.origin.take()
    assert "left_out" not in stage.node.events.told[-1]["origin"]


@pytest.mark.parametrize("kind", ["none", "good", "bad"])
@pytest.mark.parametrize("style", list(STYLES))
async def test_forged_copies_change_nothing(stage: Stage, style: str, kind: str) -> None:
    """A client's own copies in any spelling are gone, and it cannot nominate ours away; the origin sees what it did."""
    host, chain = f"{style}.test", stage.clients[kind]
    await in_thread(ask, stage.node, host, chain, "1.3")
    spellings = (str, str.lower, str.upper, lambda name: name.replace("-", "_"), lambda name: name.replace("_", "-"),
                 lambda name: name.replace("_", "."), lambda name: f"_{name}", lambda name: f"{name}-")  # fmt: skip
    spelled = [spell(name) for name in NAMES for spell in spellings]
    lines = [*(f"{name}: forged" for name in spelled), f"Connection: {', '.join(NAMES)}"]
    for each in (lines, lines[-1:]):
        assert await in_thread(ask, stage.node, host, chain, "1.3", *each) == 200
    plain, forged, nominated = stage.origin.take()
    assert b"forged" not in forged
    assert told(forged) == told(nominated) == told(plain)


async def test_forged_trailers_do_not_arrive(stage: Stage) -> None:
    """Nor do copies behind a chunked body."""
    trailers = "".join(f"{name}: forged\r\n" for name in NAMES)
    body = f"2\r\nhi\r\n0\r\n{trailers}\r\n".encode()
    lines = ("Transfer-Encoding: chunked", f"Trailer: {', '.join(NAMES)}")

    def send() -> int:
        with stage.node.client("all.test", chain=stage.clients["good"]) as client:
            client.send(get("/", "all.test", *lines, method="POST", body=body))
            return client.answer().status

    assert await in_thread(send) == 200
    (request,) = stage.origin.take()
    assert b"forged" not in request
    assert len(told(request)) == len(NAMES)


async def test_each_request_of_a_connection_is_told_for_its_own_group(stage: Stage) -> None:
    """Groups with one policy on clients share a connection, and each keeps to its own style, whatever came before."""
    hosts = ("rfc9440", "xfcc", "rfc9440", "none", "nginx", "rfc9440")

    def send() -> list[int]:
        with stage.node.client("rfc9440.test", chain=stage.clients["good"]) as client:
            return [client.ask(get("/", f"{host}.test")).status for host in hosts]

    assert await in_thread(send) == [200] * len(hosts)
    chain = (*stage.clients["good"], stage.pki.clients)
    wanted = [{} if host == "none" else expected(host, chain, verified=True) for host in hosts]
    assert [told(request) for request in stage.origin.take()] == wanted


async def test_a_client_cannot_speak_over_a_connection_of_another(stage: Stage) -> None:
    """Clients whose requests share one kept connection to the origin are told apart on it."""
    for kind in ("good", "none", "intermediate", "bad", "good"):
        await in_thread(ask, stage.node, "nginx.test", stage.clients[kind], "1.3")
    verdicts = [told(request)["SSL_CLIENT_VERIFY"][0].partition(b":")[0] for request in stage.origin.take()]
    assert verdicts == [b"SUCCESS", b"NONE", b"SUCCESS", b"FAILED", b"SUCCESS"]


async def test_vary_by_the_certificate_is_vary_by_everything(stage: Stage) -> None:
    """No cache at the client's side keeps what the origin chose by its certificate (RFC 9440, section 2.4)."""
    answer = b"HTTP/1.1 200 OK\r\nVary: Accept-Encoding, Client-Cert\r\nContent-Length: 2\r\n\r\nok"
    with Origin(stage.pki, answering(answer)) as origin:
        async with started(stage.pki, origin, changes()) as node:

            def send() -> list[bytes]:
                with node.client("rfc9440.test", chain=stage.clients["good"]) as client:
                    return client.ask(get("/", "rfc9440.test")).fields("vary")

            assert await in_thread(send) == [b"*"]


# -- verdicts that change on a kept connection ------------------------------------------------------------------------


async def asked(client: Client, host: str, times: int = 2) -> list[int]:
    """The statuses of the same request again and again: the later ones are written from the head of the first."""
    statuses: list[int] = await in_thread(lambda: [client.ask(get("/", host)).status for _ in range(times)])
    return statuses


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_client_revoked_in_between_is_told_of_no_more(
    tmp_path_factory: pytest.TempPathFactory, version: str
) -> None:
    """With its next request on a kept connection it is FAILED; RFC 9440's and Envoy's fields are no longer there."""
    pki = make_pki(tmp_path_factory)
    write_pem(pki.folder / "clients.crl", [pki.clients.crl([pki.client])])
    revoking: Changes = {**changes(), "trust-store clients": {"crl": "clients.crl"}}
    with Origin(pki) as origin:
        async with started(pki, origin, changes()) as node:
            with await in_thread(node.client, "all.test", chain=[pki.client], version=version) as client:
                assert await asked(client, "all.test") == [200, 200]
                assert [told(request)["SSL_CLIENT_VERIFY"] for request in origin.take()] == [[b"SUCCESS"]] * 2
                await node.reload(origin, revoking)
                assert await asked(client, "all.test") == [200, 200]
                revoked, again = map(told, origin.take())
    assert revoked == again
    assert revoked["SSL_CLIENT_VERIFY"] == [b"FAILED:certificate revoked"]
    assert revoked.keys() == set(NAMES[3:])


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_client_whose_authority_is_gone_is_no_longer_vouched_for(
    tmp_path_factory: pytest.TempPathFactory, version: str
) -> None:
    """With ``optional-no-ca`` it is still served: as FAILED, and without RFC 9440's and Envoy's fields."""
    pki = make_pki(tmp_path_factory)
    write_pem(pki.folder / "others.pem", [make_authority("Others")])
    replaced: Changes = {**changes(), "trust-store clients": {"authorities": "others.pem"}}
    with Origin(pki) as origin:
        async with started(pki, origin, changes()) as node:
            with await in_thread(node.client, "all.test", chain=[pki.client], version=version) as client:
                assert await asked(client, "all.test") == [200, 200]
                await node.reload(origin, replaced)
                assert await asked(client, "all.test") == [200, 200]
                await node.reload(origin, changes())
                assert await asked(client, "all.test") == [200, 200]
    before, again, gone, still_gone, back, still_back = map(told, origin.take())
    whole: Told = {}
    for style in ("nginx", "xfcc", "rfc9440"):
        whole |= expected(style, (pki.client, pki.clients), verified=True)
    assert before == again == back == still_back == whole
    assert gone == still_gone
    (verdict,) = gone.pop("SSL_CLIENT_VERIFY")
    assert verdict.startswith(b"FAILED:unable to")
    assert gone == {name: values for name, values in whole.items() if name in NAMES[4:]}


async def test_a_reload_changes_the_style_of_a_kept_connection(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The fields of the next request are those of the configuration as of now."""
    pki = make_pki(tmp_path_factory)
    chain = (pki.client, pki.clients)
    with Origin(pki) as origin:
        async with started(pki, origin, changes()) as node:
            with await in_thread(node.client, "xfcc.test", chain=[pki.client]) as client:
                for styles in ("xfcc", "rfc9440", "none", "nginx"):
                    new = changes()
                    new["server-group xfcc"]["certificate-headers"] = styles
                    await node.reload(origin, new)
                    assert await asked(client, "xfcc.test") == [200, 200]
                    wanted = {} if styles == "none" else expected(styles, chain, verified=True)
                    assert [told(request) for request in origin.take()] == [wanted] * 2
