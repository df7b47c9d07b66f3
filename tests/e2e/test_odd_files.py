"""One odd file among many: whatever it makes a library raise, all other sections go on, and it is named."""

from __future__ import annotations

import json
import pathlib
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest

from tests.e2e.test_life_cycle import command, read_until
from tests.support.certificates import (
    CLIENT,
    DAY,
    SERVER,
    Issued,
    constrained_to_an_address,
    list_of_version_3,
    make_authority,
    now,
    pem,
    write_pem,
)
from tests.support.node import PKI, Changes, Client, Origin, connect, get, ini
from tests.support.twistd import ROOT, failing, twistd

Odd = Callable[[PKI, Issued], tuple[str, bytes, str]]

ODD: Mapping[str, Odd] = {
    "a revocation list of version 3": lambda pki, issuer: (
        "odd.crl",
        pki.folder.joinpath("odd.crl").read_bytes() + pem("X509 CRL", list_of_version_3(issuer)),
        "[trust-store odd] crl: FOLDER/odd.crl, line 7: a malformed revocation list: its version ",
    ),
    "a name constraint of 4 bytes": lambda pki, issuer: (
        "odd.pem",
        issuer.pem + constrained_to_an_address().pem,
        "[trust-store odd] authorities: FOLDER/odd.pem, line 11: the extensions of CN=Constrained cannot be read: ",
    ),
    "a private key": lambda pki, issuer: (
        "odd.pem",
        issuer.pem + issuer.key_pem(),
        "[trust-store odd] authorities: FOLDER/odd.pem, line 11: a private key does not belong here",
    ),
    "a certificate of our own that is half": lambda pki, issuer: (
        "edge.pem",
        pki.folder.joinpath("edge.pem").read_bytes()[:-9],
        "[certificate edge] chain: FOLDER/edge.pem, line 1: a certificate without an end",
    ),
    "a file that is gone": lambda pki, issuer: (
        "odd.pem",
        b"",
        "[trust-store odd] authorities: ",
    ),
    "a list of addresses": lambda pki, issuer: (
        "addresses",
        b"192.0.2.1\n\xff\xfe\n",
        "[list addresses] source: ",
    ),
}
"""What is wrong with a file: its name, what it holds then, and what is said of it."""


@pytest.fixture
def pki(tmp_path: pathlib.Path) -> PKI:
    """Certificates of each test's own: it changes them."""
    return PKI.make(tmp_path)


@pytest.fixture
def odd(pki: PKI) -> Issued:
    """The authority of the other trust store, its files written."""
    issuer = make_authority("Odd")
    write_pem(pki.folder / "odd.pem", [issuer])
    write_pem(pki.folder / "odd.crl", [issuer.crl()])
    write_pem(pki.folder / "clients.crl", [pki.clients.crl()])
    (pki.folder / "addresses").write_text("192.0.2.1\n")
    return issuer


def changes(interval: str) -> Changes:
    """Two trust stores with lists, a server group for each, and a list of addresses."""
    return {
        "edge": {"watch-interval": interval},
        "trust-store clients": {"crl": "clients.crl"},
        "trust-store odd": {"authorities": "odd.pem", "crl": "odd.crl"},
        "server-group twin": {"trust-store": "odd"},
        "list addresses": {"type": "ip", "source": "file:addresses"},
        "global-filter listed": {"tags": "listed", "expression": "ip.src in $addresses"},
    }


def write(path: pathlib.Path, content: bytes) -> None:
    """Write a file, or delete it for nothing."""
    if content:
        path.write_bytes(content)
    else:
        path.unlink()


def status(port: int, host: str, client: Issued) -> int:
    """What a new connection with a client's certificate gets."""
    with Client(port, host, chain=[client]) as connection:
        return connection.ask(get(host=host)).status


