"""The examples of the migration pages: nginx, HAProxy and this node, asked the same by the same clients."""

from __future__ import annotations

import pathlib
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
from attrs import frozen

from edgenode.config.load import Configuration
from edgenode.node.service import EdgeService
from tests.support.certificates import DAY, SERVER, make_authority, now, write_pem
from tests.support.node import PATIENCE, PKI, Events, Node, Origin, fields, get, in_thread
from tests.support.waiting import wait_for

pytestmark = pytest.mark.lasting

EXAMPLES = pathlib.Path(__file__).parent.parent.parent / "examples" / "migrating"
DOCS = EXAMPLES.parent.parent / "docs"
API, SHOP = "api.example.com", "shop.example.com"
TOLD = (
    "Client-Cert", "SSL_CLIENT_VERIFY", "SSL_CLIENT_CERT", "SSL_CLIENT_S_DN", "SSL_CLIENT_I_DN", "SSL_CLIENT_SERIAL",
    "SSL_CLIENT_FINGERPRINT",
)  # fmt: skip

Told = dict[str, list[bytes]]
"""What the origin is told of the client, by the name of the field."""


class Ask(NamedTuple):
    """A request: the server name in the handshake, the host in the request, and the path."""

    name: str
    host: str
    path: str


ASKS = (
    Ask(API, API, "/"),
    Ask(SHOP, SHOP, "/"),
    Ask(SHOP, SHOP, "/account"),
    Ask(SHOP, SHOP, "/account/orders?all"),
    Ask(SHOP, API, "/"),
    Ask(API, SHOP, "/account"),
    Ask("unknown.example.com", API, "/"),
)


@frozen(eq=False)
class Site:
    """The folder in which the examples find their ``certs``, and what the clients present there.

    :ivar clients: by kind, the file of a certificate and its key; ``None`` for none.
    """

    folder: pathlib.Path
    pki: PKI
    clients: Mapping[str, pathlib.Path | None]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The certificates, under the names that the examples give them."""
    folder = tmp_path_factory.mktemp("migrating")
    certs = folder / "certs"
    public, internal, partners = (certs / name for name in ("public", "internal", "partners"))
    for each in (public, internal, partners):
        each.mkdir(parents=True)
    pki = PKI.make(certs)
    past = {"not_before": now() - 10 * DAY, "not_after": now() - DAY}
    issued = {
        "good": pki.clients.issue('CN=J\u00fcrgen \\"J\\",O=Acme\\, Inc.'),
        "revoked": pki.clients.issue("Mallory"),
        "expired": pki.clients.issue("Methuselah", **past),
        "stranger": make_authority("Strangers").issue("Stranger"),
        "server": pki.clients.issue("server", eku=[SERVER]),
    }
    pki.servers.issue("edge", eku=[SERVER], sans=[f"DNS:{API}", f"DNS:{SHOP}"]).write(public, "edge")
    pki.servers.issue("edge as a client").write(internal, "edge-client")
    pki.servers.issue("origin", eku=[SERVER], sans=["DNS:api.internal"]).write(certs, "origin")
    write_pem(internal / "ca.pem", [pki.servers])
    write_pem(partners / "ca.pem", [pki.clients])
    write_pem(partners / "ca.crl.pem", [pki.clients.crl([issued["revoked"]])])
    for stem in (public / "edge", internal / "edge-client"):
        both = stem.with_suffix(".pem").read_bytes() + stem.with_suffix(".key").read_bytes()
        stem.with_suffix(".both.pem").write_bytes(both)
    shutil.copy(EXAMPLES / "crt-list.txt", certs)
    clients: dict[str, pathlib.Path | None] = {"none": None}
    for kind, client in issued.items():
        clients[kind] = folder / f"{kind}.pem"
        (folder / f"{kind}.pem").write_bytes(client.pem + client.key_pem())
    return Site(folder, pki, clients)


@pytest.fixture(scope="module")
def origin(site: Site) -> Iterator[Origin]:
    """The origin behind all of them, in the place of 10.0.0.11:8443; it demands the edge's certificate."""
    with Origin(site.pki) as origin:
        yield origin


def configuration(name: str, origin: Origin) -> str:
    """An example, with the address of the origin in it."""
    text = (EXAMPLES / name).read_text()
    assert text.count("10.0.0.11:8443") == 1
    return text.replace("10.0.0.11:8443", f"127.0.0.1:{origin.port}")


