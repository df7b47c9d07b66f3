"""What a node counts of itself while it runs."""

from __future__ import annotations

import pytest

from edgenode.testing import FakeOrigin, MemoryNode, Sandbox, result_of


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
        (counts,) = meter.requests.values()
        assert counts.count == 2
        ((ending, number),) = meter.handshakes.endings.items()
        assert (ending[2:], number) == (("verified", "", "CN=Clients"), 2)
        ((place, origin),) = meter.origins.items()
        assert place[0] == "app"
        assert origin.statuses[2] == 2
