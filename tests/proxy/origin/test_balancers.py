"""What ``balance``, ``sticky-cookie``, ``slow-start`` and ``eject-errors`` make of the choice of a server."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.exchange import Exchange
from edgenode.model.settings import Percent, Seconds, Word
from edgenode.policy.keys import Part
from edgenode.proxy.origin.balancers import balancer_of
from edgenode.proxy.origin.balancing import Balanced, Balancer
from edgenode.proxy.origin.origin import METHODS, Origin
from edgenode.proxy.origin.server import Server
from edgenode.proxy.origin.sticky import StickyCookie
from tests.support.records import EXCHANGE
from tests.support.requests import request_of

WEIGHTS = st.lists(st.integers(1, 5), min_size=2, max_size=5)
SECRET = b"0" * 32
KEYS = [f"user-{number}" for number in range(400)]


@define(eq=False)
class Asker:
    """Who asks, with these cookies and this user.

    :ivar cookies: what answers have set.
    """

    user: str = ""
    cookie: str = ""
    cookies: list[bytes] = field(factory=list)

    @property
    def judged(self) -> Exchange:
        """Its exchange."""
        fields = [("x-user", self.user), ("cookie", self.cookie)]
        head = request_of("GET / HTTP/1.1", *(f"{name}: {value}" for name, value in fields if value))
        return evolve(EXCHANGE, request=head)

    def stick(self, cookie: bytes) -> None:
        """It is told where to come back to."""
        self.cookies.append(cookie)


def servers(weights: list[int], first: int = 0) -> tuple[Server, ...]:
    """Servers with these weights, of different names."""
    return tuple(Server(True, f"s{first + at}.test", 443, weight) for at, weight in enumerate(weights))


def made(method: str, weights: list[int], sticky: bytes = b"", **settings: Any) -> Balancer:
    """A balancer on a clock that stands still."""
    if method == "hash":
        settings["hash_key"] = (Part.from_text("header.x-user"),)
    if sticky:
        settings["sticky_cookie"] = Word("edge")
    origin = Origin(servers=servers(weights), balance=method, **settings)
    return balancer_of(origin, lambda: 100.0, StickyCookie("shop", origin, (sticky,)) if sticky else None)


def chosen(balancer: Balancer, asker: Asker | None = None, now: float = 100.0) -> Balanced:
    """The server that is chosen."""
    found = balancer.choose(now, (), asker)
    assert found is not None
    return found


# -- every method ------------------------------------------------------------------------------------------------------


@given(method=st.sampled_from(METHODS), weights=WEIGHTS, data=st.data())
def test_who_can_be_asked_is_asked_once(method: str, weights: list[int], data: st.DataObject) -> None:
    """By every method a request is sent to each server at most once, to one that is drained never, and to all others;
    to those that are out last."""
    balancer = made(method, weights)
    drained = data.draw(st.sets(st.sampled_from(balancer.servers)))
    out = data.draw(st.sets(st.sampled_from(balancer.servers)))
    for each in drained:
        each.draining = True
    for each in out:
        each.out_until = 1e9
    tried = list[Balanced]()
    while (found := balancer.choose(100.0, tried, Asker("me"))) is not None:
        assert found not in tried
        assert found not in drained
        tried.append(found)
    assert set(tried) == set(balancer.servers) - drained
    good = len(tried) - len(out - drained)
    assert not out & set(tried[:good])


@pytest.mark.parametrize(("method", "tolerance"), [("round-robin", 0.0), ("least-requests", 0.0), ("random-two", 0.08)])
def test_shares_follow_weights(method: str, tolerance: float) -> None:
    """Of servers that are equally busy each gets the share of its weight."""
    balancer = made(method, [1, 2, 5])
    for each in balancer.servers:
        each.open = 0
    counts = Counter(chosen(balancer).server.weight for _ in range(4000))
    for weight in (1, 2, 5):
        assert abs(counts[weight] / 4000 - weight / 8) <= tolerance


def test_shares_of_keys_follow_weights() -> None:
    """With ``hash`` so many of the keys go to a server."""
    balancer = made("hash", [1, 2, 5])
    counts = Counter(chosen(balancer, Asker(f"{number}")).server.weight for number in range(4000))
    for weight in (1, 2, 5):
        assert abs(counts[weight] / 4000 - weight / 8) < 0.05


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 20)), min_size=2, max_size=5))
def test_nobody_is_less_busy_than_who_is_asked(states: list[tuple[int, int]]) -> None:
    """``least-requests`` asks who has the fewest requests under way for its weight; ``random-two`` not the busiest."""
    for method in ("least-requests", "random-two"):
        balancer = made(method, [weight for weight, _ in states])
        loads = dict[Balanced, float]()
        for each, (weight, active) in zip(balancer.servers, states, strict=True):
            each.open = active
            loads[each] = active / weight
        found = loads[chosen(balancer)]
        assert found == min(loads.values()) if method == "least-requests" else found <= sorted(loads.values())[-2]


# -- hash --------------------------------------------------------------------------------------------------------------


@given(WEIGHTS, st.data())
def test_only_the_keys_of_who_comes_or_goes_move(weights: list[int], data: st.DataObject) -> None:
    """A server that is new takes keys from others and none moves between these; who goes gives only its own keys up."""
    balancer, place = made("hash", weights), data.draw(st.integers(0, len(weights)))
    before = {key: chosen(balancer, Asker(key)) for key in KEYS[:50]}
    new = Server(True, "new.test", 443, data.draw(st.integers(1, 5)))
    balancer.replace((*servers(weights)[:place], new, *servers(weights)[place:]))
    for key, server in before.items():
        assert chosen(balancer, Asker(key)).server in (server.server, new)
    balancer.replace(servers(weights))
    gone = data.draw(st.sampled_from(balancer.servers))
    gone.healthy = False
    for key, server in before.items():
        assert server is gone or chosen(balancer, Asker(key)) is server
    gone.healthy = True
    assert {key: chosen(balancer, Asker(key)) for key in KEYS[:50]} == before


def test_without_a_key_requests_take_turns() -> None:
    """A request without the header, or of the node itself, goes to the next in turn; sticky or not."""
    for sticky in (b"", SECRET):
        balancer = made("hash", [1, 1], sticky)
        own: Any = object()
        assert chosen(balancer, Asker()) is not chosen(balancer, own)
        balancer.answered(balancer.servers[0], 200, own)


# -- sticky ------------------------------------------------------------------------------------------------------------


def test_a_client_comes_back_to_its_server() -> None:
    """The answer sets the cookie once, with its attributes; with it the client is sent there as long as that can be
    asked, drained or not, and told of another then."""
    balancer = made("round-robin", [1, 1, 1], SECRET, sticky_lifetime=Seconds(3600.0), sticky_same_site="strict")
    new = Asker()
    home = chosen(balancer, new)
    balancer.answered(home, 200, new)
    value, _, attributes = new.cookies[0].partition(b"; ")
    assert attributes == b"Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Strict"
    assert b"s0" not in value
    back = Asker(cookie=f"a=b; {value.decode()};c=d")
    assert {chosen(balancer, back) for _ in range(6)} == {home}
    balancer.answered(home, 200, back)
    assert back.cookies == []
    home.draining = True
    assert chosen(balancer, back) is home
    assert home not in {chosen(balancer, Asker()) for _ in range(6)}
    home.healthy = False
    other = chosen(balancer, back)
    assert other is not home
    balancer.answered(other, 200, back)
    assert len(back.cookies) == 1
    assert home not in (chosen(balancer, back), balancer.choose(100.0, [other], back))


@given(st.text("abcXYZ019-_=; ", max_size=60))
def test_a_forged_cookie_is_none(forged: str) -> None:
    """What was not signed with the key, or for another origin, names no server; and the answer sets another."""
    balancer = made("round-robin", [1, 1], SECRET)
    foreign = made("round-robin", [1, 1], b"1" * 32)
    known = Asker()
    foreign.answered(foreign.servers[0], 200, known)
    for cookie in (f"edge={forged}", known.cookies[0].partition(b";")[0].decode()):
        asker = Asker(cookie=cookie)
        assert len({chosen(balancer, asker) for _ in range(2)}) == 2
        balancer.answered(balancer.servers[0], 200, asker)
        assert asker.cookies


# -- slow start --------------------------------------------------------------------------------------------------------


@given(st.floats(0.0, 60.0))
def test_the_share_of_who_has_come_up_grows(age: float) -> None:
    """From a tenth evenly up to its own within ``slow-start``; those that were there from the beginning have theirs."""
    balancer = made("round-robin", [1, 10], slow_start=Seconds(30.0))
    chosen(balancer, now=1.0)
    assert [each.weight for each in balancer.servers] == [1, 10]
    back = balancer.servers[1]
    back.healthy = False
    chosen(balancer, now=2.0)
    back.healthy = True
    chosen(balancer, now=100.0)
    chosen(balancer, now=100.0 + age)
    assert back.weight == pytest.approx(10 * min(max(age / 30, 0.1), 1))


# -- ejection ----------------------------------------------------------------------------------------------------------


def test_a_server_that_fails_often_is_ejected_for_longer_each_time() -> None:
    """Half of ten answers are errors: it is out for ``eject-time``; the next time twice as long, and again at once if
    its trial is answered so."""
    now = [100.0]
    origin = Origin(
        servers=servers([1, 1, 1]), max_fails=0, eject_errors=Percent(0.5), eject_requests=10, eject_time=Seconds(30.0)
    )
    balancer = balancer_of(origin, lambda: now[0])
    bad = balancer.servers[0]
    for ejection in (1, 2):
        for status in [200] * (6 - ejection) + [503] * 5:
            assert bad.out_until == 0
            balancer.answered(bad, status, None)
        assert bad.out_until == now[0] + 30 * ejection
        assert bad not in {chosen(balancer, now=bad.out_until - 1) for _ in range(6)}
        now[0] = bad.out_until
        assert bad in {chosen(balancer, now=now[0]) for _ in range(6)}
        balancer.answered(bad, 200, None)
        assert bad.up
    bad.out_until = now[0]
    assert bad in {chosen(balancer, now=now[0]) for _ in range(6)}
    balancer.answered(bad, 500, None)
    assert bad.out_until == now[0] + 90


@given(st.integers(1, 6), st.integers(0, 100))
def test_no_more_than_its_share_is_ejected(count: int, percent: int) -> None:
    """However badly all answer, no more than ``eject-share`` are out, but one may be, if there is another."""
    origin = Origin(
        servers=servers([1] * count), max_fails=0, eject_errors=Percent(0.1), eject_share=Percent(percent / 100)
    )
    balancer = balancer_of(origin, lambda: 100.0)
    for _ in range(30):
        for each in balancer.servers:
            balancer.failed(each, 100.0)
    out = sum(each.out_until > 100 for each in balancer.servers)
    assert out == (0 if count == 1 else max(1, count * percent // 100))
