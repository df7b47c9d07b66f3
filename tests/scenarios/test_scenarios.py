"""The whole of the rules by scenario files: an INI, a line of ``====``, and a dialogue of one line for each request.

A line is ``METHOD TARGET OPTION... -> EXPECTED...``. Options: ``from=ADDRESS``, ``host=AUTHORITY``, ``h:NAME=VALUE`` (a
header), ``cert=NAME`` (a verified client), ``body=TEXT``, ``status=CODE`` (what the origin answers). Expected:
``forward`` or the name of the action that is taken, then a status if it answers or ``forwarded`` if it may not;
``+TAG`` is there, ``-TAG`` is not. A line ``WAIT 30s`` lets time pass. A profile ``[acl-profile login]`` is that of the
path map ``login``.

Requests go through the node's own reader, router and pipelines; addresses are placed by real databases.
"""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Iterator

import pytest
from attrs import evolve, frozen
from OpenSSL import crypto
from twisted.internet import reactor
from twisted.internet.task import Clock

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision, Forward, Respond
from edgenode.model.durations import seconds
from edgenode.model.exchange import NO_BODY, Address, Body, ClientIdentity, Connection, Exchange, Verification
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.node.assembly import Assembly
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.proxy.routing import Router
from edgenode.state.memory import MemoryState
from edgenode.tls.identity import identity_of
from tests.support.certificates import SERVER, make_authority, write_pem
from tests.support.databases import write_databases

SCENARIOS = sorted(pathlib.Path(__file__).parent.glob("*.scenario"))
LEAST = 150
"""Lines that the scenarios have at the least, all together."""

LIMITS = HeadLimits(target=8 * 1024, head=32 * 1024, headers=100)

PREAMBLE = """
[edge]
missing-not-equal = no

[geo]
city = city.mmdb
asn  = asn.mmdb

[listener public]
endpoint             = tcp:0:interface=127.0.0.1
server-groups        = site
default-server-group = site

[certificate site]
chain = site.pem
key   = site.key

[trust-store clients]
authorities = clients.pem

[server-group site]
hosts           = *.test
certificate     = site
mtls            = optional
trust-store     = clients
security-policy = site

[security-policy site]
path-maps = login, watched, unfiltered, rest

[path-map login]
path   = ^/login$
origin = nowhere

[path-map watched]
path   = ^/watched$
origin = nowhere
mode   = monitoring

[path-map unfiltered]
path   = ^/unfiltered$
origin = nowhere
mode   = off

[path-map rest]
origin = nowhere

[origin nowhere]
servers = http://127.0.0.1:9
"""

PLACES = {
    "203.0.113.0/25": {"country": "DE", "region": ("BW", "Baden-Wurttemberg"), "subregion": ("KA", "Karlsruhe")},
    "203.0.113.128/25": {"country": "FR"},
    "192.0.2.128/25": {"country": "JP"},
    "2001:db8:dead::/48": {"country": "DE"},
}
OWNERS = {"203.0.113.0/25": (64500, "Example AG"), "203.0.113.128/25": (64501, "Example SARL")}


@frozen
class Line:
    """One request of a scenario and what is expected of it."""

    number: int
    text: str
    method: str
    target: str
    options: tuple[tuple[str, str], ...]
    expected: tuple[str, ...]

    @classmethod
    def of(cls, number: int, text: str) -> Line:
        """Read a line."""
        asked, _, expected = text.rpartition(" -> ")
        if not asked:
            method, target, options = *text.split(), []
        else:
            method, target, *options = shlex.split(asked)
        return cls(number, text, method, target, tuple(_option(each) for each in options), tuple(expected.split()))

    def option(self, name: str, default: str = "") -> str:
        """The value of an option that is given once."""
        return dict(self.options).get(name, default)


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    assert equals, f"an option is NAME=VALUE: {text}"
    assert name in ("from", "host", "cert", "body", "status") or name.startswith("h:"), text
    return name, value


