"""A state behind TLS: who may be asked, and by whom."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from edgenode.model.settings import Secret, Word
from edgenode.state.settings import Server, ServerUrl, StateSection
from tests.state.test_redis import node
from tests.support.certificates import SERVER, Issued, make_authority, write_pem
from tests.support.handshakes import loaded, trusted
from tests.support.node import until
from tests.support.redis import RedisServer, needs_redis

pytestmark = needs_redis


class Certificates:
    """Those of a server that asks for a client certificate, and its authority."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.authority = make_authority("Servers")
        write_pem(folder / "ca.pem", [self.authority])

    def server(self, *sans: str) -> RedisServer:
        """A server with a certificate for these names."""
        issued = self.authority.issue("redis", eku=[SERVER], sans=sans)
        issued.write(self.folder, "redis")
        folder = str(self.folder)
        return RedisServer(
            "tls-port", bind="127.0.0.1", tls_cert_file=f"{folder}/redis.pem",
            tls_key_file=f"{folder}/redis.key", tls_ca_cert_file=f"{folder}/ca.pem", tls_auth_clients="yes",
            requirepass="secret",
        )  # fmt: skip


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The certificates of this module."""
    return Certificates(tmp_path_factory.mktemp("redis"))


@pytest.fixture
def server(certificates: Certificates) -> Iterator[RedisServer]:
    """A server of its own."""
    with certificates.server("DNS:redis.test", "IP:127.0.0.1") as server:
        yield server


def of(server: RedisServer, authority: Issued, client: Issued | None, name: str | None = "redis.test") -> Server:
    """A server as a configuration names it."""
    url = ServerUrl.from_text(f"rediss://127.0.0.1:{server.options['tls-port']}/0")
    section = StateSection(url=url, password=Secret("secret"), server_name=None if name is None else Word(name))
    return Server(section, None if client is None else loaded("client", client), trusted(authority))


@pytest.mark.parametrize("name", ["redis.test", None])
async def test_a_server_is_asked_by_mutual_tls(
    server: RedisServer, certificates: Certificates, name: str | None
) -> None:
    """A server that asks for a certificate gets ours, and is one whose name, or address, its own certificate has."""
    found = of(server, certificates.authority, certificates.authority.issue("edge"), name)
    async with node("unix:/none", server=found) as one:
        assert [await one.total() for _ in range(3)] == [1, 2, 3]
        assert one.actions == []


async def test_a_node_without_a_certificate_is_refused(server: RedisServer, certificates: Certificates) -> None:
    """Who has no certificate that the server asks for is not let in, and says why; it counts for itself."""
    async with node("unix:/none", here=False, server=of(server, certificates.authority, None)) as one:
        await until(lambda: one.actions)
        assert "certificate required" in one.told[0].why
        assert await one.total() == 1


@pytest.mark.parametrize(
    ("sans", "mine", "said"),
    [
        (("DNS:redis.test",), False, "self-signed certificate in certificate chain"),
        (("DNS:other.test",), True, "other.test; not redis.test"),
        ((), True, "it names no host"),
        (("DNS:*.test.test",), True, "not redis.test"),
    ],
)
async def test_a_server_that_is_another_hears_no_password(
    certificates: Certificates, sans: tuple[str, ...], mine: bool, said: str
) -> None:
    """A server of another authority, or without the name, is not asked, and is told nothing; it stays away."""
    with certificates.server(*sans) as server:
        authority = certificates.authority if mine else make_authority("Others")
        found = of(server, authority, certificates.authority.issue("edge"))
        async with node("unix:/none", here=False, server=found) as one:
            await until(lambda: one.actions)
            assert said in one.told[0].why
            assert one.state.away
        server("AUTH", "secret")
        assert b"cmdstat_auth:calls=1," in server("INFO", "commandstats")
