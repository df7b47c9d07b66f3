"""The attempts at one request: when a server is blamed, and when the request may go to another."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import OriginError
from edgenode.model.presentation import Presentation
from edgenode.proxy.origin.attempts import CONDITIONS, SAFE, Attempts
from edgenode.proxy.origin.balancing import Balanced, Balancer
from edgenode.proxy.origin.origin import NEXT_UPSTREAM, Origin
from edgenode.proxy.origin.server import Server
from edgenode.proxy.streams import ResponseHead


class Stream:
    """In place of a stream to an origin."""

    def __init__(self) -> None:
        self.is_reset = False
        self.presented: Presentation | None = None
        self.protocol = ""

    def reset(self) -> None:
        """Given up."""
        self.is_reset = True


class Clocked:
    """In place of deadlines."""

    def clock(self) -> float:
        """It is always now."""
        return 1.0


@define(eq=False)
class Pool:
    """In place of a pool: lends a stream at once, to the next server in turn.

    :ivar lent: the streams.
    :ivar fresh: whether each was asked for as a new one.
    """

    origin: Origin
    reused: bool = False
    deadlines: Clocked = field(factory=Clocked)
    lent: list[Stream] = field(factory=list)
    fresh: list[bool] = field(factory=list)
    balancer: Balancer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.balancer = Balancer(self.origin.servers, self.origin.max_fails, self.origin.fail_timeout)

    def borrow(self, borrower: Any, tried: Any = (), *, fresh: bool = False, turn: bool = False) -> None:
        """Lend, or say that no server is left."""
        server = self.balancer.choose(1.0, tried)
        if server is None:
            borrower.not_lent(None, OriginError(502, "unavailable", "no server is left to try"))
            return
        self.lent.append(Stream())
        self.fresh.append(fresh)
        reused = self.reused and not fresh
        if not reused:
            borrower.tries += 1  # as for a connection that has to be opened first
            borrower.reused = False
        borrower.lent(self.lent[-1], server, reused)


class Trying(Attempts):
    """A request that remembers what became of it."""

    def __init__(self, pool: Pool, repeatable: bool = True) -> None:
        self.pool = pool  # type: ignore[assignment]
        self._repeatable = repeatable
        self.asked: list[Balanced | None] = []
        self.outcome: list[object] = []

    @property
    def repeatable(self) -> bool:
        """As the test says."""
        return self._repeatable

    def send(self, stream: Any) -> None:
        """Remember whom."""
        self.asked.append(self.balanced)

    def take_response(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """Remember the status."""
        self.outcome.append(head.status)

    def no_response(self, error: OriginError) -> None:
        """Remember the kind."""
        self.outcome.append(error.kind)

    def response_broken(self, error: OriginError) -> None:
        """Remember that."""
        self.outcome.append("broken")


def trying(repeatable: bool = True, count: int = 3, *, reused: bool = False, **settings: object) -> tuple[Trying, Pool]:
    """A request to an origin of so many servers, sent to the first of them."""
    servers = tuple(Server(False, f"s{number}", 80) for number in range(count))
    pool = Pool(Origin(servers=servers, **settings), reused)  # type: ignore[arg-type]
    attempts = Trying(pool, repeatable)
    attempts.attempt()
    return attempts, pool


def head(status: int) -> ResponseHead:
    """A response head."""
    return ResponseHead(status, b"", {}, [], b"", 0, frozenset())


def failure(kind: str = "reset", sent: bool = True) -> OriginError:
    """What a connection fails with."""
    return OriginError(502, kind, "for the test", sent)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("sent", [True, False])
def test_only_what_has_no_side_effects_is_sent_twice(repeatable: bool, sent: bool) -> None:
    """What was not sent may go anywhere; what was, only if it is repeatable."""
    attempts, _ = trying(repeatable)
    attempts.failed(failure(sent=sent))
    assert len(attempts.asked) == (2 if repeatable or not sent else 1)
    assert attempts.outcome == ([] if repeatable or not sent else ["reset"])


def test_the_safe_methods_are_those_of_rfc_9110() -> None:
    """Section 9.2.1; no others are ever repeated."""
    assert {b"GET", b"HEAD", b"OPTIONS", b"TRACE"} == SAFE


@pytest.mark.parametrize("kind", CONDITIONS)
def test_a_request_goes_on_only_on_a_condition_that_is_named(kind: str) -> None:
    """next-upstream names the conditions; off, or another, and the first attempt is the last."""
    others = tuple(each for each in NEXT_UPSTREAM if each not in (CONDITIONS[kind], "off"))
    for named, asked in (((CONDITIONS[kind],), 2), (("off",), 1), (others, 1)):
        attempts, _ = trying(next_upstream=named)
        attempts.failed(failure(kind))
        assert len(attempts.asked) == asked


@given(st.integers(1, 6), st.integers(1, 6))
def test_tries_and_servers_bound_the_attempts(tries: int, count: int) -> None:
    """There are never more attempts than next-upstream-tries, nor than servers, and none asks a server twice."""
    attempts, _ = trying(count=count, next_upstream_tries=tries)
    while not attempts.outcome:
        attempts.failed(failure())
    assert len(attempts.asked) == len(set(attempts.asked)) == attempts.tries == min(tries, count)


def test_every_condition_of_an_error_can_be_configured() -> None:
    """Each kind of origin error leads to a condition that next-upstream knows."""
    assert set(CONDITIONS.values()) <= set(NEXT_UPSTREAM)


def test_a_status_that_is_named_goes_on_and_blames_the_server() -> None:
    """A 503 of a repeatable request is asked of another server, and its response is given up."""
    attempts, pool = trying(next_upstream=("http-503",), max_fails=1)
    attempts.responded(head(503), b"", False)
    assert len(attempts.asked) == 2
    assert pool.lent[0].is_reset
    assert pool.balancer.servers[0].out_until > 0
    attempts.responded(head(200), b"", True)
    assert attempts.outcome == [200]


@pytest.mark.parametrize("connected", [True, False])
def test_the_status_told_is_that_of_the_server_told(connected: bool) -> None:
    """Not one that another had answered before."""
    attempts, pool = trying(count=2, next_upstream=("http-503",))
    attempts.responded(head(503), b"", False)
    if connected:
        attempts.failed(failure())
    else:
        attempts.not_lent(pool.balancer.servers[1], failure("connect", False))
    assert attempts.balanced is pool.balancer.servers[1]
    assert attempts.origin_status == 0


def test_a_status_that_may_not_be_repeated_still_blames_the_server() -> None:
    """A POST's 503 is the client's to have, but the server has failed all the same."""
    attempts, pool = trying(False, next_upstream=("http-503",), max_fails=1)
    attempts.responded(head(503), b"", True)
    assert attempts.outcome == [503]
    assert pool.balancer.servers[0].out_until > 0


@pytest.mark.parametrize("kind", ["reset", "handshake"])
def test_a_kept_connection_that_was_stale_is_no_try(kind: str) -> None:
    """The request goes to the same origin on a new connection, once, and nobody is blamed; by an alert too."""
    attempts, pool = trying(reused=True, count=1, max_fails=1)
    attempts.failed(failure(kind))
    assert pool.fresh == [False, True]
    assert (attempts.tries, attempts.reused) == (1, False)
    assert pool.balancer.servers[0].out_until == 0
    attempts.failed(failure(kind))
    assert attempts.outcome == [kind]


def test_a_stale_connection_ends_what_cannot_be_repeated() -> None:
    """What has been sent on it may have had an effect."""
    attempts, _ = trying(False, reused=True)
    attempts.failed(failure())
    assert attempts.outcome == ["reset"]


def test_a_response_that_has_begun_is_broken_off_not_tried_again() -> None:
    """Part of it may have reached the client."""
    attempts, pool = trying()
    attempts.responded(head(200), b"x", False)
    attempts.failed(failure())
    assert attempts.outcome == [200, "broken"]
    assert len(pool.lent) == 1


def test_the_first_failure_is_told_when_no_server_is_left() -> None:
    """That none was left says nothing about why."""
    attempts, _ = trying(count=2)
    attempts.failed(failure("timeout"))
    attempts.not_lent(None, OriginError(502, "unavailable", "no server is left to try"))
    assert attempts.outcome == ["timeout"]
