"""Client certificates on a live listener: nginx's matrix on the wire and in the event, and every style of refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen

from tests.support.certificates import write_pem
from tests.support.nginx_matrix import MODES, Cell, Scene, cells
from tests.support.node import PKI, Client, Node, Origin, Refused, get, in_thread, running

pytestmark = pytest.mark.lasting

REFUSALS = ("handshake", "400", "403", "421", "444", "495", "496")
PAGES = {495: b"400 The SSL certificate error\n", 496: b"400 No required SSL certificate was sent\n"}
ALERTS = {"1.2": "alert handshake failure", "1.3": "alert certificate required"}


@frozen(eq=False)
class Matrix:
    """A node with a server group for each mode, with and without CRL, and one for each style of refusal."""

    scene: Scene
    node: Node
    origin: Origin


def _changes() -> dict[str, dict[str, str | None]]:
    changes: dict[str, dict[str, str | None]] = {
        "trust-store root": {"authorities": "root.pem"},
        "trust-store root-crl": {"authorities": "root.pem", "crl": "root.crl"},
    }
    names = []
    for mode in MODES:
        for crl in ("plain", "crl"):
            store = None if mode == "off" else "root-crl" if crl == "crl" else "root"
            names.append(f"{mode}-{crl}")
            changes[f"server-group {mode}-{crl}"] = {"mtls": mode, "trust-store": store}
    for refusal in REFUSALS:
        names.append(f"refusal-{refusal}")
        changes[f"server-group refusal-{refusal}"] = {"mtls": "on", "trust-store": "root", "mtls-refusal": refusal}
    for name in names:
        keys = {"hosts": f"{name}.test", "certificate": "edge", "security-policy": "all"}
        changes[f"server-group {name}"].update(keys)
    changes["listener public"] = {"server-groups": ", ".join(names)}
    return changes


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """The node of the matrix."""
    pki, scene = PKI.make(tmp_path_factory.mktemp("pki")), Scene.make()
    write_pem(pki.folder / "root.pem", [scene.root])
    write_pem(pki.folder / "root.crl", [scene.crl])
    with Origin(pki) as origin, running(pki, origin, _changes()) as node:
        yield Matrix(scene, node, origin)


def _ask(node: Node, group: str, options: dict[str, Any]) -> tuple[bytes, str]:
    """What a client gets, and how its connection ends."""
    with node.client(f"{group}.test", **options) as client:
        client.send(get("/", f"{group}.test", close=True))
        return client.rest(), client.ended


async def ask(matrix: Matrix, group: str, kind: str, version: str) -> tuple[bytes, str]:
    """The same, in a thread; of a kind of client."""
    options = {"version": version, "chain": matrix.scene.clients[kind]}
    received: tuple[bytes, str] = await in_thread(_ask, matrix.node, group, options)
    return received


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("cell", list(cells()), ids=str)
async def test_nginx_s_matrix_on_the_wire(matrix: Matrix, cell: Cell, version: str) -> None:
    """Each cell of nginx's matrix: the status and page that the client gets, and what the event says of it; but that
    ``optional-no-ca`` serves all of them."""
    group = f"{cell.mode}-{'crl' if cell.crl else 'plain'}"
    inside = cell.ours
    received, ended = await ask(matrix, group, cell.kind, version)
    (event,) = await matrix.node.events.take()
    assert ended == "close_notify"
    assert received.startswith(b"HTTP/1.1 200 OK\r\n" if inside == 200 else b"HTTP/1.1 400 Bad Request\r\n")
    assert event["certificate"]["verify"] == cell.verify
    assert event["tls"]["version"] == f"TLSv{version}"
    assert event["server_group"] == group
    if inside == 200:
        assert (event["status"], event["error"]) == (200, None)
        assert len(matrix.origin.take()) == 1
    else:
        assert received.endswith(b"\r\nConnection: close\r\n\r\n" + PAGES[inside])
        assert (event["status"], event["error"]["status"], event["origin"]) == (400, inside, None)
        assert matrix.origin.take() == []


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["none", "wrong-ca"])
@pytest.mark.parametrize("refusal", ["400", "403", "421", "495", "496"])
async def test_refusal_with_a_status(matrix: Matrix, refusal: str, kind: str, version: str) -> None:
    """The client gets the status configured, 400 for nginx's own; the event says 495 or 496, whatever is configured."""
    status = "400" if refusal in ("495", "496") else refusal
    received, ended = await ask(matrix, f"refusal-{refusal}", kind, version)
    (event,) = await matrix.node.events.take()
    assert received.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\nConnection: close\r\n" in received
    assert ended == "close_notify"
    assert event["status"] == int(status)
    assert event["error"]["status"] == (496 if kind == "none" else 495)
    assert matrix.origin.take() == []


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["none", "wrong-ca"])
async def test_refusal_444_is_silent(matrix: Matrix, kind: str, version: str) -> None:
    """With 444 the connection is closed without a byte of HTTP, and the event says 444, and why."""
    received, _ = await ask(matrix, "refusal-444", kind, version)
    (event,) = await matrix.node.events.take()
    assert received == b""
    assert (event["status"], event["error"]["status"]) == (444, 496 if kind == "none" else 495)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_refusal_in_the_handshake_without_a_certificate(matrix: Matrix, version: str) -> None:
    """A client without a certificate gets the alert of its TLS version, and the event says 496."""
    with pytest.raises(Refused, match=ALERTS[version]):
        await _shake(matrix, "none", version)
    (event,) = await matrix.node.events.take()
    assert (event["status"], event["error"]["status"]) == (0, 496)
    assert event["tls"]["server_name"] == "refusal-handshake.test"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_refusal_in_the_handshake_with_a_bad_certificate(matrix: Matrix, version: str) -> None:
    """A client of another authority gets the alert unknown_ca, and the event says 495 and OpenSSL's reason."""
    with pytest.raises(Refused, match="alert unknown ca"):
        await _shake(matrix, "wrong-ca", version)
    (event,) = await matrix.node.events.take()
    assert (event["status"], event["error"]["status"]) == (0, 495)
    assert event["error"]["reason"] == "client certificate: unable to get local issuer certificate"
    # Nobody was let in, and still the event says who asked, and what was wrong with the certificate.
    assert event["certificate"]["subject"].startswith("CN=")
    assert event["certificate"]["verify"].startswith("FAILED:unable to")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_refusal_in_the_handshake_lets_a_good_client_in(matrix: Matrix, version: str) -> None:
    """With refusal in the handshake a good certificate is served."""
    received, _ = await ask(matrix, "refusal-handshake", "good", version)
    (event,) = await matrix.node.events.take()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert event["certificate"]["verify"] == "SUCCESS"
    assert event["certificate"]["subject"] == "CN=good"
    assert len(matrix.origin.take()) == 1


async def _shake(matrix: Matrix, kind: str, version: str) -> None:
    def shake() -> None:
        chain = matrix.scene.clients[kind]
        with Client(matrix.node.port, "refusal-handshake.test", version=version, chain=chain) as client:
            # In TLS 1.3 the client is done before the node has judged it.
            client.receive()
            raise Refused(client.ended)

    await in_thread(shake)