def read(path: pathlib.Path) -> tuple[str, list[Line]]:
    """The INI and the lines of a scenario file."""
    ini, _, dialogue = path.read_text(encoding="utf-8").partition("\n====\n")
    first = ini.count("\n") + 3
    lines = [
        Line.of(number, text.strip())
        for number, text in enumerate(dialogue.split("\n"), first)
        if text.strip() and not text.startswith("#")
    ]
    return ini, lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Certificates and databases for every scenario."""
    found = tmp_path_factory.mktemp("scenarios")
    authority = make_authority("Clients")
    write_pem(found / "clients.pem", [authority])
    make_authority("Servers").issue("site", eku=[SERVER], sans=["DNS:*.test"]).write(found, "site")
    write_databases(found, PLACES, OWNERS)
    return found


@pytest.fixture(scope="module")
def clients() -> dict[str, ClientIdentity]:
    """Verified clients by name."""
    authority = make_authority("Clients")
    found = {}
    for name in ("alice", "bob"):
        leaf = authority.issue(f"CN={name},O=Partners", sans=[f"DNS:{name}.test"]).certificate
        verified = Verification(presented=True, verified=True)
        found[name] = identity_of(crypto.X509.from_cryptography(leaf), verified)
    return found


def judged(router: Router, line: Line, clients: dict[str, ClientIdentity]) -> tuple[Exchange, Decision]:
    """A request on its way through reader, router and pipeline."""
    body = line.option("body").encode()
    fields = [("Host", line.option("host", "www.test"))]
    fields += [(name[2:], value) for name, value in line.options if name.startswith("h:")]
    if body:
        fields.append(("Content-Length", str(len(body))))
    head = f"{line.method} {line.target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
    request = read_request_head(f"{head}\r\n".encode(), LIMITS, b"https").with_body(NO_BODY)
    request = evolve(request, body=Body(body, len(body)))
    peer = Address.of(line.option("from", "192.0.2.1"), 40000)
    who = clients[line.option("cert")] if line.option("cert") else None
    connection = Connection(peer, Address("192.0.2.254", 443), "www.test", tls_version="TLSv1.3", client=who)
    group = router.named("www.test")
    assert group is not None
    exchange = Exchange(connection, request, peer.host, frozenset(), group.name, group.security_policy, time=1e9)
    path_map = group.path_map(exchange)
    exchange = evolve(exchange, path_map=path_map.name)
    decision = path_map.pipeline.decide(exchange)
    assert isinstance(decision, Decision)
    return exchange, decision


def wrong(line: Line, exchange: Exchange, decision: Decision) -> Iterator[str]:
    """What is not as it is expected."""
    taken = "forward" if decision.action is None else decision.action.name
    for word in line.expected:
        if word[0] == "+":
            if word[1:] not in decision.tags:
                yield f"{word[1:]} is missing"
        elif word[0] == "-":
            if word[1:] in decision.tags:
                yield f"{word[1:]} is there"
        elif word == "forwarded" or word.isdigit():
            outcome = decision.outcome(exchange)
            status = str(outcome.response.status) if isinstance(outcome, Respond) else ""
            if word != ("forwarded" if isinstance(outcome, Forward) else status):
                yield f"the outcome is {outcome}"
        elif word != taken:
            yield f"the action is {taken}"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_line_of_the_scenario_comes_out_as_written(
    path: pathlib.Path, folder: pathlib.Path, clients: dict[str, ClientIdentity]
) -> None:
    """Each request of the file gets the action, the status and the tags that its line says."""
    ini, lines = read(path)
    profile = "acl-profile = login\n" if "[acl-profile login]" in ini else ""
    preamble = PREAMBLE.replace("[path-map login]\n", f"[path-map login]\n{profile}")
    clock = Clock()
    state = MemoryState(clock.seconds, lambda: 1e9 + clock.seconds())
    configuration = evolve(Configuration.from_text(preamble + ini, folder), state=state)
    deadlines = Deadlines(Poller(reactor))
    try:
        router = Assembly.of(configuration, reactor, deadlines).routers["public"]
        found = []
        for line in lines:
            if line.method == "WAIT":
                clock.advance(seconds(line.target))
                continue
            exchange, decision = judged(router, line, clients)
            complaints = list(wrong(line, exchange, decision))
            if isinstance(decision.outcome(exchange), Forward):
                status = int(line.option("status", "200"))
                for each in decision.after:
                    each.responded(status, 0, status)
            found += [f"{path.name}:{line.number}: {line.text}: {each}" for each in complaints]
        assert not found, "\n".join(found)
    finally:
        deadlines.stop()


def test_the_scenarios_are_many() -> None:
    """There are at least 150 lines."""
    assert sum(len(read(path)[1]) for path in SCENARIOS) >= LEAST
