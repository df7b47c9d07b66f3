"""Clients of a node whose origins have several servers: to whom they come, and come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.model.exchange import Response
from edgenode.node.origin_orders import obey
from edgenode.testing import FakeOrigin, MemoryNode, Sandbox, result_of

SERVERS = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
APP = f"[origin app]\nservers = {', '.join(f'http://{each}:80' for each in SERVERS)}\n"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    return Sandbox.make(tmp_path_factory.mktemp("sandbox"))


def configuration(sandbox: Sandbox, *lines: str) -> Configuration:
    """That of a node with these keys of its origin."""
    return sandbox.configuration(APP + "\n".join(lines))


class Balancing:
    """A node before three servers, which answer with their addresses.

    :ivar origins: them.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.node = MemoryNode(configuration)
        self.origins = {each: FakeOrigin(Response(200, (), each.encode())) for each in SERVERS}
        for address, origin in self.origins.items():
            self.node.reactor.sockets.servers[address, 80] = origin.factory(self.node.reactor)
        self.client = self.node.client("www.test")

    def ask(self, *headers: tuple[str, str]) -> tuple[str, str]:
        """Send a request: who has answered, and the cookie that was set."""
        response = self.client.get("/", headers)
        return response.body.decode(), dict(response.headers).get(b"set-cookie", b"").decode()

    def order(self, what: str, server: str) -> bool:
        """Drain a server, or take that back."""
        order = {"do": what, "origin": "app", "server": f"{server}:80"}
        return obey(order, self.node.service.pools).done


@pytest.fixture
def balancing(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Balancing]:
    """A node with the keys that the test names."""
    lines: Sequence[str] = request.param
    found = Balancing(configuration(sandbox, *lines))
    yield found
    found.node.stop()


@pytest.mark.parametrize("balancing", [["sticky-cookie = home"]], indirect=True)
def test_a_client_with_the_cookie_comes_back_also_while_its_server_is_drained(balancing: Balancing) -> None:
    """The cookie is set once, and goes to the origin with the others; drained, the server gets no other client."""
    home, set_cookie = balancing.ask()
    cookie = set_cookie.partition(";")[0]
    assert set_cookie == f"{cookie}; Path=/; Secure; HttpOnly; SameSite=Lax"
    sent = ("cookie", f"a=1; {cookie}")
    assert {balancing.ask(sent) for _ in range(5)} == {(home, "")}
    assert balancing.origins[home].requests[-1].header(b"cookie") == sent[1].encode()
    assert balancing.order("drain", home)
    assert balancing.ask(sent) == (home, "")
    assert home not in {balancing.ask()[0] for _ in range(5)}
    assert balancing.order("undrain", home)
    assert home in {balancing.ask(("cookie", "home=forged"))[0] for _ in range(6)}


@pytest.mark.parametrize("balancing", [["balance = hash", "hash-key = header.x-user"]], indirect=True)
def test_requests_of_one_key_come_to_one_server(balancing: Balancing) -> None:
    """While that is drained to another, the same for all of them, and then back."""
    homes = {user: balancing.ask(("x-user", user))[0] for user in "abcdefghijkl"}
    assert set(homes.values()) == set(SERVERS)
    assert {user: balancing.ask(("x-user", user))[0] for user in homes} == homes
    assert balancing.order("drain", homes["a"])
    others = {balancing.ask(("x-user", "a"))[0] for _ in range(3)}
    assert len(others) == 1
    assert homes["a"] not in others
    assert balancing.order("undrain", homes["a"])
    assert balancing.ask(("x-user", "a"))[0] == homes["a"]


def test_what_is_drained_is_drained_after_a_reload(sandbox: Sandbox) -> None:
    """Also of an origin that is another since; what that has no more is forgotten."""
    balancing = Balancing(configuration(sandbox))
    assert balancing.order("drain", SERVERS[0])
    for lines in (["max-idle = 1"], ["max-idle = 2", "slow-start = 1s"]):
        reloaded = balancing.node.service.reload(configuration(sandbox, *lines))
        balancing.node.settle()
        assert result_of(reloaded).origins["app"].max_idle == int(lines[0][-1])
        assert {balancing.ask()[0] for _ in range(6)} == {*SERVERS[1:]}
    balancing.node.stop()


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["balance = hash"], "hash-key: balance = hash needs this key"),
        (["balance = hash", "hash-key = http.request.body.raw"], "of which nothing is left when a server is chosen"),
        (["balance = hash", "hash-key = country"], "no database is named in [geo]"),
        (["sticky-cookie = a=b"], "expected the name of a cookie"),
        (["sticky-cookie = a", "sticky-keys = short"], "expected secrets of at least 32 bytes"),
        (["eject-errors = 0.5"], "expected a percentage from 0% to 100%"),
        (["eject-time = 0"], "eject-time: 0 would leave nothing"),
    ],
)
def test_what_cannot_be_is_an_error(sandbox: Sandbox, lines: list[str], problem: str) -> None:
    """What a key needs, and what it cannot have, is told with the key."""
    (sandbox.folder / "short").write_text("secret\n")
    with pytest.raises(ConfigurationError, match="origin app") as caught:
        configuration(sandbox, *lines)
    assert problem in str(caught.value)
    assert "secret\n" not in str(caught.value)


def test_what_has_no_effect_is_a_warning(sandbox: Sandbox) -> None:
    """A key of a method, a cookie or an ejection that there is not."""
    lines = ["hash-key = ip", "sticky-lifetime = 1h", "eject-share = 10%"]
    warned = {each.key for each in configuration(sandbox, *lines).warnings}
    assert warned == {"hash-key", "sticky-lifetime", "eject-share"}