@pytest.mark.parametrize("way", ["watch", "reload"])
@pytest.mark.parametrize("what", ODD)
def test_a_client_is_revoked_beside_an_odd_file(pki: PKI, odd: Issued, origin: Origin, what: str, way: str) -> None:
    """By the watch, and by a reload, which says with status 1 of which section the old files stay in use."""
    file = pki.folder / "edgenode.ini"
    file.write_text(ini(origin.port, changes("50ms" if way == "watch" else "0")))
    name, content, sentence = ODD[what](pki, odd)
    sentence = sentence.replace("FOLDER", str(pki.folder))
    other = odd.issue("Bob")
    with twistd(file) as node:
        assert (status(node.port, "strict.test", pki.client), status(node.port, "twin.test", other)) == (200, 200)
        write(pki.folder / name, content)
        write_pem(pki.folder / "clients.crl", [pki.clients.crl([pki.client])])
        if way == "watch":
            read_until(node, "the old files stay in use: [")
            read_until(node, "read anew: [trust-store clients]")
        else:
            done = command("--pid", str(node.process.pid))
            read_until(node, "the old files stay in use: [")
            assert done.returncode == 1
            assert f"{file}: reloaded, but the old files stay in use: [{sentence[1:].partition(']')[0]}]" in done.stderr
            assert sentence in done.stderr
        assert sentence in node.log
        assert (status(node.port, "strict.test", pki.client), status(node.port, "twin.test", other)) == (400, 200)
    assert "Traceback" not in node.log


@pytest.mark.parametrize("what", ODD)
def test_a_start_with_an_odd_file_ends_with_a_sentence(pki: PKI, odd: Issued, origin: Origin, what: str) -> None:
    """And so does a check: neither ends in a traceback."""
    file = pki.folder / "edgenode.ini"
    file.write_text(ini(origin.port, changes("0")))
    name, content, sentence = ODD[what](pki, odd)
    write(pki.folder / name, content)
    checked = subprocess.run(
        [sys.executable, "-m", "edgenode", "check", str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for written in failing(file), checked.stderr:
        assert sentence.replace("FOLDER", str(pki.folder)) in written
        assert "Traceback" not in written
    assert checked.returncode == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_expired_certificate_of_our_own_keeps_no_node_down(
    pki: PKI, origin: Origin, version: ssl.TLSVersion
) -> None:
    """After a reboot it starts, warns in the check and in the log, and serves who does not verify; an event says of who
    does why he left, and each that it had expired, as does what the origin was shown; a reload goes on likewise."""
    file = pki.folder / "edgenode.ini"
    file.write_text(ini(origin.port, {"edge": {"events": "events"}}))
    for name in "edge", "edge-client":
        old = {"not_before": now() - 9 * DAY, "not_after": now() - DAY}
        eku = [SERVER] if name == "edge" else [CLIENT]
        pki.servers.issue(name, eku=eku, sans=["DNS:open.test"], **old).write(pki.folder, name)
    checked = subprocess.run(
        [sys.executable, "-m", "edgenode", "check", str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    sentence = f"[certificate edge] chain: {pki.folder}/edge.pem: CN=edge expired on "
    assert checked.returncode == 0
    assert f"warning: {sentence}" in checked.stderr
    assert "[certificate edge-client] chain: " in checked.stderr
    context = ssl.create_default_context(cafile=str(pki.folder / "servers.pem"))
    context.minimum_version = context.maximum_version = version
    with twistd(file) as node:
        assert f"warning: {sentence}" in node.log
        with Client(node.port) as client:
            assert client.ask(get()).status in (200, 502)  # for the origin verifies us
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"), connect(node.port) as sock:
            context.wrap_socket(sock, server_hostname="open.test")
        done = command("--pid", str(node.process.pid))
        assert (done.returncode, sentence in done.stdout) == (0, True)
    events = [json.loads(line) for line in (pki.folder / "events").read_text().splitlines()]
    (reason,) = (event["error"]["reason"] for event in events if event["status"] == 0)
    assert reason.startswith("TLS handshake: the client refuses our certificate: certificate expired; it expired on ")
    written = f"{old['not_after']:%Y-%m-%dT%H:%M:%S}Z"
    assert {event["tls"]["certificate_expired"] for event in events} == {written}
    assert {event["origin"]["certificate"]["expired"] for event in events if event["origin"] is not None} == {written}
    assert "Traceback" not in node.log