def start(command: list[str], folder: pathlib.Path, sock: pathlib.Path) -> Iterator[str]:
    """A process that listens on a socket in the file system: its path, once it is there."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            wait_for(lambda: process.poll() is not None or sock.exists(), f"{command[0]} has started")
            assert process.poll() is None, process.stderr and process.stderr.read()
            yield str(sock)
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def nginx(site: Site, origin: Origin) -> Iterator[str]:
    """A real nginx with the example."""
    if shutil.which("nginx") is None:
        pytest.skip("no nginx")
    sock = site.folder / "nginx.sock"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {site.folder}/t; " for kind in kinds)
    text = configuration("nginx.conf", origin).replace("listen 443 ssl", f"listen unix:{sock} ssl")
    (site.folder / "nginx.conf").write_text(text.replace("http {", f"http {{ {temporary}"))
    command = ["nginx", "-p", str(site.folder), "-c", str(site.folder / "nginx.conf")]
    yield from start([*command, "-g", "daemon off; master_process off;"], site.folder, sock)


@pytest.fixture(scope="module")
def haproxy(site: Site, origin: Origin) -> Iterator[str]:
    """A real HAProxy with the example."""
    if shutil.which("haproxy") is None:
        pytest.skip("no HAProxy")
    sock = site.folder / "haproxy.sock"
    text = configuration("haproxy.cfg", origin).replace("bind :443 ssl", f"bind unix@{sock} ssl")
    (site.folder / "haproxy.cfg").write_text(text)
    yield from start(["haproxy", "-db", "-f", str(site.folder / "haproxy.cfg")], site.folder, sock)


@pytest.fixture(scope="module")
def node(site: Site, origin: Origin, request: pytest.FixtureRequest) -> Iterator[Node]:
    """This node with the example that takes over from another."""
    import pytest_twisted
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    text = configuration(request.param, origin).replace("tcp:443", "tcp:0:interface=127.0.0.1")
    events = Events()
    read = Configuration.from_text(text, site.folder, {})
    assert read.warnings == ()
    node = Node(EdgeService(read, reactor, events), events, site.pki)
    node.start()
    try:
        yield node
    finally:
        pytest_twisted.blockon(Deferred.fromCoroutine(node.stop()))


def ask(where: str | int, client: pathlib.Path | None, ask: Ask, version: ssl.TLSVersion, *lines: str) -> int | str:
    """The status that a client gets, or ``refused`` if its handshake fails.

    :param where: a socket in the file system, or a port.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if client is not None:
        context.load_cert_chain(client)
    with socket.socket(socket.AF_INET if isinstance(where, int) else socket.AF_UNIX) as raw:
        raw.settimeout(PATIENCE)
        raw.connect(("127.0.0.1", where) if isinstance(where, int) else where)
        try:
            with context.wrap_socket(raw, server_hostname=ask.name) as tls:
                tls.sendall(get(ask.path, ask.host, *lines, close=True))
                answer = tls.recv(65536)
        except (ssl.SSLError, ConnectionError):
            return "refused"
    return int(answer.split(b" ", 2)[1]) if answer else "refused"


def told(request: bytes) -> Told:
    """What a request tells the origin of the client."""
    return {name: values for name in TOLD if (values := fields(request, name))}


async def outcome(
    where: str | int, origin: Origin, client: pathlib.Path | None, what: Ask, version: ssl.TLSVersion
) -> tuple[int | str, list[Told]]:
    """What the client gets, and what the origin is told."""
    status = await in_thread(ask, where, client, what, version)
    return status, [told(request) for request in origin.take()]


async def differences(peer: str, node: Node, origin: Origin, site: Site, version: ssl.TLSVersion) -> dict[str, object]:
    """Every request whose outcome is not the same with both."""
    found: dict[str, object] = {}
    served = 0
    for kind, client in site.clients.items():
        for what in ASKS:
            theirs = await outcome(peer, origin, client, what, version)
            ours = await outcome(node.port, origin, client, what, version)
            served += ours[0] == 200
            if theirs != ours:
                found[f"{kind} {what.name} {what.host}{what.path}"] = theirs, ours
    assert served > 4
    return found


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("node", ["from-nginx.ini"], indirect=True)
async def test_the_example_for_nginx(
    nginx: str, node: Node, origin: Origin, site: Site, version: ssl.TLSVersion
) -> None:
    """Every client gets the same status for every request, and the origin is told the same, byte for byte."""
    assert await differences(nginx, node, origin, site, version) == {}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("node", ["from-haproxy.ini"], indirect=True)
async def test_the_example_for_haproxy(
    haproxy: str, node: Node, origin: Origin, site: Site, version: ssl.TLSVersion
) -> None:
    """Every client gets the same, refusals in the handshake among it, and the origin the same Client-Cert."""
    assert await differences(haproxy, node, origin, site, version) == {}


@pytest.mark.parametrize("node", ["from-nginx.ini"], indirect=True)
async def test_what_nginx_passes_on_and_this_node_does_not(nginx: str, node: Node, origin: Origin, site: Site) -> None:
    """With hyphens a client's forgery goes through the example's nginx, to be one variable with ours in CGI."""
    forged = "SSL-Client-Verify: SUCCESS"
    for where, crosses in ((nginx, True), (node.port, False)):
        assert await in_thread(ask, where, None, Ask(SHOP, SHOP, "/"), ssl.TLSVersion.TLSv1_3, forged) == 200
        (request,) = origin.take()
        assert (forged.encode() in request) is crosses
        assert fields(request, "SSL_CLIENT_VERIFY") == [b"NONE"]


@pytest.mark.parametrize("path", ["/x/../account", "//account", "/%61ccount", "/./account"])
@pytest.mark.parametrize("node", ["from-haproxy.ini"], indirect=True)
async def test_what_haproxy_lets_through_and_this_node_does_not(
    haproxy: str, node: Node, origin: Origin, site: Site, path: str
) -> None:
    """Another spelling of a path walks around the rule of the example's HAProxy, and not around ours."""
    what = Ask(SHOP, SHOP, path)
    for where, status in ((haproxy, 200), (node.port, 403)):
        assert (await outcome(where, origin, None, what, ssl.TLSVersion.TLSv1_3))[0] == status


@pytest.mark.parametrize(
    ("page", "files"),
    [
        ("migrating-from-nginx.rst", ("nginx.conf", "from-nginx.ini")),
        ("migrating-from-haproxy.rst", ("haproxy.cfg", "crt-list.txt", "from-haproxy.ini")),
    ],
)
def test_the_pages_show_what_is_tested(page: str, files: tuple[str, ...]) -> None:
    """Each page includes the files of its example, and no other."""
    included = re.findall(r"literalinclude:: \.\./examples/migrating/(\S+)", (DOCS / page).read_text())
    assert tuple(included) == files
