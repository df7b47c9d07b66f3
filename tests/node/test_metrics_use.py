"""What a node counts of itself while it runs."""

from __future__ import annotations

import pytest

from edgenode.testing import FakeOrigin, MemoryNode, Sandbox, make_authority, result_of
from edgenode.tls.verify_errors import UNABLE_TO_GET_ISSUER


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    return Sandbox.make(tmp_path_factory.mktemp("sandbox"))


def test_a_node_counts_requests_and_handshakes_across_reloads(sandbox: Sandbox) -> None:
    """Those before a reload and those after it; of handshakes who has issued the client's certificate."""
    with MemoryNode(sandbox.configuration(), {"app": FakeOrigin()}) as node:
        meter = node.service.meter
        client = node.client("www.test", sandbox.clients.issue("alice"))
        for _ in range(2):
            assert client.ask("GET", "/").status == 200
            reloaded = node.service.reload(sandbox.configuration("[origin other]\nservers = http://192.0.2.81:80\n"))
            node.settle()
            result_of(reloaded)
        meter.settle()
        (counts,) = meter.requests.values()
        assert counts.count == 2
        ((ending, number),) = meter.handshakes.endings.items()
        assert (ending[2:], number) == (("verified", "", "CN=Clients"), 2)
        ((place, origin),) = meter.origins.items()
        assert place[0] == "app"
        assert origin.statuses[2] == 2


def test_what_may_happen_begins_at_zero(sandbox: Sandbox) -> None:
    """Each action of a filter, a limit or a dynamic rule that is active, in each mode of a path map; tags alone do not,
    and a reload takes nothing back."""
    rules = """
[global-filter scripts]
action            = no
header.user-agent = ^curl/

[global-filter off]
active = no
action = no
ip     = 192.0.2.1

[global-filter tags]
ip   = 192.0.2.2
tags = office

[rate-limit login]
key   = ip
limit =
    10 per 1m
    20 per 1m no

[dynamic-rule hold]
key   = ip
limit = 100 per 1m
hold  = 1h

[action no]
type   = block
status = 403
"""
    with MemoryNode(sandbox.configuration(rules), {"app": FakeOrigin()}) as node:
        meter = node.service.meter
        ours = {key: count for key, (count,) in meter.filters.items() if not key[1].startswith("system.")}
        expected = {
            ("global-filters", "scripts", "no", "block", True): 0,
            ("rate-limits", "login", "rate-limit", "block", True): 0,
            ("rate-limits", "login", "no", "block", True): 0,
            ("dynamic-rules", "hold", "block", "block", True): 0,
        }
        assert ours == expected
        assert node.client("www.test").get("/", [("User-Agent", "curl/8")]).status == 403
        reloaded = node.service.reload(sandbox.configuration(rules))
        node.settle()
        result_of(reloaded)
        assert meter.filters["global-filters", "scripts", "no", "block", True] == [1]


def test_who_never_comes_to_a_request_is_counted(sandbox: Sandbox) -> None:
    """Handshakes that fail, by the reason, and connections that are closed at once, by the limit; none is a request."""
    strict = """
[server-group partners]
hosts           = partners.test
certificate     = edge
mtls            = on
mtls-refusal    = handshake
trust-store     = clients
security-policy = all

[listener public]
endpoint                   = tcp:443:interface=127.0.0.1
server-groups              = www, partners
max-connections-per-client = 1
max-excess-connections     = 0
"""
    stranger = make_authority("Strangers").issue("mallory")
    with MemoryNode(sandbox.configuration(strict), {"app": FakeOrigin()}) as node:
        meter = node.service.meter
        for client in (
            node.client("nobody.test"),
            node.client("partners.test", stranger),
            node.client("partners.test"),
        ):
            with pytest.raises(Exception, match=r"."):
                client.get("/")
            node.settle()
        meter.settle()
        refused = sorted((group, result, str(why)) for _, group, result, why, _ in meter.handshakes.endings)
        assert refused == [
            ("", "failed", "unknown server name"),
            ("partners", "failed", f"{UNABLE_TO_GET_ISSUER}"),
            ("partners", "failed", "no certificate"),
        ]
        assert not meter.requests
        first = node.reactor.sockets.connect(("127.0.0.1", 443), ("127.0.0.1", 5000))
        second = node.reactor.sockets.connect(("127.0.0.1", 443), ("127.0.0.1", 5001))
        node.settle()
        assert meter.handshakes.turned_away == {"public": 1}
        for each in (first, second):
            assert each is not None
            each.close()
