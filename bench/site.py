"""What a ``FilteredResource`` costs: CPU time per request of a site of twisted.web, bare and filtered.

One process serves the same resource twice: as it is, and behind ten global filters, with events to a file. Every
request is another one, with a browser's headers; they go to both in turn, over connections that stay. Figures are
medians of rounds; the exit status is 1 if the limit is not kept.
"""

from __future__ import annotations

import argparse
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.rules import WORDS
from bench.tables import table, verdict
from edgenode.model.settings import Word

LIMIT = 1.4
"""CPU time of the filtered site at the most, in times of that of the bare one."""

CONNECTIONS = 8


FILTERS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("", (("path", r"^/admin/area0/.*\.(php|cgi)$"),)),
    ("", (("header.user-agent", "(nikto|sqlmap|scanner-1)"),)),
    ("", (("header.cookie", r"(?i)\bunion\s+select\s+c2"),)),
    ("referer-spam", (("header.referer", r"^https?://spam3\.example/"),)),
    ("", (("ip", "198.18.4.0/24"),)),
    ("", (("method", "^(TRACE|TRACK|DEBUG5)$"),)),
    ("", (("path", "^/api/v6/"), ("header.user-agent", "^(curl|python-requests)/6"))),
    ("browser", (("method", "^GET$"), ("header.user-agent", r"^Mozilla/5\.0\b"))),
    ("", (("ip", "2001:db8:8::/48"), ("header.cookie", "automation=8"))),
    ("", (("authority", r"^bench-9\.example\.com$"),)),
)
"""Tags, and entries: the ten kinds of ``start.sh``, of which one matches every request."""


def serve(events: str) -> None:
    """Serve both sites, and print their ports."""
    from twisted.internet import reactor as installed
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    from edgenode.embedding.filtered_resource import FilteredResource
    from edgenode.observe.event_log import EventLog
    from edgenode.policy.actions import PREDEFINED
    from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
    from edgenode.policy.pipeline import Pipeline
    from edgenode.policy.tagging import Tagging
    from edgenode.rules.categories import entry
    from edgenode.rules.definitions import Definitions

    reactor: Any = installed

    class Inner(Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> bytes:
            request.setHeader(b"content-type", b"text/plain")
            return b"x" * 1024

    filters = {
        f"filter-{number}": GlobalFilter(
            action=None if tags else "block",
            tags=(Word(tags),) if tags else (),
            relation="and",
            entries=tuple(entry(*each) for each in entries),
        )
        for number, (tags, entries) in enumerate(FILTERS)
    }
    stage = GlobalFilters.of(filters, Definitions(), PREDEFINED)
    pipeline = Pipeline(Tagging.of({}), (stage,))
    log = EventLog(Path(events), reactor)
    for resource in (Inner(), FilteredResource(pipeline, Inner(), events=log)):
        port = reactor.listenTCP(0, Site(resource), interface="127.0.0.1")
        print(port.getHost().port, flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", log.close)
    reactor.run()


def requests(source: random.Random, count: int) -> list[bytes]:
    """As many different requests of a browser."""
    return [_request(source) for _ in range(count)]


def _request(source: random.Random) -> bytes:
    word, number = source.choice(WORDS), source.getrandbits(32)
    return (
        f"GET /{word}/{number:x}?page={number % 97}&sort={source.choice(WORDS)} HTTP/1.1\r\n"
        f"Host: www.example.com\r\n"
        f"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:{number % 140}.0) Gecko/20100101 Firefox/{number % 140}.0\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
        f"Referer: https://www.example.com/{source.choice(WORDS)}\r\n"
        f"Cookie: session={number:x}; theme=dark\r\n\r\n"
    ).encode()


class Client:
    """Connections to a site that stay open."""

    def __init__(self, port: int) -> None:
        self._socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]

    def send(self, requests: Sequence[bytes]) -> None:
        """Send requests, one at a time on each connection, and read the answers."""
        for at in range(0, len(requests), CONNECTIONS):
            busy = list(zip(self._socks, requests[at : at + CONNECTIONS], strict=False))
            for sock, request in busy:
                sock.sendall(request)
            for sock, _ in busy:
                answer = b""
                while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < 1024:
                    piece = sock.recv(65536)
                    assert piece, answer
                    answer += piece
                assert answer.startswith(b"HTTP/1.1 200 ")

    def close(self) -> None:
        """Close them."""
        for sock in self._socks:
            sock.close()


def nanoseconds(pid: int) -> int:
    """CPU time that a process of one thread has taken: Linux's ``/proc/PID/schedstat``."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0])


def rounds(pid: int, ports: Sequence[int], options: argparse.Namespace) -> Iterator[list[float]]:
    """CPU µs per request of each site, round by round."""
    source = random.Random(options.seed)
    clients = [Client(port) for port in ports]
    for client in clients:
        client.send(requests(source, options.requests))
    for _ in range(options.rounds):
        taken = []
        for client in clients:
            several = requests(source, options.requests)
            before = nanoseconds(pid)
            client.send(several)
            taken.append((nanoseconds(pid) - before) / len(several) / 1000)
        yield taken
    for client in clients:
        client.close()


def measure(options: argparse.Namespace) -> float:
    """Measure, print the table, and return the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.site", "--serve", f"{folder}/events"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent) as server:
            try:
                assert server.stdout is not None
                ports = [int(server.stdout.readline()) for _ in range(2)]
                taken = list(rounds(server.pid, ports, options))
            finally:
                server.terminate()
        events = Path(folder, "events").read_bytes().count(b"\n")
    assert events == (1 + options.rounds) * options.requests, events
    bare, filtered = (median(column) for column in zip(*taken, strict=True))
    ratio = median(filtered / bare for bare, filtered in taken)
    rows = [["bare", f"{bare:.1f}", ""], [f"{len(FILTERS)} filters, events", f"{filtered:.1f}", f"{ratio:.2f}"]]
    print(table(["site", "CPU µs", "ratio"], rows))
    return ratio


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what a FilteredResource costs.")
    parser.add_argument("--rounds", type=int, default=15, help="how often both are measured in turn (default: 15)")
    parser.add_argument("--requests", type=int, default=800, help="to each in a round (default: 800)")
    parser.add_argument("--seed", type=int, default=4, help="of the random requests (default: 4)")
    parser.add_argument("--serve", metavar="EVENTS", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit status."""
    options = arguments().parse_args(argv)
    if options.serve:
        serve(options.serve)
        return 0
    ratio = measure(options)
    print(f"\nin times of the bare site {ratio:.2f}, at most {LIMIT}: {verdict(ratio <= LIMIT)}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
