"""Questions to a journal of a million events, and how long each takes.

    python -m bench.journal [--events N] [--folder FOLDER]

Events are varied: hosts, paths, clients of both families, filters, tags, statuses and certificates, as many and as
often as a shop has them. They are written as a node writes them, and as Parquet by the journal's own converter; with a
folder they are kept for the next time. Every figure is the best of three; the exit status is 1 if one is over a second.
"""

from __future__ import annotations

import argparse
import datetime
import pathlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice

from attrs import evolve

from bench.tables import table, verdict
from edgenode.model.decision import Action, Decision, Reason
from edgenode.model.errors import OriginError
from edgenode.model.exchange import NO_BODY, Address, Connection, Exchange
from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.event_record import event_line
from edgenode.observe.journal.grouping import grouping
from edgenode.observe.journal.parquet import convert
from edgenode.observe.journal.questions import OpenJournal, Question
from edgenode.observe.journal.segments import Segment
from edgenode.proxy.streams import RequestHead
from tests.support.records import CLIENT, FakeRecord, FakeStanding
from tests.support.requests import request_of

_STANDINGS: dict[Connection, FakeStanding] = {}
"""What is the same for all events of a connection is written once, as a node does."""

_NOW, _SPAN = 1795262400.0, 7200.0
_HOSTS = ("www.shop.test", "api.shop.test", "static.shop.test", "pay.shop.test")
_WORDS = ("cart", "login", "search", "item", "img", "account", "checkout", "wp-login.php", ".env", "health")
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "curl/8.5.0", "python-requests/2.31", "Googlebot/2.1")
_FILTERS = tuple(f"filter-{number}" for number in range(40))
_TAGS = tuple(f"tag-{number}" for number in range(30))


def lines(count: int, span: float, seed: int = 1) -> Iterator[str]:
    """Events in the order of time, over so many seconds.

    :param span: seconds.
    """
    chance = random.Random(seed)
    _STANDINGS.clear()
    connections = [_connection(chance) for _ in range(5000)]
    asked = [_request(chance) for _ in range(5000)]
    for number in range(count):
        yield event_line(_record(chance, chance.choice(connections), chance.choice(asked), number, span / count))


def _connection(chance: random.Random) -> Connection:
    address = f"2001:db8::{chance.randrange(1 << 16):x}" if chance.random() < 0.2 else _v4(chance)
    client = CLIENT if chance.random() < 0.3 else None
    if client is not None:
        client = evolve(client, subject=f"CN=client-{chance.randrange(500)},O=Shop")
    return Connection(
        Address.of(address, chance.randrange(1024, 65536)),
        Address("192.0.2.1", 443),
        chance.choice(_HOSTS),
        "h2",
        "TLSv1.3",
        "TLS_AES_128_GCM_SHA256",
        f"t13d1516h2_8daaf6152771_{chance.randrange(1 << 20):012x}",
        client,
    )


def _v4(chance: random.Random) -> str:
    return f"{chance.choice((10, 93, 198, 203))}.{chance.randrange(4)}.{chance.randrange(256)}.{chance.randrange(256)}"


def _request(chance: random.Random) -> RequestHead:
    path = "/".join(chance.choice(_WORDS) for _ in range(chance.randrange(1, 4)))
    query = f"?id={chance.randrange(1000)}" if chance.random() < 0.4 else ""
    line = f"{chance.choice(('GET', 'GET', 'GET', 'POST'))} /{path}{query} HTTP/1.1"
    fields = (f"User-Agent: {chance.choice(_AGENTS)}", "Accept: */*")
    return request_of(line, *fields, host=chance.choice(_HOSTS))


