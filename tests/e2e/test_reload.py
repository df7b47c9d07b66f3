"""Reload under load: a real ``twistd``, 30,000 requests, 7 reloads; none fails, and none is answered as of before."""

from __future__ import annotations

import os
import pathlib
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from attrs import Factory, define

from tests.support.certificates import SERVER, Issued
from tests.support.node import PKI, Origin, Served, connect, fields, get, ini
from tests.support.twistd import ROOT, Twistd, twistd

REQUESTS = 30_000
RELOADS = 7
KEPT, FLEETING = 6, 2
"""Clients that keep their one connection, and clients that open a new one for every ten requests."""

FORWARDED, JUDGED = get("/forwarded"), get("/judged")


def answer(served: Served) -> None:
    """An origin's behaviour that keeps no record."""
    while served.head() is not None:
        if not served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
            return


@define
class Load:
    """What the clients share.

    :ivar certificates: of the node, one for each configuration.
    :ivar current: the configuration of which the last reload has said that it is in use.
    :ivar done: how many requests each client has had answered.
    :ivar faults: what went wrong.
    """

    port: int
    certificates: list[Issued]
    current: int = 0
    done: list[int] = Factory(lambda: [0] * (KEPT + FLEETING))
    faults: list[str] = Factory(list)

    def work(self, number: int, keep: int) -> None:
        """Be a client: so many requests on each connection."""
        share = REQUESTS // len(self.done)
        try:
            while self.done[number] < share:
                with self._connect() as sock:
                    for _ in range(min(keep, share - self.done[number])):
                        self._ask(sock, JUDGED if self.done[number] % 3 == 0 else FORWARDED)
                        self.done[number] += 1
        except Exception as error:
            self.faults.append(f"client {number} after {self.done[number]} requests: {error!r}")

    def _connect(self) -> ssl.SSLSocket:
        least = self.current
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(connect(self.port), server_hostname="open.test")
        shown = sock.getpeercert(binary_form=True)
        assert shown in [each.der for each in self.certificates[least:]], "a stale certificate"
        return sock

    def _ask(self, sock: ssl.SSLSocket, request: bytes) -> None:
        least = self.current
        sock.sendall(request)
        data = sock.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        assert data, "closed"
        assert len(body) == int(fields(head + b"\r\n", "content-length")[0]), data
        if request is JUDGED:
            assert data.startswith(b"HTTP/1.1 403 "), data
            version = int(body)
        else:
            assert data.startswith(b"HTTP/1.1 200 "), data
            version = int(fields(head + b"\r\n", "via")[0].removeprefix(b"1.1 edge-"))
        assert version >= least, f"stale: {version} after {least}"


def written(pki: PKI, origin: Origin, version: int) -> str:
    """The configuration of a version: it shows in the certificate, in what a filter answers, and in Via."""
    return ini(
        origin.port,
        {
            "edge": {"name": f"edge-{version}", "events": "events"},
            "listener public": {"keepalive-requests": "1000000"},
            "certificate edge": {"chain": f"edge-{version}.pem", "key": f"edge-{version}.key"},
            "origin origin": {"servers": f"http://127.0.0.1:{origin.port}", "certificate": None, "trust-store": None},
            "global-filter judged": {"action": "version", "path": "^/judged$"},
            "action version": {"type": "block", "status": "403", "body": str(version)},
        },
    )


def by_signal(node: Twistd, version: int) -> None:
    """Reload by SIGHUP, and wait until the log says that it is done."""
    node.process.send_signal(signal.SIGHUP)
    assert node.process.stdout is not None
    for line in node.process.stdout:
        node.log += line.decode()
        if node.log.count(": reloaded\n") == version:
            return


def by_command(node: Twistd, version: int) -> None:
    """Reload by the command, which says so itself."""
    command = [sys.executable, "-m", "edgenode", "reload", "--pid", str(node.process.pid)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done
    assert done.stdout.endswith(": reloaded\n")


@pytest.mark.deadline(120)
def test_reload_under_load(pki: PKI, tmp_path: pathlib.Path) -> None:
    """Each reload changes certificate, name and filters, and rotates the events; no event is lost either."""
    certificates = [pki.servers.issue(f"edge {number}", eku=[SERVER]) for number in range(RELOADS + 1)]
    for number, certificate in enumerate(certificates):
        certificate.write(pki.folder, f"edge-{number}")
    file, events = pki.folder / "edgenode.ini", pki.folder / "events"
    with Origin(pki, answer, tls=False) as origin:
        file.write_text(written(pki, origin, 0))
        with twistd(file, patience=100) as node:
            load = Load(node.port, certificates)
            clients = [
                _thread(load.work, number, REQUESTS if number < KEPT else 10) for number in range(KEPT + FLEETING)
            ]
            for version in range(1, RELOADS + 1):
                while sum(load.done) < version * REQUESTS // (RELOADS + 1) and not load.faults:
                    clients[0].join(0.01)
                _replace(file, written(pki, origin, version))
                events.rename(tmp_path / f"events-{version}")
                (by_signal if version % 2 else by_command)(node, version)
                load.current = version
            for client in clients:
                client.join(60)
            assert load.faults == [], node.process.poll()
            assert load.done == [REQUESTS // len(load.done)] * len(load.done)
    assert "Traceback" not in node.log
    logs = [*tmp_path.glob("events-*"), events]
    assert sum(each.read_bytes().count(b"\n") for each in logs) == REQUESTS


def _thread(function: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def _replace(file: pathlib.Path, text: str) -> None:
    following = file.with_suffix(".new")
    following.write_text(text)
    os.replace(following, file)
