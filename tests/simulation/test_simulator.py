"""The simulator: clients that nobody has seen, judged as the node would."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import CancelledError, Deferred

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision
from edgenode.model.exchange import Address, Body, Connection, Exchange
from edgenode.proxy.routing import ServedGroup
from edgenode.simulation.simulator import NetworkNeeded, Simulator, client_of
from tests.support.certificates import CLIENT, DAY, Issued, make_authority, now, write_pem
from tests.support.configurations import changed, write_server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """Whom the server group believes."""
    return make_authority("Clients")


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, authority: Issued) -> ServedGroup:
    """A server group that asks for certificates."""
    folder = write_server(tmp_path_factory.mktemp("pki"))
    write_pem(folder / "ca.pem", [authority])
    mtls = "certificate = server\nmtls = optional\ntrust-store = clients"
    text = changed({"certificate = server": mtls, "": "[trust-store clients]\nauthorities = ca.pem\n"})
    connection = Connection(Address("192.0.2.7", 1), Address("192.0.2.1", 443), "shop.example")
    found = Simulator.of(Configuration.from_text(text, pathlib.Path(folder), {})).group("public", connection)
    assert found is not None
    return found


def test_a_stage_that_would_ask_the_network_is_cancelled(tmp_path: pathlib.Path) -> None:
    """Nothing that it has begun goes on, and no timer is left; what a coroutine says at once is heard."""
    folder = write_server(tmp_path)
    cancelled: list[str] = []

    class Asking:
        name, needs, waits = "asking", frozenset[str](), True

        async def decide(self, exchange: Exchange) -> Decision:
            try:
                return await Deferred() if self.waits else Decision(frozenset(("asked",)))
            except CancelledError:
                cancelled.append(exchange.client)
                raise

    stage: Any = Asking()
    configuration = Configuration.from_text(changed({}), folder, {})
    rules = evolve(configuration.rules, stages=(*configuration.rules.stages, stage))
    simulator = Simulator.of(evolve(configuration, rules=rules))
    connection = Connection(Address("192.0.2.7", 1), Address("192.0.2.1", 443), "shop.example")
    group = simulator.group("public", connection)
    assert group is not None
    client = simulator.client("public", connection, group, 0)
    head = simulator.read("public", b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", client)
    with pytest.raises(NetworkNeeded):
        simulator.judge(client, head, Body(b"", 0))
    assert cancelled == ["192.0.2.7"]
    stage.waits = False
    assert "asked" in simulator.judge(client, head, Body(b"", 0)).decision.tags


def errors(group: ServedGroup, issued: Issued, at: datetime.datetime) -> tuple[int, ...]:
    """What is wrong with a certificate."""
    verification = client_of(issued.certificate.public_bytes(Encoding.PEM), group, at).verification
    assert verification.verified == (not verification.errors)
    return tuple(verification.errors)


def test_a_certificate_is_judged_as_of_the_time_that_is_asked_for(group: ServedGroup, authority: Issued) -> None:
    """It is good in its time, and neither before nor after."""
    issued = authority.issue("CN=acme", eku=[CLIENT], not_before=now(), not_after=now() + DAY)
    assert errors(group, issued, now() + DAY / 2) == ()
    assert errors(group, issued, now() - DAY / 2)
    assert errors(group, issued, now() + 2 * DAY)


def test_all_that_is_wrong_with_a_certificate_is_told(group: ServedGroup) -> None:
    """A stranger's that has expired is both."""
    issued = make_authority("Others").issue("CN=x", eku=[CLIENT], not_before=now() - 2 * DAY, not_after=now() - DAY)
    assert errors(group, issued, now()) == (20, 10)  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, CERT_HAS_EXPIRED
    assert errors(group, issued, now() - 1.5 * DAY) == (20,)


def test_what_is_no_certificate_is_a_value_error(group: ServedGroup) -> None:
    """Whatever it is."""
    for data in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(ValueError):
            client_of(data, group, now())