def _record(chance: random.Random, connection: Connection, asked: RequestHead, number: int, step: float) -> FakeRecord:
    matched = [chance.choice(_FILTERS) for _ in range(chance.choice((0, 0, 1, 2)))]
    blocked = bool(matched) and chance.random() < 0.3
    reasons = [Reason("global-filters", name, "path: ^/", "", "") for name in matched]
    if blocked:
        reasons[-1] = evolve(reasons[-1], action="block")
    group = "shop"
    tags = {"all", f"servergroup:{group}", "mtls:none", "protocol:https", *chance.sample(_TAGS, 3)}
    failed = not blocked and chance.random() < 0.02
    request = asked.with_body(NO_BODY)
    exchange = Exchange(connection, request, connection.peer.host, frozenset(), group, group, "rest")
    began, origin = 100.0, chance.expovariate(20)
    return FakeRecord(
        exchange,
        Decision(frozenset(tags), tuple(reasons), Action("block") if blocked else None, (("tagging", 20.0),)),
        _STANDINGS.setdefault(connection, FakeStanding()),
        identifier=b"%032x" % chance.getrandbits(128),
        status=403 if blocked else 502 if failed else chance.choice((200, 200, 200, 304, 404)),
        error=OriginError(502, "connect", "refused") if failed else None,
        origin=group,
        server=f"10.0.0.{chance.randrange(4)}:8443",
        tries=0 if blocked else 1,
        sent=chance.randrange(1 << 16),
        time=_NOW + number * step,
        began=began,
        decided=began + 0.0002,
        answered=began + 0.0002 + origin,
        ended=began + 0.001 + origin,
    )


QUESTIONS = (
    ("", ""),
    ('edge.action == "block"', "filter"),
    ("http.response.code >= 500", "server"),
    ('any(edge.tags[*] eq "tag-3")', "host"),
    ("ip.src in {10.0.0.0/8 2001:db8::/40}", "client"),
    ('http.user_agent contains "curl"', "path"),
    ('http.request.uri.path matches "^/wp-login"', "status"),
    ("edge.duration > 100000 and cf.tls_client_auth.cert_verified", "certificate"),
    ("", "tag"),
    ("", "minute"),
)
"""What is asked: which events, and counted by what."""

_A_FILE = 45_000
"""Events of a segment: about as many as the default size has."""


def write(folder: pathlib.Path, count: int) -> None:
    """Write a journal: segments that are Parquet, and one that is not yet."""
    began = datetime.datetime.fromtimestamp(_NOW, datetime.UTC)
    step = datetime.timedelta(seconds=_SPAN / count)
    each = iter(lines(count, _SPAN))
    for number, start in enumerate(range(0, count, _A_FILE), 1):
        segment = Segment.new(folder, number, began + start * step)
        with segment.path.open("w") as file:
            file.writelines(f"{line}\n" for line in islice(each, _A_FILE))
        if start + _A_FILE < count:
            convert(segment.path, segment.parquet)
            segment.path.unlink()


def best(journal: OpenJournal, where: str, by: str) -> tuple[float, float, int]:
    """Seconds that an answer takes, those of the CPUs, and how many events it is about."""
    question = Question(where=EventExpression.from_text(where) if where else None)
    taken = []
    for _ in range(3):
        before, used = time.perf_counter(), time.process_time()
        found = journal.count(question, grouping(by) if by else None)
        taken.append((time.perf_counter() - before, time.process_time() - used))
    return *min(taken), found.total


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--folder", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or pathlib.Path(scratch)
        folder.mkdir(exist_ok=True)
        if not any(folder.iterdir()):
            write(folder, options.events)
        with OpenJournal.opened(folder) as journal:
            rows = [(where, by, *best(journal, where, by)) for where, by in QUESTIONS]
    shown = [
        (where or "all", by or "-", f"{total:,}", f"{seconds:.3f}", f"{used:.3f}")
        for where, by, seconds, used, total in rows
    ]
    print(table(("which events", "by", "events", "seconds", "CPU s"), shown))
    kept = all(seconds < 1 for _, _, seconds, _, _ in rows)
    print(f"each under a second: {verdict(kept)}")
    return not kept


if __name__ == "__main__":
    sys.exit(main())
