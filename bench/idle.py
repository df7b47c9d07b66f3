"""What a connection that waits for its client costs in memory: so many of them, each of which has had one answer.

``python -m bench.idle`` opens connections of HTTP/2 and of HTTP/1.1 to nginx and to the node, with client certificates,
and prints by how much the memory of each grows for one of them. The exit status is 1 if the limit is not kept.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import re
import resource
import socket
import ssl
import sys
from collections.abc import Sequence

import ngh2

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench.interpreters import Interpreter
from bench.peers import HERE, Bench, Peer, bench
from bench.processes import tree
from bench.proxy import BASE, Limit
from bench.tables import table, verdict

LIMITS = {"h2": Limit(52.0, 40.0)}
"""Kilobytes (of 1,000 bytes) for a connection, by protocol."""

PROTOCOLS = ("h2", "http/1.1")


def memory(pid: int) -> int:
    """The anonymous memory of a process and its children, bytes."""
    statuses = (pathlib.Path(f"/proc/{each}/status").read_text() for each in tree(pid))
    return sum(int(found[1]) * 1024 for text in statuses if (found := re.search(r"RssAnon:\s*(\d+) kB", text)))


def connected(context: ssl.SSLContext, port: int, protocol: str) -> ssl.SSLSocket:
    """A connection that has had one answer."""
    raw = socket.create_connection(("127.0.0.1", port), 60)
    sock = context.wrap_socket(raw, server_hostname="localhost")
    if sock.selected_alpn_protocol() != protocol:
        raise SystemExit(f"asked for {protocol}, got {sock.selected_alpn_protocol()}")
    if protocol == "h2":
        _ask(sock)
    else:
        sock.sendall(b"GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while len(received.partition(b"\r\n\r\n")[2]) < 1024:
            received += sock.recv(65536)
    return sock


def _ask(sock: ssl.SSLSocket) -> None:
    engine = ngh2.Connection(ngh2.Role.CLIENT)
    engine.initiate_connection()
    words = {b":method": b"GET", b":scheme": b"https", b":authority": b"localhost", b":path": b"/1k"}
    engine.send_request(words.items(), end_stream=True)
    while True:
        if out := engine.data_to_send():
            sock.sendall(out)
        engine.receive_data(sock.recv(65536))
        if any(isinstance(event, ngh2.StreamClosed) for event in engine.events()):
            break
    if out := engine.data_to_send():
        sock.sendall(out)


def measure(place: Bench, peer: Peer, protocol: str, count: int) -> float:
    """Kilobytes that a connection takes."""
    context = ssl.create_default_context(cafile=str(place.folder / "edge-ca.crt"))
    context.load_cert_chain(place.folder / "client.pem")
    context.set_alpn_protocols([protocol])
    with contextlib.ExitStack() as stack:
        for _ in range(count // 4):  # what is had once is not counted
            stack.enter_context(connected(context, peer.port, protocol))
        before = memory(peer.pid)
        for _ in range(count):
            stack.enter_context(connected(context, peer.port, protocol))
        return (memory(peer.pid) - before) / count / 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure the memory of an idle connection.")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the node (default: this one)")
    parser.add_argument("--checkout", default=HERE.parent, help="the node's code (default: the checkout of this file)")
    parser.add_argument("--connections", type=int, default=1000, help="how many (default: 1000)")
    options = parser.parse_args(argv)
    print(Interpreter.of(options.python), flush=True)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the peers inherit it
    lines, kept = [], True
    for protocol in PROTOCOLS:
        # Peers of their own for each: memory that others have given back is not memory that is not needed.
        with bench() as place, place.nginx() as nginx, place.edgenode(options.python, options.checkout) as node:
            for peer in (nginx, node):
                size = measure(place, peer, protocol, options.connections)
                limit = LIMITS.get(protocol) if peer.name != BASE else None
                good = limit is None or size <= limit.most
                kept = kept and good
                told = ["", "", ""] if limit is None else [f"{limit.most:.0f}", f"{limit.goal:.0f}", verdict(good)]
                lines.append([protocol, peer.name, f"{size:.1f}", *told])
    print(table(["protocol", "peer", "KB a connection", "at most", "goal", ""], lines))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
