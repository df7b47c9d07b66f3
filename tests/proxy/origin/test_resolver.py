"""Names of an origin's servers: one question at a time, remembered for a short while."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from attrs import Factory, define

from edgenode.proxy.origin.resolver import Resolver
from edgenode.proxy.origin.server import is_address
from tests.support.loop import Loop


@define
class Names:
    """In place of the system's resolver.

    :ivar known: addresses by name.
    :ivar asked: the names that were asked for.
    """

    known: dict[str, list[str]] = Factory(dict)
    asked: list[str] = Factory(list)

    def getaddrinfo(self, host: str, *arguments: Any) -> list[Any]:
        """As ``socket.getaddrinfo``."""
        self.asked.append(host)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.known[host]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """One name is known, with an address given twice."""
    names = Names({"a.test": ["192.0.2.1", "192.0.2.2", "192.0.2.1"]})
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


@define
class Asking:
    """Who asks.

    :ivar answers: what it was told: addresses, or why not.
    """

    resolver: Resolver
    answers: list[object] = Factory(list)

    def ask(self, host: str = "a.test") -> None:
        """Ask."""
        self.resolver.resolve(host, self.answers.append, self.answers.append)


def test_a_name_is_asked_for_once(names: Names) -> None:
    """All who ask meanwhile get the same answer, and each address once, in the resolver's order."""
    loop = Loop()
    asking = Asking(Resolver(loop, loop.seconds))
    for _ in range(3):
        asking.ask()
    assert asking.answers == []
    loop.settle()
    assert asking.answers == [("192.0.2.1", "192.0.2.2")] * 3
    assert names.asked == ["a.test"]


def test_an_answer_is_remembered_for_half_a_minute(names: Names) -> None:
    """And told at once; then the system is asked again."""
    loop = Loop()
    asking = Asking(Resolver(loop, loop.seconds))
    asking.ask()
    loop.settle()
    loop.advance(29)
    asking.ask()
    assert len(asking.answers) == 2
    loop.advance(1)
    names.known["a.test"] = ["192.0.2.3"]
    asking.ask()
    assert len(asking.answers) == 2
    loop.settle()
    assert asking.answers[-1] == ("192.0.2.3",)
    assert len(names.asked) == 2


def test_no_answer_is_not_remembered(names: Names) -> None:
    """All who ask are told why; the next one asks anew."""
    loop = Loop()
    asking = Asking(Resolver(loop, loop.seconds))
    for _ in range(2):
        asking.ask("none.test")
        asking.ask("none.test")
        loop.settle()
    assert len(asking.answers) == 4
    assert "none.test cannot be resolved" in str(asking.answers[0])
    assert "Name or service not known" in str(asking.answers[0])
    assert names.asked == ["none.test"] * 2


def test_names_do_not_wait_for_one_another(names: Names) -> None:
    """Each has its own question, and its own answer."""
    loop = Loop()
    names.known["b.test"] = ["192.0.2.9"]
    asking = Asking(Resolver(loop, loop.seconds))
    asking.ask("a.test")
    asking.ask("b.test")
    loop.settle()
    assert sorted(map(str, asking.answers)) == ["('192.0.2.1', '192.0.2.2')", "('192.0.2.9',)"]


@pytest.mark.parametrize(("host", "address"), [("192.0.2.1", True), ("::1", True), ("a.test", False), ("1.2.3", False)])
def test_an_address_is_its_own(names: Names, host: str, address: bool) -> None:
    """Nobody is asked for it."""
    assert is_address(host) is address
    loop = Loop()
    asking = Asking(Resolver(loop, loop.seconds))
    asking.ask(host)
    assert asking.answers == ([(host,)] if address else [])
    loop.settle()
    assert bool(names.asked) is not address
