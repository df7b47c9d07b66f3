"""The simulator: clients that nobody has seen, judged as the node would."""

from __future__ import annotations

import datetime
import pathlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from edgenode.config.load import Configuration
from edgenode.model.exchange import Address, Connection
from edgenode.proxy.routing import ServedGroup
from edgenode.simulation.simulator import Simulator, client_of
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
